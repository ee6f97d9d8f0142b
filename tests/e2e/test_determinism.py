"""The same request gives the same bytes: any number of threads, any run, interrupted or not."""

import json
import os
import signal
import subprocess
import time

import pytest
from conftest import MODELS, SMALL, settings, tree

LARGE = ["--model", "synthetic:smollm2-135m", *settings(model__layers=4), *SMALL]


def test_thread_count_does_not_change_a_byte(d2c):
    for threads in (1, 2, 5):
        d2c.ok("convert", *LARGE, "-o", f"{threads}.mlpackage", "--threads", threads)
    assert tree(d2c.folder / "1.mlpackage") == tree(d2c.folder / "2.mlpackage") == tree(d2c.folder / "5.mlpackage")


def test_two_runs_do_not_differ(d2c):
    for name in ("a", "b"):
        d2c.ok("convert", "--model", MODELS / "mha_fp32", *SMALL, "-o", f"{name}.mlpackage")
    assert tree(d2c.folder / "a.mlpackage") == tree(d2c.folder / "b.mlpackage")


def test_name_and_place_of_the_output_do_not_change_a_byte(d2c):
    (d2c.folder / "deep").mkdir()
    d2c.ok("convert", "--model", MODELS / "mha_fp32", *SMALL, "-o", "a.mlpackage")
    d2c.ok("convert", "--model", MODELS / "mha_fp32", *SMALL, "-o", "deep/other.mlpackage")
    assert tree(d2c.folder / "a.mlpackage") == tree(d2c.folder / "deep/other.mlpackage")


def test_a_small_memory_bound_does_not_change_a_byte(d2c):
    d2c.ok("convert", *LARGE, "-o", "a.mlpackage")
    d2c.ok("convert", *LARGE, "-o", "b.mlpackage", "--max-memory", "128MiB")
    assert tree(d2c.folder / "a.mlpackage") == tree(d2c.folder / "b.mlpackage")


def interrupt(program, signal_number, *arguments):
    """Starts a long conversion, signals it once it is at work, and returns the finished process."""
    process = program.start("convert", "--model", "synthetic:llama3.1-8b", *SMALL, *arguments)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not any(program.folder.iterdir()):
        time.sleep(0.02)
    time.sleep(2)
    process.send_signal(signal_number)
    stdout, stderr = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def stop(program, signal_number, request):
    """Starts a conversion, signals it once its journal holds finished work, and returns the finished process."""
    process = program.start("convert", *request)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if any(journal.stat().st_size for journal in program.folder.glob(".*.d2c/journal")):
            break
        time.sleep(0.02)
    process.send_signal(signal_number)
    stdout, stderr = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


@pytest.mark.parametrize("signal_number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_without_resume_leaves_nothing(d2c, signal_number, code):
    done = interrupt(d2c, signal_number, "-o", "out.mlpackage", "--no-resume")
    assert done.returncode == code, done.stderr
    assert list(d2c.folder.iterdir()) == []


@pytest.mark.parametrize("signal_number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_only_the_folder_it_names(d2c, signal_number, code):
    request = ["--model", "synthetic:llama3.2-1b", *SMALL, "-o", "out.mlpackage"]
    done = stop(d2c, signal_number, request)
    assert done.returncode == code, done.stderr
    left = [p.name for p in d2c.folder.iterdir()]
    assert left == [".out.mlpackage.d2c"]
    assert ".out.mlpackage.d2c" in done.stderr
    d2c.ok("clean", "out.mlpackage")
    assert list(d2c.folder.iterdir()) == []


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_was_stopped_continues_to_the_same_bytes(d2c, signal_number):
    request = ["--model", "synthetic:llama3.2-1b", *settings(model__layers=4), *SMALL]
    done = stop(d2c, signal_number, [*request, "-o", "stopped.mlpackage"])
    assert done.returncode != 0, "the conversion was over before it could be stopped"
    d2c.ok("convert", *request, "-o", "stopped.mlpackage")
    d2c.ok("convert", *request, "-o", "whole.mlpackage")
    assert tree(d2c.folder / "stopped.mlpackage") == tree(d2c.folder / "whole.mlpackage")
    assert sorted(os.listdir(d2c.folder)) == ["stopped.mlpackage", "whole.mlpackage"]
