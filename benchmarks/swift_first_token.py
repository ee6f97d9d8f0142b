#!/usr/bin/env python3
"""First-token latency of the Swift package's `dolphin chat` against `dolphin2coreml chat`: same package, same runner, in turns.

    benchmarks/swift_first_token.py PACKAGE --program build/release/bin/dolphin2coreml \\
        --swift build/swift-release/release/dolphin [--rounds 9] [--chat-template llama3]

Each round starts both afresh, one after the other and in the other order the next time, and has the same conversation with
each, greedily. Both must say the same. Printed are the fastest times of each turn, whose sums other work on the machine
touches least, and the median of the rounds' ratios.
D2C_RUNTIME names the runner's library for the Swift program.
"""

import argparse
import json
import statistics
import subprocess
import sys

MESSAGES = ["What is the capital of France?", "And what is it known for? Answer in two sentences.",
            "Which of these would you show to somebody who has one afternoon, and why?", "Thank you. Say it in French."]


def talk(command):
    """(answers, milliseconds to the first token of each)"""
    done = subprocess.run(command, input="\n".join(MESSAGES) + "\n", capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    turns = [json.loads(line) for line in done.stdout.splitlines()]
    return [turn["tokens"] for turn in turns], [turn["first_token_ms"] for turn in turns]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package")
    parser.add_argument("--program", required=True)
    parser.add_argument("--swift", required=True)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", default="0", help="0: one for each core")
    parser.add_argument("--chat-template")
    options = parser.parse_args()
    common = ["--precision", options.precision, "--threads", options.threads, "--json"]
    if options.chat_template:
        common += ["--chat-template", options.chat_template]
    count = str(options.tokens)
    commands = {"C++": [options.program, "chat", options.package, "--max-new-tokens", count, *common],
                "Swift": [options.swift, "chat", options.package, "--max-tokens", count, *common]}

    latencies = {name: [] for name in commands}
    for number in range(options.rounds):
        answers = {}
        for name in sorted(commands, reverse=number % 2 == 1):
            answers[name], times = talk(commands[name])
            latencies[name].append(times)
        if answers["C++"] != answers["Swift"]:
            sys.exit("they do not say the same, so their times say nothing")
    fastest = {name: [min(turn) for turn in zip(*rounds)] for name, rounds in latencies.items()}
    for name, turns in fastest.items():
        print(f"{name}: first token of each turn at the fastest " + ", ".join(f"{ms:.1f}" for ms in turns) + " ms")
    ratios = [sum(swift) / sum(cpp) for swift, cpp in zip(latencies["Swift"], latencies["C++"])]
    print(f"Swift / C++: {sum(fastest['Swift']) / sum(fastest['C++']):.3f} of the fastest, "
          f"{statistics.median(ratios):.3f} in the median of {options.rounds} rounds")


if __name__ == "__main__":
    main()
