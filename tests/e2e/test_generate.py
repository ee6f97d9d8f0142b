"""`generate`: tokens or text in, tokens, text and logits out."""

import numpy as np
import pytest
from conftest import MODELS, settings
from program import read_tensors

USAGE, INPUT = 2, 3
VOCAB = 320


@pytest.fixture
def package(convert):
    return convert(MODELS / "gqa_bf16").path


def joined(tokens):
    return ",".join(map(str, tokens))


def generate(d2c, package, tokens, *flags):
    return d2c.report("generate", package, "--tokens", joined(tokens), *flags)


def logits_of(d2c, package, tokens, *flags):
    report = generate(d2c, package, tokens, "--logits-out", "logits.safetensors", *flags)
    return report["tokens"], read_tensors(d2c.folder / "logits.safetensors")


def test_every_token_follows_from_the_logits_before_it(d2c, package):
    tokens, logits = logits_of(d2c, package, [1, 2, 3], "--max-new-tokens", 5)
    assert logits["prefill_logits"].shape == (VOCAB,) and logits["decode_logits"].shape == (5, VOCAB)
    rows = [logits["prefill_logits"], *logits["decode_logits"]]
    assert tokens == [int(np.argmax(row)) for row in rows[:5]]


def test_forced_tokens_are_fed_in_place_of_chosen_ones(d2c, package):
    tokens, chosen = logits_of(d2c, package, [1, 2, 3], "--max-new-tokens", 4)
    report = generate(d2c, package, [1, 2, 3], "--teacher-force", joined(tokens), "--logits-out", "logits.safetensors")
    forced = read_tensors(d2c.folder / "logits.safetensors")
    assert report["tokens"] == report["predicted"] == tokens
    assert np.array_equal(chosen["decode_logits"], forced["decode_logits"])
    _, other = logits_of(d2c, package, [1, 2, 3], "--teacher-force", "9,9")
    assert other["decode_logits"].shape == (2, VOCAB)
    assert not np.array_equal(other["decode_logits"][0], chosen["decode_logits"][0])


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 40, 63, 64])
def test_a_prompt_gives_the_same_logits_whole_and_token_by_token(d2c, package, length):
    prompt = [(7 * i + 3) % VOCAB for i in range(length)]
    _, whole = logits_of(d2c, package, prompt, "--max-new-tokens", 0)
    if length > 1:
        _, single = logits_of(d2c, package, prompt[:1], "--teacher-force", joined(prompt[1:]))
        assert np.allclose(whole["prefill_logits"], single["decode_logits"][-1], atol=2e-2)
    assert whole["decode_logits"].shape == (0, VOCAB)


def test_threads_change_nothing(d2c, package):
    one = logits_of(d2c, package, range(20), "--max-new-tokens", 3, "-j", 1)[1]["decode_logits"]
    assert np.array_equal(one, logits_of(d2c, package, range(20), "--max-new-tokens", 3, "-j", 3)[1]["decode_logits"])


@pytest.mark.parametrize("precision", ["fp16", "fast"])
def test_precisions_are_close(d2c, package, precision):
    exact = logits_of(d2c, package, range(20), "--max-new-tokens", 0)[1]["prefill_logits"]
    other = logits_of(d2c, package, range(20), "--max-new-tokens", 0, "--precision", precision)[1]["prefill_logits"]
    assert np.corrcoef(exact, other)[0, 1] > 0.98


def test_sampling_repeats_itself_for_the_same_seed(d2c, package):
    flags = ["--max-new-tokens", 20, "--temperature", 1.5, "--top-k", 50, "--top-p", 0.95, "--min-p", 0.01]
    texts = [generate(d2c, package, [1], *flags, "--seed", seed)["tokens"] for seed in (3, 3, 4)]
    assert texts[0] == texts[1] != texts[2]


def test_a_repetition_penalty_avoids_what_was_said(d2c, package):
    tokens = generate(d2c, package, [1], "--max-new-tokens", 30, "--repetition-penalty", 1e6)["tokens"]
    assert len(set(tokens)) == 30 and 1 not in tokens


def test_tokens_are_printed_for_people_too(d2c, package):
    tokens = generate(d2c, package, [1], "--max-new-tokens", 3)["tokens"]
    assert d2c.ok("generate", package, "--tokens", "1", "--max-new-tokens", 3).stdout == joined(tokens) + "\n"


def test_stop_tokens_end_a_text_only_when_asked(d2c, package):
    tokens = generate(d2c, package, [1], "--max-new-tokens", 30, "--stop-at-eos")["tokens"]
    everything = generate(d2c, package, [1], "--max-new-tokens", 30)["tokens"]
    assert everything[: len(tokens)] == tokens and 2 not in tokens


def test_the_context_can_be_filled_but_not_more(d2c, package):
    prompt = range(60)
    assert len(logits_of(d2c, package, prompt, "--max-new-tokens", 4)[0]) == 4
    message = d2c.refused(INPUT, "generate", package, "--tokens", joined(prompt), "--max-new-tokens", 6)
    assert "context of 64" in message and "--max-new-tokens" in message and "graph.context" in message
    assert len(generate(d2c, package, prompt)["tokens"]) == 5  # the last one need not be fed


@pytest.mark.parametrize(
    "flags, code, hint",
    [
        (["--tokens", "1,x"], USAGE, "'x'"),
        (["--tokens", ""], USAGE, "1,2,3"),
        (["--tokens", "1", "--prompt", "a"], USAGE, "--prompt"),
        (["--tokens", "1", "--top-p", "2"], USAGE, "top-p"),
        (["--tokens", "1", "--max-new-tokens", "-1"], USAGE, "--max-new-tokens"),
        (["--tokens", "1", "--precision", "fp8"], USAGE, "fp8"),
        (["--tokens", "320"], INPUT, "vocabulary of 320"),
        (["--tokens", "1", "--teacher-force", "999"], INPUT, "vocabulary of 320"),
        (["--tokens", "1", "--logits-out", "no/where/x.safetensors"], USAGE, "no/where"),
        (["--prompt", "Hello"], INPUT, "tokenizer"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(d2c, package, flags, code, hint):
    assert hint in d2c.refused(code, "generate", package, *flags, "--quiet")


def test_a_package_that_is_none_is_refused(d2c):
    assert "nothing.mlpackage" in d2c.refused(INPUT, "generate", "nothing.mlpackage", "--tokens", "1")


def test_a_package_without_decoder_is_refused(d2c, convert):
    package = convert(MODELS / "gqa_bf16", *settings(graph__functions='["encode"]')).path
    message = d2c.refused(INPUT, "generate", package, "--tokens", "1")
    assert "'decode'" in message and "graph.functions" in message


def test_text_goes_in_and_comes_out(d2c, talker):
    flags = ["--max-new-tokens", 12, "--ignore-eos"]
    report = d2c.report("generate", talker, "--prompt", "The quick brown fox", *flags)
    assert len(report["tokens"]) == 12 and report["prompt_tokens"] > 1
    assert d2c.report("generate", talker, *flags, stdin="The quick brown fox")["text"] == report["text"]
    assert d2c.ok("generate", talker, "--prompt", "The quick brown fox", *flags).stdout == report["text"] + "\n"


def test_a_tokenizer_may_lie_elsewhere(d2c, talker, convert):
    mute = convert(MODELS / "goldens/llm2vec/models/bi_tiny_bf16").path
    flags = ["--prompt", "Hello", "--max-new-tokens", 5]
    message = d2c.refused(INPUT, "generate", mute, *flags)
    assert "tokenizer" in message
    tokenizer = MODELS.parent / "tokenizers/tiny_llama3"
    assert (d2c.report("generate", mute, *flags, "--tokenizer", tokenizer)["tokens"]
            == d2c.report("generate", talker, *flags)["tokens"])
