"""An unquantized package of a trained model continues recorded chats token for token, up to the first near-tie."""

import json

import numpy as np
import pytest
from goldens import FOLDER, FP32, SMOLLM2, Decoder, cases, parameters, tolerance
from program import read_tensors

CASES = cases("chat")
pytestmark = pytest.mark.skipif(not SMOLLM2, reason="set D2C_SMOLLM2 to the Hugging Face folder of SmolLM2-135M-Instruct")


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    return Decoder(tmp_path_factory.mktemp("smollm2"), SMOLLM2, *FP32, context=256, prefill=64)


def recorded(case):
    chats = json.loads((FOLDER / case["golden"]).read_text())["cases"]
    return next(c for c in chats if c["name"] == case["name"].split("/")[1])


def decisive_tokens(chat, margin):
    """How many tokens come before the first step whose two best tokens are closer than `margin`."""
    return next((i for i, m in enumerate(chat["top1_top2_margin"]) if m < margin), len(chat["greedy_ids"]))


@pytest.mark.parametrize("case", parameters(CASES))
def test_a_recorded_chat_is_continued_token_for_token(case, decoder, measure):
    chat = recorded(case)
    count = decisive_tokens(chat, case["tolerance"]["greedy_exact_until_margin_below"])
    tokens, logits = decoder.generate(chat["prompt_ids"], len(chat["greedy_ids"]))
    assert tokens[:count] == chat["greedy_ids"][:count]
    last = read_tensors(FOLDER / case["last_logits"])
    expected = next(iter(last.values())).reshape(-1)
    measure("SmolLM2, last prompt position", float(np.abs(logits[0] - expected).max()), tolerance(case))


@pytest.mark.parametrize("case", parameters(CASES))
def test_a_recorded_chat_that_is_forced_keeps_the_recorded_favourites(case, decoder, measure):
    """The five best tokens of the first eight steps, with their logits; forced, so near-ties do not matter."""
    chat = recorded(case)
    steps = chat["top5_first8"]
    _, logits = decoder.generate(chat["prompt_ids"], force=chat["greedy_ids"][: len(steps) - 1])
    for ours, theirs in zip(logits, steps):
        for token, value in theirs:
            measure("SmolLM2, five best tokens", abs(float(ours[int(token)]) - value), tolerance(case))
