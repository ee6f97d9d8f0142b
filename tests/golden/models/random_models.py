"""Small Llama models and LoRA adapters with random weights, written as Hugging Face and PEFT write theirs."""

import json

import numpy as np

LINEARS = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
           "mlp.up_proj", "mlp.down_proj"]


def write_safetensors(path, tensors):
    """fp32 arrays."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.astype(np.float32).tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


class RandomModel:
    """Everything that may vary is drawn from the seed."""

    def __init__(self, seed, folder):
        self.random = np.random.default_rng(seed)
        self.config = self._config()
        self.weights = self._weights()
        self.path = folder
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(self.config))
        write_safetensors(folder / "model.safetensors", self.weights)

    def pick(self, *choices):
        return choices[self.random.integers(len(choices))]

    def normal(self, *shape, scale=1.0):
        return (self.random.standard_normal(shape) * scale).astype(np.float32)

    def _config(self):
        head_dim, kv_heads, group = self.pick(8, 16, 32), self.pick(1, 2, 3), self.pick(1, 2, 4)
        heads = kv_heads * group
        scaling = self.pick(
            None, {"rope_type": "linear", "factor": 2.0},
            {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
             "original_max_position_embeddings": 32})
        return {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
            "hidden_size": self.pick(heads * head_dim, 40, 96), "intermediate_size": self.pick(52, 90, 128),
            "num_hidden_layers": self.pick(1, 2, 3), "num_attention_heads": heads, "num_key_value_heads": kv_heads,
            "head_dim": head_dim, "vocab_size": self.pick(67, 128, 201), "max_position_embeddings": 128,
            "rms_norm_eps": self.pick(1e-5, 1e-6), "rope_theta": self.pick(10000.0, 500000.0),
            "rope_scaling": scaling, "attention_bias": self.pick(False, False, True),
            "mlp_bias": self.pick(False, False, True), "tie_word_embeddings": self.pick(False, True)}

    def _weights(self):
        c, weights = self.config, {}
        hidden, wide, vocab = c["hidden_size"], c["intermediate_size"], c["vocab_size"]
        q, kv = (c[key] * c["head_dim"] for key in ("num_attention_heads", "num_key_value_heads"))
        shapes = dict(zip(LINEARS, [(q, hidden), (kv, hidden), (kv, hidden), (hidden, q), (wide, hidden), (wide, hidden),
                                    (hidden, wide)]))
        weights["model.embed_tokens.weight"] = self.normal(vocab, hidden)
        weights["model.norm.weight"] = 1 + self.normal(hidden, scale=0.2)
        if not c["tie_word_embeddings"]:
            weights["lm_head.weight"] = self.normal(vocab, hidden, scale=hidden**-0.5)
        for layer in range(c["num_hidden_layers"]):
            at = f"model.layers.{layer}."
            for name, shape in shapes.items():
                weights[f"{at}{name}.weight"] = self.normal(*shape, scale=1.5 * shape[1] ** -0.5)
                if c["attention_bias" if "attn" in name else "mlp_bias"]:
                    weights[f"{at}{name}.bias"] = self.normal(shape[0], scale=0.3)
            for norm in ("input_layernorm", "post_attention_layernorm"):
                weights[f"{at}{norm}.weight"] = 1 + self.normal(hidden, scale=0.2)
        return weights


class RandomAdapter:
    """A LoRA adapter of a model; `dora` makes it one that is no low-rank sum."""

    def __init__(self, model, folder, dora=False):
        self.path, self.dora = folder, dora
        self.rank, self.alpha, self.rank_stabilised = model.pick(2, 4, 7), model.pick(4, 16), model.pick(False, True)
        chosen = [name for name in LINEARS if model.random.random() < 0.6] or ["self_attn.q_proj"]
        self.factors, self.magnitudes = {}, {}
        for tensor, weight in model.weights.items():
            if tensor.endswith(".weight") and any(tensor.endswith(f"{name}.weight") for name in chosen):
                self._add(model, tensor, *weight.shape)
        self.embedding = not dora and model.random.random() < 0.3
        if self.embedding:
            self._add(model, "model.embed_tokens.weight", *model.weights["model.embed_tokens.weight"].shape)
        self._write([name.split(".")[1] for name in chosen], model.pick("base_model.model.", "base_model.model.model."))

    def _add(self, model, tensor, rows, columns):
        self.factors[tensor] = (model.normal(self.rank, columns, scale=columns**-0.5),
                                model.normal(rows, self.rank, scale=0.3))
        if self.dora:
            norms = np.linalg.norm(model.weights[tensor], axis=1)
            self.magnitudes[tensor] = (norms * (1 + model.normal(rows, scale=0.2))).astype(np.float32)

    def _write(self, modules, prefix):
        tensors = {}
        for tensor, (a, b) in self.factors.items():
            at = prefix + tensor.removeprefix("model.").removesuffix(".weight")
            if "embed_tokens" in tensor:
                tensors |= {f"{at}.lora_embedding_A": np.ascontiguousarray(b.T),
                            f"{at}.lora_embedding_B": np.ascontiguousarray(a.T)}
            else:
                tensors |= {f"{at}.lora_A.weight": a, f"{at}.lora_B.weight": b}
            if self.dora:
                tensors[f"{at}.lora_magnitude_vector"] = self.magnitudes[tensor]
        self.path.mkdir(parents=True)
        write_safetensors(self.path / "adapter_model.safetensors", tensors)
        (self.path / "adapter_config.json").write_text(json.dumps({
            "peft_type": "LORA", "task_type": None, "r": self.rank, "lora_alpha": self.alpha,
            "use_rslora": self.rank_stabilised, "use_dora": self.dora, "bias": "none", "fan_in_fan_out": False,
            "init_lora_weights": True, "modules_to_save": None,
            "target_modules": modules + (["embed_tokens"] if self.embedding else [])}))

    def merged_into(self, weights, strength=1.0):
        """The weights with the adapter merged; a tied head stays as it was."""
        merged = dict(weights)
        scale = strength * self.alpha / (self.rank**0.5 if self.rank_stabilised else self.rank)
        for tensor, (a, b) in self.factors.items():
            merged[tensor] = weights[tensor] + np.float32(scale) * (b @ a)
            if self.dora:
                norms = np.linalg.norm(merged[tensor], axis=1)
                merged[tensor] = merged[tensor] * (self.magnitudes[tensor] / norms)[:, None]
        return merged
