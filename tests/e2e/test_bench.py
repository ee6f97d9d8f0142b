"""`bench`: what it measures adds up."""

import pytest
from conftest import MODELS, settings

INPUT = 3


@pytest.fixture
def package(convert):
    return convert(MODELS / "gqa_bf16").path


def test_every_key_of_the_report(d2c, package):
    report = d2c.report("bench", package, "--prompt-tokens", 20, "--new-tokens", 10, "--repeats", 2)
    for key in ("load_ms", "init_ms", "prefill_tokens_per_second", "tokens_per_second", "decode_ms_per_token", "embed_ms"):
        assert report[key] > 0, key
    latency = report["decode_latency"]
    assert latency["p50_ms"] <= latency["p90_ms"] <= latency["p99_ms"]
    assert latency["samples"] == 20 and "interpolation" in latency["method"]
    assert report["memory"]["peak_bytes"] > report["memory"]["weight_bytes"] > 0


def test_the_cache_is_measured(d2c, package):
    cache = d2c.report("bench", package, "--prompt-tokens", 20, "--new-tokens", 12, "--repeats", 1)["kv_cache"]
    layers, heads, context, width = 3, 2, 64, 16
    assert cache["allocated_bytes"] == 2 * layers * heads * context * width * 2
    assert cache["bytes_per_token"] == cache["allocated_bytes"] / context
    assert cache["occupied_tokens"] == 32 and cache["residency_pct"] == 50
    assert cache["consistent"] and cache["evicted_tokens"] == 0


def test_defaults_fit_whatever_context_there_is(d2c, package):
    report = d2c.report("bench", package, "--repeats", 1, "--warmup", 0)
    assert report["prompt_tokens"] + report["new_tokens"] <= 64


def test_more_than_the_context_is_refused(d2c, package):
    message = d2c.refused(INPUT, "bench", package, "--prompt-tokens", 60, "--new-tokens", 5)
    assert "context of 64" in message


def test_a_package_of_one_function_is_measured_as_far_as_it_goes(d2c, convert):
    encoder = convert(MODELS / "gqa_bf16", *settings(graph__functions='["encode"]')).path
    assert "tokens_per_second" not in d2c.report("bench", encoder)
    decoder = convert(MODELS / "gqa_bf16", *settings(graph__functions='["decode"]')).path
    assert "embed_ms" not in d2c.report("bench", decoder)


def test_people_get_a_table(d2c, package):
    table = d2c.ok("bench", package).stdout
    assert "tokens/s" in table and "p99" in table and "KV cache" in table
