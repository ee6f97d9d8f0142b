"""Palettes against those of coremltools, on the same weights."""

import numpy as np
import pytest
from conftest import MODELS, read_checkpoint, settings

ENTRIES, GROUP = 16, 16


def coremltools_error(values):
    """Squared error of coremltools' own exact k-means, its entries rounded to fp16 as a package stores them."""
    from coremltools.models.neural_network.quantization_utils import _get_kmeans_lookup_table_and_weight

    entries, indices = _get_kmeans_lookup_table_and_weight(4, values.astype(np.float32), force_kmeans1d=True)
    stored = entries.astype(np.float16).astype(np.float64)[indices]
    return float(((values.ravel() - stored) ** 2).sum())


@pytest.mark.parametrize("mode, allowed", [("exact", 1e-6), ("fast", 1e-3)])
@pytest.mark.parametrize("model", ["gqa_bf16", "mha_fp32"])
def test_no_palette_is_worse_than_that_of_coremltools(convert, model, mode, allowed):
    package = convert(MODELS / model, *settings(quantize__mode=mode))
    checkpoint = read_checkpoint(MODELS / model)
    compared, ours, theirs = 0, 0.0, 0.0
    for weight in package.report["weights"]:
        if not weight["scheme"].startswith("palette") or weight["tensor"] not in checkpoint:
            continue
        source = checkpoint[weight["tensor"]].astype(np.float16).astype(np.float64)
        stored = package.dense(weight)[: len(source)].astype(np.float64)
        for first in range(0, len(source), GROUP):
            group = source[first : first + GROUP]
            error = float(((group - stored[first : first + GROUP]) ** 2).sum())
            reference = coremltools_error(group)
            assert error <= reference * (1 + allowed) + 1e-15, f"{weight['tensor']}, rows from {first}"
            compared, ours, theirs = compared + 1, ours + error, theirs + reference
    assert compared > 20
    assert ours <= theirs * (1 + min(allowed, 1e-4))
