"""Plugins are code: which are loaded, which are refused, and who is named when one crashes."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from conftest import MODELS, SMALL, Program, settings

PLUGIN = 6
CRASHING = Path(os.environ["D2C_TEST_PLUGIN"])
CONVERT = ["convert", "--model", MODELS / "gqa_bf16", *SMALL, "-o", "out.mlpackage", "-q"]


@pytest.fixture
def folder(tmp_path):
    """A folder of plugins with the crashing one in it."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    shutil.copy(CRASHING, folder)
    return folder


def crash(folder, how):
    return [*CONVERT, "--plugin-dir", folder, *settings(quantize__plugin="quant_crash", quantize__how=how)]


@pytest.mark.parametrize("how, signal", [("segv", "SIGSEGV"), ("abort", "SIGABRT"), ("overflow", "SIGSEGV")])
def test_a_crash_in_a_plugin_names_plugin_and_function(d2c, folder, how, signal):
    message = d2c.refused(PLUGIN, *crash(folder, how))
    assert "'quant_crash'" in message and "quantizer.process" in message and signal in message, message
    assert not (d2c.folder / "out.mlpackage").exists()
    d2c.ok(*CONVERT)


def test_only_folders_of_the_search_path_are_looked_into(d2c, folder, tmp_path):
    message = d2c.refused(PLUGIN, *CONVERT, *settings(quantize__plugin=folder / CRASHING.name))
    assert "no plugin" in message and "search path" in message
    here = tmp_path / "here"
    here.mkdir()
    shutil.copy(CRASHING, here)
    assert "no plugin" in Program(here).refused(PLUGIN, *CONVERT, *settings(quantize__plugin="quant_crash"))


@pytest.mark.parametrize("whose", ["file", "folder", "folder above"])
def test_what_every_user_may_write_is_not_loaded(d2c, folder, whose):
    opened = {"file": folder / CRASHING.name, "folder": folder, "folder above": folder.parent}[whose]
    mode = opened.stat().st_mode
    opened.chmod(mode | 0o002)
    try:
        message = d2c.refused(PLUGIN, *crash(folder, "segv"))
        assert f"chmod o-w {opened}" in message
        plugins = d2c.report("plugins", "list", "--plugin-dir", folder)["plugins"]
        assert [p["status"] for p in plugins if p["name"] == "quant_crash"] == ["refused"]
    finally:
        opened.chmod(mode)
    assert "crashed" in d2c.refused(PLUGIN, *crash(folder, "segv"))


def test_a_pinned_digest_is_honoured_before_the_plugin_runs(d2c, folder):
    recipe = d2c.folder / "mine.toml"

    def refused(digest):
        recipe.write_text(
            f'extends = "base"\n[model]\nsource = "{MODELS / "gqa_bf16"}"\n[quantize]\nplugin = "quant_crash"\n'
            f'[[plugin]]\nname = "quant_crash"\npath = "{folder / CRASHING.name}"\nsha256 = "{digest}"\n')
        return d2c.refused(PLUGIN, "convert", recipe, *SMALL, "-o", "out.mlpackage", "-q")

    digest = hashlib.sha256(CRASHING.read_bytes()).hexdigest()
    assert "crashed" in refused(digest)
    wrong = refused("0" * 64)
    assert "mine.toml:6" in wrong and digest in wrong and "pins" in wrong, wrong
