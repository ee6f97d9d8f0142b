"""Fixtures: the program, and packages it converted."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / folder) for folder in (".", "judge")]
from judge_mlpackage import Judge  # noqa: E402
from program import MALFORMED, MODELS, PROGRAM, ROOT, SMALL, Program, environment, read_checkpoint, settings, tree  # noqa: E402, F401


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


@pytest.fixture(scope="session")
def talker(tmp_path_factory, convert):
    """A package with a tokenizer, of a model that speaks nonsense."""
    model = tmp_path_factory.mktemp("talker")
    for folder in (MODELS / "goldens/llm2vec/models/bi_tiny_bf16", ROOT / "tests/data/tokenizers/tiny_llama3"):
        shutil.copytree(folder, model, dirs_exist_ok=True)
    return convert(model).path


@pytest.fixture(scope="session")
def faults_table():
    """Rows for the table of docs/reliability.md, which D2C_WRITE_RELIABILITY=1 writes there."""
    from faults import WRITE, Table, write_rows

    table = Table()
    yield table
    if WRITE:
        write_rows(table.rows)
