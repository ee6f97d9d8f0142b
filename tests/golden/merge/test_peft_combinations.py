"""`merge --combination` against PEFT's add_weighted_adapter, as record_peft.py recorded it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from program import ROOT, Program, read_checkpoint, read_tensors, settings

FOLDER = ROOT / "tests/data/lora_unsloth"
INDEX = json.loads((FOLDER / "combinations/index.json").read_text())
BASE = FOLDER / INDEX["model"]


def merge(tmp_path, combination, adapters, **options):
    flags = [x for name, weight in adapters for x in ("--adapter", f"{FOLDER / 'adapters' / name}:{weight}")]
    text = {key: json.dumps(value) for key, value in options.items()}
    Program(tmp_path).ok("merge", "--model", BASE, *flags, "--combination", combination, "--dtype", "fp32", "--quiet",
                         *settings(**{f"adapters__{k}": v for k, v in text.items()}), "-o", "merged", "--force")
    return read_checkpoint(tmp_path / "merged")


@pytest.mark.parametrize("case", INDEX["cases"], ids=lambda case: case["merged"].split(".")[0])
def test_a_combination_is_peft_s(case, tmp_path):
    ours = merge(tmp_path, case["combination"], case["adapters"], **case["settings"])
    base = read_checkpoint(BASE)
    for name, expected in read_tensors(FOLDER / "combinations" / case["merged"]).items():
        assert np.abs(ours[name] - expected).max() < 2e-6 * max(1, np.abs(expected).max()), name
        assert np.abs(expected - base[name]).max() > 1e-3, f"{name}: PEFT changed nothing"


def changes(tmp_path, name, seeds, **options):
    base = read_checkpoint(BASE)[name]
    return np.stack([merge(tmp_path, seed=seed, **options)[name] - base for seed in seeds])


def test_what_dare_keeps_is_enlarged_so_that_the_mean_over_seeds_is_the_sum(tmp_path):
    """PEFT's choice depends on torch's generator; of ours, as of its, the expectation is what counts."""
    adapters, name = [("comb_1", 0.7), ("comb_2", 0.4)], "model.layers.0.self_attn.q_proj.weight"
    drawn = changes(tmp_path, name, range(24), combination="dare_linear_svd", adapters=adapters, density=0.5, svd_rank=64)
    whole = changes(tmp_path, name, [0], combination="cat", adapters=adapters)[0]
    # A kept element is twice itself, a dropped one nothing: the deviation of one draw is the element itself.
    deviation = np.sqrt((drawn - whole).std(axis=0).mean() ** 2 / len(drawn))
    assert np.abs(drawn.mean(axis=0) - whole).mean() < 2 * deviation
    assert np.abs(drawn[0] - drawn[1]).max() > 0
    assert np.sqrt((drawn**2).sum(axis=(1, 2)).mean() / (whole**2).sum()) > 1.2


def test_density_is_the_share_that_dare_keeps(tmp_path):
    """One adapter's products at full rank: each element is there, enlarged, or it is not."""
    name = "model.layers.0.self_attn.q_proj.weight"
    twin = [("comb_1", 1.0), ("comb_1", 0.0)]
    whole = changes(tmp_path, name, [0], combination="cat", adapters=[("comb_1", 1.0), ("comb_1", 0.0)])[0]
    for density in (0.2, 0.7):
        drawn = changes(tmp_path, name, [3], combination="dare_linear_svd", adapters=twin, density=density, svd_rank=64)[0]
        ratio = drawn[np.abs(whole) > 1e-3] / whole[np.abs(whole) > 1e-3]
        kept = np.abs(ratio) > 0.1
        assert np.abs(ratio[kept] - 1 / density).max() < 1e-2 and np.abs(ratio[~kept]).max() < 1e-2
        assert kept.mean() == pytest.approx(density, abs=4 * np.sqrt(density * (1 - density) / kept.size))


@pytest.mark.parametrize("combination", ["ties", "dare_linear", "magnitude_prune"])
def test_factors_of_different_ranks_cannot_be_joined_and_the_way_out_is_named(combination, tmp_path):
    flags = [x for name in ("comb_1", "comb_3_r6") for x in ("--adapter", FOLDER / "adapters" / name)]
    sentence = Program(tmp_path).refused(3, "merge", "--model", BASE, *flags, "--combination", combination, "-o", "merged")
    assert "svd" in sentence and "cat" in sentence


def test_one_adapter_alone_is_joined_as_peft_does_it(tmp_path):
    assert all((merge(tmp_path, "ties", [("comb_1", 0.5)])[n] == t).all()
               for n, t in merge(tmp_path, "linear", [("comb_1", 0.5)]).items())
