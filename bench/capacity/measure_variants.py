#!/usr/bin/env python3
"""What the variants of real clips weigh and cost: one line per clip and kind, for the trace generator.

A server makes every kind of every clip of the corpus once; bytes and CPU seconds are those of the entry's metadata
(`contentLength`, `customData.encodeSeconds`). One production at a time. CPU seconds of an encoder hardly depend on what
else the machine does; still, run it alone.

Usage: VR_BIN_DIR=build/release/bin bench/capacity/measure_variants.py [--corpus DIR] [--seconds N] > variants.csv
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
from kit.server import Server  # noqa: E402

KINDS = {
    "mp4-360": "w=640&h=360",
    "mp4-480": "w=854&h=480&q=medium",
    "mp4-720": "w=1280&h=720&q=high",
    "webm-360": "w=640&h=360&format=webm",
    "h265-480": "w=854&h=480&format=h265",
    "av1-360": "w=640&h=360&format=av1",
    "frame": "mode=frame&time=0s&w=640",
    "frame-png": "mode=frame&time=0s&w=320&format=png",
    "sheet": "mode=spritesheet&imageCount=20&columns=5&w=160",
    "audio": "mode=audio&format=m4a",
    "gif": "format=gif&w=320&duration=3s&fps=10",
    "webp": "format=webp&w=320&duration=3s&fps=10",
    "mute": "mute=true",
    "cut": "time=0s&duration=5s&w=640&h=360",
}


def seconds_of(path):
    out = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(path)],
                         capture_output=True, text=True)
    try:
        return float(out.stdout.strip())
    except ValueError:
        return 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="/work/shared/corpus")
    parser.add_argument("--seconds", type=float, default=360, help="stop after about that long")
    parser.add_argument("--longest", type=float, default=60, help="leave out clips of more seconds")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    print("clip,clip_seconds,kind,bytes,seconds")
    clips = [p for p in sorted(pathlib.Path(options.corpus).iterdir())
             if p.suffix in (".mp4", ".mov", ".webm", ".mkv", ".ts", ".avi", ".mpeg", ".flv", ".3gp", ".ogv")
             and not p.name.startswith(("corrupt", "trunc", "encrypted", "big-8k"))]
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder)
        server.open_admin()
        server.start()
        try:
            for clip in clips:
                length = seconds_of(clip)
                if not 1 <= length <= options.longest:
                    continue
                target = server.add(clip)
                for kind, query in KINDS.items():
                    if time.monotonic() > end:
                        return
                    measure(server, clip.name, length, kind, f"{target}?{query}")
        finally:
            server.stop(expect=None)


def measure(server, clip, length, kind, target):
    try:
        reply, body = server.get(target, timeout=120)
    except OSError as error:
        print(f"{clip} {kind}: {error}", file=sys.stderr)
        return
    if reply.status != 200:
        print(f"{clip} {kind}: status {reply.status}", file=sys.stderr)
        return
    key = server.wait_log(lambda e: e.get("event") == "request" and e.get("target") == target, target)["key"]
    for _ in range(100):
        found = server.entry(key)
        if found:
            break
        time.sleep(0.05)  # stored behind the answer; this is a measurement, no test
    else:
        print(f"{clip} {kind}: was not stored", file=sys.stderr)
        return
    meta = found["metadata"]
    print(f"{clip},{length:.3f},{kind},{meta['contentLength']},{meta['customData']['encodeSeconds']:.4f}", flush=True)


main()
