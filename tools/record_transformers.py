#!/usr/bin/env python3
"""Record what transformers answers with a checkpoint, and with PEFT adapters that stay unmerged, in fp32.

    record_transformers.py CHECKPOINT GOLDEN.safetensors --prompt "Once upon a time" [--tokens 1,2,3] [--adapter DIR]...
    dolphin2coreml verify PACKAGE --golden GOLDEN.safetensors

Needs torch and transformers, and peft for adapters. Of several adapters all but the last are merged first, as training
one on another does.
"""

import argparse

import torch
from golden_file import Golden, parse_tokens
from transformers import AutoModelForCausalLM, AutoTokenizer


def load(checkpoint, adapters):
    model = AutoModelForCausalLM.from_pretrained(checkpoint, torch_dtype=torch.float32, attn_implementation="eager")
    for i, adapter in enumerate(adapters):
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
        if i + 1 < len(adapters):
            model = model.merge_and_unload()
    return model.eval()


@torch.no_grad()
def answer(model, prompt, count):
    """Greedy tokens whatever they are, and the logits after the prompt and after each of them."""
    out, rows, generated = model(torch.tensor([prompt]), use_cache=True), [], []
    for _ in range(count):
        rows.append(out.logits[0, -1])
        generated.append(int(rows[-1].argmax()))
        out = model(torch.tensor([generated[-1:]]), past_key_values=out.past_key_values, use_cache=True)
    rows.append(out.logits[0, -1])
    return generated, torch.stack(rows).float().numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("golden")
    parser.add_argument("--tokens", type=parse_tokens, action="append", default=[], metavar="1,2,3")
    parser.add_argument("--prompt", action="append", default=[])
    parser.add_argument("--adapter", action="append", default=[], metavar="DIR")
    parser.add_argument("--max-new-tokens", type=int, default=32)
    arguments = parser.parse_args()
    if not arguments.tokens and not arguments.prompt:
        parser.error("nothing to record: give --tokens or --prompt")
    prompts = [(tokens, "") for tokens in arguments.tokens]
    if arguments.prompt:
        tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
        prompts += [(tokenizer(text)["input_ids"], text) for text in arguments.prompt]
    model = load(arguments.checkpoint, arguments.adapter)
    adapters = f" and {len(arguments.adapter)} adapters" if arguments.adapter else ""
    golden = Golden("checkpoint", f"transformers with {arguments.checkpoint}{adapters}, fp32")
    for tokens, text in prompts:
        golden.add_prompt(tokens, *answer(model, tokens, arguments.max_new_tokens), text)
    golden.write(arguments.golden)


if __name__ == "__main__":
    main()
