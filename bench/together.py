"""One decode for four derivatives against four transforms, in CPU seconds (user and system) of the workers.

A server of its own prewarms the same four derivatives of the same source twice a round, once with `prewarm.together` 4 and once with 1,
in turn; the store is purged between. CPU by `video_resizer_encode_seconds_total`, which is what wait4 says of ended workers. The bytes
of both ways are compared.

    tools/bench_together [--source FILE] [--rounds 3] [--seconds 10]
"""
import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from kit.server import Server  # noqa: E402
from kit.wait import until  # noqa: E402

SETS = {
    "640, 480, 320, 240": [{"width": w} for w in (640, 480, 320, 240)],
    "480, 320, 240, 160": [{"width": w} for w in (480, 320, 240, 160)],
    "640, 480, 320, 240, no sound": [{"width": w, "audio": False} for w in (640, 480, 320, 240)],
    "1280, 854, 640, 426": [{"width": w} for w in (1280, 854, 640, 426)],
}


def make_source(path, seconds):
    """1080p with noise, about 8 Mbit/s: as much to decode as a camera's."""
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=s=1920x1080:r=25:d={seconds},noise=alls=6:allf=t:all_seed=1", "-f", "lavfi",
                    "-i", f"sine=f=440:d={seconds}", "-c:v", "libx264", "-preset", "fast", "-b:v", "8M", "-maxrate", "10M", "-bufsize", "10M", "-g", "50", "-c:a", "aac",
                    "-ac", "2", "-movflags", "+faststart", str(path)], check=True)


def settled(server):
    until(lambda: server.metric("video_resizer_productions_in_flight") == 0 and server.metric("video_resizer_workers", state="busy") == 0 and
          server.metric("video_resizer_workers", state="starting") == 0, "all is stored, workers are collected", 120)


def at_rest(server, before):
    """What the workers took in all, once those that have just ended are counted: that comes with their exit, a moment behind the result."""
    seen, since = before, time.monotonic()
    while seen == before or time.monotonic() - since < 1:
        now = server.metric("video_resizer_encode_seconds_total")
        if now != seen:
            seen, since = now, time.monotonic()
        time.sleep(0.05)
    return seen


def prewarm(server, targets):
    """@return (CPU seconds, bodies)"""
    server.purge(everything=True)
    settled(server)
    before, jobs = server.metric("video_resizer_encode_seconds_total"), server.metric("video_resizer_job_seconds_count")
    status, order = server.admin_call("POST", "/admin/prewarm", {"targets": targets})
    assert status == 202, order
    until(lambda: server.admin_call("GET", "/admin/prewarm/" + order["id"])[1]["state"] == "ended", "it is made", 600)
    settled(server)
    last = server.admin_call("GET", "/admin/prewarm/" + order["id"])[1]
    assert last["made"] == len(targets), last
    return (at_rest(server, before) - before, server.metric("video_resizer_job_seconds_count") - jobs,
            [server.get(t)[1] for t in targets])


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--source", type=pathlib.Path)
    arguments.add_argument("--seconds", type=int, default=10)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--only", default="", help="sets whose name has this in it")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        source = options.source
        if source is None:
            source = folder / "hd.mp4"
            make_source(source, options.seconds)
        print(f"source: {source.name}, {source.stat().st_size / 1e6:.1f} MB; {options.rounds} rounds, medians")
        print("| derivatives | alone, CPU s | together, CPU s | ratio | jobs |\n|---|---|---|---|---|", flush=True)
        server = Server(folder)
        server.open_admin()
        server.config["access"] = {"productionLimit": {"perMinute": 0}}
        server.add(source, "hd.mp4")
        for name, derivatives in SETS.items():
            if options.only not in name:
                continue
            server.config["derivatives"] = {f"d{i}": d for i, d in enumerate(derivatives)}
            targets = [f"/videos/hd.mp4?derivative=d{i}" for i in range(len(derivatives))]
            cost, bodies, jobs = {1: [], 6: []}, {}, {}
            server.config["prewarm"] = {"together": 1}
            server.start()
            for _ in range(options.rounds):
                for together in cost:
                    server.config["prewarm"]["together"] = together
                    reloads = len(server.log)
                    server.write_config()
                    server.signal(1)
                    server.wait_log(lambda e: e.get("event") == "config_reloaded", "the reload", after=reloads)
                    seconds, jobs[together], made = prewarm(server, targets)
                    cost[together].append(seconds)
                    assert bodies.setdefault("first", made) == made, "other bytes"
            server.stop()
            ratio = statistics.median(t / a for a, t in zip(cost[1], cost[6]))
            print(f"| {name} | {statistics.median(cost[1]):.2f} | {statistics.median(cost[6]):.2f} | {ratio:.2f} | {jobs[1]:.0f} / {jobs[6]:.0f} |", flush=True)


if __name__ == "__main__":
    main()
