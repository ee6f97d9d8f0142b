"""Every adapter and combination of the goldens through `merge`, and every malformed adapter refused.

D2C_GOLDENS names a set: a folder with cases.json and the files it mentions. Without it, the small set of this repository.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from program import ROOT, Program, read_checkpoint, read_tensors, settings

FOLDER = Path(os.environ.get("D2C_GOLDENS") or ROOT / "tests/data/lora_unsloth")
CASES = json.loads((FOLDER / "cases.json").read_text())["cases"]
# What PiSSA took out of its base is known only as well as a decomposition in fp32 tells it; the program says what to do.
RAW = {"adapter/pissa_raw": "pissa"}
COMBINATIONS = {None: "sequential", "set": "sequential"}


def cases(kind):
    return [c for c in CASES if c["kind"] == kind]


MERGES = [c for c in cases("lora_merge") if c["name"] not in RAW]


def name_of(case):
    return case["name"]


def flags(case):
    combination = case.get("combination_type")
    found = ["--model", FOLDER / case["model"], "--combination", COMBINATIONS.get(combination, combination)]
    for adapter in case["adapters"]:
        found += ["--adapter", f"{FOLDER / adapter['dir']}:{adapter['weight']}"]
    return [*found, *settings(**{f"adapters__{k}": v for k, v in case.get("combine_kwargs", {}).items()})]


def tied_flags(case):
    """PEFT adds to the one tensor that embedding and head share, unless it replaces the head."""
    return ["--tied", "untie" if case["head_untied_by_merge"] else "shared"]


def raw_tensors(folder):
    """name -> (dtype, bytes) over all files of a checkpoint."""
    tensors = {}
    for file in sorted(Path(folder).glob("*.safetensors")):
        raw = file.read_bytes()
        size = int.from_bytes(raw[:8], "little")
        for name, info in json.loads(raw[8 : 8 + size]).items():
            if name != "__metadata__":
                first, last = info["data_offsets"]
                tensors[name] = (info["dtype"], raw[8 + size + first : 8 + size + last])
    return tensors


def raw_file(file):
    raw = Path(file).read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    return {n: raw[8 + size + i["data_offsets"][0] : 8 + size + i["data_offsets"][1]]
            for n, i in header.items() if n != "__metadata__"}


def merged(tmp_path, case, *more):
    Program(tmp_path).ok("merge", *flags(case), *more, "-o", "merged", "--quiet")
    return tmp_path / "merged"


def tensor_of(tensors, name):
    """The head of a model that stays tied is its embedding."""
    return tensors[name] if name in tensors else tensors["model.embed_tokens.weight"]


@pytest.mark.parametrize("case", MERGES, ids=name_of)
def test_a_merge_in_fp32_is_peft_s(case, tmp_path):
    ours = read_checkpoint(merged(tmp_path, case, *tied_flags(case), "--dtype", "fp32"))
    theirs = read_tensors(FOLDER / case["merged_fp32"])
    assert set(theirs) == set(case["changed_tensors"])
    for name, expected in theirs.items():
        limit = case["tolerance"]["merged_fp32_abs"] + case["tolerance"]["merged_fp32_rel"] * np.abs(expected)
        assert (np.abs(tensor_of(ours, name) - expected) <= limit).all(), name


@pytest.mark.parametrize("case", MERGES, ids=name_of)
def test_what_no_adapter_changes_keeps_its_bytes(case, tmp_path):
    ours = raw_tensors(merged(tmp_path, case, *tied_flags(case)))
    base = raw_tensors(FOLDER / case["model"])
    for name, stored in base.items():
        if name not in case["changed_tensors"]:
            assert ours[name] == stored, name
    assert set(ours) - set(base) <= {"lm_head.weight"}


@pytest.mark.parametrize("case", [c for c in MERGES if c.get("merged_cast")], ids=name_of)
def test_changed_tensors_are_rounded_once(case, tmp_path):
    """PEFT sums in another order: where the fp32 results differ in their last bits, a tie may fall either way, and next to
    zero, where base and change cancel out, those bits are all there is."""
    limits = case["tolerance"]
    folder = merged(tmp_path, case, *tied_flags(case))
    ours, values = raw_tensors(folder), read_checkpoint(folder)
    rounded = read_tensors(FOLDER / case["merged_cast"])
    differing = total = 0
    for name, expected in raw_file(FOLDER / case["merged_cast"]).items():
        a = np.frombuffer(tensor_of(ours, name)[1], np.int16).astype(np.int32)
        b = np.frombuffer(expected, np.int16).astype(np.int32)
        near = np.abs(tensor_of(values, name) - rounded[name]).ravel() <= limits["merged_fp32_abs"]
        assert ((np.abs(a - b) <= limits["merged_cast_ulp"]) | near).all(), name
        differing += int((a != b).sum())
        total += a.size
    assert differing <= total * 1e-3, f"{differing} of {total} elements differ"


@pytest.mark.parametrize("case", [c for c in cases("lora_merge") if c["name"] in RAW], ids=name_of)
def test_adapters_that_belong_to_a_base_in_no_file_are_refused_by_name(case, tmp_path):
    sentence = Program(tmp_path).refused(3, "merge", *flags(case), "-o", "merged")
    assert RAW[case["name"]] in sentence and "path_initial_model_for_weight_conversion" in sentence
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("case", [c for c in cases("reject") if c["adapters"]], ids=name_of)
def test_malformed_adapters_are_refused_and_leave_nothing(case, tmp_path):
    program = Program(tmp_path)
    arguments = ["merge", *flags(case), "-o", "merged"]
    if case["expect"] == "reject":
        sentence = program.refused(3, *arguments)
        assert Path(case["adapters"][0]["dir"]).name in sentence
    elif case["expect"].startswith("accept") and not case["expect"].endswith("reject"):
        program.ok(*arguments)
        return
    elif (done := program.run(*arguments)).returncode == 0:
        return
    else:
        assert done.returncode == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("case", [c for c in cases("reject") if not c["adapters"]], ids=name_of)
def test_malformed_models_are_not_merged_into_good_looking_ones(case, tmp_path):
    done = Program(tmp_path).run("merge", "--model", FOLDER / case["model"], "-o", "merged")
    assert done.returncode == 3 if case["expect"] == "reject" else done.returncode in (0, 3)
    assert done.returncode == 0 or list(tmp_path.iterdir()) == []
