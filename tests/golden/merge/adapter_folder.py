"""Adapters made to measure: tensors and a config as they are asked for, nothing checked."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from program import read_tensors

PREFIX = "base_model.model.model.layers.{layer}.{module}.{part}"
TYPES = {"F32": np.float32, "F16": np.float16, "I8": np.int8, "I32": np.int32}


def random(*shape, seed=0, scale=0.1):
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def lora(layer, module, rows, columns, rank, seed=0, prefix=PREFIX):
    """Key -> factor, as PEFT saves them."""
    at = lambda part: prefix.format(layer=layer, module=module, part=part)  # noqa: E731
    return {at("lora_A.weight"): random(rank, columns, seed=seed), at("lora_B.weight"): random(rows, rank, seed=seed + 1)}


def write_tensors(file, tensors):
    """`tensors`: name -> array, or a list of pairs, which may name one twice."""
    pairs = list(tensors.items()) if isinstance(tensors, dict) else tensors
    entries, data = [], b""
    for name, array in pairs:
        array = np.ascontiguousarray(array)
        kind = next(k for k, t in TYPES.items() if t == array.dtype)
        span = [len(data), len(data) + array.nbytes]
        entries.append(f'{json.dumps(name)}: {{"dtype": "{kind}", "shape": {list(array.shape)}, "data_offsets": {span}}}')
        data += array.tobytes()
    header = ("{" + ", ".join(entries) + "}").encode()
    header += b" " * (-len(header) % 8)
    Path(file).write_bytes(len(header).to_bytes(8, "little") + header + data)


def write_adapter(folder, tensors, **config):
    folder.mkdir()
    write_tensors(folder / "adapter_model.safetensors", tensors)
    plain = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(plain | config))
    return folder


def changed_copy(original, folder, config=None, tensors=None):
    """A copy of an adapter with some of its config's keys set, and its tensors changed by a function."""
    shutil.copytree(original, folder)
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | (config or {})))
    if tensors:
        write_tensors(folder / "adapter_model.safetensors", tensors(read_tensors(folder / "adapter_model.safetensors")))
    return folder
