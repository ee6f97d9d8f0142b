"""kill -9 at any moment: the same command continues, nothing recorded is done twice, and the bytes are the same.

D2C_KILLS: how many times in all; a tenth of them hit the publishing of the package. D2C_KILL_LAYERS: how much of the 1B shape
is converted. `./dev test --all` kills 200 times.
"""

import os
import re
import shutil
import time

import pytest
from conftest import SMALL, settings, tree

KILLS = int(os.environ.get("D2C_KILLS", "8"))
IN_PUBLISHING = max(3, KILLS // 10)
LAYERS = int(os.environ.get("D2C_KILL_LAYERS", "1"))
REQUEST = ["--model", "synthetic:llama3.2-1b", *settings(model__layers=LAYERS), *SMALL, "-o", "out.mlpackage"]
KILLED = -9
KILLS_PER_RUN = 5

# Files that appear one after the other while a package is completed, and the output itself.
STAGES = ["Data/com.apple.CoreML/model.mlmodel", "Data/dolphin2coreml/recipe.json", "Manifest.json", None]


class KilledRun:
    """A conversion that is killed over and over until it is allowed to finish."""

    def __init__(self, program):
        self.program = program
        self.folder = program.folder / ".out.mlpackage.d2c"
        self.output = program.folder / "out.mlpackage"
        self.total = len(program.report("convert", *REQUEST)["weights"])
        self.expected = tree(self.output)
        shutil.rmtree(self.output)

    def recorded(self):
        """How many finished weights the journal holds."""
        journal = self.folder / "journal"
        return journal.read_bytes().count(b"\n") if journal.exists() else 0

    def kill_when(self, reached):
        """Starts the conversion and kills it once `reached()`; False where it was over before."""
        before = self.recorded()
        process = self.program.start("convert", *REQUEST)
        while process.poll() is None and not reached():
            time.sleep(0.0002)
        process.kill()
        _, stderr = process.communicate(timeout=300)
        self.check_resumed(before, stderr)
        assert self.output.exists() or self.recorded() >= before
        return process.returncode == KILLED

    def check_resumed(self, before, stderr):
        """A run that came far enough to say so took over exactly what was recorded."""
        if said := re.search(r"resuming: (\d+) of (\d+) weights", stderr):
            assert (int(said[1]), int(said[2])) == (before, self.total)

    def finish(self):
        before = self.recorded()
        if self.output.exists():  # killed between the rename that publishes and the removal of the folder
            self.program.ok("clean", "out.mlpackage")
        else:
            done = self.program.ok("convert", *REQUEST)
            self.check_resumed(before, done.stderr)
            assert before == 0 or "resuming" in done.stderr
        assert tree(self.output) == self.expected
        assert [p.name for p in self.program.folder.iterdir()] == ["out.mlpackage"]
        shutil.rmtree(self.output)


@pytest.fixture
def killed(d2c):
    return KilledRun(d2c)


def test_a_run_killed_anywhere_continues_to_the_same_bytes(killed):
    """Kills are spread evenly over the weights; each run is killed a few times on its way."""
    runs = -(-(KILLS - IN_PUBLISHING) // KILLS_PER_RUN)
    kills = 0
    for run in range(runs):
        for step in range(KILLS_PER_RUN):
            target = (step * runs + run) * killed.total // (runs * KILLS_PER_RUN)
            kills += killed.kill_when(lambda target=target: killed.folder.exists() and killed.recorded() >= target)
        killed.finish()
    assert kills >= (KILLS - IN_PUBLISHING) / 2, "most runs were over before they could be killed"


def test_a_run_killed_while_it_publishes_continues_to_the_same_bytes(killed):
    kills = 0
    for attempt in range(IN_PUBLISHING):
        stage = STAGES[attempt % len(STAGES)]
        path = killed.output if stage is None else killed.folder / "package" / stage
        kills += killed.kill_when(path.exists)
        killed.finish()
    assert kills > 0, "every run was over before it could be killed"
