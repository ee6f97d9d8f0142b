"""Models and adapters by their hub id, from a hub on the loopback that misbehaves on purpose. No other host is asked."""

import json
import os
import resource
import signal
import subprocess
import time

import numpy as np
import pytest
from conftest import MODELS, ROOT, SMALL, Program, tree
from hub_server import (
    HubServer, corrupt, digest_of, drip, drop, header, ignore_range, other_range, refuse_connection, short, status,
)

USAGE, INPUT, NETWORK, RESOURCE = 2, 3, 4, 5
PIECE = 4 << 20  # bytes of one request


def folder_files(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}


def llama_bytes(seed, vocabulary, hidden=256):
    """config.json and model.safetensors of a model large enough to be fetched in several pieces."""
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": hidden,
        "intermediate_size": 512, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": vocabulary, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": False, "torch_dtype": "float16", "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    layer = "model.layers.0."
    shapes = {
        "lm_head.weight": (vocabulary, hidden), "model.embed_tokens.weight": (vocabulary, hidden),
        "model.norm.weight": (hidden,), layer + "input_layernorm.weight": (hidden,),
        layer + "post_attention_layernorm.weight": (hidden,),
        layer + "self_attn.q_proj.weight": (hidden, hidden), layer + "self_attn.k_proj.weight": (hidden // 2, hidden),
        layer + "self_attn.v_proj.weight": (hidden // 2, hidden), layer + "self_attn.o_proj.weight": (hidden, hidden),
        layer + "mlp.gate_proj.weight": (512, hidden), layer + "mlp.up_proj.weight": (512, hidden),
        layer + "mlp.down_proj.weight": (hidden, 512),
    }  # fmt: skip
    random = np.random.default_rng(seed)
    index, data = {}, b""
    for name, shape in shapes.items():
        values = (random.standard_normal(shape, np.float32) * 0.02).astype(np.float16).tobytes()
        index[name] = {"dtype": "F16", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    head = json.dumps(index).encode()
    return {
        "config.json": json.dumps(config).encode(),
        "model.safetensors": len(head).to_bytes(8, "little") + head + data,
    }


@pytest.fixture(scope="module")
def large_model():
    """23 MB: six pieces."""
    return llama_bytes(1, 21000)


@pytest.fixture
def hub():
    with HubServer() as server:
        yield server


@pytest.fixture
def d2c(tmp_path, hub):
    return Program(tmp_path, HF_ENDPOINT=hub.endpoint, HF_HUB_DOWNLOAD_TIMEOUT="3", no_proxy="*")


def cache_of(program):
    return program.folder / ".cache/huggingface/hub"


def folder_of(program, model):
    return cache_of(program) / ("models--" + model.replace("/", "--"))


def plan(program, *arguments):
    """Fetches everything that the model consists of, and reads its headers."""
    return program.ok("plan", "--model", *arguments, *SMALL)


def weights_of(package):
    return {name: data for name, data in tree(package).items() if "weights" in name}


def file_requests(hub):
    return [r for r in hub.requests if "/api/" not in r.path]


# ---------------------------------------------------------------- what is fetched


def test_a_model_is_converted_by_its_hub_id(d2c, hub):
    commit = hub.add_folder("org/model", MODELS / "gqa_bf16")
    d2c.ok("convert", "--model", "org/model", "-o", "hub.mlpackage", *SMALL)
    d2c.ok("convert", "--model", MODELS / "gqa_bf16", "-o", "local.mlpackage", *SMALL)
    assert weights_of(d2c.folder / "hub.mlpackage") == weights_of(d2c.folder / "local.mlpackage")
    recipe = json.loads((d2c.folder / "hub.mlpackage/Data/dolphin2coreml/recipe.json").read_text())
    assert (recipe["model"]["source"], recipe["model"]["revision"]) == ("org/model", commit)
    assert str(d2c.folder) not in json.dumps(recipe)


def test_a_recipe_names_model_revision_and_adapters_by_hub_id(d2c, hub):
    data = ROOT / "tests/data/lora_unsloth"
    hub.add_folder("org/base", data / "models/base_bf16", "v1")
    hub.add("org/base", llama_bytes(2, 32), "main")
    hub.add_folder("org/lora", data / "adapters/plain_r8_attn")
    (d2c.folder / "mine.toml").write_text(
        'extends = "base"\n[model]\nsource = "org/base"\nrevision = "v1"\n'
        '[[adapter]]\npath = "org/lora"\nweight = 0.5\n'
    )
    d2c.ok("convert", "mine.toml", "-o", "hub.mlpackage", *SMALL)
    adapter = f"{data / 'adapters/plain_r8_attn'}:0.5"
    d2c.ok("convert", "--model", data / "models/base_bf16", "--adapter", adapter, "-o", "local.mlpackage", *SMALL)
    assert weights_of(d2c.folder / "hub.mlpackage") == weights_of(d2c.folder / "local.mlpackage")
    recipe = json.loads((d2c.folder / "hub.mlpackage/Data/dolphin2coreml/recipe.json").read_text())
    assert recipe["model"]["revision"] == hub.refs["org/base"]["v1"]
    assert recipe["adapter"][0]["revision"] == hub.refs["org/lora"]["main"]


def test_llm2vec_checkpoints_are_fetched_as_encoder_adapters(d2c, hub):
    llm2vec = MODELS / "goldens/llm2vec"
    hub.add_folder("org/base", llm2vec / "models/bi_tiny_bf16")
    for name in ("m1_mntp", "m1_supervised"):
        hub.add_folder(f"org/{name}", llm2vec / "adapters" / name, "v2")
    adapters, folders = [], []
    for name in ("m1_mntp", "m1_supervised"):
        adapters += ["--encoder-adapter", f"org/{name}@v2"]
        folders += ["--encoder-adapter", llm2vec / "adapters" / name]
    d2c.ok("convert", "--model", "org/base", *adapters, "-o", "hub.mlpackage", *SMALL)
    d2c.ok("convert", "--model", llm2vec / "models/bi_tiny_bf16", *folders, "-o", "local.mlpackage", *SMALL)
    assert weights_of(d2c.folder / "hub.mlpackage") == weights_of(d2c.folder / "local.mlpackage")


def test_merge_takes_hub_ids(d2c, hub):
    data = ROOT / "tests/data/lora_unsloth"
    hub.add_folder("org/base", data / "models/base_bf16")
    hub.add_folder("org/lora", data / "adapters/plain_r8_attn")
    d2c.ok("merge", "--model", "org/base", "--adapter", "org/lora:2", "-o", "hub")
    d2c.ok("merge", "--model", data / "models/base_bf16", "--adapter", f"{data / 'adapters/plain_r8_attn'}:2", "-o", "local")
    assert tree(d2c.folder / "hub") == tree(d2c.folder / "local")


def test_shards_are_those_that_the_index_names(d2c, hub):
    files = folder_files(MODELS / "sharded_bf16")
    hub.add("org/model", files | {"consolidated.safetensors": b"another copy of the weights"})
    plan(d2c, "org/model")
    assert not hub.asked_for("consolidated") and hub.asked_for("model-00003-of-00003.safetensors")


def test_only_safetensors_json_and_tokenizer_files_are_fetched(d2c, hub):
    files = folder_files(MODELS / "gqa_bf16")
    wanted = {"tokenizer.model": b"t", "merges.txt": b"m", "chat_template.jinja": b"j"}
    unwanted = {"pytorch_model.bin": b"p", "model.pt": b"p", "README.md": b"r", "run.py": b"c", "original/params.json": b"{}"}
    hub.add("org/model", files | wanted | unwanted)
    plan(d2c, "org/model")
    snapshot = folder_of(d2c, "org/model") / "snapshots" / hub.refs["org/model"]["main"]
    assert {p.name for p in snapshot.iterdir()} == set(files) | set(wanted)
    assert not any(hub.asked_for(name, method) for name in unwanted for method in ("GET", "HEAD"))


def test_a_model_of_pickles_is_refused(d2c, hub):
    hub.add("org/model", {"config.json": b"{}", "pytorch_model.bin": b"\x80\x02"})
    message = d2c.run("plan", "--model", "org/model").stderr
    assert d2c.run("plan", "--model", "org/model").returncode == INPUT
    assert "pytorch_model.bin" in message and "pickle" in message
    assert not hub.asked_for(".bin") and not hub.asked_for(".bin", "HEAD")


def test_an_adapter_in_place_of_a_model_is_refused_before_it_is_fetched(d2c, hub):
    hub.add_folder("org/lora", ROOT / "tests/data/lora_unsloth/adapters/plain_r8_attn")
    done = d2c.run("convert", "--model", "org/lora", "-o", "x.mlpackage")
    assert done.returncode == INPUT and "is an adapter" in done.stderr
    assert not hub.asked_for(".safetensors", "HEAD")


# ---------------------------------------------------------------- revisions


@pytest.mark.parametrize("arguments", [["org/model", "--revision", "v1"], ["org/model@v1"], ["org/model", "--revision", "{commit}"]])
def test_a_revision_is_a_branch_a_tag_or_a_commit(d2c, hub, arguments):
    commit = hub.add_folder("org/model", MODELS / "gqa_bf16", "v1")
    hub.add_folder("org/model", MODELS / "mha_fp32", "main")
    plan(d2c, *[a.format(commit=commit) for a in arguments])
    assert [p.name for p in (folder_of(d2c, "org/model") / "snapshots").iterdir()] == [commit]


def test_a_branch_that_moved_is_followed_and_shared_files_are_kept(d2c, hub):
    files = folder_files(MODELS / "gqa_bf16")
    hub.add("org/model", files)
    plan(d2c, "org/model")
    before = len(file_requests(hub))
    commit = hub.add("org/model", files | {"tokenizer_config.json": b"{}"})
    plan(d2c, "org/model")
    assert (folder_of(d2c, "org/model") / "refs/main").read_text() == commit
    assert [r.path for r in file_requests(hub)[before:] if r.method == "GET"] == [
        f"/org/model/resolve/{commit}/tokenizer_config.json"
    ]


def test_an_unknown_revision_is_an_input_error(d2c, hub):
    hub.add_folder("org/model", MODELS / "gqa_bf16")
    done = d2c.run("plan", "--model", "org/model", "--revision", "v9")
    assert done.returncode == INPUT and "v9" in done.stderr


def test_a_model_that_changes_between_two_files_is_noticed(d2c, hub):
    hub.add_folder("org/model", MODELS / "gqa_bf16")
    hub.misbehave(header("X-Repo-Commit", "0" * 40), "model.safetensors", method="HEAD")
    done = d2c.run("plan", "--model", "org/model")
    assert done.returncode == NETWORK and "changes" in done.stderr
    plan(d2c, "org/model")


# ---------------------------------------------------------------- the shared cache


def test_the_cache_has_the_layout_that_other_tools_know(d2c, hub):
    files = folder_files(MODELS / "gqa_bf16")
    commit = hub.add("org/model", files)
    plan(d2c, "org/model")
    folder = folder_of(d2c, "org/model")
    assert (folder / "refs/main").read_text() == commit
    assert {p.name for p in (folder / "blobs").iterdir()} == {digest_of(n, d) for n, d in files.items()}
    for name, data in files.items():
        link = folder / "snapshots" / commit / name
        assert os.readlink(link) == f"../../blobs/{digest_of(name, data)}" and link.read_bytes() == data
    assert (cache_of(d2c) / ".locks/models--org--model" / (digest_of("config.json", files["config.json"]) + ".lock")).exists()


def fill_as_other_tools_do(folder, commit, files):
    """The cache after another tool's download of these files."""
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text(commit)
    (folder / "blobs").mkdir()
    (folder / "snapshots" / commit).mkdir(parents=True)
    for name, data in files.items():
        (folder / "blobs" / digest_of(name, data)).write_bytes(data)
        (folder / "snapshots" / commit / name).symlink_to(f"../../blobs/{digest_of(name, data)}")


def test_what_other_tools_downloaded_is_reused(d2c, hub):
    files = folder_files(MODELS / "gqa_bf16")
    commit = hub.add("org/model", files)
    fill_as_other_tools_do(folder_of(d2c, "org/model"), commit, files)
    plan(d2c, "org/model")
    assert file_requests(hub) == []


def test_a_download_that_another_tool_left_half_done_is_continued(d2c, hub, large_model):
    commit = hub.add("org/model", large_model)
    weights = large_model["model.safetensors"]
    blobs = folder_of(d2c, "org/model") / "blobs"
    blobs.mkdir(parents=True)
    (blobs / (digest_of("model.safetensors", weights) + ".incomplete")).write_bytes(weights[:10_000_000])
    plan(d2c, "org/model")
    assert (folder_of(d2c, "org/model") / "snapshots" / commit / "model.safetensors").read_bytes() == weights
    assert min(int(r.headers["Range"][6:].split("-")[0]) for r in hub.asked_for("", host="store")) == 10_000_000


def test_a_half_done_download_with_wrong_bytes_is_begun_anew(d2c, hub, large_model):
    commit = hub.add("org/model", large_model)
    weights = large_model["model.safetensors"]
    blobs = folder_of(d2c, "org/model") / "blobs"
    blobs.mkdir(parents=True)
    (blobs / (digest_of("model.safetensors", weights) + ".incomplete")).write_bytes(b"x" * 10_000_000)
    plan(d2c, "org/model")
    assert (folder_of(d2c, "org/model") / "snapshots" / commit / "model.safetensors").read_bytes() == weights


def test_offline_the_cache_is_all_there_is(d2c, hub):
    files = folder_files(MODELS / "gqa_bf16")
    commit = hub.add("org/model", files)
    d2c.variables["HF_HUB_OFFLINE"] = "1"
    done = d2c.run("plan", "--model", "org/model")
    assert done.returncode == INPUT and "HF_HUB_OFFLINE" in done.stderr
    fill_as_other_tools_do(folder_of(d2c, "org/model"), commit, files)
    plan(d2c, "org/model")
    plan(d2c, "org/model", "--revision", commit)
    assert hub.requests == []


@pytest.mark.parametrize("variables, place", [
    ({"HF_HOME": "{home}/hf"}, "hf/hub"),
    ({"HF_HUB_CACHE": "{home}/models"}, "models"),
    ({"HF_HUB_CACHE": "~/models", "HF_HOME": "{home}/hf"}, "models"),
    ({"XDG_CACHE_HOME": "{home}/caches"}, "caches/huggingface/hub"),
])  # fmt: skip
def test_variables_say_where_the_cache_is(d2c, hub, variables, place):
    hub.add_folder("org/model", MODELS / "gqa_bf16")
    d2c.variables |= {name: value.format(home=d2c.folder) for name, value in variables.items()}
    plan(d2c, "org/model")
    assert (d2c.folder / place / "models--org--model/refs/main").exists()


def test_two_programs_fetch_a_model_once(d2c, hub, large_model):
    hub.add("org/model", large_model)
    hub.misbehave(drop(1 << 20), times=2, host="store")  # takes a while, so that the second finds the first at it
    runs = [d2c.start("plan", "--model", "org/model", *SMALL) for _ in range(2)]
    for run in runs:
        _, stderr = run.communicate(timeout=300)
        assert run.returncode == 0, stderr
    assert len(hub.asked_for("", host="store")) == 8  # six pieces, two of them twice


# ---------------------------------------------------------------- misbehaviour

PASSING = {
    "connection_refused": refuse_connection,
    "drop": drop(1_000_000),
    "drop_at_once": drop(0),
    "short_answer": short(100_000),
    "other_range": other_range,
    "whole_file_for_a_range": ignore_range,
    "no_range_there": status(416),
    "corrupt": corrupt,
    "429": status(429),
    "500": status(500),
    "503_burst": status(503),
    "signature_expired": status(403),
    "other_size": header("Content-Range", "bytes 0-9/10"),
}


@pytest.mark.parametrize("fault", sorted(PASSING))
def test_passing_faults_of_the_store_are_overcome(d2c, hub, large_model, fault):
    commit = hub.add("org/model", large_model)
    misbehaviour = hub.misbehave(PASSING[fault], times=3, host="store")
    plan(d2c, "org/model")
    assert misbehaviour.used == 3
    snapshot = folder_of(d2c, "org/model") / "snapshots" / commit
    assert {name: (snapshot / name).read_bytes() for name in large_model} == large_model
    assert not list((folder_of(d2c, "org/model") / "blobs").glob("*.incomplete"))


@pytest.mark.parametrize("fault", ["connection_refused", "drop_at_once", "429", "500"])
@pytest.mark.parametrize("place, method", [("/api/", "GET"), ("config.json", "HEAD"), ("config.json", "GET")])
def test_passing_faults_of_the_hub_are_overcome(d2c, hub, fault, place, method):
    hub.add_folder("org/model", MODELS / "gqa_bf16")
    misbehaviour = hub.misbehave(PASSING[fault], place, times=2, method=method, host="hub")
    plan(d2c, "org/model")
    assert misbehaviour.used == 2


def test_a_slow_connection_is_given_up_for_another(d2c, hub, large_model):
    hub.add("org/model", large_model)
    d2c.variables["HF_HUB_DOWNLOAD_TIMEOUT"] = "2"
    misbehaviour = hub.misbehave(drip(100), times=1, host="store")
    plan(d2c, "org/model")
    assert misbehaviour.used == 1


def test_retry_after_is_honoured(d2c, hub):
    hub.add_folder("org/model", MODELS / "gqa_bf16")
    hub.misbehave(status(429, Retry_After=4), "/api/")
    start = time.monotonic()
    plan(d2c, "org/model")
    assert time.monotonic() - start >= 4


def test_a_long_retry_after_is_said_instead_of_waited_for(d2c, hub):
    hub.add_folder("org/model", MODELS / "gqa_bf16")
    hub.misbehave(status(429, Retry_After=7200), "/api/")
    done = d2c.run("plan", "--model", "org/model")
    assert done.returncode == NETWORK and "7200 s" in done.stderr


PERMANENT = {
    "connection_refused": (refuse_connection, ""),
    "drop": (drop(10), ""),
    "other_range": (other_range, "range"),
    "whole_file_for_a_range": (ignore_range, "range"),
    "corrupt": (corrupt, "digest"),
    "503": (status(503), "503"),
}


@pytest.mark.parametrize("fault", sorted(PERMANENT))
def test_lasting_faults_end_the_download_and_what_arrived_is_kept(d2c, hub, large_model, fault):
    commit = hub.add("org/model", large_model)
    act, word = PERMANENT[fault]
    d2c.variables["D2C_HUB_ATTEMPTS"] = "3"
    hub.misbehave(act, times=10_000, host="store")
    done = d2c.run("convert", "--model", "org/model", "-o", "out.mlpackage", *SMALL)
    assert done.returncode == NETWORK and "model.safetensors" in done.stderr and word in done.stderr, done.stderr
    folder = folder_of(d2c, "org/model")
    assert not (folder / "snapshots" / commit / "model.safetensors").exists()
    assert not (folder / "blobs" / digest_of("model.safetensors", large_model["model.safetensors"])).exists()
    assert not (folder / "refs").exists() and not (d2c.folder / "out.mlpackage").exists()
    hub.faults.clear()
    plan(d2c, "org/model")


def test_another_digest_than_the_bytes_have_is_an_error(d2c, hub):
    hub.add_folder("org/model", MODELS / "gqa_bf16")
    hub.misbehave(header("ETag", f'"{"0" * 40}"'), "config.json", method="HEAD")
    done = d2c.run("plan", "--model", "org/model")
    assert done.returncode == NETWORK and "config.json" in done.stderr and "digest" in done.stderr
    assert not list((folder_of(d2c, "org/model") / "blobs").glob("0" * 40))
    plan(d2c, "org/model")


def test_an_answer_without_a_digest_is_refused(d2c, hub):
    hub.add_folder("org/model", MODELS / "gqa_bf16")
    hub.misbehave(header("ETag", '"v1"'), "config.json", method="HEAD")
    done = d2c.run("plan", "--model", "org/model")
    assert done.returncode == NETWORK and "digest" in done.stderr


@pytest.mark.parametrize("listing", [
    b"<html>welcome</html>", b"[]", b"{}", b'{"sha": 5, "siblings": []}', b'{"sha": "../../etc", "siblings": []}',
    b'{"sha": "' + b"0" * 40 + b'", "siblings": {}}',
])  # fmt: skip
def test_answers_that_are_no_hub_s_are_refused(d2c, hub, listing):
    hub.add_folder("org/model", MODELS / "gqa_bf16")

    def replace(handler, answer):
        answer.body = listing

    hub.misbehave(replace, "/api/")
    done = d2c.run("plan", "--model", "org/model")
    assert done.returncode == NETWORK and "org/model" in done.stderr, done.stderr


def test_names_that_lead_out_of_the_snapshot_are_not_followed(d2c, hub):
    files = folder_files(MODELS / "gqa_bf16")
    hub.add("org/model", files | {"../../../evil.json": b"{}", "a/b.json": b"{}", "..": b"{}"})
    plan(d2c, "org/model")
    assert not list(d2c.folder.rglob("evil.json"))
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "../../../../x.safetensors"}}
    hub.add("org/other", {"config.json": b"{}", "model.safetensors.index.json": json.dumps(index).encode()})
    assert d2c.run("plan", "--model", "org/other").returncode == INPUT


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


@pytest.mark.parametrize("kind, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)])
def test_an_interrupted_download_is_continued(d2c, hub, large_model, kind, code):
    commit = hub.add("org/model", large_model)
    weights = large_model["model.safetensors"]
    incomplete = folder_of(d2c, "org/model") / "blobs" / (digest_of("model.safetensors", weights) + ".incomplete")
    d2c.variables["HF_HUB_DOWNLOAD_TIMEOUT"] = "60"
    hub.misbehave(drip(2000, beyond=2 * PIECE), times=10_000, host="store")
    run = d2c.start("convert", "--model", "org/model", "-o", "out.mlpackage", *SMALL)
    wait_until(lambda: incomplete.exists() and incomplete.stat().st_size >= 2 * PIECE)
    run.send_signal(kind)
    run.communicate(timeout=60)
    assert run.returncode == code and weights.startswith(incomplete.read_bytes())
    first_run = len(hub.requests)
    hub.faults.clear()
    d2c.ok("convert", "--model", "org/model", "-o", "out.mlpackage", *SMALL)
    assert (folder_of(d2c, "org/model") / "snapshots" / commit / "model.safetensors").read_bytes() == weights
    asked = [r.headers["Range"] for r in hub.requests[first_run:] if r.host == "store"]
    assert min(int(text[6:].split("-")[0]) for text in asked) >= 2 * PIECE


# ---------------------------------------------------------------- resources


def test_a_disk_too_small_is_refused_before_the_download(d2c, hub, large_model, tmp_path):
    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", mount], capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        hub.add("org/model", large_model)
        d2c.variables["HF_HUB_CACHE"] = str(mount)
        done = d2c.run("plan", "--model", "org/model")
        assert done.returncode == RESOURCE and "HF_HUB_CACHE" in done.stderr
        assert not hub.asked_for("", host="store")
    finally:
        subprocess.run(["umount", mount], check=True)


def test_a_write_that_fails_says_where_and_keeps_what_arrived(d2c, hub, large_model):
    hub.add("org/model", large_model)

    def small_files_only():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_000_000, 9_000_000))

    done = d2c.run("plan", "--model", "org/model", preexec_fn=small_files_only)
    assert done.returncode == RESOURCE and ".incomplete" in done.stderr, done.stderr
    plan(d2c, "org/model")


def test_a_cache_that_cannot_be_written_is_refused(d2c, hub):
    hub.add_folder("org/model", MODELS / "gqa_bf16")
    d2c.variables["HF_HUB_CACHE"] = "/proc/cache"
    done = d2c.run("plan", "--model", "org/model")
    assert done.returncode == RESOURCE and "HF_HUB_CACHE" in done.stderr


# ---------------------------------------------------------------- who is asked, and with what


def put_token(program, where):
    if where == "HF_TOKEN":
        program.variables["HF_TOKEN"] = "hf_good"
    else:
        path = program.folder / where
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("hf_good\n")


@pytest.mark.parametrize("where", ["HF_TOKEN", ".cache/huggingface/token", "secrets/mine"])
def test_the_token_goes_to_the_hub_and_nowhere_else(d2c, hub, where):
    hub.add_folder("org/model", MODELS / "gqa_bf16")
    put_token(d2c, where)
    if where == "secrets/mine":
        d2c.variables["HF_TOKEN_PATH"] = str(d2c.folder / where)
    done = d2c.ok("convert", "--model", "org/model", "-o", "out.mlpackage", "--json", "-v", *SMALL)
    assert {r.token for r in hub.requests if r.host == "hub"} == {"Bearer hf_good"}
    assert {r.token for r in hub.requests if r.host == "store"} == {None}
    assert "hf_good" not in done.stdout + done.stderr
    written = tree(d2c.folder / "out.mlpackage") | tree(cache_of(d2c))
    assert not any(b"hf_good" in data or b"X-Signature" in data for data in written.values())


def test_a_token_that_is_none_is_refused_without_showing_it(d2c, hub):
    hub.add_folder("org/model", MODELS / "gqa_bf16")
    d2c.variables["HF_TOKEN"] = "hf_secret\r\nX-Evil: 1"
    done = d2c.run("plan", "--model", "org/model")
    assert done.returncode == USAGE and "HF_TOKEN" in done.stderr and "hf_secret" not in done.stderr
    assert hub.requests == []


@pytest.mark.parametrize("token", [None, "hf_good"])
def test_a_gated_model_says_what_to_accept_and_where_the_token_goes(d2c, hub, token):
    hub.add_folder("org/model", MODELS / "gqa_bf16")
    hub.gated.add("org/model")
    if token:
        d2c.variables["HF_TOKEN"] = token
    done = d2c.run("convert", "--model", "org/model", "-o", "out.mlpackage")
    assert done.returncode == INPUT
    assert f"{hub.endpoint}/org/model" in done.stderr and "HF_TOKEN" in done.stderr and "accept" in done.stderr
    assert "hf_good" not in done.stderr


@pytest.mark.parametrize("token, word", [(None, "private"), ("hf_good", "no such model"), ("hf_bad", "not valid")])
def test_a_model_that_is_not_there_is_an_input_error(d2c, hub, token, word):
    if token:
        d2c.variables["HF_TOKEN"] = token
    done = d2c.run("convert", "--model", "org/nothing", "-o", "out.mlpackage")
    assert done.returncode == INPUT and word in done.stderr and "no local path" in done.stderr
    assert token is None or token not in done.stderr


def test_a_hub_that_cannot_be_reached_is_a_network_error(d2c, hub):
    files = folder_files(MODELS / "gqa_bf16")
    commit = hub.add("org/model", files)
    d2c.variables |= {"HF_ENDPOINT": "http://127.0.0.1:9", "D2C_HUB_ATTEMPTS": "2"}
    done = d2c.run("convert", "--model", "org/model", "-o", "out.mlpackage")
    assert done.returncode == NETWORK and "HF_HUB_OFFLINE" not in done.stderr
    fill_as_other_tools_do(folder_of(d2c, "org/model"), commit, files)
    done = d2c.run("convert", "--model", "org/model", "-o", "out.mlpackage")
    assert done.returncode == NETWORK and "HF_HUB_OFFLINE=1" in done.stderr


@pytest.mark.parametrize("endpoint", ["huggingface.co", "ftp://127.0.0.1", "http://me:secret@127.0.0.1"])
def test_an_endpoint_that_makes_no_sense_is_a_usage_error(d2c, endpoint):
    d2c.variables["HF_ENDPOINT"] = endpoint
    done = d2c.run("plan", "--model", "org/model")
    assert done.returncode == USAGE and "HF_ENDPOINT" in done.stderr and "secret" not in done.stderr


def test_requests_go_through_a_proxy(d2c, hub):
    hub.add_folder("org/model", MODELS / "gqa_bf16")
    d2c.variables |= {"HF_ENDPOINT": "http://hub.invalid", "http_proxy": hub.endpoint, "no_proxy": "localhost"}
    plan(d2c, "org/model")
    assert hub.asked_for("/api/models/org/model")


def test_a_token_is_not_sent_over_an_open_line(d2c, hub):
    hub.add_folder("org/model", MODELS / "gqa_bf16")
    d2c.variables |= {"HF_ENDPOINT": "http://hub.invalid", "http_proxy": hub.endpoint, "no_proxy": "localhost"}
    d2c.variables["HF_TOKEN"] = "hf_good"
    plan(d2c, "org/model")
    assert {r.token for r in hub.requests} == {None}


def test_a_local_folder_is_meant_before_a_hub_id(d2c, hub):
    (d2c.folder / "org").mkdir()
    (d2c.folder / "org/model").symlink_to(MODELS / "gqa_bf16")
    plan(d2c, "org/model")
    assert hub.requests == []


# ---------------------------------------------------------------- the cache's commands


def test_cache_list_tells_models_commits_and_sizes(d2c, hub):
    files = folder_files(MODELS / "gqa_bf16")
    commit = hub.add("org/model", files)
    plan(d2c, "org/model")
    report = d2c.report("cache", "list")
    assert report["cache"] == str(cache_of(d2c))
    [model] = report["models"]
    assert model["id"] == "org/model" and model["bytes"] == sum(map(len, files.values()))
    [snapshot] = model["snapshots"]
    assert (snapshot["commit"], snapshot["refs"], set(snapshot["files"])) == (commit, ["main"], set(files))
    assert "org/model" in d2c.ok("cache", "list").stdout
    assert "org/other" in d2c.refused(INPUT, "cache", "list", "org/other")


def test_cache_list_of_no_cache_is_empty(d2c):
    assert d2c.report("cache", "list")["models"] == []


def test_cache_verify_finds_a_damaged_file_and_a_missing_one(d2c, hub):
    files = folder_files(MODELS / "gqa_bf16")
    hub.add("org/model", files)
    plan(d2c, "org/model")
    assert d2c.run("cache", "verify").returncode == 0
    blobs = folder_of(d2c, "org/model") / "blobs"
    damaged = blobs / digest_of("model.safetensors", files["model.safetensors"])
    damaged.write_bytes(files["model.safetensors"][:-1] + b"x")
    gone = blobs / digest_of("config.json", files["config.json"])
    gone.unlink()
    done = d2c.run("cache", "verify", "--json")
    assert done.returncode == 1
    [model] = json.loads(done.stdout)["models"]
    assert len(model["damage"]) == 2 and str(damaged) in done.stdout and "config.json" in done.stdout
    damaged.unlink()
    plan(d2c, "org/model")
    assert d2c.run("cache", "verify").returncode == 0


def test_cache_prune_removes_what_no_revision_needs(d2c, hub):
    files = folder_files(MODELS / "gqa_bf16")
    old = hub.add("org/model", files | {"generation_config.json": b'{"old": 1}'})
    plan(d2c, "org/model")
    new = hub.add("org/model", files)
    plan(d2c, "org/model")
    folder = folder_of(d2c, "org/model")
    (folder / "blobs" / ("0" * 64 + ".incomplete")).write_bytes(b"half")
    before = tree(folder)
    assert len(d2c.report("cache", "prune", "--dry-run")["models"][0]["removed"]) == 3
    assert tree(folder) == before
    d2c.ok("cache", "prune")
    assert [p.name for p in (folder / "snapshots").iterdir()] == [new] != [old]
    assert {p.name for p in (folder / "blobs").iterdir()} == {digest_of(n, d) for n, d in files.items()}
    plan(d2c, "org/model")
