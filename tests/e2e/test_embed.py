"""`embed`: lists of tokens or lines of text in, vectors out."""

import json

import numpy as np
import pytest
from conftest import MODELS, settings
from program import read_tensors

USAGE, INPUT = 2, 3
WIDTH, LONGEST = 96, 64
INPUTS = [
    {"input_ids": [5, 6, 7]},
    {"input_ids": [9] * LONGEST},
    {"input_ids": [1, 2, 3, 4], "pooling_mask": [0, 0, 1, 1]},
    {"input_ids": [5, 6, 7], "pooling_mask": [1, 1, 1]},
]


@pytest.fixture
def package(convert):
    return convert(MODELS / "gqa_bf16").path


def embed(d2c, package, inputs, out="out.safetensors"):
    (d2c.folder / "in.json").write_text(json.dumps(inputs))
    report = d2c.report("embed", package, "--tokens-file", "in.json", "--out", out)
    assert report["count"] == len(inputs) and report["width"] == WIDTH
    return read_tensors(d2c.folder / out)["embeddings"] if out.endswith("safetensors") else np.load(d2c.folder / out)


def test_rows_stand_in_the_order_of_the_inputs(d2c, package):
    rows = embed(d2c, package, INPUTS)
    assert rows.shape == (4, WIDTH) and rows.dtype == np.float32 and np.isfinite(rows).all()
    for i, one in enumerate(INPUTS):
        assert np.array_equal(embed(d2c, package, [one])[0], rows[i])


def test_a_missing_pooling_mask_pools_every_token(d2c, package):
    rows = embed(d2c, package, INPUTS)
    assert np.array_equal(rows[0], rows[3])


def test_what_is_not_pooled_is_still_seen(d2c, package):
    masks = [{"input_ids": [1, 2, 3, 4], "pooling_mask": [0, 0, 1, 1]},
             {"input_ids": [8, 2, 3, 4], "pooling_mask": [0, 0, 1, 1]}, {"input_ids": [3, 4]}]
    rows = embed(d2c, package, masks)
    assert not np.allclose(rows[0], rows[1]) and not np.allclose(rows[0], rows[2])


def test_npy_holds_the_same(d2c, package):
    assert np.array_equal(embed(d2c, package, INPUTS, "out.npy"), embed(d2c, package, INPUTS))


def test_json_holds_the_same(d2c, package):
    rows = embed(d2c, package, INPUTS)
    report = d2c.report("embed", package, "--tokens-file", "in.json", "--similarity")
    assert np.allclose(report["embeddings"], rows, rtol=1e-6)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert np.allclose(report["similarity"], unit @ unit.T, atol=1e-5)
    assert report["tokens"] == [3, LONGEST, 4, 3]


@pytest.mark.parametrize(
    "document, hint",
    [
        ([{"input_ids": [1, 2], "pooling_mask": [0, 0]}], "all zeros"),
        ([{"input_ids": [1, 2], "pooling_mask": [1]}], "1 entries for 2"),
        ([{"input_ids": [1] * (LONGEST + 1)}], "65 tokens"),
        ([{"input_ids": [1]}, {"input_ids": []}], "input 1"),
        ([{"input_ids": [320]}], "vocabulary"),
        ([{"input_ids": [-1]}], "vocabulary"),
        ([{"input_ids": [1 << 40]}], "out of range"),
        ([{"input_ids": [1.5]}], "input 0"),
        ([{"ids": [1]}], "input_ids"),
        ({"input_ids": [1]}, "list"),
        ([], "nothing to embed"),
        ("not json", ""),
    ],
)
def test_bad_inputs_are_named(d2c, package, document, hint):
    (d2c.folder / "in.json").write_text(document if isinstance(document, str) else json.dumps(document))
    assert hint in d2c.refused(INPUT, "embed", package, "--tokens-file", "in.json", "--out", "out.safetensors")
    assert not (d2c.folder / "out.safetensors").exists()


def test_usage_errors(d2c, package):
    (d2c.folder / "in.json").write_text(json.dumps(INPUTS))
    assert ".npy" in d2c.refused(USAGE, "embed", package, "--tokens-file", "in.json", "--out", "out.txt")
    assert "nowhere" in d2c.refused(USAGE, "embed", package, "--tokens-file", "in.json", "--out", "nowhere/x.npy")
    assert "missing.json" in d2c.refused(INPUT, "embed", package, "--tokens-file", "missing.json")
    assert "FILES" in d2c.refused(USAGE, "embed", package, "some.txt", "--tokens-file", "in.json")


def test_a_package_without_encoder_is_refused(d2c, convert):
    package = convert(MODELS / "gqa_bf16", *settings(graph__functions='["decode"]')).path
    (d2c.folder / "in.json").write_text(json.dumps(INPUTS))
    assert "'encode'" in d2c.refused(INPUT, "embed", package, "--tokens-file", "in.json")


TEXTS = ["The cat sat on the mat.", "A dog ran in the park.", "Compilers translate programs."]


def test_lines_come_from_stdin_or_files(d2c, talker):
    (d2c.folder / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    piped = d2c.report("embed", talker, stdin="\n".join(TEXTS))
    assert piped["count"] == 3
    assert d2c.report("embed", talker, "texts.txt")["embeddings"] == piped["embeddings"]
    lines = d2c.ok("embed", talker, "texts.txt").stdout.splitlines()
    assert np.allclose([list(map(float, line.split())) for line in lines], piped["embeddings"], rtol=1e-6)


def test_an_instruction_changes_the_embedding(d2c, talker):
    plain = d2c.report("embed", talker, stdin=TEXTS[0])
    told = d2c.report("embed", talker, "--instruction", "Find similar sentences:", stdin=TEXTS[0])
    assert told["tokens"][0] > plain["tokens"][0]
    assert not np.allclose(plain["embeddings"], told["embeddings"])


def test_similarity_is_a_table_for_people(d2c, talker):
    table = d2c.ok("embed", talker, "--similarity", stdin="\n".join(TEXTS)).stdout.splitlines()
    assert len(table) == 4 and table[1].split()[1] == "1.000"


def test_an_empty_line_is_named(d2c, talker):
    assert "stdin:2" in d2c.refused(INPUT, "embed", talker, stdin="one\n\nthree\n")
    assert "texts.txt" in d2c.refused(INPUT, "embed", talker, "texts.txt")


def test_a_package_without_tokenizer_says_what_to_do(d2c, package):
    assert "tokenizer" in d2c.refused(INPUT, "embed", package, stdin="text")
