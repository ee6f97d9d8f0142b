"""The plan reads headers only and is right to the byte."""

import pytest
from conftest import MODELS, ROOT, SMALL
from test_convert import VARIANTS

HUGE = ["synthetic:llama3.1-8b", "synthetic:llama3.1-70b", "synthetic:llama3.2-3b", "synthetic:smollm2-135m"]


@pytest.mark.parametrize("variant", ["4_bits", *VARIANTS])
def test_planned_weight_bytes_are_the_files(convert, d2c, variant):
    flags = VARIANTS.get(variant, [])
    package = convert(MODELS / "gqa_bf16", *flags)
    plan = d2c.report("plan", "--model", MODELS / "gqa_bf16", *SMALL, *flags)
    assert plan["weight_bytes"] == package.weight_file_bytes()
    assert [w["bytes"] for w in plan["weights"]] == [w["bytes"] for w in package.report["weights"]]


def test_planned_bytes_of_the_tiny_recipe_are_the_files(d2c):
    plan = d2c.report("plan", "tiny")
    d2c.ok("convert", "tiny", "-o", "out.mlpackage")
    assert plan["weight_bytes"] == sum(
        f.stat().st_size for f in d2c.folder.glob("out.mlpackage/Data/com.apple.CoreML/weights/*"))


@pytest.mark.parametrize("model", ["gqa_bf16", "sharded_bf16"])
def test_plan_reads_less_than_the_weights(d2c, model):
    plan = d2c.report("plan", "--model", MODELS / model, *SMALL)
    assert 0 < plan["bytes_read"] < 1_000_000


def test_plan_writes_nothing(d2c):
    d2c.report("plan", "--model", MODELS / "gqa_bf16", *SMALL)
    assert list(d2c.folder.iterdir()) == []


@pytest.mark.parametrize("model", HUGE)
def test_models_of_any_size_are_planned_at_once(d2c, model):
    plan = d2c.report("plan", "--model", model)
    assert plan["bits_per_weight"] < 4.2
    assert plan["memory"]["bytes"] <= 1 << 30


@pytest.mark.parametrize("recipe", sorted(p.stem for p in (ROOT / "configs").glob("*.toml")))
def test_every_shipped_recipe_is_valid(d2c, recipe):
    d2c.ok("recipe", "check", recipe)
