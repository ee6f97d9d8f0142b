"""Every model converts to a package that an independent reader accepts and whose weights are the source's."""

import json

import numpy as np
import pytest
from conftest import MODELS, read_checkpoint, settings

ALL_MODELS = sorted(p.parent.name for p in MODELS.glob("*/config.json"))
VARIANTS = {
    "1_bit": settings(quantize__bits=1),
    "2_bits": settings(quantize__bits=2),
    "3_bits": settings(quantize__bits=3),
    "6_bits": settings(quantize__bits=6),
    "8_bits": settings(quantize__bits=8),
    "per_tensor": settings(quantize__granularity="per_tensor"),
    "dense_fp16": settings(quantize__plugin="none"),
    "dense_fp32": settings(quantize__plugin="none", graph__precision="fp32"),
    "fp32": settings(graph__precision="fp32"),
    "split_cache": settings(graph__kv="split"),
    "int4": settings(quantize__plugin="quant_linear", quantize__group_size=16),
    "int4_offset": settings(quantize__plugin="quant_linear", quantize__group_size=16, quantize__offset="integer"),
    "int4_fp16_offset": settings(quantize__plugin="quant_linear", quantize__group_size=16, quantize__offset="fp16"),
    "int8_per_channel": settings(quantize__plugin="quant_linear", quantize__bits=8, quantize__granularity="per_channel"),
}
LINEAR = [name for name in VARIANTS if name.startswith("int")]


def quantized(package):
    return [w for w in package.report["weights"] if "squared_error" in w]


@pytest.mark.parametrize("model", ALL_MODELS)
def test_judge_finds_nothing_in_any_model(convert, model):
    assert convert(MODELS / model).findings == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_judge_finds_nothing_in_any_variant(convert, variant):
    assert convert(MODELS / "gqa_bf16", *VARIANTS[variant]).findings == []


def test_signatures_are_the_documented_ones(convert):
    functions = convert(MODELS / "gqa_bf16").judge.rep["functions"]
    assert set(functions["init"]["inputs"]) == {"input_ids", "position", "length"}
    assert set(functions["decode"]["inputs"]) == {"input_ids", "position"}
    assert set(functions["encode"]["inputs"]) == {"input_ids", "attention_mask", "pooling_mask"}
    assert functions["init"]["states"] == functions["decode"]["states"]
    assert list(functions["init"]["states"]) == ["kv_cache"]
    assert functions["encode"]["states"] == {}
    assert list(functions["decode"]["outputs"]) == ["logits"]
    assert list(functions["encode"]["outputs"]) == ["embedding"]


def check_nearest_entries(source, dense, group):
    """Every value is the entry of its group's palette that lies nearest to the source value. Returns the squared error."""
    error = 0.0
    for first in range(0, len(source), group):
        weights, values = source[first : first + group], dense[first : first + group]
        palette = np.unique(values)
        nearest = np.abs(weights[..., None] - palette).min(axis=-1)
        assert np.array_equal(np.abs(weights - values), nearest)
        error += float(((weights - values) ** 2).sum())
    return error


@pytest.mark.parametrize(
    "model, flags, group, bits",
    [
        ("gqa_bf16", (), 16, 4),
        ("mha_fp32", (), 16, 4),
        ("mqa_fp16", (), 16, 4),
        ("gqa_bf16", tuple(VARIANTS["2_bits"]), 16, 2),
        ("gqa_bf16", tuple(VARIANTS["3_bits"]), 16, 3),
        ("gqa_bf16", tuple(VARIANTS["per_tensor"]), 1 << 30, 4),
    ],
)
def test_each_value_is_the_nearest_palette_entry_and_the_error_is_the_reported_one(convert, model, flags, group, bits):
    package = convert(MODELS / model, *flags)
    checkpoint = read_checkpoint(MODELS / model)
    weights = quantized(package)
    assert len(weights) > 7
    for weight in weights:
        source = checkpoint[weight["tensor"]].astype(np.float16).astype(np.float64)
        dense = package.dense(weight).astype(np.float64)[: len(source)]
        palettes = [np.unique(dense[r : r + group]) for r in range(0, len(source), group)]
        assert max(len(p) for p in palettes) <= 2**bits
        error = check_nearest_entries(source, dense, group)
        assert weight["squared_error"] == pytest.approx(error, rel=1e-9, abs=1e-12), weight["key"]


@pytest.mark.parametrize("variant", LINEAR)
def test_the_error_of_scaled_integers_is_the_reported_one(convert, variant):
    package = convert(MODELS / "gqa_bf16", *VARIANTS[variant])
    checkpoint = read_checkpoint(MODELS / "gqa_bf16")
    weights = quantized(package)
    assert len(weights) > 7
    for weight in weights:
        source = checkpoint[weight["tensor"]].astype(np.float16).astype(np.float64)
        difference = np.abs(package.dense(weight).astype(np.float64) - source)
        assert weight["squared_error"] == pytest.approx(float((difference**2).sum()), rel=1e-9), weight["key"]
        assert weight["max_error"] == difference.max()
        assert weight["relative_error"] < 0.02


def test_dense_weights_are_the_source_rounded_once(convert):
    package = convert(MODELS / "mha_fp32", *VARIANTS["dense_fp16"])
    checkpoint = read_checkpoint(MODELS / "mha_fp32")
    for weight in package.report["weights"]:
        source = checkpoint[weight["tensor"]].astype(np.float16)
        assert np.array_equal(package.dense(weight)[: len(source)], source), weight["key"]


def test_fp32_weights_are_the_source_itself(convert):
    package = convert(MODELS / "mha_fp32", *VARIANTS["dense_fp32"])
    checkpoint = read_checkpoint(MODELS / "mha_fp32")
    for weight in package.report["weights"]:
        source = checkpoint[weight["tensor"]]
        assert np.array_equal(package.dense(weight)[: len(source)], source), weight["key"]


def test_more_bits_mean_less_error_and_more_bytes(convert):
    packages = [convert(MODELS / "gqa_bf16", *settings(quantize__bits=bits)) for bits in (1, 2, 3, 4, 6, 8)]
    errors = [p.report["quantization"]["squared_error"] for p in packages]
    sizes = [p.report["weight_bytes"] for p in packages]
    assert errors == sorted(errors, reverse=True)
    assert sizes == sorted(sizes)


def test_tied_head_and_embedding_are_one_blob(convert):
    names = [w["tensor"] for w in convert(MODELS / "tied_bf16").report["weights"]]
    assert len(names) == len(set(names))
    assert sum("embed_tokens" in n or "lm_head" in n for n in names) == 1


def test_a_rule_gives_one_role_other_bits(d2c):
    recipe = d2c.folder / "mixed.toml"
    recipe.write_text(
        f"""schema = 1
extends = "base"
[model]
source = "{MODELS / 'gqa_bf16'}"
[[quantize.rule]]
match = "embedding"
bits = 8
"""
    )
    report = d2c.report("plan", recipe)
    assert {w["bits"] for w in report["weights"] if w["role"] == "embedding"} == {8}
    assert {w["bits"] for w in report["weights"] if w["role"] == "mlp"} == {4}


def test_quantizers_share_one_package(convert):
    rules = ['{match = "embedding", plugin = "quant_linear", bits = 8, group_size = 48}',
             '{match = "*.0.self_attn.?_proj.weight", plugin = "none"}']
    flags = [flag for rule in rules for flag in ("--set", f"quantize.rule[+]={rule}")]
    package = convert(MODELS / "gqa_bf16", *flags, "--mixed-precision", "mlp=6")
    assert package.findings == []
    schemes = {w["tensor"]: w["scheme"] for w in quantized(package)}
    assert schemes["model.embed_tokens.weight"] == "int8, blocks of 48"
    assert schemes["model.layers.0.mlp.up_proj.weight"] == "palette 6-bit, groups of 16"
    assert schemes["model.layers.1.self_attn.q_proj.weight"] == "palette 4-bit, groups of 16"
    assert "model.layers.0.self_attn.q_proj.weight" not in schemes


def test_package_carries_the_recipe_and_where_everything_came_from(convert):
    path = convert(MODELS / "gqa_bf16").path
    attachments = {p.name: p for p in path.glob("Data/dolphin2coreml/**/*") if p.is_file()}
    provenance = json.loads(attachments["provenance.json"].read_text())
    assert "model.safetensors" in {i["name"] for i in provenance["inputs"]}
    assert all(len(i["sha256"]) == 64 for i in provenance["inputs"])
    assert "quant_palettize4" in {p["name"] for p in provenance["plugins"]}
    assert all(str(MODELS) not in p.read_text() for p in attachments.values())
