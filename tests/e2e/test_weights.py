"""A package answers as the very weights in it do when a program that shares no code with the runner computes them."""

import json
import sys

import numpy as np
import pytest
from program import MODELS, ROOT, read_tensors, settings

sys.path[:0] = [str(ROOT / "tools")]
from llama_reference import Llama  # noqa: E402
from record_golden import config_of, read_weights, record  # noqa: E402

PROMPTS = [[1, 17, 42, 99, 3], [5], list(range(2, 40))]
MODEL_NAMES = ["gqa_bf16", "bias_fp32", "tied_bf16", "headdim_bf16", "rope_llama3_bf16", "rope_linear_fp16", "mqa_fp16"]
FP32 = settings(graph__precision='"fp32"')
NEAR_TIE = 0.02
# Of the logits, with graphs in fp32 and with graphs whose cache and logits are rounded to fp16.
TOLERANCE, TOLERANCE_FP16 = 1e-4, 0.01
WRONG = 0.02


class Comparison:
    """Largest difference of the logits, transcripts up to near-ties, and the lowest cosine."""

    def __init__(self, d2c, package, golden):
        assert golden, "a golden without prompts compares nothing"
        self.difference, self.cosine, self.same_tokens = 0.0, 1.0, True
        for i in range(sum(name.endswith(".tokens") for name in golden)):
            case = {name.split(".")[2]: value for name, value in golden.items() if name.split(".")[1] == str(i)}
            self._logits(d2c, package, case)
            self._embedding(d2c, package, case)

    def _logits(self, d2c, package, case):
        file = d2c.folder / "logits.safetensors"
        prompt, forced = (",".join(map(str, case[key])) for key in ("tokens", "generated"))
        d2c.ok("generate", package, "--tokens", prompt, "--teacher-force", forced, "--logits-out", file)
        rows = read_tensors(file)
        ours = np.vstack([rows["prefill_logits"][None], rows["decode_logits"]])
        self.difference = max(self.difference, float(np.abs(ours - case["logits"]).max()))
        sure = case["margin"] > NEAR_TIE
        self.same_tokens &= bool((ours.argmax(-1) == case["logits"].argmax(-1))[sure].all())

    def _embedding(self, d2c, package, case):
        inputs, file = d2c.folder / "inputs.json", d2c.folder / "embeddings.safetensors"
        inputs.write_text(json.dumps([{"input_ids": case["tokens"].tolist()}]))
        d2c.ok("embed", package, "--tokens-file", inputs, "--out", file)
        ours, theirs = read_tensors(file)["embeddings"][0], case["embedding"]
        self.cosine = min(self.cosine, float(ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)))


def golden_of(package, change_config=None, change_weights=None):
    config, (weights, _) = config_of(package), read_weights(package)
    if change_config:
        config |= change_config
    if change_weights:
        change_weights(weights)
    return record(Llama(config, weights), PROMPTS, 16, [{"input_ids": prompt} for prompt in PROMPTS]).tensors


@pytest.mark.parametrize("flags,tolerance", [(FP32, TOLERANCE), ([], TOLERANCE_FP16)], ids=["fp32", "fp16"])
@pytest.mark.parametrize("model", MODEL_NAMES)
def test_a_4_bit_package_answers_as_its_own_weights_do(d2c, convert, model, flags, tolerance):
    package = convert(MODELS / model, *flags).path
    comparison = Comparison(d2c, package, golden_of(package))
    assert comparison.difference < tolerance
    assert comparison.same_tokens
    assert comparison.cosine > 0.9999


@pytest.mark.parametrize("offset", ["none", "integer", "fp16"])
def test_a_package_of_scaled_integers_answers_as_its_own_weights_do(d2c, convert, offset):
    flags = settings(quantize__plugin="quant_linear", quantize__group_size=16, quantize__offset=offset)
    package = convert(MODELS / "gqa_bf16", *FP32, *flags).path
    comparison = Comparison(d2c, package, golden_of(package))
    assert comparison.difference < TOLERANCE
    assert comparison.same_tokens
    assert comparison.cosine > 0.9999


@pytest.fixture
def package(convert):
    return convert(MODELS / "gqa_bf16", *FP32).path


def zero_a_layer(weights):
    weights["model.layers.1.mlp.down_proj.weight"] = np.zeros_like(weights["model.layers.1.mlp.down_proj.weight"])


def swap_two_layers(weights):
    a, b = (f"model.layers.{layer}.self_attn.o_proj.weight" for layer in (0, 1))
    weights[a], weights[b] = weights[b], weights[a]


@pytest.mark.parametrize("wrong", [{"change_weights": zero_a_layer}, {"change_weights": swap_two_layers},
                                   {"change_config": {"rope_theta": 500000.0}}],
                         ids=["zeroed layer", "swapped layers", "rope base"])
def test_an_answer_of_other_weights_is_noticed(d2c, package, wrong):
    assert Comparison(d2c, package, golden_of(package, **wrong)).difference > WRONG


def test_a_causal_mask_in_the_encoder_is_noticed(d2c, package):
    golden = golden_of(package)
    model = Llama(config_of(package), read_weights(package)[0])
    golden["sentence.0.embedding"] = model.hidden(PROMPTS[0], causal=True).mean(axis=0)
    assert Comparison(d2c, package, golden).cosine < 0.999


def test_wrong_pooling_is_noticed(d2c, package):
    golden = golden_of(package)
    model = Llama(config_of(package), read_weights(package)[0])
    golden["sentence.0.embedding"] = model.hidden(PROMPTS[0], causal=False)[-1]
    assert Comparison(d2c, package, golden).cosine < 0.999


def test_a_golden_without_prompts_is_no_success(d2c, package):
    with pytest.raises(AssertionError):
        Comparison(d2c, package, {})
