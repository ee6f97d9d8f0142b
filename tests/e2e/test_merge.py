"""`merge`: checkpoints that Hugging Face libraries load, resumable, whole or not there."""

import json
import signal
import sys
import time

import pytest
from program import ROOT, Program, read_checkpoint, read_tensors, settings, tree

sys.path[:0] = [str(ROOT / "tests/golden/merge")]
from adapter_folder import lora, write_adapter  # noqa: E402

DATA = ROOT / "tests/data/lora_unsloth"
MODEL = DATA / "models/base_bf16"
TIED = DATA / "models/base_tied_fp16"
ADAPTER = DATA / "adapters/layers_to_transform"
HEAD = DATA / "adapters/lm_head_lora_tied"


@pytest.fixture
def program(tmp_path):
    return Program(tmp_path)


def test_without_adapters_a_merge_is_a_copy(program, tmp_path):
    program.ok("merge", "--model", MODEL, "-o", "out")
    ours, theirs = read_checkpoint(tmp_path / "out"), read_checkpoint(MODEL)
    assert ours.keys() == theirs.keys() and all((ours[n] == theirs[n]).all() for n in theirs)
    assert (tmp_path / "out/config.json").read_bytes() == (MODEL / "config.json").read_bytes()


def test_small_shards_come_with_an_index(program, tmp_path):
    program.ok("merge", "--model", MODEL, "--adapter", ADAPTER, "--max-shard-size", "40K", "-o", "out")
    program.ok("merge", "--model", MODEL, "--adapter", ADAPTER, "-o", "whole")
    index = json.loads((tmp_path / "out/model.safetensors.index.json").read_text())
    files = {f.name for f in (tmp_path / "out").glob("*.safetensors")}
    assert len(files) > 2 and set(index["weight_map"].values()) == files
    for name, file in index["weight_map"].items():
        assert name in read_tensors(tmp_path / "out" / file)
    sharded, whole = read_checkpoint(tmp_path / "out"), read_checkpoint(tmp_path / "whole")
    assert sharded.keys() == whole.keys() and all((sharded[n] == whole[n]).all() for n in whole)


def test_an_adapter_of_a_tied_head_unties_or_is_shared(program, tmp_path):
    for tied, has_head in (("untie", True), ("shared", False)):
        report = program.report("merge", "--model", TIED, "--adapter", HEAD, "--tied", tied, "-o", tied)
        config = json.loads((tmp_path / tied / "config.json").read_text())
        assert ("lm_head.weight" in read_checkpoint(tmp_path / tied)) == has_head == report["untied"]
        assert config["tie_word_embeddings"] is not has_head


def test_a_type_for_all_weights_is_in_the_config(program, tmp_path):
    program.ok("merge", "--model", MODEL, "--adapter", ADAPTER, "--dtype", "fp32", "-o", "out")
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config.get("dtype", config.get("torch_dtype")) == "float32"


def test_the_report_proves_the_merge(program):
    report = program.report("merge", "--model", MODEL, "--adapter", ADAPTER, "--dtype", "fp32", "-o", "out")
    assert report["changed"] and all(c["delta_norm"] > 0 and c["cosine"] > 0.9999 for c in report["changed"])
    assert 0.999 < report["merge"]["share"] < 1.001


def test_threads_and_memory_do_not_change_a_byte(program, tmp_path):
    for threads in (1, 3):
        program.ok("merge", "--model", MODEL, "--adapter", ADAPTER, "-j", threads, "-o", str(threads))
    assert tree(tmp_path / "1") == tree(tmp_path / "3")


def test_an_existing_output_is_kept_unless_forced(program, tmp_path):
    (tmp_path / "out").mkdir()
    assert "--force" in program.refused(2, "merge", "--model", MODEL, "-o", "out")
    program.ok("merge", "--model", MODEL, "-o", "out", "--force")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize("combination", ["linear", "cat", "svd", "ties", "dare_linear", "dare_ties", "magnitude_prune", "ties_svd",
                                         "dare_linear_svd", "dare_ties_svd", "magnitude_prune_svd"])
def test_every_combination_gives_the_same_bytes_each_time(program, tmp_path, combination):
    base = DATA / "models/base_bias_fp32"
    pair = ["--adapter", DATA / "adapters/comb_1", "--adapter", f"{DATA / 'adapters/comb_2'}:0.5"]
    for name in ("a", "b"):
        program.ok("merge", "--model", base, *pair, "--combination", combination, "-o", name)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_another_seed_drops_other_elements(program, tmp_path):
    base = DATA / "models/base_bias_fp32"
    pair = ["--adapter", DATA / "adapters/comb_1", "--adapter", DATA / "adapters/comb_2"]
    for seed in (1, 2):
        program.ok("merge", "--model", base, *pair, "--combination", "dare_linear", "--set", f"adapters.seed={seed}",
                   "-o", str(seed))
    assert tree(tmp_path / "1") != tree(tmp_path / "2")


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_a_merge_that_was_stopped_continues_to_the_same_bytes(program, tmp_path, signal_number):
    factors = {k: v for layer in range(4) for k, v in lora(layer, "mlp.down_proj", 2048, 8192, 4, seed=layer).items()}
    write_adapter(tmp_path / "adapter", factors, target_modules=["down_proj"])
    request = ["merge", "--model", "synthetic:llama3.2-1b", *settings(model__layers=4), "--adapter", "adapter",
               "--max-shard-size", "100M", "--json"]
    process = program.start(*request, "-o", "stopped", "--threads", "1")  # slower than the disk that has to keep up
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if any(journal.stat().st_size for journal in tmp_path.glob(".stopped.d2c/journal")):
            break
        time.sleep(0.01)
    process.send_signal(signal_number)
    process.communicate(timeout=60)
    assert process.returncode != 0, "the merge was over before it could be stopped"
    assert not (tmp_path / "stopped").exists()
    resumed, whole = program.report(*request, "-o", "stopped"), program.report(*request, "-o", "whole")
    assert tree(tmp_path / "stopped") == tree(tmp_path / "whole")
    assert resumed["changed"] == whole["changed"] and len(whole["changed"]) == 4
