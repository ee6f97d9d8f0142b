#!/usr/bin/env python3
"""Compares `dolphin2coreml bench` with llama.cpp's llama-bench: same shapes, same threads, in turns.

    benchmarks/runner_vs_llama_cpp.py --program build/release/bin/dolphin2coreml [--threads 2] [--rounds 5]
                                      [--big 8B.mlpackage] [--out FILE] [--docs docs/runner.md]

Models: SmolLM2-135M from a GGUF file (--gguf; `./dev demo` fetches one) and a made-up model of Llama 3.2 1B's shape. Ours
are 4-bit palettes of 16 rows, llama.cpp's are Q4_0 throughout (--pure). Whatever is missing is made once under the cache:
llama.cpp (from the source package llama-cpp-python, ten minutes or more), packages and GGUF files. Rounds alternate, so that
other work on the machine hits both; ratios are of the same round. --big adds what a larger package does here, without a
peer (configs/synthetic-8b.toml makes one). Beside the ratios stands how much of the weights a second of decoding reads,
against what as many threads that only read achieve. --docs writes the tables between the file's markers. Needs pip, cmake,
ninja and a compiler.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import struct
import subprocess
import sys
import tarfile
import time
from pathlib import Path

LLAMA_CPP = "llama-cpp-python==0.3.36"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "dolphin2coreml"
LLAMA_1B = dict(layers=16, hidden=2048, ffn=8192, heads=32, kv_heads=8, head_dim=64, vocab=128256, context=2048)
TARGETS = {"decode_fast": 1.0, "decode_fp32": 0.6, "prefill_fast": 1.0, "prefill_fp32": 0.5}
PRECISIONS = ("fp32", "fast")
MARKERS = ("<!-- written by benchmarks/runner_vs_llama_cpp.py -->", "<!-- end -->")


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def llama_cpp():
    """The folder of llama-bench and llama-quantize, built if they are not there."""
    home = CACHE / "llama-cpp"
    programs = home / "build" / "bin"
    if (programs / "llama-bench").exists() and (programs / "llama-quantize").exists():
        return programs
    home.mkdir(parents=True, exist_ok=True)
    print("building llama.cpp once", file=sys.stderr)
    run(sys.executable, "-m", "pip", "download", "--no-binary", ":all:", "--no-deps", "-d", home, LLAMA_CPP)
    archive = next(home.glob("llama_cpp_python-*.tar.gz"))
    with tarfile.open(archive) as tar:
        tar.extractall(home)
    source = next(home.glob("llama_cpp_python-*/vendor/llama.cpp"))
    off = [f"-D{name}=OFF" for name in ("LLAMA_CURL", "BUILD_SHARED_LIBS", "LLAMA_BUILD_TESTS", "LLAMA_BUILD_EXAMPLES",
                                        "LLAMA_BUILD_SERVER")]
    run("cmake", "-S", source, "-B", home / "build", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", *off)
    run("nice", "-n", "10", "ninja", "-C", home / "build", "llama-bench", "llama-quantize")
    return programs


class Gguf:
    """Just enough of a GGUF writer for a model of random Q4_0 blocks."""

    ALIGNMENT, F32, Q4_0 = 32, 0, 2

    def __init__(self):
        self.keys, self.tensors = [], []

    @staticmethod
    def text(value):
        data = value.encode()
        return struct.pack("<Q", len(data)) + data

    def add(self, key, value):
        kind, packed = {str: (8, lambda: self.text(value)), int: (4, lambda: struct.pack("<I", value)),
                        float: (6, lambda: struct.pack("<f", value))}[type(value)]
        self.keys.append(self.text(key) + struct.pack("<I", kind) + packed())

    def tensor(self, name, rows, columns):
        self.tensors.append((name, rows, columns))

    @classmethod
    def size(cls, rows, columns):
        return columns * 4 if rows is None else rows * columns // 32 * 18

    def write(self, path):
        infos, at = b"", 0
        for name, rows, columns in self.tensors:
            shape = (columns,) if rows is None else (columns, rows)
            infos += self.text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape,
                                                   self.F32 if rows is None else self.Q4_0, at)
            at += -(-self.size(rows, columns) // self.ALIGNMENT) * self.ALIGNMENT
        head = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.keys)) + b"".join(self.keys) + infos
        part = path.with_suffix(".part")
        with open(part, "wb") as file:
            file.write(head + bytes(-len(head) % self.ALIGNMENT))
            for _, rows, columns in self.tensors:
                size = self.size(rows, columns)
                if rows is None:
                    file.write(struct.pack("<f", 1.0) * columns)
                else:  # blocks of a fp16 scale and 32 random nibbles
                    block = struct.pack("<e", 0.005)
                    rest = size // 18
                    while rest:
                        count = min(rest, 65536)
                        noise = os.urandom(16 * count)
                        file.write(b"".join(block + noise[i:i + 16] for i in range(0, 16 * count, 16)))
                        rest -= count
                file.write(bytes(-size % self.ALIGNMENT))
        part.rename(path)


def write_shape(path, s):
    g = Gguf()
    for key, value in {"general.architecture": "llama", "general.file_type": 2, "llama.block_count": s["layers"],
                       "llama.context_length": s["context"], "llama.embedding_length": s["hidden"],
                       "llama.feed_forward_length": s["ffn"], "llama.attention.head_count": s["heads"],
                       "llama.attention.head_count_kv": s["kv_heads"], "llama.rope.dimension_count": s["head_dim"],
                       "llama.attention.layer_norm_rms_epsilon": 1e-5, "llama.rope.freq_base": 5e5,
                       "llama.vocab_size": s["vocab"], "tokenizer.ggml.model": "no_vocab"}.items():
        g.add(key, value)
    h, f, q, kv = s["hidden"], s["ffn"], s["heads"] * s["head_dim"], s["kv_heads"] * s["head_dim"]
    g.tensor("token_embd.weight", s["vocab"], h)
    for i in range(s["layers"]):
        for name, rows, columns in (("attn_norm", None, h), ("attn_q", q, h), ("attn_k", kv, h), ("attn_v", kv, h),
                                    ("attn_output", h, q), ("ffn_norm", None, h), ("ffn_gate", f, h), ("ffn_up", f, h),
                                    ("ffn_down", h, f)):
            g.tensor(f"blk.{i}.{name}.weight", rows, columns)
    g.tensor("output_norm.weight", None, h)
    g.write(path)


def models(options, programs):
    """name -> (package, GGUF file)."""
    folder = CACHE / "runner-bench"
    folder.mkdir(parents=True, exist_ok=True)

    def convert(model, package):
        run(options.program, "convert", "base", "--model", model, "-o", package, "--force", "-q", "--context", "512",
            "--set", 'graph.functions=["init", "decode"]')

    found = {}
    if options.gguf and Path(options.gguf).exists():
        package, gguf = folder / "smollm2-135m-4bit.mlpackage", folder / "smollm2-135m.Q4_0.gguf"
        if not package.exists():
            convert(options.gguf, package)
        if not gguf.exists():
            run(programs / "llama-quantize", "--allow-requantize", "--pure", options.gguf, gguf, "Q4_0")
        found["smollm2-135m"] = (package, gguf)
    package, gguf = folder / "llama3.2-1b-4bit.mlpackage", folder / "llama3.2-1b.Q4_0.gguf"
    if not package.exists():
        convert("synthetic:llama3.2-1b", package)
    if not gguf.exists():
        write_shape(gguf, LLAMA_1B)
    found["llama3.2-1b"] = (package, gguf)
    return found


def ours(options, package, precision):
    report = json.loads(run(options.program, "bench", package, "--precision", precision, "--threads", options.threads,
                            "--prompt-tokens", options.prompt, "--new-tokens", options.new, "--repeats", 1, "--json"))
    decode, memory = 1e3 / report["decode_latency"]["p50_ms"], report["memory"]
    return {"prefill": report["prefill_tokens_per_second"], "decode": decode, "peak_bytes": memory["peak_bytes"],
            "weight_bytes": memory["weight_bytes"], "weight_bytes_per_second": decode * memory["weight_bytes"]}


def read_repeatedly(barrier, size, seconds, done):
    """Counts the bytes that memchr passes over in `seconds`; it reads and does nothing else."""
    data, count = b"\1" * size, 0  # zeros would all lie in one page
    barrier.wait()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data.find(b"x")
        count += size
    done.put(count / (time.monotonic() - end + seconds))


def read_bandwidth(threads, size=256 << 20, seconds=2):
    """Bytes a second that `threads` processes read together from memory, none of it in a cache."""
    barrier, done = multiprocessing.Barrier(threads), multiprocessing.Queue()
    readers = [multiprocessing.Process(target=read_repeatedly, args=(barrier, size, seconds, done)) for _ in range(threads)]
    for reader in readers:
        reader.start()
    total = sum(done.get() for _ in readers)
    for reader in readers:
        reader.join()
    return total


def theirs(options, programs, gguf):
    def speed(*arguments):
        bench = [programs / "llama-bench", "-m", gguf, "-t", options.threads, "-r", 1, "-o", "json"]
        return json.loads(run(*bench, *arguments))[0]["avg_ts"]

    return {"prefill": speed("-p", options.prompt, "-n", 0), "decode": speed("-p", 0, "-n", options.new, "-d", options.prompt)}


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def compare(options, programs, package, gguf):
    rounds = []
    for _ in range(options.rounds):
        q4 = theirs(options, programs, gguf)
        rounds.append({"llama_cpp": q4, **{p: ours(options, package, p) for p in PRECISIONS},
                       "read_bytes_per_second": read_bandwidth(options.threads)})
    ratios = {f"{what}_{p}": [r[p][what] / r["llama_cpp"][what] for r in rounds]
              for what in ("decode", "prefill") for p in PRECISIONS}
    traffic = {p: [r[p]["weight_bytes_per_second"] / r["read_bytes_per_second"] for r in rounds] for p in PRECISIONS}
    return {"rounds": rounds, "ratios": {k: {**spread(v), "target": TARGETS[k]} for k, v in ratios.items()},
            "weights_read_of_bandwidth": {k: spread(v) for k, v in traffic.items()}}


def alone(options, package):
    rounds = [{**{p: ours(options, package, p) for p in PRECISIONS}, "read_bytes_per_second": read_bandwidth(options.threads)}
              for _ in range(options.rounds)]
    return {"package": str(package), "rounds": rounds}


def median(result, *path):
    values = result["rounds"]
    for key in path:
        values = [v[key] for v in values]
    return statistics.median(values)


def tables(result, options):
    """The same figures for people."""
    lines = [f"{options.threads} threads, {options.rounds} rounds in turns, {options.prompt} tokens of prompt and "
             f"{options.new} more; medians, for ratios with the least and the most.", "",
             "| model | tokens/s | llama.cpp Q4_0 | `fp32` | `fast` | `fp32` ratio | `fast` ratio | wanted |",
             "|---|---|---|---|---|---|---|---|"]
    for name, r in result["models"].items():
        for what in ("decode", "prefill"):
            ratio = {p: r["ratios"][f"{what}_{p}"] for p in PRECISIONS}
            shown = [f"{ratio[p]['median']:.2f} ({ratio[p]['min']:.2f} to {ratio[p]['max']:.2f})" for p in PRECISIONS]
            wanted = ", ".join(f"{ratio[p]['target']}" for p in PRECISIONS)
            lines.append(f"| {name} | {what} | {median(r, 'llama_cpp', what):.1f} | {median(r, 'fp32', what):.1f} | "
                         f"{median(r, 'fast', what):.1f} | {shown[0]} | {shown[1]} | {wanted} |")
    lines += ["", "| package | weights | precision | decode tokens/s | weights read, GB/s | of a loop that only reads | peak memory |",
              "|---|---|---|---|---|---|---|"]
    for name, r in {**result["models"], **result.get("big", {})}.items():
        for p in PRECISIONS:
            rate, limit = median(r, p, "weight_bytes_per_second"), median(r, "read_bytes_per_second")
            lines.append(f"| {name} | {median(r, p, 'weight_bytes') / 1e6:.0f} MB | `{p}` | {median(r, p, 'decode'):.1f} | "
                         f"{rate / 1e9:.1f} | {rate / limit:.0%} | {median(r, p, 'peak_bytes') / 1e6:.0f} MB |")
    return "\n".join(lines) + "\n"


def write_between_markers(path, text):
    page = path.read_text()
    begin, end = page.index(MARKERS[0]) + len(MARKERS[0]), page.index(MARKERS[1])
    path.write_text(f"{page[:begin]}\n{text}{page[end:]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, type=Path, help="dolphin2coreml of a release build")
    parser.add_argument("--gguf", default=CACHE / "smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--new", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="one of the models")
    parser.add_argument("--big", type=Path, help="a package to run without a peer")
    parser.add_argument("--out", type=Path, help="write everything measured as JSON")
    parser.add_argument("--docs", type=Path, help="write the tables into this page")
    options = parser.parse_args()

    programs = llama_cpp()
    found = {name: paths for name, paths in models(options, programs).items() if options.only in (None, name)}
    result = {"threads": options.threads, "models": {n: compare(options, programs, *paths) for n, paths in found.items()}}
    if options.big:
        result["big"] = {options.big.stem: alone(options, options.big)}
    print(tables(result, options), end="")
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    if options.docs:
        write_between_markers(options.docs, tables(result, options))


if __name__ == "__main__":
    main()
