#!/usr/bin/env python3
"""Records a trace from a real run: a server, generated clips, requests by Zipf's law; its access log is the trace.

Clips differ in length and size, so variants differ in what they weigh and cost. Requests come one after another; half
way through the favourites change. The log is reduced to the fields that `video-resizer simulate` reads.

Usage: VR_BIN_DIR=build/release/bin bench/capacity/record_trace.py [--out trace.log.gz] [--csv trace.csv] [--requests N] [--seconds N] [--seed N]
"""
import argparse
import bisect
import datetime
import gzip
import itertools
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
from kit.server import Server  # noqa: E402

VARIANTS = [(25, "mode=frame&time=1s&w=320"), (15, "w=320&h=180"), (12, "w=240&h=136&format=webm"), (8, "w=426&h=240&q=high"),
            (8, "mode=spritesheet&imageCount=9&columns=3&w=120"), (6, "mode=audio&format=m4a"), (6, "mute=true"),
            (5, "time=0s&duration=2s&w=320&h=180"), (4, "format=gif&w=160&duration=2s&fps=8"), (2, "w=320&h=180&format=h265")]
KEPT = ["time", "event", "status", "layer", "bytes", "ms", "complete", "key", "entity_bytes", "encode_ms"]


def make_clip(path, seconds, width, height, noise):
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=size={width}x{height}:rate=25",
                    "-f", "lavfi", "-i", "sine=frequency=330:sample_rate=44100", "-t", str(seconds),
                    "-vf", f"noise=alls={noise}:allf=t", "-c:v", "libx264", "-preset", "ultrafast", "-g", "50",
                    "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "64k", str(path)], check=True)


class Zipf:
    def __init__(self, count, exponent, rng):
        self.rng = rng
        self.sums = list(itertools.accumulate((n + 1) ** -exponent for n in range(count)))

    def draw(self):
        return bisect.bisect_left(self.sums, self.rng.random() * self.sums[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="the log, gzipped")
    parser.add_argument("--csv", help="the same as timestamp,id,size,cost")
    parser.add_argument("--requests", type=int, default=6000)
    parser.add_argument("--seconds", type=float, default=300, help="stop after about that long")
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    weights = list(itertools.accumulate(w for w, _ in VARIANTS))
    end = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder)
        targets = []
        for n in range(options.clips):
            path = server.media / f"clip-{n}.mp4"
            make_clip(path, round(min(20.0, rng.lognormvariate(1.2, 0.8) + 1), 1), *rng.choice([(320, 180), (640, 360), (480, 270)]), rng.choice([0, 8, 20]))
            targets.append("/videos/" + path.name)
        zipf = Zipf(len(targets), 0.9, rng)
        server.start()
        try:
            for n in range(options.requests):
                if time.monotonic() > end:
                    break
                if n == options.requests // 2:
                    rng.shuffle(targets)
                query = VARIANTS[bisect.bisect_left(weights, rng.random() * weights[-1])][1]
                server.get(f"{targets[zipf.draw()]}?{query}", timeout=120)
        finally:
            server.stop(expect=None)
        events = [e for e in server.events("request") if "key" in e]
    if options.out:
        with gzip.GzipFile(options.out, "wb", mtime=0) as out:
            for event in events:
                out.write((json.dumps({k: event[k] for k in KEPT if k in event}, separators=(",", ":")) + "\n").encode())
    if options.csv:
        write_csv(options.csv, events)
    print(f"{len(events)} requests", file=sys.stderr)


def write_csv(path, events):
    """Small enough for a test: ids are numbers, and what a streamed production does not tell comes from its other lines."""
    told = {e["key"]: (e["entity_bytes"], e["encode_ms"]) for e in events if "entity_bytes" in e}
    guess = {e["key"]: (e["bytes"], e["ms"]) for e in events if e["layer"] == "transform" and e.get("complete")}
    ids = {}
    begin = None
    with open(path, "w", encoding="ascii") as out:
        out.write("timestamp,id,size,cost\n")
        for event in events:
            known = told.get(event["key"]) or guess.get(event["key"])
            if not known:
                continue
            at = datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp()
            begin = at if begin is None else begin
            out.write(f"{at - begin:.2f},{ids.setdefault(event['key'], len(ids))},{known[0]},{known[1] / 1000:.4g}\n")


main()
