"""Reference results of transformers and PEFT, and the runs of the program that have to reproduce them.

D2C_GOLDENS names a set: a folder with cases.json and the files it mentions. Without it, the small set of this
repository.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from program import ROOT, Program, read_tensors, settings

FOLDER = Path(os.environ.get("D2C_GOLDENS") or ROOT / "tests/data/models/goldens")
CASES = json.loads((FOLDER / "cases.json").read_text())["cases"]
# The Hugging Face folder of SmolLM2-135M-Instruct in bf16, too large to be kept here.
SMOLLM2 = os.environ.get("D2C_SMOLLM2", "")

FP32 = settings(quantize__plugin='"none"', graph__precision='"fp32"')


def cases(kind):
    return [c for c in CASES if c["kind"] == kind]


def parameters(selected):
    """For parametrize: named."""
    return [pytest.param(c, id=c["name"]) for c in selected]


def by_name(name):
    return next(c for c in CASES if c["name"] == name)


def reference(case):
    return read_tensors(FOLDER / case["golden"])


def tolerance(case):
    """Of logits, for a package that computes in fp32 as the reference does."""
    return case["tolerance"]["logits_abs_fp32"]


def model_of(case):
    return SMOLLM2 if case["model"] == "smollm2" else FOLDER / case["model"]


def adapter_flags(case, flag="--adapter"):
    flags = []
    for adapter in case["adapters"]:
        flags += [flag, f"{FOLDER / adapter['dir']}:{adapter['weight']}"]
    return flags


class Decoder:
    """A converted package and what it generates."""

    def __init__(self, folder, model, *flags, context=64, prefill=16):
        self.program = Program(folder)
        self.package = folder / "out.mlpackage"
        self.program.ok("convert", "--model", model, *flags, "-o", self.package, "--force", "--quiet",
                        *settings(graph__context=context, graph__prefill=prefill),
                        *settings(graph__functions='["init", "decode"]'))

    def generate(self, prompt, count=16, force=None, flags=()):
        """(tokens, logits): row 0 of the logits follows the prompt, row i the i-th token after it."""
        logits = self.program.folder / "logits.safetensors"
        arguments = ["generate", self.package, "--tokens", _joined(prompt), "--logits-out", logits, "--json", *flags]
        if force is None:
            arguments += ["--max-new-tokens", count]
        elif len(force) > 0:
            arguments += ["--teacher-force", _joined(force)]
        else:
            arguments += ["--max-new-tokens", 0]
        report = json.loads(self.program.ok(*arguments).stdout)
        rows = read_tensors(logits)
        return report["tokens"], np.vstack([rows["prefill_logits"][None], rows["decode_logits"]])


def _joined(tokens):
    return ",".join(str(int(t)) for t in tokens)


class Transcript:
    """Every token of a golden, and the logits that follow each."""

    def __init__(self, golden, prefix=""):
        self.prompt = golden["prompt_ids"]
        self.generated = golden[f"{prefix}decode_ids"]
        self.tokens = np.concatenate([self.prompt, self.generated])
        self.logits = np.vstack([golden[f"{prefix}prefill_logits"], golden[f"{prefix}decode_logits"]])

    def replayed(self, decoder, length=None, flags=()):
        """Largest difference when the first `length` tokens are the prompt and all others are forced."""
        length = len(self.prompt) if length is None else length
        _, logits = decoder.generate(self.tokens[:length], force=self.tokens[length:], flags=flags)
        return difference(logits, self.logits[length - 1 :])


def difference(ours, theirs):
    assert ours.shape == theirs.shape
    assert np.isfinite(ours).all()
    return float(np.abs(ours - theirs).max())


def cosine(a, b):
    return float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))
