"""`doctor` says what is missing, and what to do about it."""

import json

import pytest
from conftest import MODELS, SMALL

USAGE = 2


def findings(program, *arguments, code=0):
    done = program.run("doctor", *arguments, "--json")
    assert done.returncode == code, done.stderr
    report = json.loads(done.stdout)
    assert report["healthy"] == (code == 0)
    return report["findings"]


def of(found, subject, verdict):
    return [f for f in found if (f["subject"], f["verdict"]) == (subject, verdict)]


def test_a_machine_that_has_everything_is_healthy(d2c):
    found = findings(d2c)
    for subject in ("machine", "recipes", "plugins", "disk", "cache", "hub"):
        assert [f for f in found if f["subject"] == subject], subject
    assert not [f for f in found if f["verdict"] == "problem"]
    assert "ok" in d2c.ok("doctor").stdout
    assert list(d2c.folder.iterdir()) == []


def test_a_refused_plugin_is_a_problem_with_its_reason(d2c):
    folder = d2c.folder / "plugins"
    folder.mkdir()
    (folder / "mine.so").write_bytes(b"no library")
    [problem] = of(findings(d2c, "--plugin-dir", folder, code=1), "plugins", "problem")
    assert "mine.so" in problem["what"] and "remove" in problem["remedy"]


def test_a_folder_that_takes_no_files_is_a_problem(d2c):
    [problem] = of(findings(d2c, "/proc", code=1), "disk", "problem")
    assert "/proc" in problem["what"]


def test_a_folder_that_is_not_there_is_a_usage_error(d2c):
    assert "nowhere" in d2c.refused(USAGE, "doctor", "nowhere")


def test_what_an_interrupted_run_left_is_noted(d2c):
    (d2c.folder / ".out.mlpackage.d2c").mkdir()
    [note] = of(findings(d2c), "disk", "note")
    command = note["remedy"].split("'")[1].split()
    assert command[:2] == ["dolphin2coreml", "clean"]
    d2c.ok(*command[1:])
    assert of(findings(d2c), "disk", "note") == []


def test_an_interrupted_download_is_noted(d2c):
    blobs = d2c.folder / ".cache/huggingface/hub/models--org--model/blobs"
    blobs.mkdir(parents=True)
    (blobs / ("0" * 64 + ".incomplete")).write_bytes(b"half")
    notes = of(findings(d2c), "cache", "note")
    assert any("org/model" in n["what"] and "prune" in n["remedy"] for n in notes)


@pytest.mark.parametrize("command", ["convert", "merge"])
def test_temporary_files_lie_beside_the_output_and_stay_when_asked_to(d2c, command):
    arguments = [command, "--model", MODELS / "gqa_bf16", *(SMALL if command == "convert" else []), "-o", "out"]
    folder = d2c.folder / ".out.d2c"
    assert str(folder) in d2c.ok(*arguments, "-v").stderr
    assert not folder.exists()
    assert f"{folder} and stay there" in d2c.ok(*arguments, "--force", "--keep-temp").stderr
    assert folder.is_dir()
    d2c.ok(*arguments, "--force")
    assert not folder.exists()
