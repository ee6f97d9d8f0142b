"""--max-memory is kept, and a bound that cannot be kept is refused with the smallest that can."""

import json
import re

import pytest
from conftest import SMALL, settings

RESOURCE = 5
MEGABYTE = 1 << 20


def model(folder, **changes):
    """The config.json of a one-layer Llama whose embedding is by far its largest tensor."""
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 1024, "intermediate_size": 1024,
              "num_hidden_layers": 1, "num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 65536,
              "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 2048, "tie_word_embeddings": True,
              "hidden_act": "silu", **changes}
    (folder / "config.json").write_text(json.dumps(config))
    return ["--model", f"synthetic:{folder}/config.json", *SMALL, "-o", "out.mlpackage"]


def test_a_bound_that_cannot_work_is_refused_with_the_smallest_that_does(d2c):
    request = model(d2c.folder)
    smallest = re.search(r"at least (\d+)M", d2c.refused(RESOURCE, "convert", *request, "--max-memory", "1M"))
    report = d2c.report("convert", *request, "--max-memory", f"{smallest[1]}M")
    assert report["memory"]["threads"] == 1
    assert report["peak_memory"] <= int(smallest[1]) * MEGABYTE
    below = int(smallest[1]) - 1
    d2c.refused(RESOURCE, "convert", *request, "--force", "--max-memory", f"{below}M")


@pytest.mark.parametrize("options", [{}, {"quantize__plugin": '"none"'}, {"quantize__granularity": "per_tensor"},
                                     {"quantize__axis": 1}])
def test_memory_does_not_grow_with_a_tensor(d2c, options):
    """The embedding has 128 MB; what is resident stays below that of its double, whatever becomes of it."""
    peaks = []
    for vocabulary in (65536, 131072):
        request = model(d2c.folder, vocab_size=vocabulary)
        peaks.append(d2c.report("convert", *request, "--force", "--max-memory", "128M", *settings(**options))["peak_memory"])
    assert max(peaks) <= 128 * MEGABYTE
    assert peaks[1] - peaks[0] < 16 * MEGABYTE
