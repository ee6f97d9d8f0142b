"""What goes wrong ends in one sentence, the documented exit code, and nothing left behind."""

import json
import os
import subprocess

import pytest
from conftest import MALFORMED, MODELS, ROOT, SMALL, settings, tree

CONVERT = ["convert", "--model", MODELS / "gqa_bf16", *SMALL]
USAGE, INPUT, RESOURCE, PLUGIN = 2, 3, 5, 6


def leftovers(program):
    return sorted(p.name for p in program.folder.iterdir())


def test_success_leaves_the_package_alone(d2c):
    d2c.ok(*CONVERT, "-o", "out.mlpackage")
    assert leftovers(d2c) == ["out.mlpackage"]


def test_an_existing_output_is_kept_unless_forced(d2c):
    (d2c.folder / "out.mlpackage").mkdir()
    (d2c.folder / "out.mlpackage/mine.txt").write_text("precious")
    message = d2c.refused(USAGE, *CONVERT, "-o", "out.mlpackage")
    assert "out.mlpackage" in message and "--force" in message
    assert tree(d2c.folder) == {"out.mlpackage/mine.txt": b"precious"}


def test_force_replaces_a_package(d2c):
    d2c.ok(*CONVERT, "-o", "out.mlpackage", *settings(quantize__bits=2))
    d2c.ok(*CONVERT, "-o", "new.mlpackage")
    d2c.ok(*CONVERT, "-o", "out.mlpackage", "--force")
    assert tree(d2c.folder / "out.mlpackage") == tree(d2c.folder / "new.mlpackage")
    assert leftovers(d2c) == ["new.mlpackage", "out.mlpackage"]


def test_a_failed_run_with_force_keeps_the_old_package(d2c):
    d2c.ok(*CONVERT, "-o", "out.mlpackage")
    before = tree(d2c.folder)
    d2c.refused(INPUT, "convert", "--model", MALFORMED / "model_missing_tensor", "-o", "out.mlpackage", "--force")
    assert tree(d2c.folder) == before


def test_a_missing_output_folder_is_refused(d2c):
    message = d2c.refused(USAGE, *CONVERT, "-o", "nowhere/out.mlpackage")
    assert "nowhere" in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission_is_refused(d2c):
    (d2c.folder / "locked").mkdir(mode=0o555)
    assert "locked" in d2c.refused(RESOURCE, *CONVERT, "-o", "locked/out.mlpackage")


def test_a_file_system_that_takes_no_files_is_refused(d2c):
    assert "/proc" in d2c.refused(RESOURCE, *CONVERT, "-o", "/proc/out.mlpackage")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    mount = tmp_path / "disk"
    mount.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mount], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield mount
    subprocess.run(["umount", mount], check=True)


def test_a_disk_too_small_is_refused_before_anything_is_written(d2c, small_disk):
    message = d2c.refused(RESOURCE, *CONVERT, "-o", small_disk / "out.mlpackage")
    assert "disk" in message or "space" in message
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize(
    "toml, place, hint",
    [
        ("[quantize]\nbitz = 4\n", "2:1", "bits"),
        ("[quantize]\nbits = 5\n", "2:", "1,2,3,4,6,8"),
        ('[quantize]\nbits = "four"\n', "2:", "integer"),
        ("[quantise]\nbits = 4\n", "1:", "quantize"),
        ("[quantize\nbits = 4\n", "1:", ""),
        ('schema = 1\nextends = "nothing.toml"\n', "2:", "nothing.toml"),
        ('[[quantize.rule]]\nmatch = "no_such_role"\nbits = 8\n', "2:", "no_such_role"),
        ("[graph]\nkv = \"sideways\"\n", "2:", "packed"),
    ],
)
def test_a_recipe_error_names_file_line_and_column(d2c, toml, place, hint):
    recipe = d2c.folder / "mine.toml"
    if "extends" not in toml:
        toml = f'schema = 1\nextends = "base"\n[model]\nsource = "{MODELS / "gqa_bf16"}"\n' + toml
        line, _, column = place.partition(":")
        place = f"{int(line) + 4}:{column}"
    recipe.write_text(toml)
    message = d2c.refused(USAGE, "convert", recipe, "-o", "out.mlpackage")
    assert f"mine.toml:{place}" in message and hint in message, message
    assert leftovers(d2c) == ["mine.toml"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--frobnicate"],
        ["convert", "--model"],
        ["convert", "--frobnicate", "-o", "x.mlpackage"],
        ["juggle"],
        ["convert", "no_such_recipe", "-o", "x.mlpackage"],
        ["convert", "--model", MODELS / "gqa_bf16", "--set", "quantize.bitz=4", "-o", "x.mlpackage"],
        ["convert", "--model", MODELS / "gqa_bf16", "--set", "quantize.bits=5", "-o", "x.mlpackage"],
        ["convert", "--model", MODELS / "gqa_bf16", "--set", "no_equals_sign", "-o", "x.mlpackage"],
    ],
)
def test_usage_errors_exit_2(d2c, arguments):
    done = d2c.run(*arguments)
    assert done.returncode == USAGE, done.stderr
    assert done.stdout == "" and len(done.stderr) > 20
    assert leftovers(d2c) == []


def test_a_missing_model_is_an_input_error(d2c):
    assert "no/such/model" in d2c.refused(INPUT, "convert", "--model", "./no/such/model", "-o", "out.mlpackage")


def test_an_unknown_plugin_names_those_there_are(d2c):
    message = d2c.refused(PLUGIN, *CONVERT, "-o", "out.mlpackage", *settings(quantize__plugin="quant_nothing"))
    assert "quant_nothing" in message and "quant_palettize4" in message


def test_an_adapter_that_matches_nothing_is_an_input_error(d2c):
    d2c.refused(INPUT, *CONVERT, "--adapter", MALFORMED / "target_module_not_in_model", "-o", "out.mlpackage")
    assert leftovers(d2c) == []


@pytest.mark.parametrize("adapter", ["lm_head_lora_tied", "modules_to_save_tied_head"])
def test_an_adapter_of_a_head_that_the_recipe_shares_is_refused_with_the_key_to_change(d2c, adapter):
    data = ROOT / "tests/data/lora_unsloth"
    arguments = ["convert", "--model", data / "models/base_tied_fp16", "--adapter", data / "adapters" / adapter, *SMALL,
                 "-o", "out.mlpackage"]
    message = d2c.refused(INPUT, *arguments, *settings(adapters__tied="shared"))
    assert "lm_head" in message and "adapters.tied" in message and "untie" in message, message
    assert leftovers(d2c) == []
    d2c.ok(*arguments)


INDEX = json.loads((MALFORMED / "index.json").read_text())
# Where the index leaves a choice, what this program does: "accepted" means converted, perhaps with a warning.
CHOICES = {"model_extra_layer": "accepted", "peft_type_missing": "refused"}


@pytest.mark.parametrize("case", sorted(INDEX))
def test_malformed_input(d2c, case):
    entry = INDEX[case]
    data = MALFORMED.parent
    arguments = ["convert", "--model", data / entry["model"], *SMALL, "-o", "out.mlpackage"]
    for adapter in entry["adapters"]:
        arguments += ["--adapter", data / adapter["dir"]]
    if entry["expect"].startswith("accept") and CHOICES.get(case) != "refused" or CHOICES.get(case) == "accepted":
        d2c.ok(*arguments)
        assert leftovers(d2c) == ["out.mlpackage"]
    else:
        d2c.refused(INPUT, *arguments)
        assert leftovers(d2c) == []
