"""What one thread computes, several compute: small runs of everything that has workers, for the thread sanitizer too."""

import pytest
from conftest import ROOT, settings, tree

ADAPTED = ROOT / "tests/data/lora_unsloth"
THREADS = (1, 4)


@pytest.fixture
def package(convert):
    return convert("synthetic:smollm2-135m", "--threads", 4, *settings(model__layers=1)).path


@pytest.mark.parametrize("precision", ["fp32", "fp16", "fast"])
def test_generation(d2c, package, precision):
    reports = [d2c.report("generate", package, "--tokens", ",".join(map(str, range(2, 40))), "--max-new-tokens", 4,
                          "--precision", precision, "--threads", threads) for threads in THREADS]
    assert reports[0]["tokens"] == reports[1]["tokens"]


def test_embedding(d2c, package):
    (d2c.folder / "tokens.json").write_text('[{"input_ids": [3, 4, 5, 6], "pooling_mask": [0, 1, 1, 1]}]')
    for threads in THREADS:
        d2c.ok("embed", package, "--tokens-file", "tokens.json", "--out", f"{threads}.npy", "--threads", threads)
    assert (d2c.folder / "1.npy").read_bytes() == (d2c.folder / "4.npy").read_bytes()


def test_merging(d2c):
    for threads in THREADS:
        d2c.ok("merge", "--model", ADAPTED / "models/base_bf16", "--adapter", ADAPTED / "adapters/layers_to_transform",
               "-o", threads, "--threads", threads)
    assert tree(d2c.folder / "1") == tree(d2c.folder / "4")
