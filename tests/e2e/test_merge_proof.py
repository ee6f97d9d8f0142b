"""What a conversion says became of its adapters' changes, against the package and a merge in fp32 read back by others."""

import json
import shutil
import sys

import numpy as np
import pytest
from program import ROOT, SMALL, Program, read_checkpoint, read_tensors, settings

sys.path[:0] = [str(ROOT / "tools")]
from record_golden import read_weights  # noqa: E402

DATA = ROOT / "tests/data/lora_unsloth"
MODEL = DATA / "models/base_bf16"
ADAPTER = DATA / "adapters/minimal_adapter_config"
STORAGE = {"grouped": {}, "whole": {"quantize__granularity": '"per_tensor"'}, "bands": {"quantize__axis": 1},
           "6 bits": {"quantize__bits": 6}, "fp16": {"quantize__plugin": '"none"'},
           "fp32": {"quantize__plugin": '"none"', "graph__precision": '"fp32"'}}


def proof_of(base, merged, rounded, stored):
    base, merged, rounded, stored = (x.astype(np.float64) for x in (base, merged, rounded, stored))
    change, survivor = merged - base, stored - base
    intended = float((change**2).sum())
    return {"delta_norm": intended**0.5, "relative_norm": (intended / float((base**2).sum())) ** 0.5,
            "share": float((change * survivor).sum()) / intended,
            "share_rounded": float((change * (rounded - base)).sum()) / intended,
            "cosine": float((change * survivor).sum()) / (intended * float((survivor**2).sum())) ** 0.5}


@pytest.fixture
def program(tmp_path):
    return Program(tmp_path)


def proofs(report):
    return {w["tensor"]: w["merge"] for w in report["weights"] if "merge" in w}


@pytest.mark.parametrize("storage", STORAGE)
def test_the_proof_is_what_the_package_shows(program, tmp_path, storage):
    report = program.report("convert", "--model", MODEL, "--adapter", ADAPTER, *SMALL, *settings(**STORAGE[storage]),
                            "-o", "out.mlpackage")
    program.ok("merge", "--model", MODEL, "--adapter", ADAPTER, "--dtype", "fp32", "-o", "merged")
    base, merged = read_checkpoint(MODEL), read_checkpoint(tmp_path / "merged")
    stored, _ = read_weights(tmp_path / "out.mlpackage")
    found = proofs(report)
    assert set(found) == {name for name in base if (base[name] != merged[name]).any()}
    for name, proof in found.items():
        rounded = merged[name] if storage == "fp32" else merged[name].astype(np.float16)
        for key, value in proof_of(base[name], merged[name], rounded, stored[name]).items():
            assert proof[key] == pytest.approx(value, rel=1e-4, abs=1e-6), (name, key)
    whole = report["merge"]["chat"]
    assert whole["tensors"] == len(found)
    assert whole["delta_norm"] == pytest.approx(sum(p["delta_norm"] ** 2 for p in found.values()) ** 0.5)
    assert 0.9 < whole["share"] < 1.1 and whole["share_rounded"] == pytest.approx(1, abs=1e-3)
    assert not any("survives" in note for note in report["notes"])


def coarse_model(folder):
    """A model whose weights have but 16 values in each row: as if they had been quantized before."""
    shutil.copytree(MODEL, folder)
    file = folder / "model.safetensors"
    raw = bytearray(file.read_bytes())
    size = int.from_bytes(raw[:8], "little")
    for name, info in json.loads(raw[8 : 8 + size]).items():
        if not name.endswith("_proj.weight"):
            continue
        first, last = (8 + size + offset for offset in info["data_offsets"])
        values = read_tensors(file)[name]
        coarse = np.round(values / np.abs(values).max() * 7.5 - 0.5) / 8
        raw[first:last] = (coarse.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()
    file.write_bytes(raw)
    return folder


def faint_adapter(folder):
    shutil.copytree(ADAPTER, folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": config["lora_alpha"] * 0.01}))
    return folder


def test_a_change_that_vanishes_between_palette_entries_is_a_warning(program, tmp_path):
    flags = ["--model", coarse_model(tmp_path / "coarse"), "--adapter", faint_adapter(tmp_path / "faint")]
    done = program.ok("convert", *flags, *SMALL, "--json", "-o", "out.mlpackage")
    report = json.loads(done.stdout)
    assert report["merge"]["chat"]["share"] < 0.5 < report["merge"]["chat"]["share_rounded"]
    assert any("stack chat" in note and "quantization" in note for note in report["notes"])
    assert "survives the quantization" in done.stderr


def test_threads_do_not_change_a_digit_of_the_proof(program):
    reports = [program.report("convert", "--model", MODEL, "--adapter", ADAPTER, *SMALL, "-j", threads, "-o",
                              f"{threads}.mlpackage") for threads in (1, 3)]
    assert proofs(reports[0]) == proofs(reports[1]) and proofs(reports[0])


def test_without_adapters_there_is_nothing_to_prove(program):
    report = program.report("convert", "--model", MODEL, *SMALL, "-o", "out.mlpackage")
    assert report["merge"] == {} and proofs(report) == {}
