#!/usr/bin/env python3
"""Writes src/capacity/measured_variants.cc from what measure_variants.py printed: the clips that gave every kind.

Usage: bench/capacity/write_measured_variants.py bench/results/2026-11-27-variants.csv > src/capacity/measured_variants.cc
"""
import collections
import csv
import sys

# kind: (share of a site's requests, whether size and cost follow the source's length)
KINDS = {"frame": (0.28, False), "frame-png": (0.03, False), "sheet": (0.06, False), "mp4-360": (0.18, True), "mp4-480": (0.13, True),
         "mp4-720": (0.09, True), "webm-360": (0.05, True), "h265-480": (0.02, True), "av1-360": (0.01, True), "audio": (0.03, True),
         "gif": (0.02, False), "webp": (0.03, False), "mute": (0.03, True), "cut": (0.04, False)}


def main():
    rows = collections.defaultdict(dict)
    with open(sys.argv[1], newline="", encoding="utf-8") as f:
        for row in csv.DictReader(f):
            rows[row["clip"]][row["kind"]] = row
    clips = sorted(c for c, kinds in rows.items() if set(kinds) >= set(KINDS) and float(kinds["frame"]["clip_seconds"]) >= 1.9)
    print("// Written by bench/capacity/write_measured_variants.py; do not edit.")
    print('#include "capacity/measured_variants.h"\n\nnamespace vr::capacity {\n\nnamespace {\n')
    print("// Clips, in this order in every table:")
    for clip in clips:
        print(f"//   {clip}")
    print()
    for kind in KINDS:
        print(f"constexpr MeasuredVariant {name(kind)}[] = {{")
        for clip in clips:
            row = rows[clip][kind]
            print(f"    {{{float(row['clip_seconds']):.3f}F, {row['bytes']}, {float(row['seconds']):.4f}F}},")
        print("};")
    print("\nconstexpr VariantKind kKinds[] = {")
    for kind, (share, scales) in KINDS.items():
        print(f'    {{"{kind}", {share}F, {str(scales).lower()}, {name(kind)}}},')
    print("};\n\n}  // namespace\n\nstd::span<const VariantKind> VariantKinds() {\n  return kKinds;\n}\n\n}  // namespace vr::capacity")


def name(kind):
    return "k" + "".join(part.capitalize() for part in kind.split("-"))


main()
