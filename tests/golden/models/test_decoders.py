"""Packages of every model generate what transformers generates, however the prompt falls into chunks."""

import pytest
from goldens import FP32, Decoder, Transcript, cases, difference, model_of, parameters, reference, tolerance
from program import settings

# A unit is what fp16 resolves at the largest logit.
UNITS = 8
MODELS = pytest.mark.parametrize("case", parameters(cases("causal_lm")))


@MODELS
def test_an_fp32_package_generates_the_reference_tokens(case, tmp_path, measure):
    transcript = Transcript(reference(case))
    decoder = Decoder(tmp_path, model_of(case), *FP32, context=len(transcript.tokens))
    if case["tolerance"]["greedy_exact"]:
        tokens, logits = decoder.generate(transcript.prompt, len(transcript.generated))
        assert tokens == transcript.generated.tolist()
        measure("fp32 package", difference(logits, transcript.logits[len(transcript.prompt) - 1 :]), tolerance(case))
    else:
        measure("fp32 package", transcript.replayed(decoder), tolerance(case))


@MODELS
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_fp16_package_stays_within_the_rounding_of_fp16(case, precision, tmp_path, measure):
    """fp16 keeps 11 bits. Logits are sums over rounded activations and weights, one rounding after another through the
    layers, so that errors of some units in the last place of the largest logit add up."""
    transcript = Transcript(reference(case))
    decoder = Decoder(tmp_path, model_of(case), *settings(quantize__plugin='"none"'), context=len(transcript.tokens))
    unit = abs(transcript.logits).max() * 2**-11
    measure(f"fp16 package at {precision}, in units of 2^-11 of the largest logit",
            transcript.replayed(decoder, flags=["--precision", precision]) / unit, UNITS)


@pytest.fixture(scope="module")
def first():
    return cases("causal_lm")[0]


def lengths_around(chunk, longest):
    """One token, one off a chunk either way, several chunks, everything."""
    return [1, 2, chunk - 1, chunk, chunk + 1, 2 * chunk, 2 * chunk + 1, longest - 1, longest]


@MODELS
def test_every_split_into_prompt_and_continuation_gives_the_same_logits(case, tmp_path, measure):
    transcript = Transcript(reference(case))
    longest = len(transcript.tokens)
    decoder = Decoder(tmp_path, model_of(case), *FP32, context=longest, prefill=7)
    for length in lengths_around(7, longest):
        measure("fp32 package, any split", transcript.replayed(decoder, length), tolerance(case))


@pytest.mark.parametrize(
    "context, prefill",
    [(40, 1), (40, 16), (41, 16), (47, 16), (48, 16), (40, 40), (40, 39), (63, 5), (512, 64)],
)
def test_a_prompt_may_fill_the_context_in_any_chunks(first, context, prefill, tmp_path, measure):
    transcript = Transcript(reference(first))
    decoder = Decoder(tmp_path, model_of(first), *FP32, context=context, prefill=prefill)
    for length in {1, min(prefill, 40), min(prefill + 1, 40), 33, 40}:
        measure("fp32 package, any chunks", transcript.replayed(decoder, length), tolerance(first))


@pytest.mark.parametrize("kv", ["packed", "split"])
@pytest.mark.parametrize("attention", ["explicit", "fused"])
def test_every_form_of_cache_and_attention_gives_the_same_logits(first, kv, attention, tmp_path, measure):
    transcript = Transcript(reference(first))
    decoder = Decoder(tmp_path, model_of(first), *FP32, *settings(graph__kv=kv, graph__attention=attention))
    measure("fp32 package, any form", transcript.replayed(decoder), tolerance(first))


def test_threads_do_not_change_the_tokens(first, tmp_path, measure):
    transcript = Transcript(reference(first))
    decoder = Decoder(tmp_path, model_of(first), *FP32)
    for threads in (1, 2, 3, 8):
        tokens, _ = decoder.generate(transcript.prompt, flags=["--threads", threads])
        assert tokens == transcript.generated.tolist()


def test_a_prompt_longer_than_the_context_is_refused(first, tmp_path):
    transcript = Transcript(reference(first))
    decoder = Decoder(tmp_path, model_of(first), *FP32, context=20)
    tokens = ",".join(map(str, transcript.tokens[:21]))
    done = decoder.program.run("generate", decoder.package, "--tokens", tokens, "--max-new-tokens", 1, "--json")
    assert done.returncode in (2, 3), done.stderr
