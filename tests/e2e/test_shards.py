"""Several runs make one package: the same bytes as one run, and nothing joined that does not belong together."""

import shutil

import pytest
from conftest import MODELS, SMALL, settings, tree

INPUT, USAGE = 3, 2
MODEL = ["--model", MODELS / "gqa_bf16", *SMALL]


def make_shards(d2c, count, *flags):
    for number in range(1, count + 1):
        report = d2c.report("convert", *MODEL, *flags, "-o", "out.mlpackage", "--shard", f"{number}/{count}")
        assert report["shard"] == f"{number}/{count}"


@pytest.mark.parametrize("count", [1, 3])
def test_shards_join_to_the_package_of_one_run(d2c, count):
    d2c.ok("convert", *MODEL, "-o", "whole.mlpackage")
    make_shards(d2c, count)
    report = d2c.report("assemble", *MODEL, "-o", "out.mlpackage")
    assert tree(d2c.folder / "out.mlpackage") == tree(d2c.folder / "whole.mlpackage")
    assert sorted(p.name for p in d2c.folder.iterdir()) == ["out.mlpackage", "whole.mlpackage"]
    whole = d2c.report("convert", *MODEL, "-o", "whole.mlpackage", "--force")
    assert report["quantization"] == whole["quantization"]


def test_a_part_may_be_made_from_a_copy_of_the_model_elsewhere(d2c):
    make_shards(d2c, 2)
    shutil.copytree(MODELS / "gqa_bf16", d2c.folder / "copy")
    d2c.ok("assemble", "--model", "copy", *SMALL, "-o", "out.mlpackage")


def test_a_missing_part_is_named(d2c):
    make_shards(d2c, 3)
    shutil.rmtree(d2c.folder / "out.mlpackage.shard-2-of-3")
    assert "2/3" in d2c.refused(INPUT, "assemble", *MODEL, "-o", "out.mlpackage")
    assert not (d2c.folder / "out.mlpackage").exists()


def test_assembling_nothing_says_what_to_run(d2c):
    assert "--shard" in d2c.refused(INPUT, "assemble", *MODEL, "-o", "out.mlpackage")


def test_parts_of_other_settings_are_refused(d2c):
    make_shards(d2c, 2, *settings(quantize__group_size=8))
    assert "other settings" in d2c.refused(INPUT, "assemble", *MODEL, "-o", "out.mlpackage")


def test_parts_of_other_weights_are_refused(d2c):
    make_shards(d2c, 2)
    model = shutil.copytree(MODELS / "gqa_bf16", d2c.folder / "copy")
    file = next(model.glob("*.safetensors"))
    data = bytearray(file.read_bytes())
    data[-2] ^= 1
    file.write_bytes(data)
    message = d2c.refused(INPUT, "assemble", "--model", "copy", *SMALL, "-o", "out.mlpackage")
    assert "shard 1/2 again" in message


def test_a_part_cut_short_is_refused(d2c):
    make_shards(d2c, 2)
    file = d2c.folder / "out.mlpackage.shard-1-of-2" / "weights.bin"
    file.write_bytes(file.read_bytes()[:-1])
    assert "copy it again" in d2c.refused(INPUT, "assemble", *MODEL, "-o", "out.mlpackage")


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3", "-1/2"])
def test_an_impossible_shard_is_a_usage_error(d2c, shard):
    assert "--shard" in d2c.refused(USAGE, "convert", *MODEL, "-o", "out.mlpackage", f"--shard={shard}")
