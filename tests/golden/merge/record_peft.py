#!/usr/bin/env python3
"""Record what PEFT makes of combined adapters, for test_peft_combinations.py. Needs torch, transformers and peft.

    record_peft.py tests/data/lora_unsloth

Written to combinations/: index.json, and for each combination two of the tensors it changes, as PEFT merges them in fp32.
"""

import json
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

from peft import PeftModel
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

MODEL = "models/base_bias_fp32"
TENSORS = ["model.layers.0.self_attn.q_proj.weight", "model.layers.1.self_attn.v_proj.weight"]
PAIR = [("comb_1", 0.7), ("comb_2", 0.4)]
OPPOSED = [("comb_1", 1.0), ("comb_2", -0.6)]
OTHER_RANKS = [("comb_1", 0.5), ("comb_3_r6", 1.25)]
RSLORA = [("comb_4_rs", 0.5), ("comb_1", 0.5)]
CASES = [
    ("linear", OPPOSED, {}),
    ("cat", OTHER_RANKS, {}),
    ("cat", RSLORA, {}),
    ("svd", OTHER_RANKS, {"svd_rank": 5}),
    ("svd", RSLORA, {}),
    ("ties", PAIR, {"density": 0.5}),
    ("ties", OPPOSED, {"density": 0.3, "majority_sign_method": "frequency"}),
    ("ties", PAIR, {"density": 1.0}),
    ("magnitude_prune", PAIR, {"density": 0.5}),
    ("magnitude_prune", OPPOSED, {"density": 0.1}),
    ("ties_svd", OTHER_RANKS, {"density": 0.5, "svd_rank": 7}),
    ("ties_svd", OPPOSED, {"density": 0.4, "majority_sign_method": "frequency"}),
    ("magnitude_prune_svd", OTHER_RANKS, {"density": 0.5}),
    ("dare_linear", PAIR, {"density": 1.0}),
    ("dare_ties", OPPOSED, {"density": 1.0}),
    ("dare_linear_svd", OTHER_RANKS, {"density": 1.0}),
    ("dare_ties_svd", PAIR, {"density": 1.0, "svd_rank": 3}),
]


def merged(folder, combination, adapters, settings):
    model = AutoModelForCausalLM.from_pretrained(folder / MODEL)
    names = [f"adapter{i}" for i in range(len(adapters))]
    peft = PeftModel.from_pretrained(model, folder / "adapters" / adapters[0][0], adapter_name=names[0])
    for name, (adapter, _) in list(zip(names, adapters))[1:]:
        peft.load_adapter(folder / "adapters" / adapter, adapter_name=name)
    peft.add_weighted_adapter(names, [w for _, w in adapters], "combined", combination_type=combination, **settings)
    return peft.merge_and_unload(adapter_names=["combined"]).state_dict()


def main():
    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    folder = Path(sys.argv[1])
    out = folder / "combinations"
    out.mkdir(exist_ok=True)
    index = {"peft": version("peft"), "torch": version("torch"), "model": MODEL, "cases": []}
    for i, (combination, adapters, settings) in enumerate(CASES):
        state = merged(folder, combination, adapters, settings)
        name = f"{i:02}_{combination}.safetensors"
        save_file({t: state[t].contiguous() for t in TENSORS}, out / name)
        index["cases"].append({"combination": combination, "adapters": adapters, "settings": settings, "merged": name})
    (out / "index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
