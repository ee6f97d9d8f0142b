#!/usr/bin/env python3
"""Writes the reference data of the GGUF tests into this folder; needs `pip install gguf==0.19.0 numpy`.

TYPE.blocks, TYPE.f32   random blocks of one ggml type and what gguf.quants.dequantize makes of them
tiny.gguf               a two-layer Llama with tensors of every supported type, rows of Q and K as llama.cpp orders them
tiny.json, tiny.bin     its tensors under their Hugging Face names: {name: {dtype, shape, offset, size}} and the bytes
"""
import json
import pathlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import quants

HERE = pathlib.Path(__file__).parent
HALF_FIELDS = {  # where the fp16 scales of a block stand
    Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0],
    Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208],
}
LAYERS, HIDDEN, FEED_FORWARD, HEADS, KV_HEADS, VOCABULARY = 2, 32, 256, 4, 2, 270
HEAD = HIDDEN // HEADS
rng = np.random.default_rng(20240607)


def random_blocks(kind, count, scales):
    """Every bit pattern is a block, as long as its scales are finite."""
    blocks = rng.integers(0, 256, (count, gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
    for at in HALF_FIELDS[kind]:
        blocks[:, at:at + 2] = scales(count).astype(np.float16).reshape(-1, 1).view(np.uint8)
    return blocks


def extreme_scales(count):
    """Ordinary, zero, negative, subnormal and largest scales."""
    special = np.array([0.0, -0.0, 6e-8, -5.9e-5, 65504.0, -65504.0, 1.0])
    return np.concatenate([special, rng.normal(0, 0.1, count - len(special))])


def write_vectors():
    for kind in HALF_FIELDS:
        blocks = random_blocks(kind, 12, extreme_scales)
        (HERE / f"{kind.name}.blocks").write_bytes(blocks.tobytes())
        (HERE / f"{kind.name}.f32").write_bytes(quants.dequantize(blocks, kind).astype("<f4").tobytes())


def stored_tensor(rows, columns, kind):
    """What goes into the file, and its values in the type the source delivers."""
    if kind == Type.F32:
        values = rng.normal(0, 0.05, (rows, columns)).astype(np.float32)
        return values, values
    if kind == Type.F16:
        values = rng.normal(0, 0.05, (rows, columns)).astype(np.float16)
        return values, values
    if kind == Type.BF16:
        bits = (rng.normal(0, 0.05, (rows, columns)).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        return bits.view(np.uint8), bits
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random_blocks(kind, rows * columns // elements, lambda n: rng.normal(0, 0.01, n))
    stored = blocks.reshape(rows, columns // elements * size)
    return stored, quants.dequantize(stored, kind).astype(np.float16)


def restored_order(rows, heads):
    """Undoes reshape(heads, 2, half).swapaxes(1, 2), by index."""
    return np.arange(rows).reshape(heads, rows // heads // 2, 2).swapaxes(1, 2).reshape(rows)


def write_tokenizer(writer):
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    alphabet = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]
    merges = ["Ġ t", "h e", "Ġt he", "i n", "e r"]
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *alphabet, *(m.replace(" ", "") for m in merges), "<tool>"]
    tokens += [f"[PAD{i}]" for i in range(VOCABULARY - len(tokens))]
    types = [3, 3, 3] + [1] * 261 + [4] + [5] * (VOCABULARY - 265)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")


def write_metadata(writer):
    writer.add_type("model")
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(HEAD)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    write_tokenizer(writer)


def write_model():
    writer = gguf.GGUFWriter(HERE / "tiny.gguf", "llama")
    write_metadata(writer)
    index, data = {}, bytearray()

    def add(name, target, rows, columns, kind, heads=0):
        stored, values = stored_tensor(rows, columns or 1, kind)
        if heads:
            values = values[restored_order(rows, heads)]
        if columns is None:
            stored, values = stored.reshape(rows), values.reshape(rows)
        writer.add_tensor(name, stored, raw_dtype=None if kind in (Type.F32, Type.F16) else kind)
        dtype = {Type.F32: "fp32", Type.BF16: "bf16"}.get(kind, "fp16")
        index[target] = {"dtype": dtype, "shape": list(values.shape), "offset": len(data), "size": values.nbytes}
        data.extend(values.tobytes())

    add("token_embd.weight", "model.embed_tokens.weight", VOCABULARY, HIDDEN, Type.Q8_0)
    small, large = [Type.Q4_0, Type.Q5_1, Type.Q4_1, Type.Q5_0, Type.F16, Type.BF16], [Type.Q4_K, Type.Q6_K]
    for layer in range(LAYERS):
        source, target = f"blk.{layer}.", f"model.layers.{layer}."
        kinds = small[3 * layer:] + small[:3 * layer]
        add(source + "attn_norm.weight", target + "input_layernorm.weight", HIDDEN, None, Type.F32)
        add(source + "attn_q.weight", target + "self_attn.q_proj.weight", HIDDEN, HIDDEN, kinds[0], HEADS)
        add(source + "attn_k.weight", target + "self_attn.k_proj.weight", KV_HEADS * HEAD, HIDDEN, kinds[1], KV_HEADS)
        add(source + "attn_v.weight", target + "self_attn.v_proj.weight", KV_HEADS * HEAD, HIDDEN, kinds[2])
        add(source + "attn_output.weight", target + "self_attn.o_proj.weight", HIDDEN, HIDDEN, kinds[3])
        add(source + "ffn_norm.weight", target + "post_attention_layernorm.weight", HIDDEN, None, Type.F32)
        add(source + "ffn_gate.weight", target + "mlp.gate_proj.weight", FEED_FORWARD, HIDDEN, kinds[4])
        add(source + "ffn_up.weight", target + "mlp.up_proj.weight", FEED_FORWARD, HIDDEN, kinds[5])
        add(source + "ffn_down.weight", target + "mlp.down_proj.weight", HIDDEN, FEED_FORWARD, large[layer])
    add("output_norm.weight", "model.norm.weight", HIDDEN, None, Type.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (HERE / "tiny.json").write_text(json.dumps(index, indent=1) + "\n")
    (HERE / "tiny.bin").write_bytes(data)


write_vectors()
write_model()
