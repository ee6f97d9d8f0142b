"""`verify`: what a package says, held against its own weights, its source and reference embeddings."""

import json
import shutil
import sys

import numpy as np
import program
import pytest
from program import MODELS, ROOT, environment, settings

sys.path[:0] = [str(ROOT / "tools")]
from golden_file import Golden  # noqa: E402
from llama_reference import Llama  # noqa: E402
from record_golden import config_of, read_weights, record  # noqa: E402

CHECK_FAILED, USAGE, INPUT = 1, 2, 3
MODEL, ADAPTERS = MODELS / "base_bf16", MODELS.parent / "lora_unsloth/adapters"
TALKER = MODELS / "goldens/llm2vec/models/bi_tiny_bf16"
PROMPTS = [[1, 17, 42, 99, 3], [5], list(range(2, 40))]
FINE = settings(quantize__bits=8)
# Random weights have nothing to round to, so 4 bits cost them more than they cost a trained model.
LENIENT = settings(verify__max_divergence=2, verify__min_agreement=0, verify__max_perplexity_ratio=2,
                   verify__min_cosine=0.5, verify__min_centred_cosine=0, verify__min_rank_correlation=0)


@pytest.fixture
def package(convert):
    return convert(MODEL).path


@pytest.fixture
def golden(d2c, package):
    """golden(change): the package's own answers, with the golden or the model changed first."""

    def write(change=lambda golden: None, change_weights=lambda weights: None, package=package, **config):
        weights, _ = read_weights(package)
        change_weights(weights)
        made = record(Llama(config_of(package) | config, weights), PROMPTS, 8, [{"input_ids": p} for p in PROMPTS])
        change(made)
        made.write(d2c.folder / "golden.safetensors")
        return "golden.safetensors"

    return write


def failed(d2c, *arguments):
    """The report of a check that fails, and nothing else went wrong."""
    done = d2c.run("verify", *arguments, "--json")
    assert done.returncode == CHECK_FAILED, f"exit code {done.returncode}: {done.stderr}"
    report = json.loads(done.stdout)
    assert report["validation_passed"] is False
    return report


def failing(report):
    return {check["name"] for check in report["checks"] if not check["pass"]}


# ---------------------------------------------------------------- against its own weights


def test_a_package_agrees_with_its_own_weights(d2c, package, golden):
    report = d2c.report("verify", package, "--golden", golden(), "--report", "report.json")
    assert report["validation_passed"] and report["transcripts_passed"]
    assert {check["comparison"] for check in report["checks"]} == {"own weights"}
    assert [t["common_tokens"] for t in report["transcripts"]] == [8, 8, 8]
    assert all(t["reference"]["tokens"] == t["coreml"]["tokens"] for t in report["transcripts"])
    assert report["embedding"]["minimum_cosine"] > 0.9999
    assert report["decode_latency"]["samples"] == 24
    assert json.loads((d2c.folder / "report.json").read_text()) == report


def test_people_get_a_table(d2c, package, golden):
    text = d2c.ok("verify", package, "--golden", golden()).stdout
    assert "logit error" in text and text.endswith("verification passed\n") and "FAILED" not in text


def change_a_logit(golden):
    golden.tensors["prompt.1.logits"][0, 7] += 1


def change_an_answer(golden):
    golden.tensors["prompt.0.generated"][3] += 1


def change_an_embedding(golden):
    golden.tensors["sentence.0.embedding"][:] = golden.tensors["sentence.0.embedding"][::-1].copy()


@pytest.mark.parametrize("change, check", [(change_a_logit, "logit error"), (change_an_answer, "transcripts that differ"),
                                           (change_an_embedding, "least cosine")])
def test_a_tampered_golden_fails(d2c, package, golden, change, check):
    assert check in failing(failed(d2c, package, "--golden", golden(change)))


def skip_a_layer(weights):
    for part in ("self_attn.o_proj", "mlp.down_proj"):
        weights[f"model.layers.1.{part}.weight"] = np.zeros_like(weights[f"model.layers.1.{part}.weight"])


def test_a_skipped_layer_fails(d2c, package, golden):
    assert "logit error" in failing(failed(d2c, package, "--golden", golden(change_weights=skip_a_layer)))


def test_another_rope_base_fails(d2c, package, golden):
    assert "logit error" in failing(failed(d2c, package, "--golden", golden(rope_theta=500000.0)))


def test_another_package_fails(d2c, convert, golden):
    other = convert(MODEL, *settings(quantize__bits=3)).path
    assert "logit error" in failing(failed(d2c, other, "--golden", golden()))


def test_nothing_to_compare_with_is_a_failure(d2c, package):
    assert failed(d2c, package)["checks"] == []
    Golden("package", "nothing").write(d2c.folder / "empty.safetensors")
    assert failed(d2c, package, "--golden", "empty.safetensors")["checks"] == []
    assert "nothing to compare with" in d2c.run("verify", package).stdout


def test_a_golden_of_another_model_is_refused(d2c, convert, golden):
    other = convert(MODELS / "bias_fp32", *settings(graph__context=16)).path
    d2c.refused(INPUT, "verify", other, "--golden", golden(), "--quiet")


@pytest.mark.parametrize("content, hint", [(b"", "golden.safetensors"), (b"not a tensor file", "golden.safetensors")])
def test_a_file_that_is_no_golden_is_refused(d2c, package, content, hint):
    (d2c.folder / "golden.safetensors").write_bytes(content)
    assert hint in d2c.refused(INPUT, "verify", package, "--golden", "golden.safetensors", "--quiet")


# ---------------------------------------------------------------- against its source


def test_an_unquantized_package_is_its_source(d2c, convert):
    package = convert(MODEL, *settings(quantize__plugin='"none"', graph__precision='"fp32"')).path
    report = d2c.report("verify", package, "--source", MODEL, "--quiet")
    divergence = report["divergence"][0]
    assert divergence["mean_kl"] < 1e-9 and divergence["top1_agreement"] == 1
    assert report["embedding"]["minimum_cosine"] > 0.999999


def test_fewer_bits_are_further_from_the_source(d2c, convert):
    kl = []
    for bits in (8, 4, 2):
        package = convert(MODEL, *settings(quantize__bits=bits)).path
        done = d2c.run("verify", package, "--source", MODEL, "--json")
        kl.append(json.loads(done.stdout)["divergence"][0]["mean_kl"])
    assert kl == sorted(kl) and kl[0] < 0.01 < 0.25 < kl[2]


def test_two_bits_fail(d2c, convert):
    package = convert(MODEL, *settings(quantize__bits=2)).path
    assert "mean KL, prompts" in failing(failed(d2c, package, "--source", MODEL))
    assert d2c.report("verify", package, "--source", MODEL, *LENIENT)["validation_passed"]


def test_a_source_without_the_adapter_fails(d2c, convert):
    package = convert(MODEL, "--adapter", f"{ADAPTERS / 'plain_r8_attn'}:8", *FINE).path
    assert "mean KL, prompts" in failing(failed(d2c, package, "--source", MODEL))


@pytest.mark.parametrize("adapter", ["plain_r8_attn", "unsloth_style_regex", "rank_alpha_pattern"])
def test_unmerged_adapters_are_what_was_merged(d2c, convert, adapter):
    flags = ["--adapter", ADAPTERS / adapter]
    package = convert(MODEL, *flags, *settings(quantize__plugin='"none"', graph__precision='"fp32"')).path
    report = d2c.report("verify", package, "--source", MODEL, *flags)
    assert report["references"][0]["reference"].endswith("adapters unmerged")
    assert report["divergence"][0]["mean_kl"] < 1e-5
    assert "mean KL, prompts" in failing(failed(d2c, package, "--source", MODEL, *settings(verify__max_divergence=1e-4)))


def test_adapters_that_cannot_stay_unmerged_are_merged(d2c, convert):
    flags = ["--adapter", ADAPTERS / "dora"]
    package = convert(MODEL, *flags, *FINE).path
    report = d2c.report("verify", package, "--source", MODEL, *flags, *LENIENT)
    assert report["references"][0]["reference"].endswith("adapters merged")


def test_temporary_files_go_away(d2c, package, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(program, "environment", lambda home: environment(home) | {"TMPDIR": str(folder)})
    d2c.ok("verify", package, "--source", MODEL, *LENIENT)
    d2c.refused(INPUT, "verify", package, "--source", d2c.folder / "nothing", "--quiet")
    assert list(folder.iterdir()) == []


# ---------------------------------------------------------------- texts


@pytest.fixture
def speaker(tmp_path_factory, convert):
    """An 8-bit package with a tokenizer, and the model it was made from."""
    model = tmp_path_factory.mktemp("speaker")
    for folder in (TALKER, ROOT / "tests/data/tokenizers/tiny_llama3"):
        shutil.copytree(folder, model, dirs_exist_ok=True)
    return convert(model, *FINE).path, model


TEXT = "The quick brown fox jumps over the lazy dog. " * 20


def test_perplexity_is_measured_on_a_text(d2c, speaker):
    package, model = speaker
    (d2c.folder / "text.txt").write_text(TEXT)
    report = d2c.report("verify", package, "--source", model, "--text", "text.txt", *LENIENT)
    text = next(d for d in report["divergence"] if d["over"] == "text")
    assert text["positions"] == len(d2c.report("tokenize", package, "--add-bos", stdin=TEXT)["ids"])
    assert text["window"] == 64 and text["mean_kl"] < 0.01
    assert text["perplexity"] == pytest.approx(text["reference_perplexity"], rel=0.02)
    assert {"mean KL, text", "perplexity ratio, text"} <= {check["name"] for check in report["checks"]}


def test_a_golden_config_says_what_is_compared(d2c, speaker):
    package, model = speaker
    (d2c.folder / "text.txt").write_text(TEXT)
    (d2c.folder / "golden.toml").write_text(
        '[verify]\nprompts = ["Hello there"]\nmax_new_tokens = 5\nsentences = ["One.", "Two two."]\ntext = "text.txt"\n')
    report = d2c.report("verify", package, "--source", model, "--golden-config", "golden.toml", *LENIENT)
    assert [t["prompt"] for t in report["transcripts"]] == report["golden_prompts"] == ["Hello there"]
    assert report["transcripts"][0]["max_new_tokens"] == 5
    assert report["embedding_sentences"] == ["One.", "Two two."]
    assert any(d["over"] == "text" for d in report["divergence"])
    (d2c.folder / "golden.toml").write_text("[verify]\npromts = []\n")
    message = d2c.refused(USAGE, "verify", package, "--source", model, "--golden-config", "golden.toml")
    assert "golden.toml:2:1" in message and "prompts" in message


def test_usage_errors(d2c, package):
    assert "--source" in d2c.refused(USAGE, "verify", package, "--adapter", ADAPTERS / "dora")
    assert "nowhere" in d2c.refused(USAGE, "verify", package, "--source", MODEL, "--report", "nowhere/r.json")
    assert "fast" in d2c.refused(USAGE, "verify", package, "--source", MODEL, "--precision", "fast")
    assert "missing.txt" in d2c.refused(INPUT, "verify", package, "--source", MODEL, "--text", "missing.txt", "--quiet")


# ---------------------------------------------------------------- convert --profile-validate


def test_convert_can_check_what_it_made(d2c):
    flags = ["--model", MODEL, "--adapter", ADAPTERS / "plain_r8_attn", "-o", "out.mlpackage", *FINE, *LENIENT,
             "--profile-validate", "--validation-report", "report.json"]
    report = d2c.report("convert", *flags, *settings(graph__context=64, graph__prefill=16, encoder__max_length=64))
    assert report["validation"]["validation_passed"]
    assert json.loads((d2c.folder / "report.json").read_text()) == report["validation"]


def test_convert_says_so_where_the_check_fails(d2c):
    done = d2c.run("convert", "--model", MODEL, "-o", "out.mlpackage", *settings(quantize__bits=1), "--profile-validate")
    assert done.returncode == CHECK_FAILED and "verification FAILED" in done.stdout
    assert (d2c.folder / "out.mlpackage").exists()


def test_a_validation_report_needs_a_validation(d2c):
    d2c.refused(USAGE, "convert", "--model", MODEL, "-o", "out.mlpackage", "--validation-report", "report.json")
