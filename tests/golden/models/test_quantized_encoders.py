"""What quantization keeps of an encoder's embeddings, and what the measures notice.

Pooled vectors are all alike, so the plain cosine says little: centred vectors and the order of the similarities tell texts
apart.
"""

import json

import numpy as np
import pytest
from goldens import FOLDER, SMOLLM2, cases, reference
from program import settings
from test_embeddings import Encoder
from written_model import hide_later_tokens

CASES = [c for c in cases("embedding") if c["model"] == "smollm2"]
pytestmark = pytest.mark.skipif(not SMOLLM2, reason="set D2C_SMOLLM2 to the Hugging Face folder of SmolLM2-135M-Instruct")

UNQUANTIZED, EVERYWHERE_8 = settings(quantize__plugin='"none"'), settings(quantize__bits=8)
EXACT = {"cosine": 0.9999, "centred cosine": 0.9999, "rank correlation": 0.999}
# A chat model that nobody trained to be read in both directions reacts to the smallest change of its weights: numpy finds
# the same with the package's own weights. At 4 bits nothing that tells texts apart is left.
WITH_8_BITS = {"cosine": 0.85, "centred cosine": 0.8, "rank correlation": 0.94}


def centred(rows):
    return rows - rows.mean(axis=0)


def cosines(a, b):
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def similarities(rows):
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return (unit @ unit.T)[np.triu_indices(len(rows), 1)]


def rank_correlation(a, b):
    ranks = [np.argsort(np.argsort(values)) for values in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def measures(ours, theirs):
    return {"cosine": float(cosines(ours, theirs).min()),
            "centred cosine": float(cosines(centred(ours), centred(theirs)).min()),
            "rank correlation": rank_correlation(similarities(ours), similarities(theirs))}


def of(encoder, case):
    """The measures of a package against the reference of a case."""
    records = json.loads((FOLDER / case["inputs"]).read_text())["records"]
    rows = [i for i, r in enumerate(records) if not r["degenerate_pool"]]
    ours = encoder.embed([encoder.input(records[i]) for i in rows])
    return measures(ours, reference(case)["embeddings_solo"][rows])


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"])
@pytest.mark.parametrize("flags, limits", [(UNQUANTIZED, EXACT), (EVERYWHERE_8, WITH_8_BITS)], ids=["fp16", "8_bits"])
def test_an_encoder_keeps_what_tells_texts_apart(case, flags, limits, tmp_path, measure):
    found = of(Encoder(tmp_path, case, *flags), case)
    for name, limit in limits.items():
        measure(f"1 - {name}, {limit}", 1 - found[name], 1 - limit)


@pytest.mark.parametrize("case", [c for c in CASES if c["adapters"]], ids=lambda c: c["name"])
class TestControls:
    """Each fault fails every measure that the right encoder passes."""

    def fails(self, found):
        return all(found[name] < limit for name, limit in EXACT.items())

    def test_a_causal_mask_is_noticed(self, case, tmp_path):
        encoder = Encoder(tmp_path, case, *UNQUANTIZED)
        hide_later_tokens(encoder.package, encoder.length)
        assert self.fails(of(encoder, case))

    def test_a_missing_adapter_is_noticed(self, case, tmp_path):
        assert self.fails(of(Encoder(tmp_path, case | {"adapters": []}, *UNQUANTIZED), case))

    @pytest.mark.parametrize("pooling", ["weighted_mean", "last_token", "bos_token"])
    def test_another_pooling_is_noticed(self, case, pooling, tmp_path):
        wrong = case | {"pooling_mode": pooling}
        assert self.fails(of(Encoder(tmp_path, wrong, *UNQUANTIZED), wrong))
