"""Runs the program with file operations that fail (tests/faults/faults.c), and keeps the table of docs/reliability.md."""

import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from conftest import ROOT, Program, tree

LIBRARY = os.environ.get("D2C_FAULTS", "")
EVERYTHING = os.environ.get("D2C_FAULTS_EVERYWHERE") == "1"  # every single operation, with every fault
WRITE = os.environ.get("D2C_WRITE_RELIABILITY") == "1"
RELIABILITY = ROOT / "docs/reliability.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
HEADER = "| command | what fails | how | runs | outcome |\n|---|---|---|---|---|\n"


@dataclass(frozen=True)
class Operation:
    """One line of the shim's log."""

    kind: str
    number: int
    call: str
    path: str  # below the machine's folder


@dataclass(frozen=True)
class Command:
    """A command that makes `output`; an unfinished run leaves `unfinished` at most."""

    name: str
    arguments: tuple
    prepare: object  # fills a folder with what the command reads
    output: str = "out"
    unfinished: str = ".out.d2c"


class Machine:
    """A folder of its own in which a command runs, once with failing file operations and once without."""

    def __init__(self, folder, command, **variables):
        self.folder, self.command, self.variables = folder, command, variables
        folder.mkdir()
        command.prepare(folder)
        self.before = tree(folder)
        self.log = folder.with_suffix(".log")

    def run(self, *flags, stdout=subprocess.PIPE, **faults):
        """The finished process; `faults` are the shim's variables without their prefix."""
        if faults:
            faults = {f"FAULTS_{name}": str(value) for name, value in faults.items()}
            faults |= {"LD_PRELOAD": LIBRARY, "FAULTS_ROOT": str(self.folder)}
        return Program(self.folder, **self.variables, **faults).run(*self.command.arguments, *flags, stdout=stdout)

    def stopped_at(self, kind, number):
        """The process, halted before that operation; None where it ended before."""
        faults = {"LD_PRELOAD": LIBRARY, "FAULTS_ROOT": str(self.folder), "FAULTS_FAIL": f"{kind}:{number}:STOP"}
        process = Program(self.folder, **self.variables, **faults).start(*self.command.arguments)
        state = Path(f"/proc/{process.pid}/stat")
        while process.poll() is None:
            if state.read_text().rpartition(")")[2].split()[0] == "T":
                return process
            time.sleep(0.001)
        return None

    def output(self):
        return tree(self.folder / self.command.output)

    def operations(self):
        """What an undisturbed run does, in its order."""
        done = self.run(LOG=self.log)
        assert done.returncode == 0, done.stderr
        return self.logged()

    def logged(self):
        lines = [line.split(" ", 3) for line in self.log.read_text().splitlines()]
        return [Operation(kind, int(number), call, os.path.relpath(path, self.folder)) for kind, number, call, path in lines]

    def failing(self, kind, number, fault):
        """The finished process and the operation that failed; None where none was reached: threads change the order."""
        onwards = "+" if fault.endswith("+") else ""
        done = self.run(LOG=self.log, FAIL=f"{kind}:{number}{onwards}:{fault.rstrip('+')}")
        return done, next((o for o in self.logged() if (o.kind, o.number) == (kind, number)), None)


def places(operations, kind):
    """Operations to be hit: all, or of every call on every file the first and the last, and of many one between."""
    mine = [o for o in operations if o.kind == kind]
    if EVERYTHING:
        return mine
    groups = {}
    for operation in mine:
        groups.setdefault((operation.call, operation.path), []).append(operation)
    chosen = {o for g in groups.values() for o in (g[0], g[len(g) // 2 if len(g) > 9 else 0], g[-1])}
    return sorted(chosen, key=lambda o: o.number)


def side_by_side(function, items):
    """function(item) of all, two at a time; the first failure fails."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, items))


def one_sentence(done):
    """The closing error, which must be the last line and the only one of its kind."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("dolphin2coreml: error: ")]
    assert len(lines) == 1 and done.stderr.rstrip().endswith(lines[0]), done.stderr
    return lines[0]


# ---------------------------------------------------------------- the table in the documentation


class Table:
    """What a suite tried, and what became of it: (command, what failed) -> how, times, outcome."""

    def __init__(self):
        self.rows = {}

    def add(self, command, where, how, outcome, tried=1):
        faults, count, known = self.rows.get((command, where), (set(), 0, outcome))
        assert known == outcome, f"{command}, {where}: {known} and {outcome}"
        self.rows[command, where] = (faults | {how}, count + tried, outcome)

    def is_documented(self):
        """Every row stands in the document with its outcome, whatever its counts."""
        if WRITE:
            return
        documented = {key: outcome for key, (_, _, outcome) in committed_rows().items()}
        missing = {key: outcome for key, (_, _, outcome) in self.rows.items() if documented.get(key) != outcome}
        assert not missing, f"run with D2C_WRITE_RELIABILITY=1 to renew {RELIABILITY}: {missing}"


def committed_rows():
    match = re.search(f"{BEGIN}\n(.*?){END}", RELIABILITY.read_text(), re.DOTALL)
    lines = match[1].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {(c[0], c[1]): (set(c[2].split(", ")), int(c[3]), c[4]) for c in cells}


def write_rows(rows):
    """Replaces the rows of the document that are about the same."""
    everything = sorted((committed_rows() | rows).items())
    body = "".join(f"| {c} | {w} | {', '.join(sorted(how))} | {n} | {o} |\n" for (c, w), (how, n, o) in everything)
    text = RELIABILITY.read_text()
    text = re.sub(f"{BEGIN}\n.*?{END}", lambda _: f"{BEGIN}\n{HEADER}{body}{END}", text, flags=re.DOTALL)
    RELIABILITY.write_text(text)
