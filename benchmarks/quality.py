#!/usr/bin/env python3
"""What every way of storing weights leaves of a model: bits per weight, perplexity, divergence from the source.

    benchmarks/quality.py --program build/release/bin/dolphin2coreml --model FILE.gguf --text TEXT [--work FOLDER] [--only NAME]...
                          [--docs docs/quality.md]

Each row is a conversion of init and decode and a `verify --source --text` of the package, on the CPU in fp32. Results are kept
in FOLDER/quality.json as they come, and a row that is there already is not made again; the table holds the rows that are there.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PALETTES = "quant_palettize4"
INTEGERS = "quant_linear"
ROWS = {
    "palettes, 8 bits": ["--quantizer", PALETTES, "--wbits", "8"],
    "palettes, 6 bits": ["--quantizer", PALETTES, "--wbits", "6"],
    "palettes, 6 bits, attention 4": ["--quantizer", PALETTES, "--wbits", "6", "--mixed-precision", "attention=4"],
    "palettes, 4 bits": ["--quantizer", PALETTES, "--wbits", "4"],
    "palettes, 4 bits, of single rows": ["--quantizer", PALETTES, "--wbits", "4", "--palett-group-size", "1"],
    "palettes, 4 bits, embedding 8": ["--quantizer", PALETTES, "--wbits", "4", "--mixed-precision", "embedding=8"],
    "palettes, 3 bits": ["--quantizer", PALETTES, "--wbits", "3"],
    "palettes, 2 bits": ["--quantizer", PALETTES, "--wbits", "2"],
    "int8, blocks of 32": ["--quantizer", INTEGERS, "--wbits", "8"],
    "int8, per channel": ["--quantizer", INTEGERS, "--wbits", "8", "--palett-granularity", "per_channel"],
    "int4, blocks of 32": ["--quantizer", INTEGERS],
    "int4, blocks of 32, scales by range": ["--quantizer", INTEGERS, "--set", "quantize.mode=range"],
    "int4, blocks of 32, embedding 8": ["--quantizer", INTEGERS, "--mixed-precision", "embedding=8"],
    "int4, blocks of 32, integer offset": ["--quantizer", INTEGERS, "--set", "quantize.offset=integer"],
    "int4, blocks of 32, fp16 offset": ["--quantizer", INTEGERS, "--set", "quantize.offset=fp16"],
}
SETTINGS = ["--set", 'graph.functions=["init","decode"]', "--set", "function[0].options.all_logits=true",
            "--set", "graph.context=1024"]
# The prompts of `verify` say nothing that the text does not.
BRIEF = ["--set", 'verify.prompts=["A"]', "--set", "verify.max_new_tokens=1"]


def run(program, *arguments, accept=(0,)):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode not in accept:
        sys.exit(f"{' '.join(map(str, done.args))} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def measure(program, model, text, flags, folder):
    package = folder / "row.mlpackage"
    made = run(program, "convert", "--model", model, "-o", package, "--force", "--json", *SETTINGS, *flags)
    # Exit code 1: further from the source than verify allows, which is what is to be measured here.
    told = run(program, "verify", package, "--source", model, "--text", text, "--json", *BRIEF, accept=(0, 1))
    shutil.rmtree(package)
    divergence = next(d for d in as_list(told["divergence"]) if d["over"] == "text")
    return {"bits_per_weight": made["bits_per_weight"], "relative_error": made["quantization"]["relative_error"],
            **{key: divergence[key] for key in
               ("positions", "perplexity", "reference_perplexity", "mean_kl", "top1_agreement")}}


def as_list(value):
    return value if isinstance(value, list) else [value]


def table(rows):
    lines = ["| weights | bits per weight | relative squared error | perplexity | mean KL, nats | top-1 agreement |",
             "|---|---|---|---|---|---|"]
    if rows:
        reference = next(iter(rows.values()))["reference_perplexity"]
        lines.append(f"| the source, in fp32 | | | {reference:.1f} | | |")
    for name in ROWS:
        if name in rows:
            r = rows[name]
            lines.append(f"| {name} | {r['bits_per_weight']:.2f} | {r['relative_error']:.1e} | {r['perplexity']:.1f} | "
                         f"{r['mean_kl']:.3f} | {100 * r['top1_agreement']:.0f} % |")
    return "\n".join(lines) + "\n"


def put_into(docs, text):
    begin, end = "<!-- table -->\n", "<!-- end of the table -->"
    before, rest = docs.read_text().split(begin)
    docs.write_text(before + begin + text + end + rest.split(end)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, type=Path)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--text", required=True, type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/quality"))
    parser.add_argument("--only", action="append", choices=list(ROWS), metavar="NAME", help="this row; repeatable")
    parser.add_argument("--docs", type=Path, help="replace the table in this file")
    a = parser.parse_args()

    a.work.mkdir(parents=True, exist_ok=True)
    results = a.work / "quality.json"
    subject = {"text": hashlib.sha256(a.text.read_bytes()).hexdigest(), "model": a.model.name}
    kept = json.loads(results.read_text()) if results.exists() else {}
    rows = kept["rows"] if kept.get("subject") == subject else {}
    with tempfile.TemporaryDirectory(dir=a.work) as folder:
        for name in a.only or ROWS:
            if name in rows:
                continue
            print(name, file=sys.stderr, flush=True)
            rows[name] = measure(a.program.absolute(), a.model, a.text, ROWS[name], Path(folder))
            results.write_text(json.dumps({"subject": subject, "rows": rows}, indent=2))
    print(table(rows), end="")
    if a.docs:
        put_into(a.docs, table(rows))


if __name__ == "__main__":
    main()
