"""Several sets of adapters on one base, each as functions of its own, against a reference in numpy."""

import numpy as np
import pytest
from judge_mlpackage import Judge
from llama_reference import Llama
from program import Program, read_tensors, settings
from random_models import RandomAdapter, RandomModel


class Scenario:
    def __init__(self, seed, folder):
        self.model = model = RandomModel(seed, folder / "model")
        self.program = Program(folder)
        self.package = folder / "out.mlpackage"
        self.stacks = {"chat": [RandomAdapter(model, folder / f"chat{i}") for i in range(model.pick(0, 1))]}
        for name, dora in (("coder", False), ("poet", model.pick(False, True))):
            self.stacks[name] = [RandomAdapter(model, folder / f"{name}{i}", dora) for i in range(model.pick(1, 1, 2))]
        self.weights = model.pick(None, "separate")

    def convert(self):
        flags = settings(quantize__plugin='"none"', graph__precision='"fp32"', graph__context=48, graph__prefill=8,
                         graph__functions='["init", "decode"]', graph__kv=f'"{self.model.pick("packed", "split")}"')
        for name, adapters in self.stacks.items():
            for a in adapters:
                flags += ["--adapter", a.path] if name == "chat" else ["--variant", f"{name}={a.path}"]
        if self.weights:
            flags += settings(**{"variant[0].weights": f'"{self.weights}"'})
        return self.program.report("convert", "--model", self.model.path, "-o", self.package, "--force", *flags)

    def reference(self, name):
        """The stack's own adapters on the base. A tied head does not follow an adapter of the embedding."""
        weights = dict(self.model.weights)
        weights.setdefault("lm_head.weight", weights["model.embed_tokens.weight"])
        for a in self.stacks[name]:
            weights = a.merged_into(weights)
        return Llama(self.model.config, weights)

    def logits(self, name, prompt, forced):
        flags = [] if name == "chat" else ["--variant", name]
        self.program.ok("generate", self.package, "--tokens", ",".join(map(str, prompt)), "--teacher-force",
                        ",".join(map(str, forced)), "--logits-out", "logits.safetensors", *flags)
        rows = read_tensors(self.program.folder / "logits.safetensors")
        return np.vstack([rows["prefill_logits"][None], rows["decode_logits"]])


@pytest.mark.parametrize("seed", range(100, 112))
def test_every_variant_is_the_base_with_its_own_adapters(seed, tmp_path, measure):
    scenario = Scenario(seed, tmp_path)
    report = scenario.convert()
    names = [f["name"] for f in report["functions"]]
    assert sorted(names) == sorted(f"{f}{v}" for f in ("init", "decode") for v in ("", "_coder", "_poet"))
    tokens = scenario.model.random.integers(0, scenario.model.config["vocab_size"], 17).tolist()
    for name in scenario.stacks:
        expected = scenario.reference(name).logits(tokens)[10:]
        ours = scenario.logits(name, tokens[:11], tokens[11:])
        measure("fp32 variant", np.abs(ours - expected).max() / expected.std(), 5e-4)

    judge = Judge(str(scenario.package))
    judge.run(expect=names)
    assert judge.rep["findings"] == []


def test_variants_share_the_weights_they_do_not_change(tmp_path):
    """Beside the low-rank factors there is nothing that a package without variants lacks."""
    scenario = Scenario(100, tmp_path)
    scenario.stacks = {"chat": [], "coder": scenario.stacks["coder"]}
    scenario.weights = None
    with_variant = {w["key"]: w["role"] for w in scenario.convert()["weights"]}
    scenario.stacks.pop("coder")
    alone = {w["key"] for w in scenario.convert()["weights"]}
    assert alone < set(with_variant)
    assert {role for key, role in with_variant.items() if key not in alone} == {"lora"}


def test_an_unknown_variant_is_refused(tmp_path):
    scenario = Scenario(100, tmp_path)
    scenario.convert()
    done = scenario.program.run("generate", scenario.package, "--tokens", "1,2", "--variant", "nobody")
    assert done.returncode == 3 and "decode_nobody" in done.stderr and "decode_coder" in done.stderr


@pytest.mark.parametrize("flags, hint", [(["--variant", "coder"], "NAME=DIR"),
                                         (["--variant", "chat=x"], "cannot be called 'chat'"),
                                         (["--set", 'variant=[{name="b", weights="shared"}]'], "shared+adapter")])
def test_a_variant_that_cannot_be_is_refused(flags, hint, tmp_path):
    model = RandomModel(1, tmp_path / "model")
    done = Program(tmp_path).run("convert", "--model", model.path, "-o", "out.mlpackage", *flags)
    assert done.returncode == 2 and hint in done.stderr, done.stderr
