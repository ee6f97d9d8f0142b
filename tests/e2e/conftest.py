"""The program under test, run as a user would type it, and readers of what it leaves behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests/data/models"
MALFORMED = ROOT / "tests/data/malformed"
PROGRAM = os.environ["D2C_PROGRAM"]

sys.path.insert(0, str(ROOT / "tests/judge"))
from judge_mlpackage import Judge  # noqa: E402

SMALL = ["--set", "graph.context=64", "--set", "graph.prefill=16", "--set", "encoder.max_length=64"]


def settings(**values):
    """Keyword arguments as --set flags; "__" stands for the dot: quantize__bits=6."""
    flags = []
    for key, value in values.items():
        flags += ["--set", f"{key.replace('__', '.')}={value}"]
    return flags


def environment(home):
    """An environment in which nothing of this machine's user is seen."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8", "TERM": "dumb"}


class Program:
    """Runs dolphin2coreml in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder

    def start(self, *arguments, **options):
        return subprocess.Popen(
            [PROGRAM, *map(str, arguments)], cwd=self.folder, env=environment(self.folder), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def run(self, *arguments, **options):
        """The finished process, whatever its exit code."""
        process = self.start(*arguments, **options)
        stdout, stderr = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def ok(self, *arguments, **options):
        """The finished process; anything but exit code 0 fails the test."""
        done = self.run(*arguments, **options)
        assert done.returncode == 0, done.stderr
        return done

    def report(self, *arguments, **options):
        """What the command prints with --json."""
        return json.loads(self.ok(*arguments, "--json", **options).stdout)

    def refused(self, code, *arguments, **options):
        """The one sentence that the command ends with; it must say something and be all there is."""
        done = self.run(*arguments, **options)
        assert done.returncode == code, f"exit code {done.returncode}, expected {code}: {done.stderr}"
        assert done.stdout == ""
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1 and len(lines[0]) > 20, done.stderr
        return lines[0]


@pytest.fixture
def d2c(tmp_path):
    return Program(tmp_path)


class Package:
    """A converted package with the report of its conversion."""

    def __init__(self, path, report):
        self.path = path
        self.report = report
        self._judge = None

    @property
    def judge(self):
        if self._judge is None:
            self._judge = Judge(str(self.path))
            self._judge.run(expect=["init", "decode", "encode"])
        return self._judge

    @property
    def findings(self):
        """Everything the judge has to say, warnings too."""
        self.judge
        return self.judge.rep["findings"]

    def weight_file_bytes(self):
        return sum(f.stat().st_size for f in self.path.glob("Data/com.apple.CoreML/weights/*"))

    def dense(self, weight):
        """The values that a weight of the report expands to, padding rows included."""
        for function in ("decode", "encode"):
            try:
                values = self.judge.dequant(weight["name"], function)
            except KeyError:
                continue
            return np.asarray(values[1] if isinstance(values, tuple) else values)
        raise AssertionError(f"no function uses {weight['name']}")


@pytest.fixture(scope="session")
def convert(tmp_path_factory):
    """convert(model, *flags) -> Package; the same request is converted once in a session."""
    done = {}

    def convert_once(model, *flags):
        request = (str(model), *flags)
        if request not in done:
            folder = tmp_path_factory.mktemp("package")
            path = folder / "out.mlpackage"
            report = Program(folder).report("convert", "--model", model, "-o", path, *SMALL, *flags)
            done[request] = Package(path, report)
        return done[request]

    return convert_once


def read_checkpoint(model):
    """name -> fp32 array, over all safetensors files of a model folder."""
    tensors = {}
    for file in sorted(Path(model).glob("*.safetensors")):
        raw = file.read_bytes()
        size = int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8 : 8 + size])
        for name, info in header.items():
            if name != "__metadata__":
                first, last = info["data_offsets"]
                tensors[name] = _to_fp32(raw[8 + size + first : 8 + size + last], info["dtype"]).reshape(info["shape"])
    return tensors


def _to_fp32(data, dtype):
    if dtype == "BF16":
        return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, {"F16": np.float16, "F32": np.float32}[dtype]).astype(np.float32)


def tree(folder):
    """relative path -> bytes of every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}
