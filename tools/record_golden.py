#!/usr/bin/env python3
"""Record what a package has to answer: its own weights, dequantized and run by llama_reference in fp32.

Neither reading the package nor running the model shares code with the program. Needs coremltools and numpy.

    record_golden.py PACKAGE GOLDEN.safetensors --tokens 1,2,3 --tokens 7,8 [--max-new-tokens 16] [--inputs FILE.json]
    record_golden.py PACKAGE GOLDEN.safetensors --prompt "Once upon a time" --program build/release/bin/dolphin2coreml
    dolphin2coreml verify PACKAGE --golden GOLDEN.safetensors

FILE.json holds what the encoder gets, as `embed --tokens-file` takes it: [{"input_ids": [...], "pooling_mask": [...]}].
Embeddings are recorded of packages that encode with the weights they decode with.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests/judge")]
from golden_file import Golden, parse_tokens  # noqa: E402
from judge_mlpackage import Judge  # noqa: E402
from llama_reference import Llama  # noqa: E402


def config_of(package):
    """The model's config.json; a GGUF file has none, and then the package's metadata says the same."""
    file = Path(package) / "Data/dolphin2coreml/config.json"
    return json.loads(file.read_text()) if file.exists() else config_of_metadata(metadata_of(read(package), "d2c.model"))


def read(package):
    """Parsed, but not loaded into coremltools: whether the package is sound is for the judge to say on its own."""
    judge = Judge(str(package))
    judge.run(load="none", scan=False)
    return judge


def metadata_of(judge, key):
    return json.loads(judge.rep["metadata"]["userDefined"].get(key, "{}"))


def config_of_metadata(model):
    names = {"layers": "num_hidden_layers", "heads": "num_attention_heads", "kv_heads": "num_key_value_heads"}
    config = {names.get(key, key): value for key, value in model.items() if key != "rope"}
    rope = dict(model["rope"])
    return config | {"rope_parameters": {"rope_type": rope.pop("type"), "rope_theta": rope.pop("theta"), **rope}}


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
    judge, weights = read(package), {}
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


def encoder_pooling(judge):
    """How the package pools; it must encode with the weights it decodes with."""
    encoder, adapters = metadata_of(judge, "d2c.encoder"), metadata_of(judge, "d2c.adapters")
    if "pooling" not in encoder or adapters.get("encoder_weights", "shared") != "shared":
        raise SystemExit("--inputs: the package does not encode with the weights it decodes with")
    return encoder["pooling"]


def record(model, prompts, count, inputs=(), pooling="mean", texts=None):
    """`prompts`: lists of tokens; `inputs`: [{"input_ids": ..., "pooling_mask": ...}]."""
    golden = Golden("package", "the package's own weights, dequantized, in fp32 numpy")
    for i, prompt in enumerate(prompts):
        generated = model.greedy(prompt, count)
        logits = model.logits([*prompt, *generated])[len(prompt) - 1 :]
        golden.add_prompt(prompt, generated, logits, texts[i] if texts else "")
    for one in inputs:
        ids = one["input_ids"]
        mask = one.get("pooling_mask", [1] * len(ids))
        golden.add_sentence(ids, mask, model.embedding(ids, mask, pooling))
    return golden


def tokenize(program, package, text):
    done = subprocess.run([program, "tokenize", package, "--add-bos", "--json"], input=text, text=True, check=True,
                          stdout=subprocess.PIPE)
    return json.loads(done.stdout)["ids"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package")
    parser.add_argument("golden")
    parser.add_argument("--tokens", type=parse_tokens, action="append", default=[], metavar="1,2,3")
    parser.add_argument("--prompt", action="append", default=[], help="text instead, tokenized by --program")
    parser.add_argument("--program", default="dolphin2coreml")
    parser.add_argument("--max-new-tokens", type=int, default=16)
    parser.add_argument("--inputs", help="JSON file of what the encoder gets")
    arguments = parser.parse_args()
    prompts = arguments.tokens + [tokenize(arguments.program, arguments.package, text) for text in arguments.prompt]
    inputs = json.loads(Path(arguments.inputs).read_text()) if arguments.inputs else []
    if not prompts and not inputs:
        parser.error("nothing to record: give --tokens, --prompt or --inputs")
    weights, judge = read_weights(arguments.package)
    model = Llama(config_of(arguments.package), weights)
    texts = [""] * len(arguments.tokens) + arguments.prompt
    pooling = encoder_pooling(judge) if inputs else None
    record(model, prompts, arguments.max_new_tokens, inputs, pooling, texts).write(arguments.golden)


if __name__ == "__main__":
    main()
