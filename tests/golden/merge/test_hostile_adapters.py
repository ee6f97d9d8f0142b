"""Adapters that are wrong in ways the goldens do not have: each is refused with one sentence that names file and tensor or
key, or merged as PEFT merges it. Nothing is left behind by a refusal."""

import json

import numpy as np
import pytest
from adapter_folder import PREFIX, changed_copy, lora, random, write_adapter, write_tensors
from program import ROOT, Program, read_checkpoint

DATA = ROOT / "tests/data/lora_unsloth"
MODEL = DATA / "models/base_bf16"
TIED = DATA / "models/base_tied_fp16"
HIDDEN, KV = 64, 32
Q = PREFIX.format(layer=0, module="self_attn.q_proj", part="{part}")
EVERY_Q = lora(0, "self_attn.q_proj", HIDDEN, HIDDEN, 4) | lora(1, "self_attn.q_proj", HIDDEN, HIDDEN, 4, seed=2)
ONE_Q = {"layers_to_transform": [0]}
HALF_Q = lora(0, "self_attn.q_proj", HIDDEN, HIDDEN, 4)


@pytest.fixture
def program(tmp_path):
    return Program(tmp_path)


def without(tensors, *names):
    return {k: v for k, v in tensors.items() if k not in names}


def with_value(tensors, name, value):
    changed = {k: v.copy() for k, v in tensors.items()}
    changed[name].flat[7] = value
    return changed


def renamed(tensors, old, new):
    return {k.replace(old, new): v for k, v in tensors.items()}


A, B = Q.format(part="lora_A.weight"), Q.format(part="lora_B.weight")
# name -> (tensors, config, what the sentence must name)
REFUSED = {
    "NaN in A": (with_value(EVERY_Q, A, np.nan), {}, [A, "NaN"]),
    "minus infinity in B": (with_value(EVERY_Q, B, -np.inf), {}, [B, "infinite"]),
    "only A": (without(EVERY_Q, B), {}, ["q_proj.lora_B", "missing"]),
    "only B": (without(EVERY_Q, A), {}, ["q_proj.lora_A", "missing"]),
    "one layer is missing": (HALF_Q, {}, ["layers.1.self_attn.q_proj", "no tensors"]),
    "two spellings of one key": ({**EVERY_Q, A.replace(".weight", ".default.weight"): 2 * EVERY_Q[A]}, {}, ["lora_A", "twice"]),
    "with and without prefix": ({**EVERY_Q, A.removeprefix("base_model.model."): 2 * EVERY_Q[A]}, {}, ["q_proj.lora_A", "twice"]),
    "rank that the config denies": (lora(0, "self_attn.q_proj", HIDDEN, HIDDEN, 5), {**ONE_Q}, ["lora_A", "[5,64]", "[4,64]"]),
    "A and B of different ranks": ({**HALF_Q, B: random(HIDDEN, 3)}, ONE_Q, [B, "[64,3]"]),
    "transposed factors": ({A: random(HIDDEN, 4), B: random(4, HIDDEN)}, ONE_Q, [A, "[64,4]"]),
    "B of another model": ({**HALF_Q, B: random(HIDDEN + 1, 4)}, ONE_Q, [B, "[65,4]"]),
    "A without dimensions": ({**HALF_Q, A: np.float32(1)}, ONE_Q, ["lora_A"]),
    "A of three dimensions": ({**HALF_Q, A: random(4, HIDDEN, 1)}, ONE_Q, [A, "[4,64,1]"]),
    "integers": ({**HALF_Q, A: np.ones((4, HIDDEN), np.int32)}, ONE_Q, [A, "I32"]),
    "a magnitude for rows that are not there": (
        {**HALF_Q, Q.format(part="lora_magnitude_vector"): random(HIDDEN - 1)}, {**ONE_Q, "use_dora": True}, ["lora_magnitude_vector", "[63]"]),
    "a magnitude as a matrix": (
        {**HALF_Q, Q.format(part="lora_magnitude_vector"): random(HIDDEN, 1)}, {**ONE_Q, "use_dora": True}, ["lora_magnitude_vector", "[64,1]"]),
    "DoRA without magnitudes": (HALF_Q, {**ONE_Q, "use_dora": True}, ["lora_magnitude_vector", "missing"]),
    "a magnitude without DoRA": ({**HALF_Q, Q.format(part="lora_magnitude_vector"): random(HIDDEN)}, ONE_Q, ["lora_magnitude_vector"]),
    "a layer that the base lacks": ({**EVERY_Q, **lora(7, "self_attn.q_proj", HIDDEN, HIDDEN, 4)}, {}, ["layers.7"]),
    "a module that the base lacks": ({**EVERY_Q, **lora(0, "self_attn.qkv_proj", HIDDEN, HIDDEN, 4)}, {}, ["qkv_proj"]),
    "a norm as a target": ({**EVERY_Q, **lora(0, "input_layernorm", HIDDEN, HIDDEN, 4)}, {}, ["input_layernorm"]),
    "a tensor that nobody asked for": ({**EVERY_Q, "base_model.model.model.norm.weight": random(HIDDEN)}, {}, ["model.norm.weight", "modules_to_save"]),
    "an expression that matches nothing": (EVERY_Q, {"target_modules": r".*\.w_[qkv]$"}, ["does not target", "q_proj"]),
    "an expression that is none": (EVERY_Q, {"target_modules": "(q_proj"}, ["target_modules", "(q_proj"]),
    "an expression that never ends": (EVERY_Q, {"target_modules": "(a*)*b|(.*)*x(.*)*y"}, ["target_modules"]),
    "no targets": (EVERY_Q, {"target_modules": []}, ["q_proj"]),
    "targets of a wrong kind": (EVERY_Q, {"target_modules": {"q_proj": 1}}, ["target_modules", "list"]),
    "all layers out of range": (EVERY_Q, {"layers_to_transform": [9]}, ["q_proj"]),
    "layers as text": (EVERY_Q, {"layers_to_transform": ["0"]}, ["layers_to_transform", "string"]),
    "a negative layer": (EVERY_Q, {"layers_to_transform": [-1]}, ["layers_to_transform", "-1"]),
    "a rank as text": (EVERY_Q, {"r": "4"}, ["\"r\"", "integer"]),
    "a rank of one half": (EVERY_Q, {"r": 0.5}, ["\"r\""]),
    "a rank beyond reason": (EVERY_Q, {"r": 2**40}, ["\"r\"", "impossible"]),
    "a rank pattern of zero": (EVERY_Q, {"rank_pattern": {"q_proj": 0}}, ["rank_pattern.q_proj"]),
    "a rank pattern that the file denies": (EVERY_Q, {"rank_pattern": {"q_proj": 3}}, ["lora_A", "[3,64]"]),
    "an alpha that is null": (EVERY_Q, {"lora_alpha": None}, ["lora_alpha"]),
    "an alpha beyond fp32": (EVERY_Q, {"lora_alpha": 1e300}, ["lora_alpha", "q_proj"]),
    "an alpha that overflows fp16": (EVERY_Q, {"lora_alpha": 1e9}, ["q_proj", "fp16"]),
    "a bias mode of its own": (EVERY_Q, {"bias": "some"}, ["bias", "some"]),
    "biases that the base lacks": (EVERY_Q, {"lora_bias": True}, ["lora_bias", "q_proj"]),
    "saved modules that the base lacks": (EVERY_Q, {"modules_to_save": ["score"]}, ["modules_to_save", "score"]),
    "saved modules that the file lacks": (EVERY_Q, {"modules_to_save": ["norm"]}, ["norm.weight", "not in the file"]),
    "a flag as text": (EVERY_Q, {"use_rslora": "false"}, ["use_rslora", "true or false"]),
    "an initialisation that nobody knows": (EVERY_Q, {"init_lora_weights": "magic"}, ["init_lora_weights", "magic"]),
    "raw CorDA": (EVERY_Q, {"init_lora_weights": "corda"}, ["corda", "path_initial_model_for_weight_conversion"]),
    "raw PiSSA by random projections": (EVERY_Q, {"init_lora_weights": "pissa_niter_4"}, ["pissa_niter_4", "path_initial_model"]),
    "token rows that are not in the file": (EVERY_Q, {"trainable_token_indices": [1, 2]}, ["trainable_token_indices", "embed_tokens"]),
    "another kind of adapter": (EVERY_Q, {"peft_type": "ADALORA"}, ["ADALORA", "LORA"]),
    "a smaller vocabulary": (
        {**EVERY_Q, "base_model.model.lm_head.weight": random(250, HIDDEN)}, {"modules_to_save": ["lm_head"]}, ["lm_head.weight", "[250,64]"]),
    "a wider embedding": (
        {**EVERY_Q, "base_model.model.model.embed_tokens.weight": random(256, HIDDEN + 1)}, {"modules_to_save": ["embed_tokens"]}, ["embed_tokens.weight", "[256,65]"]),
    "embedding and head of different vocabularies": (
        {**EVERY_Q, "base_model.model.model.embed_tokens.weight": random(258, HIDDEN), "base_model.model.lm_head.weight": random(257, HIDDEN)},
        {"modules_to_save": ["embed_tokens", "lm_head"]}, ["lm_head.weight", "[257,64]", "[258,64]"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_with_a_sentence_that_says_why_and_nothing_is_left(case, program, tmp_path):
    tensors, config, named = REFUSED[case]
    write_adapter(tmp_path / "bad", tensors, **config)
    sentence = program.refused(3, "merge", "--model", MODEL, "--adapter", "bad", "--dtype", "fp16", "-o", "merged")
    assert "bad" in sentence or "tensor '" in sentence
    assert all(part in sentence for part in named), sentence
    assert [p.name for p in tmp_path.iterdir()] == ["bad"]


def test_a_name_twice_in_the_file_is_refused(program, tmp_path):
    write_adapter(tmp_path / "bad", EVERY_Q)
    write_tensors(tmp_path / "bad/adapter_model.safetensors", [*EVERY_Q.items(), (A, EVERY_Q[A])])
    assert A in program.refused(3, "merge", "--model", MODEL, "--adapter", "bad", "-o", "merged")


@pytest.mark.parametrize("weight", ["nan", "inf", "x", "1e300"])
def test_a_weight_that_is_no_finite_number_is_refused(program, tmp_path, weight):
    write_adapter(tmp_path / "good", EVERY_Q)
    done = program.run("merge", "--model", MODEL, "--adapter", f"good:{weight}", "-o", "merged")
    assert done.returncode in (2, 3) and len(done.stderr.strip().splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["good"]


def delta(program, tmp_path, name, **how):
    flags = ["--model", how.pop("model", MODEL), "--adapter", name]
    program.ok("merge", *flags, "--dtype", "fp32", "--quiet", "-o", "merged", "--force")
    base, merged = read_checkpoint(flags[1]), read_checkpoint(tmp_path / "merged")
    return {n: merged[n] - base[n] for n in base if (merged[n] != base[n]).any()}


ACCEPTED = {
    "an alpha of zero": (EVERY_Q, {"lora_alpha": 0}, 0),
    "a rank beyond both dimensions": (lora(0, "self_attn.q_proj", HIDDEN, HIDDEN, 100), {**ONE_Q, "r": 100, "lora_alpha": 200}, 2),
    "a negative alpha": (HALF_Q, {**ONE_Q, "lora_alpha": -8}, -2),
    "a rank pattern that matches nothing": (HALF_Q, {**ONE_Q, "rank_pattern": {"nothing": 99}}, 2),
    "one layer of several in range": (HALF_Q, {"layers_to_transform": [0, 44]}, 2),
    "the adapter's name in the keys": (renamed(HALF_Q, ".weight", ".default.weight"), ONE_Q, 2),
    "keys of a bare backbone": (renamed(HALF_Q, "model.model.model.", "model.model."), ONE_Q, 2),
    "keys without a prefix": (renamed(HALF_Q, "base_model.model.", ""), ONE_Q, 2),
    "keys with two prefixes": (renamed(HALF_Q, "base_model.model.", "base_model.model.base_model.model."), ONE_Q, 2),
    "fp16 factors": ({k: v.astype(np.float16) for k, v in HALF_Q.items()}, ONE_Q, 2),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_odd_but_sound_adapters_are_merged(case, program, tmp_path):
    tensors, config, scale = ACCEPTED[case]
    write_adapter(tmp_path / "odd", tensors, **config)
    found = delta(program, tmp_path, "odd")
    if scale == 0:
        assert found == {}
        return
    (name, change), = found.items()
    a, b = (next(v for k, v in tensors.items() if part in k).astype(np.float32) for part in ("lora_A", "lora_B"))
    assert name == "model.layers.0.self_attn.q_proj.weight"
    assert np.abs(change - scale * (b @ a)).max() < 1e-5


def test_embedding_layers_saved_along_replace_the_base_s(program, tmp_path):
    """PEFT's save_embedding_layers writes them without a word in the config."""
    rows = random(256, HIDDEN)
    write_adapter(tmp_path / "all", {**HALF_Q, "base_model.model.model.embed_tokens.weight": rows}, **ONE_Q)
    found = delta(program, tmp_path, "all")
    assert np.abs(found["model.embed_tokens.weight"] + read_checkpoint(MODEL)["model.embed_tokens.weight"] - rows).max() < 1e-6


def named(model, folder, name):
    folder.mkdir()
    for file in model.iterdir():
        if file.name != "config.json":
            (folder / file.name).symlink_to(file)
    config = json.loads((model / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"_name_or_path": name}))
    return folder


def test_an_adapter_of_another_model_is_reported(program, tmp_path):
    model = named(MODEL, tmp_path / "model", "acme/Tiny-2")
    for base, says in (("acme/Tiny-1", True), ("other/tiny-2", False), ("unsloth/Tiny-2-bnb-4bit", False)):
        changed_copy(DATA / "adapters/minimal_adapter_config", tmp_path / base.replace("/", "_"), {"base_model_name_or_path": base})
        done = program.ok("merge", "--model", model, "--adapter", base.replace("/", "_"), "-o", "out", "--force", "--json")
        assert (f"trained on '{base}', and the model calls itself 'acme/Tiny-2'" in done.stderr) == says
        assert (f"'{base}'" in json.loads(done.stdout)["adapters"][0]) == says
        assert ("4-bit bitsandbytes" in done.stderr) == ("bnb" in base)


def test_what_an_adapter_says_of_its_base_is_in_the_report_where_the_model_has_no_name(program, tmp_path):
    changed_copy(DATA / "adapters/minimal_adapter_config", tmp_path / "a", {"base_model_name_or_path": "acme/Tiny-1"})
    report = program.report("merge", "--model", MODEL, "--adapter", "a", "-o", "out")
    assert "says that it was trained on 'acme/Tiny-1'" in report["adapters"][0]
