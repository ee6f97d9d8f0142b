"""Weights beyond what fp16 can hold: counted, and refused unless the recipe allows so many."""

import json
import shutil

import numpy as np
import pytest
from conftest import MODELS, SMALL, settings

INPUT = 3
LARGE = 0x47C3  # 99840 as bf16
DENSE = settings(quantize__plugin="none")


@pytest.fixture
def model(d2c):
    """A bf16 model of whose first gate two values are too large, one of them negative."""
    folder = d2c.folder / "model"
    shutil.copytree(MODELS / "gqa_bf16", folder)
    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    header = int.from_bytes(data[:8], "little")
    index = json.loads(data[8 : 8 + header])
    start = 8 + header + index["model.layers.0.mlp.gate_proj.weight"]["data_offsets"][0]
    data[start : start + 4] = np.array([LARGE, LARGE | 0x8000], "<u2").tobytes()
    file.write_bytes(data)
    return folder


def arguments(model, *flags):
    return ["convert", "--model", model, *SMALL, "-o", "out.mlpackage", "--force", *flags]


@pytest.mark.parametrize("limit", [None, 1])
def test_more_than_the_recipe_allows_is_refused_with_the_tensor_and_the_key(d2c, model, limit):
    flags = [] if limit is None else settings(quantize__max_overflow=limit)
    message = d2c.refused(INPUT, *arguments(model, *flags), "-q")
    assert "mlp.gate_proj" in message and "2 values" in message and "quantize.max_overflow" in message
    assert not (d2c.folder / "out.mlpackage").exists()


@pytest.mark.parametrize("storage", [[], DENSE], ids=["palette", "dense"])
def test_what_the_recipe_allows_becomes_the_largest_value_and_is_reported(d2c, model, storage):
    report = d2c.report(*arguments(model, *storage, *settings(quantize__max_overflow=2)))
    assert report["rounding"]["overflowed"] == 2
    assert [w["tensor"] for w in report["weights"] if w.get("overflowed")] == ["model.layers.0.mlp.gate_proj.weight"]
    assert any("65504" in note for note in report["notes"])
