"""Videos encoded in segments against the same encoded at once: two servers, `transform.segments` auto and off, that take turns.

    tools/bench_segments --bin build/release/bin [--only PART] [--rounds 5] [--seconds 10 60] [--clip FILE] [--out FILE]

Each run is one request that the store knows nothing of (`nocache`), nothing else is running. Ratios are auto / off, pair by pair, medians with the least
and the most; below 1: segments took less. `bytes` and `PSNR` (against the source at that size, dB, difference) say what segments cost. First byte in seconds.
"""
import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
CODECS = {"H.264": "format=mp4", "VP9": "format=webm", "H.265": "format=h265", "AV1": "format=av1"}
SIZES = {"1080p to 360p": ("1920x1080", 640, 360), "1080p to 720p": ("1920x1080", 1280, 720), "720p to 360p": ("1280x720", 640, 360), "720p to 720p": ("1280x720", 1280, 720)}


def make_clip(path, size, seconds):
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=s={size}:r=30:d={seconds},noise=alls=10:all_seed=1", "-f", "lavfi", "-i",
                    f"sine=f=440:d={seconds}", "-c:v", "libx264", "-preset", "superfast", "-crf", "25", "-g", "60", "-c:a", "aac", "-ac", "2", "-movflags", "+faststart", str(path)], check=True)


def psnr(result, source, width, height):
    done = subprocess.run(["ffmpeg", "-nostdin", "-hide_banner", "-i", str(result), "-i", str(source), "-lavfi",
                           f"[1:v]scale={width}:{height}:flags=bicubic,format=yuv420p,settb=1/1000,setpts=N[b];[0:v]settb=1/1000,setpts=N[a];[a][b]psnr", "-f", "null", "-"],
                          capture_output=True, text=True, check=True)
    return float(re.search(r"average:([\d.]+)", done.stderr).group(1))


def run(servers, kit, target, keep):
    figures = {}
    for name, server in servers:
        kit["until"](lambda: server.metric("video_resizer_workers", state="busy") == 0 and server.metric("video_resizer_workers", state="starting") == 0, "workers wait", 60, every=0.01)
        cpu = server.metric("video_resizer_encode_seconds_total")
        begin = time.monotonic()
        first, body = None, bytearray()
        with kit["wire"].Connection(server.address, timeout=600) as c:
            reply = c.ask(target)
            while data := reply.some(1 << 16):
                first = first or time.monotonic() - begin
                body += data
        wall = time.monotonic() - begin
        assert reply.status == 200, reply.status
        kit["until"](lambda: server.metric("video_resizer_encode_seconds_total") > cpu, "the worker is counted", 10, every=0.005)
        figures[name] = {"wall": wall, "first": first, "cpu": server.metric("video_resizer_encode_seconds_total") - cpu, "bytes": len(body)}
        if keep:
            (keep / ("made-" + name)).write_bytes(body)
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=str(ROOT / "build/release/bin"))
    parser.add_argument("--only", nargs="*", default=[""], help="rows whose name has one of these in it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, nargs="*", default=[10])
    parser.add_argument("--clip", default="", help="a source of one's own instead of the generated one (at least 1280 wide)")
    parser.add_argument("--out", default="")
    args = parser.parse_args()
    os.environ["VR_BIN_DIR"] = str(pathlib.Path(args.bin).resolve())
    sys.path.insert(0, str(ROOT / "tests/e2e"))
    from kit import wire
    from kit.server import Server
    from kit.wait import until
    kit = {"wire": wire, "until": until}
    lines = ["| what | seconds | wall s, auto | off | ratio | CPU | first byte s, auto | off | bytes | PSNR |", "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"]
    with tempfile.TemporaryDirectory(prefix="vr-bench-segments-") as folder:
        work = pathlib.Path(folder)
        servers = [(name, Server(work / name)) for name in ("auto", "off")]
        try:
            for name, server in servers:
                server.config["transform"] = {"segments": name}
                server.start()
            for seconds in args.seconds:
                for label, (size, width, height) in SIZES.items():
                    for codec, query in CODECS.items():
                        row = f"{codec}, {label}"
                        if not any(part in row for part in args.only):
                            continue
                        source = pathlib.Path(args.clip) if args.clip else work / f"{size}-{seconds}.mp4"
                        if not source.exists():
                            make_clip(source, size, seconds)
                        target = [server.add(source) for _, server in servers][0] + f"?width={width}&{query}&quality=medium&nocache=1"
                        run(servers, kit, target, work)
                        quality = [psnr(work / ("made-" + name), source, width, height) for name, _ in servers] if not args.clip else [0, 0]
                        pairs = [run(servers if n % 2 == 0 else servers[::-1], kit, target, None) for n in range(args.rounds)]
                        ratio = {f: [p["auto"][f] / p["off"][f] for p in pairs] for f in ("wall", "cpu", "bytes")}
                        mid = {(n, f): statistics.median(p[n][f] for p in pairs) for n in ("auto", "off") for f in ("wall", "first")}
                        lines.append(f"| {row} | {seconds} | {mid['auto', 'wall']:.2f} | {mid['off', 'wall']:.2f} | **{statistics.median(ratio['wall']):.2f}** "
                                     f"({min(ratio['wall']):.2f}-{max(ratio['wall']):.2f}) | {statistics.median(ratio['cpu']):.2f} | {mid['auto', 'first']:.3f} | {mid['off', 'first']:.3f} | "
                                     f"{statistics.median(ratio['bytes']):.3f} | {quality[0] - quality[1]:+.2f} |")
                        print(lines[-1], file=sys.stderr, flush=True)
        finally:
            for _, server in servers:
                server.stop(expect=None)
    text = "\n".join(lines) + "\n"
    if args.out:
        pathlib.Path(args.out).write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
