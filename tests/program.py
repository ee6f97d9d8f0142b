"""The program under test, run as a user would type it, and readers of the files it reads and writes."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "tests/data/models"
MALFORMED = ROOT / "tests/data/malformed"
PROGRAM = os.environ["D2C_PROGRAM"]

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

    def __init__(self, folder, **variables):
        self.folder = folder
        self.variables = variables  # of its environment, beside the usual ones

    def start(self, *arguments, **options):
        return subprocess.Popen(
            [PROGRAM, *map(str, arguments)], cwd=self.folder, env=environment(self.folder) | self.variables, text=True,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})

    def run(self, *arguments, stdin=None, **options):
        """The finished process, whatever its exit code; `stdin` is the text it finds there."""
        if stdin is not None:
            options["stdin"] = subprocess.PIPE
        process = self.start(*arguments, **options)
        stdout, stderr = process.communicate(stdin, timeout=300)
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


def read_tensors(file):
    """name -> array of a safetensors file; 16-bit numbers become fp32."""
    raw = Path(file).read_bytes()
    size = int.from_bytes(raw[:8], "little")
    tensors = {}
    for name, info in json.loads(raw[8 : 8 + size]).items():
        if name != "__metadata__":
            first, last = info["data_offsets"]
            tensors[name] = _numbers(raw[8 + size + first : 8 + size + last], info["dtype"]).reshape(info["shape"])
    return tensors


def read_checkpoint(model):
    """name -> array, over all safetensors files of a model folder."""
    tensors = {}
    for file in sorted(Path(model).glob("*.safetensors")):
        tensors |= read_tensors(file)
    return tensors


def _numbers(data, dtype):
    if dtype == "BF16":
        return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    if dtype == "F16":
        return np.frombuffer(data, np.float16).astype(np.float32)
    return np.frombuffer(data, {"F32": np.float32, "I64": np.int64, "I32": np.int32}[dtype])


def tree(folder):
    """relative path -> bytes of every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}
