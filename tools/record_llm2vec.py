#!/usr/bin/env python3
"""Record the embeddings that llm2vec itself gives, in fp32: the upstream reference of `encode`.

    record_llm2vec.py CHECKPOINT GOLDEN.safetensors [--adapter MNTP] [--adapter SUPERVISED] --sentences FILE.txt
    dolphin2coreml verify PACKAGE --golden GOLDEN.safetensors

FILE.txt holds a sentence in each line; "instruction<tab>sentence" gives it an instruction. Needs llm2vec 0.2.3 (with
transformers 4.44 and peft 0.13) and torch. Adapters are merged in this order, as llm2vec does.
"""

import argparse
import json
from pathlib import Path

import torch
from golden_file import Golden
from llm2vec import LLM2Vec
from llm2vec.models import LlamaBiModel
from peft import PeftModel
from transformers import AutoTokenizer


def load(arguments):
    model = LlamaBiModel.from_pretrained(arguments.checkpoint, torch_dtype=torch.float32)
    # llm2vec prepares texts by the name that the checkpoint has of itself, not by where it lies.
    model.config._name_or_path = json.loads((Path(arguments.checkpoint) / "config.json").read_text()).get("_name_or_path", "")
    for adapter in arguments.adapter:
        model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    tokenizer.pad_token, tokenizer.padding_side = tokenizer.eos_token, "left"
    return LLM2Vec(model.eval(), tokenizer, pooling_mode=arguments.pooling, max_length=arguments.max_length,
                   skip_instruction=not arguments.pool_instruction)


def pooled(l2v, features):
    """What the pooling of this model counts, a flag for each token."""
    count = len(features["input_ids"][0])
    if l2v.pooling_mode in ("eos_token", "last_token"):
        return [0] * (count - 1) + [1]
    if l2v.pooling_mode == "bos_token":
        return [1] + [0] * (count - 1)
    return features["embed_mask" if l2v.skip_instruction else "attention_mask"][0].tolist()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("golden")
    parser.add_argument("--sentences", required=True, metavar="FILE.txt")
    parser.add_argument("--adapter", action="append", default=[], metavar="DIR")
    parser.add_argument("--pooling", default="mean")
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--pool-instruction", action="store_true", help="skip_instruction=False")
    arguments = parser.parse_args()
    l2v = load(arguments)
    golden = Golden("checkpoint", f"llm2vec with {arguments.checkpoint} and {len(arguments.adapter)} adapters, fp32")
    for line in Path(arguments.sentences).read_text().splitlines():
        instruction, _, text = line.rpartition("\t")
        features = l2v.tokenize([l2v.prepare_for_tokenization(l2v._convert_to_str(instruction, text))])
        embedding = l2v.encode([[instruction, text]], batch_size=1, show_progress_bar=False, device="cpu")
        golden.add_sentence(features["input_ids"][0].tolist(), pooled(l2v, features), embedding[0].float().numpy(), text)
    golden.write(arguments.golden)


if __name__ == "__main__":
    main()
