#!/usr/bin/env python3
"""Measures conversion against its peers and the machine's limits, all in one run.

    benchmarks/conversion.py --bin build/bench/bin [--sizes 135m,1b,8b,70b] [--out FILE] [--docs docs/performance.md]

- limits: memcpy, reading from disk with an empty page cache, writing to disk, measured just before everything else;
- kernel: the palettizer and coremltools' palettize_weights on the same matrices, in turns;
- conversions: from safetensors files written once into --work (removed as soon as they are done with), on one and on two
  threads, alone and with a rank-16 adapter of every linear layer;
- llama-quantize (of the source package llama-cpp-python) on the 1B weights as an F16 GGUF file.

Sizes for which the disk has no room are left out and named. `70b` is its shape with 8 of 80 layers. Ratios are of figures
of the same round. Run it with a Python that has numpy and coremltools; ./dev bench does.
"""

import argparse
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from runner_vs_llama_cpp import Gguf, llama_cpp

GB = 1e9
SHAPES = {  # preset of source_synthetic, layers kept (0: all), layers there are
    "tiny": ("smollm2-135m", 2, 30),
    "135m": ("smollm2-135m", 0, 30),
    "1b": ("llama3.2-1b", 0, 16),
    "8b": ("llama3.1-8b", 0, 32),
    "70b": ("llama3.1-70b", 8, 80),
}
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
GROUP = 16


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def show(label, figure, unit=""):
    print(f"  {label:44} {figure['median']:9.2f}{unit}   ({figure['min']:.2f} to {figure['max']:.2f})", flush=True)


# ---------------------------------------------------------------- limits


def forget(path):
    """Drops a file's clean pages from the page cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_speed(files):
    """GB/s of reading files that are not in the page cache, at most 4 GB of them."""
    size, start = 0, time.monotonic()
    for path in files:
        forget(path)
    start = time.monotonic()
    for path in files:
        with open(path, "rb", buffering=0) as file:
            while block := file.read(8 << 20):
                size += len(block)
                if size >= 4 * GB:
                    break
    return size / GB / (time.monotonic() - start)


def limits(work, rounds, megabytes):
    block, copy, times = np.ones(megabytes << 17), None, []
    for _ in range(rounds + 1):
        start = time.monotonic()
        copy = block.copy() if copy is None else np.copyto(copy, block) or copy
        times.append(time.monotonic() - start)
    memcpy = spread([block.nbytes / GB / t for t in times[1:]])
    file, writes, reads = work / "disk.bin", [], []
    for _ in range(rounds):
        start = time.monotonic()
        with open(file, "wb", buffering=0) as out:
            for at in range(0, block.nbytes, 8 << 20):
                out.write(memoryview(block).cast("B")[at : at + (8 << 20)])
            os.fdatasync(out.fileno())
        writes.append(block.nbytes / GB / (time.monotonic() - start))
        reads.append(read_speed([file]))
    file.unlink()
    result = {"memcpy": memcpy, "disk_write": spread(writes), "disk_read": spread(reads)}
    print("limits, GB/s")
    for name, figure in result.items():
        show(name, figure)
    return result


# ---------------------------------------------------------------- kernel


def matrix(rows, columns, rounded_to_bf16):
    """Gaussian with log-normal row scales and 0.1 % outliers, as fp16."""
    random = np.random.default_rng(columns)
    values = random.standard_normal((rows, columns), np.float32) * np.exp(0.3 * random.standard_normal((rows, 1), np.float32))
    values *= 0.02 * np.where(random.random((rows, columns), np.float32) < 0.001, 8, 1)
    values = values.astype(np.float32)
    if rounded_to_bf16:
        bits = values.view(np.uint32)
        values = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    return values.astype(np.float16)


def error_around_means(values, indices):
    """Squared error of an assignment, entries not rounded: what solving alone decides."""
    error = 0.0
    for group in range(0, len(values), GROUP):
        v = values[group : group + GROUP].astype(np.float64).ravel()
        i = indices[group : group + GROUP].ravel()
        count, total = np.bincount(i, minlength=16), np.bincount(i, v, 16)
        means = total / np.maximum(count, 1)
        error += float(((v - means[i]) ** 2).sum())
    return error


def ours(tool, work, values, mode):
    source, out = work / "matrix.f16", work / "palettes.bin"
    source.write_bytes(values.tobytes())
    times = json.loads(run(tool, source, *values.shape, mode, 3, out))
    packed = np.frombuffer(out.read_bytes(), np.uint8, values.size // 2)
    indices = np.stack([packed & 15, packed >> 4], -1).reshape(values.shape)
    return statistics.median(times), error_around_means(values, indices)


def coremltools(values):
    import logging

    logging.getLogger("coremltools").setLevel(logging.ERROR)
    from coremltools.optimize.coreml._quantization_passes import palettize_weights

    start = time.process_time()
    found = palettize_weights.grouped_channelwise_compress(values, "KMEANS", 4, 0, GROUP)
    return time.process_time() - start, error_around_means(values, np.asarray(found.indices).astype(np.int64))


def kernels(bin_folder, work, rounds, rows):
    """Million weights per CPU-second, and the ratio to coremltools in the same round."""
    result = {}
    print("palettizer, 4 bits, groups of 16 rows: times coremltools per CPU-second, and squared error over its")
    for columns in (4096, 14336):
        for name, bf16 in (("bf16", True), ("merged", False)):
            values = matrix(rows, columns, bf16)
            speeds = {"exact": [], "fast": [], "coremltools": []}
            ratios, errors = {"exact": [], "fast": []}, {"exact": [], "fast": []}
            for _ in range(rounds):
                theirs, their_error = coremltools(values)
                speeds["coremltools"].append(values.size / 1e6 / theirs)
                for mode in ("exact", "fast"):
                    seconds, error = ours(bin_folder / "palettize_matrix", work, values, mode)
                    speeds[mode].append(values.size / 1e6 / seconds)
                    ratios[mode].append(theirs / seconds)
                    errors[mode].append(error / their_error)
            key = f"{name}_{columns}"
            result[key] = {"weights": values.size, "mw_per_cpu_s": {k: spread(v) for k, v in speeds.items()},
                           "times_coremltools": {k: spread(v) for k, v in ratios.items()},
                           "error_ratio": {k: max(v) for k, v in errors.items()}}
            for mode in ("exact", "fast"):
                show(f"{key} {mode} (error x {result[key]['error_ratio'][mode]:.7f})", spread(ratios[mode]), " x")
    for name in ("matrix.f16", "palettes.bin"):
        (work / name).unlink()
    return result


# ---------------------------------------------------------------- conversions


def header_of(file):
    with open(file, "rb") as f:
        size = struct.unpack("<Q", f.read(8))[0]
        return 8 + size, {k: v for k, v in json.loads(f.read(size)).items() if k != "__metadata__"}


def write_adapter(model, folder, rank=16):
    """A PEFT adapter of every linear layer."""
    random, tensors = np.random.default_rng(7), {}
    for file in sorted(model.glob("*.safetensors")):
        for name, info in header_of(file)[1].items():
            if name.removesuffix(".weight").rsplit(".", 1)[-1] in LINEAR:
                rows, columns = info["shape"]
                base = "base_model.model." + name.removesuffix(".weight")
                tensors[base + ".lora_A.weight"] = random.standard_normal((rank, columns), np.float32) * 0.01
                tensors[base + ".lora_B.weight"] = random.standard_normal((rows, rank), np.float32) * 0.01
    folder.mkdir()
    header, at = {}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    text = json.dumps(header).encode()
    with open(folder / "adapter_model.safetensors", "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for values in tensors.values():
            out.write(values.tobytes())
    (folder / "adapter_config.json").write_text(json.dumps(
        {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": list(LINEAR), "bias": "none"}))


def children_cpu_seconds():
    times = os.times()
    return times.children_user + times.children_system


def convert(program, model, out, *flags):
    """The report, with the CPU seconds of the whole process."""
    before = children_cpu_seconds()
    report = json.loads(run(program, "convert", "--model", model, "-o", out, "--force", "--json", "-q", *flags))
    report["cpu_seconds"] = children_cpu_seconds() - before
    for key in ("weights", "functions"):
        report.pop(key)
    shutil.rmtree(out)
    return report


def summary(report):
    keys = ("seconds", "cpu_seconds", "peak_memory", "time", "bounded_by", "quantization", "weight_bytes", "elements", "memory")
    return {k: report[k] for k in keys if k in report}


def room_for(work, size, preset, layers, program):
    """Does the disk hold the input, its package and a reserve for whatever else the machine does?"""
    plan = json.loads(run(program, "plan", "--model", f"synthetic:{preset}", "--set", f"model.layers={layers}", "--json"))
    needed = plan["elements"] * 2 + plan["disk_bytes"] + 6 * GB
    free = shutil.disk_usage(work).free
    if free < needed:
        print(f"{size}: left out, needs {needed / GB:.0f} GB of disk, {free / GB:.0f} GB are free")
    return free >= needed


def kernel_seconds(kernel, report, threads, name="bf16"):
    """What the kernel benchmark needs for as many weights; the slower width of its two."""
    return report["elements"] / 1e6 / kernel[f"{name}_4096"]["mw_per_cpu_s"]["exact"]["median"] / threads


def measure_size(size, options, work, limit, kernel):
    preset, layers, all_layers = SHAPES[size]
    program = options.bin / "dolphin2coreml"
    if not room_for(work, size, preset, layers, program):
        return None
    model, out, adapter = work / f"model-{size}", work / "out.mlpackage", work / "adapter"
    try:
        run(program, "merge", "--model", f"synthetic:{preset}", "--set", f"model.layers={layers}", "-o", model, "-q")
        write_adapter(model, adapter)
        files = sorted(model.glob("*.safetensors"))
        size_in = sum(f.stat().st_size for f in files)
        read = read_speed(files)
        rounds = 1 if size_in > 4 * GB else options.rounds
        runs = {"1 thread": [], "2 threads": [], "2 threads, adapter": []}
        for _ in range(rounds):
            runs["2 threads"].append(convert(program, model, out, "--threads", 2))
            runs["1 thread"].append(convert(program, model, out, "--threads", 1))
            runs["2 threads, adapter"].append(convert(program, model, out, "--threads", 2, "--adapter", adapter))
        peers = llama_quantize(model, work, options.rounds) if size == "1b" else None
    finally:
        for path in (model, adapter, out):
            shutil.rmtree(path, ignore_errors=True)
    two = runs["2 threads"]
    bound = [max(size_in / GB / read, kernel_seconds(kernel, r, 2) + r["weight_bytes"] / GB / limit["disk_write"]["median"])
             for r in two]
    merge = [r["time"]["merge"] for r in runs["2 threads, adapter"]]
    mean_coremltools = statistics.mean(kernel[f"bf16_{c}"]["mw_per_cpu_s"]["coremltools"]["median"] for c in (4096, 14336))
    result = {
        "input_bytes": size_in, "cold_read_gb_s": read, "layers": layers or all_layers, "of_layers": all_layers,
        "runs": {k: [summary(r) for r in v] for k, v in runs.items()},
        "mw_per_s": spread([r["elements"] / 1e6 / r["seconds"] for r in two]),
        "over_bound": spread([r["seconds"] / b for r, b in zip(two, bound)]),
        "speed_up_of_2_threads": spread([a["seconds"] / b["seconds"] for a, b in zip(runs["1 thread"], two)]),
        "times_coremltools_per_cpu_s": spread([r["elements"] / 1e6 / r["cpu_seconds"] / mean_coremltools for r in two]),
        "merge_cpu_s": spread(merge),
        "peak_mb": max(r["peak_memory"] for v in runs.values() for r in v) / 1e6,
    }
    print(f"{size}: {two[0]['elements'] / 1e9:.2f} G weights, {result['layers']} of {all_layers} layers")
    for key, unit in (("mw_per_s", " Mw/s"), ("over_bound", " x the bound"), ("speed_up_of_2_threads", " x"),
                      ("times_coremltools_per_cpu_s", " x"), ("merge_cpu_s", " s")):
        show(key, result[key], unit)
    print(f"  peak memory {result['peak_mb']:.0f} MB; bounded by: {two[0].get('bounded_by', '?')}", flush=True)
    if peers:
        result["llama_quantize"] = peers
        for name, figure in peers.items():
            result["llama_quantize"][name]["ours_is_faster"] = spread(
                [r["elements"] / 1e6 / r["seconds"] / figure["mw_per_s"]["median"] for r in two])
            result["llama_quantize"][name]["ours_is_faster_per_cpu_s"] = spread(
                [r["elements"] / 1e6 / r["cpu_seconds"] / figure["mw_per_cpu_s"]["median"] for r in two])
            show(f"times llama-quantize {name}", figure["ours_is_faster"], " x")
            show(f"times llama-quantize {name}, per CPU-s", figure["ours_is_faster_per_cpu_s"], " x")
    return result


def write_f16_gguf(model, path):
    """The weights of a Hugging Face Llama as llama-quantize takes them; for its speed it does not matter how q and k lie."""
    config = json.loads((model / "config.json").read_text())
    names = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
             "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
             "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
    top = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
           "lm_head.weight": "output.weight"}
    keys = Gguf()
    for key, value in {"general.architecture": "llama", "general.file_type": 1,
                       "llama.block_count": config["num_hidden_layers"], "llama.context_length": 2048,
                       "llama.embedding_length": config["hidden_size"],
                       "llama.feed_forward_length": config["intermediate_size"],
                       "llama.attention.head_count": config["num_attention_heads"],
                       "llama.attention.head_count_kv": config["num_key_value_heads"],
                       "llama.attention.layer_norm_rms_epsilon": 1e-5, "llama.rope.freq_base": 5e5,
                       "llama.vocab_size": config["vocab_size"], "tokenizer.ggml.model": "no_vocab"}.items():
        keys.add(key, value)
    tensors = []
    for file in sorted(model.glob("*.safetensors")):
        start, header = header_of(file)
        for name, info in header.items():
            short = top.get(name)
            if short is None:
                _, _, layer, rest = name.split(".", 3)
                short = f"blk.{layer}.{names[rest.removesuffix('.weight')]}.weight"
            tensors.append((short, info["shape"], file, start + info["data_offsets"][0]))
    infos, at = b"", 0
    for name, shape, _, _ in tensors:
        kind = 1 if len(shape) == 2 else 0
        infos += Gguf.text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), kind, at)
        at += -(-int(np.prod(shape)) * (2 if kind else 4) // 32) * 32
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys.keys)) + b"".join(keys.keys) + infos
    with open(path, "wb") as out:
        out.write(head + bytes(-len(head) % 32))
        for _, shape, file, offset in tensors:
            data = np.memmap(file, np.uint16, "r", offset, tuple(shape)).astype(np.uint32) << 16
            data = data.view(np.float32).astype(np.float16 if len(shape) == 2 else np.float32).tobytes()
            out.write(data + bytes(-len(data) % 32))


def llama_quantize(model, work, rounds):
    """Million weights per second on two threads and per CPU-second, by type."""
    program, source, out = llama_cpp() / "llama-quantize", work / "model.f16.gguf", work / "model.q.gguf"
    try:
        write_f16_gguf(model, source)
        weights = source.stat().st_size / 2 / 1e6
        speeds = {kind: {"mw_per_s": [], "mw_per_cpu_s": []} for kind in ("Q4_0", "Q4_K_M")}
        for _ in range(rounds):
            for kind, figures in speeds.items():
                start, before = time.monotonic(), children_cpu_seconds()
                run(program, source, out, kind, 2)
                figures["mw_per_s"].append(weights / (time.monotonic() - start))
                figures["mw_per_cpu_s"].append(weights / (children_cpu_seconds() - before))
        return {kind: {k: spread(v) for k, v in figures.items()} for kind, figures in speeds.items()}
    finally:
        source.unlink(missing_ok=True)
        out.unlink(missing_ok=True)


# ---------------------------------------------------------------- report

BEGIN, END = "<!-- measured by ./dev bench -->", "<!-- end of what ./dev bench measured -->"


def ratio(figure, digits=1):
    return f"{figure['median']:.{digits}f} ({figure['min']:.{digits}f}-{figure['max']:.{digits}f})"


def table(result):
    lines = [BEGIN, "", "| palettizer, 4 bits, 16 rows | exact: times coremltools | error / its | fast | error / its |",
             "|---|---|---|---|---|"]
    for key, k in result["kernels"].items():
        name, columns = key.split("_")
        t, e = k["times_coremltools"], k["error_ratio"]
        lines.append(f"| {name} weights, {columns} columns | {ratio(t['exact'], 0)} | {e['exact']:.7f} | {ratio(t['fast'], 0)} | "
                     f"{e['fast']:.7f} |")
    lines += ["", "| shape | Mw/s, 2 threads | times the bound | 2 threads over 1 | times coremltools, per CPU-s | "
              "adapter's merge, CPU-s | peak memory |", "|---|---|---|---|---|---|---|"]
    for size, s in result["conversions"].items():
        part = "" if s["layers"] == s["of_layers"] else f", {s['layers']} of {s['of_layers']} layers"
        lines.append(f"| {size}{part} | {ratio(s['mw_per_s'], 0)} | {ratio(s['over_bound'], 2)} | "
                     f"{ratio(s['speed_up_of_2_threads'], 2)} | {ratio(s['times_coremltools_per_cpu_s'], 0)} | "
                     f"{ratio(s['merge_cpu_s'])} | {s['peak_mb']:.0f} MB |")
    lines.append("")
    for size, s in result["conversions"].items():
        if s["layers"] != s["of_layers"]:
            one, two = result["conversions"][size]["runs"]["2 threads"][0], s["of_layers"] / s["layers"]
            lines.append(f"All {s['of_layers']} layers of {size} would take about {one['seconds'] * two:.0f} s by this slope "
                         "(an overestimate: embedding and head are scaled along).")
        for name, q in s.get("llama_quantize", {}).items():
            lines.append(f"llama-quantize {name} on the {size} weights: {ratio(q['mw_per_s'], 0)} Mw/s; this converter is "
                         f"{ratio(q['ours_is_faster'])} times as fast, {ratio(q['ours_is_faster_per_cpu_s'])} times per "
                         "CPU-second.")
    limit = result["limits"]
    lines += ["", "Limits measured just before, GB/s: " + ", ".join(
        f"{k.replace('_', ' ')} {ratio(v)}" for k, v in limit.items()) + f". Load before the run: {result['load']:.1f}.", "", END]
    return "\n".join(lines)


def update(docs, result):
    text = docs.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    docs.write_text(before + table(result) + after)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=Path, help="folder of the programs, built with the benchmarks")
    parser.add_argument("--sizes", default="135m,1b", help="of 135m, 1b, 8b, 70b; \"all\" for all of them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("build/bench/conversion"), help="folder for files while it runs")
    parser.add_argument("--out", type=Path, help="write everything measured as JSON")
    parser.add_argument("--docs", type=Path, help="replace the table in this file")
    parser.add_argument("--self-check", action="store_true", help="as little of everything as shows that it works")
    options = parser.parse_args()
    sizes = ["135m", "1b", "8b", "70b"] if options.sizes == "all" else options.sizes.split(",")
    if options.self_check:
        sizes, options.rounds = ["tiny"], 1
    if unknown := set(sizes) - set(SHAPES):
        parser.error(f"--sizes: {', '.join(sorted(unknown))} is not one of 135m, 1b, 8b, 70b, all")

    result = {"load": os.getloadavg()[0], "cpus": os.cpu_count()}
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        result["limits"] = limits(options.work, options.rounds, 64 if options.self_check else 1024)
        result["kernels"] = kernels(options.bin, options.work, options.rounds, 32 if options.self_check else 256)
        result["conversions"] = {}
        for size in sizes:
            if measured := measure_size(size, options, options.work, result["limits"], result["kernels"]):
                result["conversions"][size] = measured
    finally:
        shutil.rmtree(options.work)
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    if options.docs:
        update(options.docs, result)


if __name__ == "__main__":
    main()
