"""The commands around convert, and what scripts rely on."""

import json

import pytest
from conftest import MODELS, SMALL


@pytest.mark.parametrize(
    "arguments",
    [
        ["plugins", "list"],
        ["recipe", "show", "tiny"],
        ["recipe", "schema"],
        ["plan", "tiny"],
    ],
)
def test_json_output_parses(d2c, arguments):
    assert json.loads(d2c.ok(*arguments, "--json").stdout)


def test_inspect_agrees_with_the_report(convert, d2c):
    package = convert(MODELS / "gqa_bf16")
    seen = d2c.report("inspect", package.path)
    assert {f["name"] for f in seen["functions"]} == {"init", "decode", "encode"}
    assert seen["weight_bytes"] == package.report["weight_bytes"] == package.weight_file_bytes()
    assert "d2c.quantization" in seen["metadata"]


def test_results_go_to_stdout_and_everything_else_to_stderr(d2c):
    done = d2c.ok("convert", "--model", MODELS / "gqa_bf16", *SMALL, "-o", "out.mlpackage", "--json", "-v")
    assert json.loads(done.stdout)["package"].endswith("out.mlpackage")


def test_quiet_says_nothing_on_stderr(d2c):
    assert d2c.ok("convert", "--model", MODELS / "gqa_bf16", *SMALL, "-o", "out.mlpackage", "--quiet").stderr == ""


@pytest.mark.parametrize("arguments", [["--help"], ["convert", "--help"], ["--version"]])
def test_help_and_version_exit_0(d2c, arguments):
    assert d2c.ok(*arguments).stdout != ""


def test_shorthand_flags_are_recipe_keys(d2c):
    model = ["--model", MODELS / "gqa_bf16", *SMALL]
    assert d2c.report("plan", *model, "--wbits", "6")["weights"] == (
        d2c.report("plan", *model, "--set", "quantize.bits=6")["weights"])


def test_shorthand_flags_choose_the_quantizer_and_bits_by_role_and_name(d2c):
    report = d2c.report("plan", "--model", MODELS / "gqa_bf16", *SMALL, "--quantizer", "quant_linear", "--wbits", "4",
                        "--palett-group-size", "16", "--mixed-precision", "mlp=8,model.layers.0.mlp.up_proj.*=4")
    schemes = {w["tensor"].removeprefix("model.layers."): w["scheme"] for w in report["weights"]}
    assert schemes["0.self_attn.q_proj.weight"] == schemes["0.mlp.up_proj.weight"] == "int4, blocks of 16"
    assert schemes["1.mlp.up_proj.weight"] == schemes["0.mlp.down_proj.weight"] == "int8, blocks of 16"


def test_a_plugin_is_tested_by_name_and_the_verdict_is_the_exit_code(d2c):
    report = d2c.report("plugins", "test", "quant_linear", "--rule", "plan", "--rule", "create")
    assert report["passed"] is True
    assert [(r["rule"], r["verdict"]) for r in report["rules"]] == [
        ("create", "passed"), ("plan", "passed"), ("quiet", "passed")]
    broken = d2c.run("plugins", "test", "quant_linear", "--rule", "create", "--set", "bitz=4")
    assert broken.returncode == 1
    assert "no option 'bitz'" in broken.stdout and "breaks 1 of 2 rules" in broken.stdout
    assert "did you mean 'plan'" in d2c.refused(2, "plugins", "test", "quant_linear", "--rule", "plann")


def test_every_bundled_plugin_loads(d2c):
    plugins = d2c.report("plugins", "list")
    plugins = plugins["plugins"] if isinstance(plugins, dict) else plugins
    assert {p["name"] for p in plugins} >= {
        "coreml_writer", "llama_decoder", "llm2vec_encode", "lora_unsloth", "quant_linear", "quant_palettize4",
        "source_gguf", "source_safetensors", "source_synthetic"}
    assert [p for p in plugins if p.get("refusal")] == []
