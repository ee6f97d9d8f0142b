"""A Llama forward pass in fp32 numpy: the reference that packages are held against. No code of the runner is in it."""

import math

import numpy as np


class Llama:
    """Weights under Hugging Face's names, and the config.json that goes with them."""

    def __init__(self, config, weights):
        self.config = config
        self.weights = weights
        self.heads = config["num_attention_heads"]
        self.kv_heads = config.get("num_key_value_heads") or self.heads
        self.head_dim = config.get("head_dim") or config["hidden_size"] // self.heads

    def logits(self, tokens):
        """[tokens, vocabulary]: what follows each token."""
        head = self.weights.get("lm_head.weight", self.weights["model.embed_tokens.weight"])
        return self.hidden(tokens, causal=True) @ head.T

    def embedding(self, tokens, pooling_mask=None, pooling="mean"):
        """The mean of the hidden states that the mask selects, every token seeing every other; `weighted_mean` counts the
        n-th of them n times. Poolings of one token are the mean over a mask with one token."""
        weights = np.ones(len(tokens)) if pooling_mask is None else (np.asarray(pooling_mask) != 0).astype(float)
        if pooling == "weighted_mean":
            weights *= np.cumsum(weights)
        return np.average(self.hidden(tokens, causal=False), axis=0, weights=weights).astype(np.float32)

    def greedy(self, prompt, count):
        tokens = list(prompt)
        for _ in range(count):
            tokens.append(int(self.logits(tokens)[-1].argmax()))
        return tokens[len(prompt) :]

    def hidden(self, tokens, causal):
        x = self.weights["model.embed_tokens.weight"][np.asarray(tokens)]
        cos, sin = self._rotation(len(tokens))
        for layer in range(self.config["num_hidden_layers"]):
            at = f"model.layers.{layer}."
            x = x + self._attention(at + "self_attn.", self._norm(x, at + "input_layernorm"), cos, sin, causal)
            x = x + self._mlp(at + "mlp.", self._norm(x, at + "post_attention_layernorm"))
        return self._norm(x, "model.norm")

    def _norm(self, x, name):
        scale = np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(self.config["rms_norm_eps"]))
        return x / scale * self.weights[name + ".weight"]

    def _linear(self, x, name):
        y = x @ self.weights[name + ".weight"].T
        return y + self.weights[name + ".bias"] if name + ".bias" in self.weights else y

    def _mlp(self, at, x):
        gate = self._linear(x, at + "gate_proj")
        return self._linear(gate / (1 + np.exp(-gate)) * self._linear(x, at + "up_proj"), at + "down_proj")

    def _attention(self, at, x, cos, sin, causal):
        q, k, v = (self._split(self._linear(x, f"{at}{part}_proj")) for part in "qkv")
        q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
        k, v = (np.repeat(t, self.heads // self.kv_heads, axis=0) for t in (k, v))
        scores = q @ k.transpose(0, 2, 1) / np.float32(math.sqrt(self.head_dim))
        if causal:
            scores = np.where(np.tri(len(x), dtype=bool), scores, np.float32(-np.inf))
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = weights / weights.sum(axis=-1, keepdims=True) @ v
        return self._linear(mixed.transpose(1, 0, 2).reshape(len(x), -1), at + "o_proj")

    def _split(self, x):
        return x.reshape(len(x), -1, self.head_dim).transpose(1, 0, 2)

    def _rotation(self, length):
        angles = np.outer(np.arange(length), self._frequencies()).astype(np.float32)
        angles = np.concatenate([angles, angles], axis=-1)
        return np.cos(angles), np.sin(angles)

    def _frequencies(self):
        # Files of transformers 5 hold everything about RoPE in rope_parameters.
        rope = self.config.get("rope_parameters") or self.config.get("rope_scaling") or {}
        theta = rope.get("rope_theta") or self.config.get("rope_theta", 10000.0)
        frequencies = theta ** (-np.arange(0, self.head_dim, 2) / self.head_dim)
        kind = rope.get("rope_type") or rope.get("type") or "default"
        if kind == "default":
            return frequencies
        if kind == "linear":
            return frequencies / rope["factor"]
        if kind == "llama3":
            return _llama3_frequencies(frequencies, rope)
        raise ValueError(f"RoPE of type {kind} has no reference here")


def _llama3_frequencies(frequencies, rope):
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    turns = rope["original_max_position_embeddings"] * frequencies / (2 * math.pi)
    keep = np.clip((turns - low) / (high - low), 0, 1)
    return frequencies * (keep + (1 - keep) / rope["factor"])


def _rotate(x, cos, sin):
    first, second = np.split(x, 2, axis=-1)
    return x * cos + np.concatenate([-second, first], axis=-1) * sin
