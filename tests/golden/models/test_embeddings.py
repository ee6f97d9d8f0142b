"""Packages embed as llm2vec does, with the encoder's adapters live or merged."""

import json

import numpy as np
import pytest
from goldens import FOLDER, FP32, SMOLLM2, adapter_flags, cases, cosine, model_of, parameters, reference
from program import Program, read_tensors, settings

CASES = cases("embedding")


def needs_model(case):
    if case["model"] == "smollm2" and not SMOLLM2:
        pytest.skip("set D2C_SMOLLM2 to the Hugging Face folder of SmolLM2-135M-Instruct")


class Encoder:
    def __init__(self, folder, case, *flags):
        needs_model(case)
        self.case = case
        self.records = json.loads((FOLDER / case["inputs"]).read_text())["records"]
        self.program = Program(folder)
        self.package = folder / "out.mlpackage"
        self.length = max(len(r["input_ids"]) for r in self.records) + 3
        self.program.ok("convert", "--model", model_of(case), *adapter_flags(case, "--encoder-adapter"),
                        "-o", self.package, "--force", "--quiet", *settings(encoder__max_length=self.length),
                        *pooling(case), *flags)

    def embed(self, inputs, *flags):
        (self.program.folder / "inputs.json").write_text(json.dumps(inputs))
        self.program.ok("embed", self.package, "--tokens-file", "inputs.json", "--out", "vectors.safetensors", *flags)
        return read_tensors(self.program.folder / "vectors.safetensors")["embeddings"]

    def compare(self, *flags):
        """(largest difference, smallest cosine) over the inputs that have something to pool."""
        rows = [i for i, r in enumerate(self.records) if not r["degenerate_pool"]]
        ours = self.embed([self.input(self.records[i]) for i in rows], *flags)
        theirs = reference(self.case)["embeddings_solo"][rows]
        assert np.isfinite(ours).all()
        return float(np.abs(ours - theirs).max()), min(cosine(a, b) for a, b in zip(ours, theirs))

    def input(self, record):
        return {"input_ids": record["input_ids"], "pooling_mask": pooling_mask(self.case, record)}


def pooling(case):
    return settings(encoder__pooling=f'"{case["pooling_mode"]}"')


def pooling_mask(case, record):
    length = len(record["input_ids"])
    if case["pooling_mode"] == "bos_token":
        return [1] + [0] * (length - 1)
    if case["pooling_mode"] in ("eos_token", "last_token"):
        return [0] * (length - 1) + [1]
    return record["embed_mask"] if case["skip_instruction"] else record["attention_mask"]


@pytest.mark.parametrize("case", parameters(CASES))
def test_an_fp32_package_embeds_as_llm2vec(case, tmp_path, measure):
    """The encoder has no cache: nothing is rounded to fp16."""
    largest, smallest = Encoder(tmp_path, case, *FP32).compare()
    measure("fp32 encoder", largest, case["tolerance"]["embedding_abs_fp32"])
    measure("fp32 encoder, 1 - cosine", 1 - smallest, 1e-4)


@pytest.mark.parametrize("case", parameters([c for c in CASES if c["adapters"]]))
def test_merged_encoder_adapters_embed_as_live_ones(case, tmp_path, measure):
    largest, smallest = Encoder(tmp_path, case, *FP32, *settings(encoder__weights="separate")).compare()
    measure("fp32 encoder, merged", largest, case["tolerance"]["embedding_abs_fp32"])
    measure("fp32 encoder, merged, 1 - cosine", 1 - smallest, 1e-4)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("case", parameters(CASES))
def test_an_fp16_package_embeds_within_the_rounding_of_fp16(case, precision, tmp_path, measure):
    """At fp32 only the weights are rounded. At fp16 every result is, also the large hidden values that trained models of
    many layers keep for a few tokens."""
    _, smallest = Encoder(tmp_path, case, *settings(quantize__plugin='"none"')).compare("--precision", precision)
    measure(f"fp16 encoder at {precision}, 1 - cosine", 1 - smallest, {"fp32": 1e-4, "fp16": 2e-3}[precision])


@pytest.mark.parametrize("case", parameters([c for c in CASES if c["model"] != "smollm2"][:1]))
class TestInputs:
    def test_an_embedding_does_not_depend_on_its_neighbours(self, case, tmp_path):
        encoder = Encoder(tmp_path, case, *FP32)
        inputs = [encoder.input(r) for r in encoder.records if not r["degenerate_pool"]]
        together = encoder.embed(inputs)
        for one, row in zip(inputs, together):
            assert np.array_equal(encoder.embed([one])[0], row)

    def test_threads_do_not_change_an_embedding(self, case, tmp_path, measure):
        encoder = Encoder(tmp_path, case, *FP32)
        for threads in (1, 2, 5):
            measure("fp32 encoder, any threads", encoder.compare("--threads", threads)[0],
                    case["tolerance"]["embedding_abs_fp32"])

    def test_a_mask_that_pools_nothing_is_refused(self, case, tmp_path):
        encoder = Encoder(tmp_path, case, *FP32)
        ids = encoder.records[0]["input_ids"]
        (tmp_path / "inputs.json").write_text(json.dumps([{"input_ids": ids, "pooling_mask": [0] * len(ids)}]))
        done = encoder.program.run("embed", encoder.package, "--tokens-file", "inputs.json", "--out", "v.safetensors")
        assert done.returncode in (2, 3) and "pool" in done.stderr, done.stderr

    def test_a_text_longer_than_the_encoder_is_refused(self, case, tmp_path):
        encoder = Encoder(tmp_path, case, *FP32)
        ids = (encoder.records[0]["input_ids"] * 100)[:600]
        (tmp_path / "inputs.json").write_text(json.dumps([{"input_ids": ids, "pooling_mask": [1] * len(ids)}]))
        done = encoder.program.run("embed", encoder.package, "--tokens-file", "inputs.json", "--out", "v.safetensors")
        assert done.returncode in (2, 3), done.stderr
