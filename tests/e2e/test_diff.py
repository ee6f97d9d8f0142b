"""`diff`: what differs between two checkpoints, and exit code 1 where anything does."""

import json

import pytest
from program import ROOT, SMALL, Program, settings

DATA = ROOT / "tests/data/lora_unsloth"
MODEL = DATA / "models/base_bf16"
ADAPTER = DATA / "adapters/layers_to_transform"


@pytest.fixture
def program(tmp_path):
    program = Program(tmp_path)
    program.ok("merge", "--model", MODEL, "--adapter", ADAPTER, "-o", "merged")
    return program


def differences(program, *arguments):
    done = program.run("diff", *arguments, "--json")
    assert done.returncode == 1 and done.stderr == "", done.stderr
    return json.loads(done.stdout)


def test_a_checkpoint_equals_itself(program):
    report = program.report("diff", MODEL, MODEL)
    assert report["equal"] and report["different"] == [] and report["compared"] > 10


def test_what_a_merge_changed_is_named_with_its_size(program):
    changed = {c["name"]: c for c in program.report("merge", "--model", MODEL, "--adapter", ADAPTER, "-o", "again")["changed"]}
    found = differences(program, MODEL, "merged")
    assert {d["name"] for d in found["different"]} == set(changed)
    assert all(d["max_abs"] > 0 and 0 < d["relative"] < 1 and d["cosine"] > 0.5 for d in found["different"])


def test_a_tolerance_forgives_small_differences(program):
    largest = max(d["max_abs"] for d in differences(program, MODEL, "merged")["different"])
    assert program.report("diff", MODEL, "merged", "--tolerance", largest)["equal"]
    assert not differences(program, MODEL, "merged", "--tolerance", largest / 2)["equal"]


def test_missing_and_extra_tensors_are_named(program):
    program.ok("merge", "--model", DATA / "models/base_tied_fp16", "--adapter", DATA / "adapters/lm_head_lora_tied", "-o", "untied")
    found = differences(program, DATA / "models/base_tied_fp16", "untied")
    assert found["extra"] == ["lm_head.weight"] and found["missing"] == []
    assert differences(program, "untied", DATA / "models/base_tied_fp16")["missing"] == ["lm_head.weight"]


def test_another_type_is_a_difference_unless_a_tolerance_is_given(program):
    program.ok("merge", "--model", MODEL, "--dtype", "fp32", "-o", "wide")
    assert all(d["max_abs"] == 0 and "types" in d["reason"] for d in differences(program, MODEL, "wide")["different"])
    assert program.report("diff", MODEL, "wide", "--tolerance", 1e-9)["equal"]


EXACT = settings(quantize__plugin='"none"', graph__precision='"fp32"')


@pytest.fixture
def packages(program):
    for name, flags in (("exact", EXACT), ("four", []), ("eight", settings(quantize__bits=8))):
        program.ok("convert", "--model", MODEL, *SMALL, *flags, "-o", f"{name}.mlpackage")
    return program


def test_a_package_in_fp32_equals_its_checkpoint(packages):
    for pair in (("exact.mlpackage", MODEL), (MODEL, "exact.mlpackage")):
        report = packages.report("diff", *pair)
        assert report["equal"] and report["compared"] == 21 and report["different"] == []


def test_a_package_differs_from_its_checkpoint_by_the_quantization(packages):
    found = {bits: {d["name"]: d for d in differences(packages, MODEL, f"{bits}.mlpackage")["different"]} for bits in ("four", "eight")}
    for name, four in found["four"].items():
        if not name.endswith("_proj.weight"):
            continue
        eight = found["eight"][name]
        assert 0.9 < four["cosine"] < eight["cosine"] and eight["relative"] < four["relative"] < 0.2, name
        assert four["type_a"].startswith("bf16") and "palette" in four["type_b"]


def test_two_packages_are_compared_weight_by_weight(packages):
    assert packages.report("diff", "four.mlpackage", "four.mlpackage")["equal"]
    found = differences(packages, "four.mlpackage", "eight.mlpackage")
    assert found["missing"] == found["extra"] == [] and len(found["different"]) >= 14
    assert packages.report("diff", "four.mlpackage", "eight.mlpackage", "--tolerance", 10)["equal"]


def test_a_merged_adapter_shows_in_the_package(packages):
    packages.ok("convert", "--model", MODEL, "--adapter", ADAPTER, *SMALL, *EXACT, "-o", "merged.mlpackage")
    expected = {d["name"].replace(".", "_") for d in differences(packages, MODEL, "merged")["different"]}
    assert {d["name"] for d in differences(packages, "exact.mlpackage", "merged.mlpackage")["different"]} == expected


def test_what_is_no_checkpoint_is_refused(program, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty" in program.refused(3, "diff", MODEL, "empty")
