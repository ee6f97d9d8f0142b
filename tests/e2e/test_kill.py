"""kill -9 at any moment of a conversion, a merge or a download: the same command continues, nothing recorded is done
twice, and the bytes are the same.

D2C_KILLS: how many times each in all; a tenth of them hit the publishing. D2C_KILL_LAYERS: how much of the 1B shape
is converted. `./dev test --all` kills 200 times each.
"""

import os
import random
import re
import shutil
import time

import pytest
from conftest import SMALL, Program, settings, tree
from hub_server import HubServer
from test_hub import llama_bytes

KILLS = int(os.environ.get("D2C_KILLS", "8"))
IN_PUBLISHING = max(3, KILLS // 10)
LAYERS = int(os.environ.get("D2C_KILL_LAYERS", "1"))
KILLED = -9
KILLS_PER_RUN = 5


class KilledRun:
    """A command that is killed over and over until it is allowed to finish."""

    # Of the command's report: how many units of work there are. `stages`: files that appear one after the other while the
    # output is completed; None: the output itself.
    def __init__(self, program, request, output, total, stages):
        self.program, self.request, self.stages = program, request, stages
        self.folder = program.folder / f".{output}.d2c"
        self.output = program.folder / output
        self.total = total(program.report(*request))
        self.expected = tree(self.output)
        shutil.rmtree(self.output)

    def recorded(self):
        """How many finished units the journal holds."""
        journal = self.folder / "journal"
        return journal.read_bytes().count(b"\n") if journal.exists() else 0

    def kill_when(self, reached):
        """Starts the command and kills it once `reached()`; False where it was over before."""
        before = self.recorded()
        process = self.program.start(*self.request)
        while process.poll() is None and not reached():
            time.sleep(0.0002)
        process.kill()
        _, stderr = process.communicate(timeout=300)
        self.check_resumed(before, stderr)
        assert self.output.exists() or self.recorded() >= before
        return process.returncode == KILLED

    def check_resumed(self, before, stderr):
        """A run that came far enough to say so took over exactly what was recorded."""
        if said := re.search(r"resuming: (\d+) of (\d+) (?:weights|tensors)", stderr):
            assert (int(said[1]), int(said[2])) == (before, self.total)

    def finish(self):
        before = self.recorded()
        if self.output.exists():  # killed between the rename that publishes and the removal of the folder
            self.program.ok("clean", self.output.name)
        else:
            done = self.program.ok(*self.request)
            self.check_resumed(before, done.stderr)
            assert before == 0 or "resuming" in done.stderr
        assert tree(self.output) == self.expected
        assert [p.name for p in self.program.folder.iterdir()] == [self.output.name]
        shutil.rmtree(self.output)


def converting(program):
    request = ["convert", "--model", "synthetic:llama3.2-1b", *settings(model__layers=LAYERS), *SMALL, "-o", "out.mlpackage"]
    stages = ["Data/com.apple.CoreML/model.mlmodel", "Data/dolphin2coreml/recipe.json", "Manifest.json", None]
    return KilledRun(program, request, "out.mlpackage", lambda report: len(report["weights"]), stages)


def merging(program):
    request = ["merge", "--model", "synthetic:smollm2-135m", *settings(model__layers=8), "--dtype", "fp32", "-o", "merged"]
    return KilledRun(program, request, "merged", lambda report: report["tensors"], ["config.json", None])


@pytest.fixture(params=[converting, merging], ids=["convert", "merge"])
def killed(request, d2c):
    return request.param(d2c)


def name_of(request):
    return request.node.callspec.id


SAME = "the next run continues and makes the same bytes"


def test_a_run_killed_anywhere_continues_to_the_same_bytes(killed, request, faults_table):
    """Kills are spread evenly over the units; each run is killed a few times on its way."""
    runs = -(-(KILLS - IN_PUBLISHING) // KILLS_PER_RUN)
    kills = 0
    for run in range(runs):
        for step in range(KILLS_PER_RUN):
            target = (step * runs + run) * killed.total // (runs * KILLS_PER_RUN)
            kills += killed.kill_when(lambda target=target: killed.folder.exists() and killed.recorded() >= target)
        killed.finish()
    faults_table.add(name_of(request), "at work", "kill -9", SAME, kills)
    assert kills >= (KILLS - IN_PUBLISHING) / 2, "most runs were over before they could be killed"


def test_a_run_killed_while_it_publishes_continues_to_the_same_bytes(killed, request, faults_table):
    kills = 0
    for attempt in range(IN_PUBLISHING):
        stage = killed.stages[attempt % len(killed.stages)]
        path = killed.output if stage is None else killed.folder / "package" / stage
        kills += killed.kill_when(path.exists)
        killed.finish()
    faults_table.add(name_of(request), "publishing", "kill -9", SAME, kills)
    assert kills > 0, "every run was over before it could be killed"


@pytest.fixture
def hub():
    with HubServer() as server:
        server.add("org/model", llama_bytes(3, 21000))
        yield server


def test_a_download_killed_anywhere_continues_to_the_same_bytes(tmp_path, hub, faults_table):
    """Kills at random moments of the time that an undisturbed download takes."""
    program = Program(tmp_path, HF_ENDPOINT=hub.endpoint, no_proxy="*")
    request = ["plan", "--model", "org/model", *SMALL]
    cache = tmp_path / ".cache/huggingface/hub/models--org--model"
    start = time.monotonic()
    program.ok(*request)
    seconds = time.monotonic() - start
    expected, chance, kills = tree(cache), random.Random(4), 0
    for _ in range(-(-KILLS // 2)):
        shutil.rmtree(cache)
        for _ in range(2):
            process = program.start(*request)
            time.sleep(chance.uniform(0, seconds))
            process.kill()
            process.communicate(timeout=300)
            kills += process.returncode == KILLED
        program.ok(*request)
        left = {name: data for name, data in tree(cache).items() if name not in expected}
        assert all(name.rsplit("/", 1)[1].startswith(".") for name in left), "more than a link under another name"
        assert {name: data for name, data in tree(cache).items() if name in expected} == expected
    faults_table.add("download", "at work", "kill -9", SAME, kills)
    assert kills >= KILLS / 2, "most downloads were over before they could be killed"


def test_the_document_lists_what_was_tried(faults_table):
    faults_table.is_documented()
