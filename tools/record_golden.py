#!/usr/bin/env python3
"""Record what a package has to answer: its own weights, dequantized and run by llama_reference in fp32.

Neither reading the package nor running the model shares code with the program. Needs coremltools and numpy.

    record_golden.py PACKAGE GOLDEN.safetensors --tokens 1,2,3 --tokens 7,8 [--max-new-tokens 16]

The file holds for each prompt i: prompt.I.tokens and prompt.I.generated (int32), prompt.I.logits (fp32, a row for the
last token of the prompt and one for each generated token) and prompt.I.margin (how far the best token is ahead of the
second, in each row); where the package encodes with the weights it decodes with, also prompt.I.embedding (mean).
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests/judge")]
from judge_mlpackage import Judge  # noqa: E402
from llama_reference import Llama  # noqa: E402


def config_of(package):
    return json.loads((Path(package) / "Data/dolphin2coreml/config.json").read_text())


def weight_shapes(config):
    """Hugging Face name -> shape, of every tensor a model of this config may have."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    head_dim = config.get("head_dim") or hidden // heads
    queries, keys = heads * head_dim, (config.get("num_key_value_heads") or heads) * head_dim
    wide, vocab = config["intermediate_size"], config["vocab_size"]
    linear = {"self_attn.q_proj": (queries, hidden), "self_attn.k_proj": (keys, hidden),
              "self_attn.v_proj": (keys, hidden), "self_attn.o_proj": (hidden, queries),
              "mlp.gate_proj": (wide, hidden), "mlp.up_proj": (wide, hidden), "mlp.down_proj": (hidden, wide)}
    shapes = {"model.embed_tokens.weight": (vocab, hidden), "model.norm.weight": (hidden,),
              "lm_head.weight": (vocab, hidden)}
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        for name, shape in linear.items():
            shapes |= {f"{at}{name}.weight": shape, f"{at}{name}.bias": shape[:1]}
        shapes |= {f"{at}{norm}.weight": (hidden,) for norm in ("input_layernorm", "post_attention_layernorm")}
    return shapes


def read_weights(package):
    """Hugging Face name -> fp32 array, with the rows that padding added taken off, as `decode` uses it."""
    judge = Judge(str(package))
    judge.run(expect=["decode"])
    weights = {}
    for name, shape in weight_shapes(config_of(package)).items():
        try:
            value = judge.dequant(name.replace(".", "_"), "decode")
        except KeyError:
            continue
        dense = np.asarray(value[1] if isinstance(value, tuple) else value, np.float32)
        weights[name] = dense.reshape(-1) if len(shape) == 1 else dense[: shape[0], : shape[1]]
        if weights[name].shape != shape:
            raise SystemExit(f"{package}: {name} is {dense.shape}; its config.json asks for {shape}")
    return weights, judge


def encodes_with_decoders_weights(judge):
    metadata = judge.rep["metadata"]["userDefined"]
    encoder, adapters = (json.loads(metadata.get(key, "{}")) for key in ("d2c.encoder", "d2c.adapters"))
    return encoder.get("pooling") == "mean" and adapters.get("encoder_weights", "shared") == "shared"


def record(model, prompts, count, embeddings):
    golden = {}
    for i, prompt in enumerate(prompts):
        generated = model.greedy(prompt, count)
        logits = model.logits([*prompt, *generated])[len(prompt) - 1 :]
        best = np.sort(logits, axis=-1)[:, -2:]
        golden |= {f"prompt.{i}.tokens": np.array(prompt, np.int32), f"prompt.{i}.generated": np.array(generated, np.int32),
                   f"prompt.{i}.logits": logits.astype(np.float32),
                   f"prompt.{i}.margin": (best[:, 1] - best[:, 0]).astype(np.float32)}
        if embeddings:
            golden[f"prompt.{i}.embedding"] = model.embedding(prompt)
    return golden


def write_safetensors(path, tensors, metadata):
    header, data = {"__metadata__": metadata}, b""
    for name, array in sorted(tensors.items()):
        kind = {"float32": "F32", "int32": "I32"}[array.dtype.name]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(len(text).to_bytes(8, "little") + text + data)


def parse_tokens(text):
    return [int(token) for token in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package")
    parser.add_argument("golden")
    parser.add_argument("--tokens", type=parse_tokens, action="append", required=True, metavar="1,2,3")
    parser.add_argument("--max-new-tokens", type=int, default=16)
    arguments = parser.parse_args()
    weights, judge = read_weights(arguments.package)
    model = Llama(config_of(arguments.package), weights)
    golden = record(model, arguments.tokens, arguments.max_new_tokens, encodes_with_decoders_weights(judge))
    write_safetensors(arguments.golden, golden, {"reference": "weights of the package, fp32 numpy"})


if __name__ == "__main__":
    main()
