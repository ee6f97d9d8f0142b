"""Golden files, as `dolphin2coreml verify --golden` reads them: safetensors with a few rules (docs/verification.md)."""

import json
from pathlib import Path

import numpy as np

FORMAT = "dolphin2coreml golden 1"
KINDS = {"float32": "F32", "int32": "I32"}


class Golden:
    """`weights`: "package" or "checkpoint", whose weights `reference` (a sentence) was computed with."""

    def __init__(self, weights, reference):
        self.metadata = {"format": FORMAT, "weights": weights, "reference": reference}
        self.tensors = {}
        self._prompts = self._sentences = 0

    def add_prompt(self, tokens, generated, logits, text=""):
        """`logits`: a row for the prompt's last token and one for each generated token."""
        best = np.sort(logits, axis=-1)[:, -2:]
        self._add(f"prompt.{self._prompts}", text, tokens=np.array(tokens, np.int32),
                  generated=np.array(generated, np.int32), logits=np.asarray(logits, np.float32),
                  margin=(best[:, 1] - best[:, 0]).astype(np.float32))
        self._prompts += 1

    def add_sentence(self, ids, pooling_mask, embedding, text=""):
        self._add(f"sentence.{self._sentences}", text, ids=np.array(ids, np.int32),
                  pooling_mask=np.array(pooling_mask, np.int32), embedding=np.asarray(embedding, np.float32))
        self._sentences += 1

    def write(self, path):
        header, data = {"__metadata__": self.metadata}, b""
        for name, array in sorted(self.tensors.items()):
            header[name] = {"dtype": KINDS[array.dtype.name], "shape": list(array.shape),
                            "data_offsets": [len(data), len(data) + array.nbytes]}
            data += array.tobytes()
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        Path(path).write_bytes(len(text).to_bytes(8, "little") + text + data)

    def _add(self, name, text, **arrays):
        self.tensors |= {f"{name}.{part}": array for part, array in arrays.items()}
        if text:
            self.metadata[name] = text


def parse_tokens(text):
    return [int(token) for token in text.split(",")]
