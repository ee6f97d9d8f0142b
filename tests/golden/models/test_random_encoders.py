"""Random models crossed with what an encoder may be made of, against a reference in numpy."""

import json

import numpy as np
import pytest
from goldens import cosine
from judge_mlpackage import Judge
from llama_reference import Llama
from program import Program, read_tensors, settings
from random_models import RandomAdapter, RandomModel

POOLINGS = ["mean", "weighted_mean", "eos_token", "last_token", "bos_token"]
LONGEST = 40


class Scenario:
    """A model, chat and encoder adapters, and how the encoder is to be made of them."""

    def __init__(self, seed, folder):
        self.model = model = RandomModel(seed, folder / "model")
        self.program = Program(folder)
        self.package = folder / "out.mlpackage"
        dora = model.random.random() < 0.2
        self.chat = [RandomAdapter(model, folder / f"chat{i}") for i in range(model.pick(0, 1, 2))]
        self.encoder = [RandomAdapter(model, folder / f"encoder{i}", dora) for i in range(model.pick(0, 1, 1, 2, 3))]
        self.strengths = {a.path: 1.0 if dora else model.pick(1.0, 0.5, -0.75) for a in self.chat + self.encoder}
        self.weights = self._pick_weights()
        self.pooling = model.pick(*POOLINGS)
        self.lengths = sorted({int(n) for n in model.random.integers(1, LONGEST, model.pick(0, 1, 3))})
        self.batch = model.pick(1, 3)
        self.attention = model.pick("explicit", "fused")

    def _pick_weights(self):
        if self.encoder:
            return self.model.pick(None, "separate")
        return self.model.pick(None, "shared+adapter") if self.chat else None

    def convert(self, precision, functions=("init", "decode", "encode")):
        flags = settings(quantize__plugin='"none"', graph__precision=f'"{precision}"', graph__context=48,
                         graph__prefill=8, graph__attention=f'"{self.attention}"', encoder__max_length=LONGEST,
                         graph__functions=json.dumps(functions), encoder__pooling=f'"{self.pooling}"', encoder__lengths=json.dumps(self.lengths), encoder__batch=self.batch)
        if self.weights:
            flags += settings(encoder__weights=f'"{self.weights}"')
        for flag, adapters in (("--adapter", self.chat), ("--encoder-adapter", self.encoder)):
            for a in adapters:
                flags += [flag, f"{a.path}:{self.strengths[a.path]}"]
        return self.program.report("convert", "--model", self.model.path, "-o", self.package, "--force", *flags)

    def reference(self):
        """The encoder's adapters belong on the base; without any, it embeds with the chat weights unless they are taken
        off."""
        weights = self.model.weights
        for a in self.encoder or ([] if self.weights else self.chat):
            weights = a.merged_into(weights, self.strengths[a.path])
        return Llama(self.model.config, weights)

    def inputs(self, count=6):
        random, vocab = self.model.random, self.model.config["vocab_size"]
        sizes = [1, LONGEST, *random.integers(1, LONGEST, count)]
        inputs = []
        for size in sizes:
            ids = random.integers(0, vocab, size).tolist()
            skipped = int(random.integers(0, size))
            mask = [0] * skipped + [1] * (size - skipped) if self.model.pick(False, True) else None
            inputs.append({"input_ids": ids} | ({"pooling_mask": mask} if mask else {}))
        return inputs

    def embed(self, inputs):
        (self.program.folder / "inputs.json").write_text(json.dumps(inputs))
        report = self.program.report("embed", self.package, "--tokens-file", "inputs.json", "--out", "rows.safetensors")
        return read_tensors(self.program.folder / "rows.safetensors")["embeddings"], report["lengths"]

    def expected(self, inputs):
        reference = self.reference()
        return np.stack([pooled(reference.hidden(i["input_ids"], causal=False), i.get("pooling_mask"), self.pooling)
                         for i in inputs])

    def length_for(self, tokens):
        return min(n for n in [*self.lengths, LONGEST] if n >= tokens)


def pooled(hidden, mask, pooling):
    at = np.flatnonzero(np.ones(len(hidden)) if mask is None else mask)
    if pooling == "mean":
        return hidden[at].mean(axis=0)
    if pooling == "weighted_mean":
        return np.average(hidden[at], axis=0, weights=np.arange(1, len(at) + 1))
    return hidden[at[0] if pooling == "bos_token" else at[-1]]


def left_padded(item, padding):
    size = len(item["input_ids"])
    mask = item.get("pooling_mask", [1] * size)
    return {"input_ids": [3] * padding + item["input_ids"], "attention_mask": [0] * padding + [1] * size,
            "pooling_mask": [0] * padding + mask}


@pytest.mark.parametrize("seed", range(24))
def test_a_random_encoder_embeds_as_the_reference(seed, tmp_path, measure):
    scenario = Scenario(seed, tmp_path)
    report = scenario.convert("fp32")
    inputs = scenario.inputs()
    rows, lengths = scenario.embed(inputs)
    expected = scenario.expected(inputs)
    measure("fp32 encoder", np.abs(rows - expected).max() / expected.std(), 2e-4)
    assert lengths == [scenario.length_for(len(i["input_ids"])) for i in inputs]

    padded = [left_padded(i, int(scenario.model.random.integers(0, LONGEST + 1 - len(i["input_ids"])))) for i in inputs]
    measure("fp32 encoder, padded on the left", np.abs(scenario.embed(padded)[0] - rows).max() / expected.std(), 2e-4)

    judge = Judge(str(scenario.package))
    judge.run(expect=[f["name"] for f in report["functions"]])
    assert judge.rep["findings"] == []


@pytest.mark.parametrize("seed", range(24, 32))
def test_a_random_fp16_encoder_embeds_within_its_rounding(seed, tmp_path, measure):
    scenario = Scenario(seed, tmp_path)
    scenario.convert("fp16")
    inputs = scenario.inputs()
    rows, _ = scenario.embed(inputs)
    for ours, theirs in zip(rows, scenario.expected(inputs)):
        measure("fp16 encoder, 1 - cosine", 1 - cosine(ours, theirs), 1e-3)


@pytest.mark.parametrize("seed", [200, 201])
def test_an_encoder_may_be_another_model_with_a_shorter_context(seed, tmp_path, measure):
    scenario = Scenario(seed, tmp_path)
    chat = RandomModel(seed + 50, tmp_path / "other")
    config = scenario.model.config | {"max_position_embeddings": LONGEST}
    (scenario.model.path / "config.json").write_text(json.dumps(config))
    flags = settings(quantize__plugin='"none"', graph__precision='"fp32"', graph__context=100,
                     encoder__model=f'"{scenario.model.path}"', encoder__pooling=f'"{scenario.pooling}"')
    for a in scenario.encoder:
        flags += ["--encoder-adapter", f"{a.path}:{scenario.strengths[a.path]}"]
    report = scenario.program.report("convert", "--model", chat.path, "-o", scenario.package, *flags)
    assert [p["weights"] for p in report["encoder_policies"] if "bytes" in p] == ["separate"]

    scenario.chat = []
    inputs = scenario.inputs()
    expected = scenario.expected(inputs)
    measure("fp32 encoder", np.abs(scenario.embed(inputs)[0] - expected).max() / expected.std(), 2e-4)


@pytest.mark.parametrize("seed", [3, 7, 11])
def test_the_plan_prices_what_the_package_then_holds(seed, tmp_path):
    """What a policy adds is the difference between packages with and without the encoder."""
    scenario = Scenario(seed, tmp_path)
    scenario.lengths, scenario.batch = [], 1
    for policy in scenario.convert("fp16")["encoder_policies"]:
        if "bytes" not in policy:
            continue
        scenario.weights = policy["weights"]
        weights = scenario.convert("fp16")["weights"]
        alone = scenario.convert("fp16", functions=["init", "decode"])["weights"]
        kept = {w["key"] for w in alone}
        assert policy["bytes"] == sum(w["bytes"] for w in weights if w["key"] not in kept)
