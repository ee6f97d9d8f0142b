"""Adapters saved after tokens were added: embedding and head have more rows than the base, as transformers resizes them."""

import json

import numpy as np
import pytest
from adapter_folder import lora, random, write_adapter
from program import ROOT, SMALL, Program, read_checkpoint, read_tensors, settings

DATA = ROOT / "tests/data/lora_unsloth"
UNTIED, TIED = DATA / "models/base_bf16", DATA / "models/base_tied_fp16"
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
KEY = "base_model.model."


def sizes(model):
    config = json.loads((model / "config.json").read_text())
    return config["vocab_size"], config["hidden_size"]


def q_factors(model):
    queries, hidden = read_checkpoint(model)["model.layers.0.self_attn.q_proj.weight"].shape
    return lora(0, "self_attn.q_proj", queries, hidden, 4)


@pytest.fixture
def program(tmp_path):
    return Program(tmp_path)


def merged(program, model, tensors, *flags, **config):
    write_adapter(program.folder / "grown", {**q_factors(model), **tensors}, **{"layers_to_transform": [0], **config})
    report = program.report("merge", "--model", model, "--adapter", "grown", "--dtype", "fp32", *flags, "-o", "merged")
    return read_checkpoint(program.folder / "merged"), json.loads((program.folder / "merged/config.json").read_text()), report


@pytest.mark.parametrize("saved", [["embed_tokens", "lm_head"], []], ids=["modules_to_save", "save_embedding_layers"])
def test_both_are_replaced_and_the_config_says_how_many_tokens_there_are(program, saved):
    vocabulary, hidden = sizes(UNTIED)
    rows = {EMBEDDING: random(vocabulary + 3, hidden), HEAD: random(vocabulary + 3, hidden, seed=1)}
    tensors, config, _ = merged(program, UNTIED, {KEY + n: v for n, v in rows.items()}, modules_to_save=saved)
    assert config["vocab_size"] == vocabulary + 3
    assert all(np.array_equal(tensors[n], v) for n, v in rows.items())


def test_the_copies_that_peft_writes_beside_a_saved_module_are_no_contradiction(program):
    """As peft 0.21.2 saves modules_to_save of a grown vocabulary: each module twice, and what it replaced."""
    vocabulary, hidden = sizes(UNTIED)
    rows = {n: random(vocabulary + 3, hidden, seed=i) for i, n in enumerate((EMBEDDING, HEAD))}
    tensors = {}
    for name, values in rows.items():
        module = KEY + name.removesuffix("weight")
        tensors |= {module + "weight": values, module + "modules_to_save.weight": values,
                    module + "original_module.weight": random(vocabulary + 3, hidden, seed=9)}
    found, _, _ = merged(program, UNTIED, tensors, modules_to_save=["embed_tokens", "lm_head"])
    assert all(np.array_equal(found[n], v) for n, v in rows.items())


def test_trained_rows_go_on_top_of_the_grown_layer(program):
    vocabulary, hidden = sizes(UNTIED)
    layer, rows, at = random(vocabulary + 2, hidden), random(2, hidden, seed=1), KEY + "model.embed_tokens.token_adapter."
    found, _, _ = merged(program, UNTIED, {at + "base_layer.weight": layer, at + "trainable_tokens_delta": rows,
                                           KEY + HEAD: random(vocabulary + 2, hidden)},
                         trainable_token_indices=[5, vocabulary + 1])
    layer[[5, vocabulary + 1]] = rows
    assert np.array_equal(found[EMBEDDING], layer)


@pytest.mark.parametrize("grown,left", [(EMBEDDING, HEAD), (HEAD, EMBEDDING)])
def test_what_is_not_in_the_file_grows_by_its_mean(program, grown, left):
    """transformers draws the new rows around the mean of the old ones; this is the middle of that."""
    vocabulary, hidden = sizes(UNTIED)
    tensors, _, _ = merged(program, UNTIED, {KEY + grown: random(vocabulary + 2, hidden)},
                           modules_to_save=[grown.split(".")[-2]])
    old = read_checkpoint(UNTIED)[left]
    assert np.array_equal(tensors[left][:vocabulary], old)
    assert np.abs(tensors[left][vocabulary:] - old.mean(axis=0, dtype=np.float64)).max() < 1e-6
    assert tensors[left].shape == (vocabulary + 2, hidden)


@pytest.mark.parametrize("names", [[EMBEDDING], [EMBEDDING, HEAD]])
def test_tied_layers_saved_along_stay_tied(program, names):
    vocabulary, hidden = sizes(TIED)
    rows = random(vocabulary + 5, hidden)
    tensors, config, report = merged(program, TIED, {KEY + n: rows for n in names})
    assert np.array_equal(tensors[EMBEDDING], rows) and HEAD not in tensors
    assert config["tie_word_embeddings"] and config["vocab_size"] == vocabulary + 5 and not report["untied"]


def test_low_rank_changes_go_on_top_of_the_grown_layer(program):
    vocabulary, hidden = sizes(UNTIED)
    rows, b, a = random(vocabulary + 3, hidden), random(hidden, 4, seed=3), random(4, vocabulary + 3, seed=4)
    embed = KEY + "model.embed_tokens."
    tensors, _, _ = merged(program, UNTIED, {
        embed + "base_layer.weight": rows, embed + "lora_embedding_A": a, embed + "lora_embedding_B": b,
        KEY + HEAD: random(vocabulary + 3, hidden)}, target_modules=["layers.0.self_attn.q_proj", "embed_tokens"], layers_to_transform=None)
    assert np.abs(tensors[EMBEDDING] - rows - 2 * (b @ a).T).max() < 1e-5


def test_a_second_adapter_has_to_fit_the_grown_vocabulary(program):
    vocabulary, hidden = sizes(UNTIED)
    for name, extra in (("first", 2), ("second", 3)):
        write_adapter(program.folder / name, {**q_factors(UNTIED), KEY + EMBEDDING: random(vocabulary + extra, hidden)},
                      layers_to_transform=[0], modules_to_save=["embed_tokens"])
    sentence = program.refused(3, "merge", "--model", UNTIED, "--adapter", "first", "--adapter", "second", "-o", "merged")
    assert "second" in sentence and "vocabulary" in sentence


def test_the_tokenizer_of_the_adapter_goes_along(program):
    vocabulary, hidden = sizes(UNTIED)
    write_adapter(program.folder / "grown", {**q_factors(UNTIED), KEY + EMBEDDING: random(vocabulary + 2, hidden)},
                  layers_to_transform=[0], modules_to_save=["embed_tokens"])
    (program.folder / "grown/tokenizer.json").write_text('{"model": {}}')
    program.ok("merge", "--model", UNTIED, "--adapter", "grown", "-o", "merged")
    assert (program.folder / "merged/tokenizer.json").read_text() == '{"model": {}}'


@pytest.mark.parametrize("model", [UNTIED, TIED], ids=["untied", "tied"])
def test_a_package_speaks_the_new_tokens_as_the_merged_checkpoint_does(program, model):
    """Converting base and adapter is converting what `merge` wrote."""
    vocabulary, hidden = sizes(model)
    rows = random(vocabulary + 3, hidden, scale=0.5)
    merged(program, model, {KEY + EMBEDDING: rows, KEY + HEAD: rows})
    flags = [*SMALL, *settings(quantize__plugin='"none"', graph__precision='"fp32"')]
    program.ok("convert", "--model", model, "--adapter", "grown", *flags, "-o", "direct.mlpackage")
    program.ok("convert", "--model", "merged", *flags, "-o", "twice.mlpackage")
    logits = []
    for package in ("direct", "twice"):
        program.ok("generate", f"{package}.mlpackage", "--tokens", f"1,{vocabulary + 2},5", "--max-new-tokens", 4,
                   "--logits-out", f"{package}.safetensors")
        logits.append(read_tensors(program.folder / f"{package}.safetensors")["prefill_logits"])
    assert logits[0].shape[-1] == vocabulary + 3 and np.abs(logits[0] - logits[1]).max() < 1e-5
