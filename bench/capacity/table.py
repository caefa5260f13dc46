#!/usr/bin/env python3
"""The table of docs/capacity.md: every kind of made-up trace and the recorded one, at shares of the bytes of all entries.

Usage: bench/capacity/table.py [--bin build/release/bin] [--requests N] [--seed N] [--plot FILE.svg] > table.md
"""
import argparse
import pathlib
import re
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
KINDS = ["steady", "scan", "churn", "burst"]
SHARES = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4]
POLICIES = ["lru", "s3-fifo", "sieve", "cost-aware"]


def run(program, *arguments):
    return subprocess.run([str(program), "simulate", *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def number(cell):
    return float(cell.replace("%", "").strip() or 0)


def outcomes(program, trace, sizes, plot=None):
    """{size's place in the list: {policy: (hit rate, seconds saved of all, vs lru)}}, first line of the output"""
    text = run(program, "--trace", trace, "--policy", ",".join(POLICIES), "--sizes", ",".join(map(str, sizes)), *(["--plot", plot] if plot else []))
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")][1:]
    found = [{c[0]: (number(c[2]), number(c[5]), number(c[6])) for c in cells[n:n + len(POLICIES)]} for n in range(0, len(cells), len(POLICIES))]
    return found, text.splitlines()[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=str(ROOT / "build/release/bin"))
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", help="of the trace `churn`")
    options = parser.parse_args()
    program = pathlib.Path(options.bin) / "video-resizer"
    print("| trace | store, of all bytes | encode seconds saved: lru | s3-fifo | sieve | cost-aware | cost-aware vs lru | hit rate: lru | sieve | cost-aware |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    notes = []
    with tempfile.TemporaryDirectory() as folder:
        traces = {"recorded": ROOT / "tests/data/capacity/recorded.csv"}
        for kind in KINDS:
            traces[kind] = pathlib.Path(folder) / kind
            traces[kind].write_text(run(program, "--generate", kind, "--seed", options.seed, "--requests", options.requests))
        for name in KINDS + ["recorded"]:
            _, line = outcomes(program, traces[name], ["1TB"])
            amount, unit = re.search(r"of (\d+)(\D*?)(?:;|$)", line).groups()
            whole = int(amount) * {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}[unit]
            notes.append(f"`{name}`: {line}")
            sizes = [int(whole * share) for share in SHARES]
            found, _ = outcomes(program, traces[name], sizes, options.plot if name == "churn" else None)
            for share, by in zip(SHARES, found):
                saved = " | ".join(f"{by[p][1]:.1f} %" for p in POLICIES)
                hits = " | ".join(f"{by[p][0]:.1f} %" for p in ("lru", "sieve", "cost-aware"))
                print(f"| {name} | {share * 100:g} % | {saved} | **{by['cost-aware'][2]:+.1f} %** | {hits} |")
    print("\n" + ".\n".join(notes) + ".")


main()
