"""Controls: packages that are wrong in one way each fail the comparisons that the others pass."""

import json
import shutil

import pytest
from goldens import FP32, Decoder, Transcript, cases, model_of, reference, tolerance
from program import settings
from test_embeddings import Encoder
from written_model import hide_later_tokens, write_one_row_late

WRONG = 0.02
WRONG_COSINE = 0.999


@pytest.fixture
def transcript():
    return Transcript(reference(cases("causal_lm")[0]))


@pytest.fixture
def model(tmp_path):
    """A copy of the model, to change."""
    folder = tmp_path / "model"
    shutil.copytree(model_of(cases("causal_lm")[0]), folder)
    return folder


def change_config(model, **changes):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | changes))


def test_the_unchanged_model_passes(tmp_path, model, transcript):
    assert transcript.replayed(Decoder(tmp_path, model, *FP32)) <= tolerance(cases("causal_lm")[0])


def test_a_skipped_layer_is_noticed(tmp_path, model, transcript):
    layers = json.loads((model / "config.json").read_text())["num_hidden_layers"]
    change_config(model, num_hidden_layers=layers - 1)
    assert transcript.replayed(Decoder(tmp_path, model, *FP32)) > WRONG


@pytest.mark.parametrize("theta", [5000.0, 500000.0])
def test_a_wrong_rope_base_is_noticed(tmp_path, model, transcript, theta):
    change_config(model, rope_theta=theta)
    assert transcript.replayed(Decoder(tmp_path, model, *FP32)) > WRONG


def test_a_wrong_epsilon_is_noticed(tmp_path, model, transcript):
    change_config(model, rms_norm_eps=1e-1)
    assert transcript.replayed(Decoder(tmp_path, model, *FP32)) > WRONG


def test_a_cache_row_off_by_one_is_noticed(tmp_path, model, transcript):
    decoder = Decoder(tmp_path, model, *FP32)
    write_one_row_late(decoder.package)
    assert transcript.replayed(decoder) > WRONG


def test_a_wrong_token_is_noticed(tmp_path, model, transcript):
    decoder = Decoder(tmp_path, model, *FP32)
    transcript.tokens = transcript.tokens.copy()
    transcript.tokens[3] ^= 1
    assert transcript.replayed(decoder) > WRONG


def test_a_shifted_position_is_noticed(tmp_path, model, transcript):
    """The reference of a transcript whose first token is left out is another one."""
    decoder = Decoder(tmp_path, model, *FP32)
    transcript.tokens, transcript.logits = transcript.tokens[1:], transcript.logits[1:]
    assert transcript.replayed(decoder, len(transcript.prompt) - 1) > WRONG


@pytest.fixture
def encoder_case():
    return next(c for c in cases("embedding") if c["pooling_mode"] == "mean" and c["adapters"])


def test_the_unchanged_encoder_passes(tmp_path, encoder_case):
    assert Encoder(tmp_path, encoder_case, *FP32).compare()[1] > 0.9999


def test_a_causal_mask_in_the_encoder_is_noticed(tmp_path, encoder_case):
    encoder = Encoder(tmp_path, encoder_case, *FP32)
    hide_later_tokens(encoder.package, encoder.length)
    assert encoder.compare()[1] < WRONG_COSINE


@pytest.mark.parametrize("pooling", ["weighted_mean", "last_token", "bos_token"])
def test_wrong_pooling_is_noticed(tmp_path, encoder_case, pooling):
    encoder = Encoder(tmp_path, encoder_case, *FP32, *settings(encoder__pooling=pooling))
    encoder.case = encoder_case | {"pooling_mode": pooling}
    assert encoder.compare()[1] < WRONG_COSINE


def test_pooling_the_instruction_is_noticed(tmp_path, encoder_case):
    encoder = Encoder(tmp_path, encoder_case, *FP32)
    encoder.case = encoder_case | {"skip_instruction": False}
    assert encoder.compare()[1] < WRONG_COSINE


def test_an_encoder_without_its_adapters_is_noticed(tmp_path, encoder_case):
    assert Encoder(tmp_path, encoder_case | {"adapters": []}, *FP32).compare()[1] < WRONG_COSINE
