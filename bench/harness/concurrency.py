"""Many at once: hits while 10,000 idle connections and 1,000 slow readers are open, and 1 to 64 cold variants at the same time."""
import concurrent.futures
import json
import subprocess
import time

from . import contestants, numbers, processes
from .bodies import KIB, MIB

OURS = "video-resizer"
IDLE, SLOW, RATE = 10_000, 1_000, 16 * KIB
STATES = ("alone", "idle", "slow")
COLD = (1, 2, 4, 8, 16, 32, 64)
COLD_QUERY = "width=320&duration=1s&time={:.2f}s"


class Held:
    """Connections that bench_client keeps open while this is entered."""

    def __init__(self, client, server, idle=0, slow=0, target="/", slow_target="/"):
        self.process = client.start("hold", "--port", server.port, "--target", target, "--idle", idle, "--slow", slow, "--slow-target", slow_target, "--rate", RATE)
        self.alive = {}

    def __enter__(self):
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError("connections could not be held: " + self.process.stderr.read())
        return self

    def __exit__(self, *error):
        out, _ = self.process.communicate("", timeout=60)
        self.alive = json.loads(out) if out else {}


def with_company(client, server, bodies, seconds):
    """@return {state: sample}, memory in MiB alone and with the idle ones, and how many of them were there at the end"""
    hit, small, large = bodies.by_size[64 * KIB], bodies.by_size[KIB], bodies.by_size[20 * MIB]

    def sample():
        return client.sample(server, server.target(hit), length=hit.length, seconds=seconds)

    found = {"alone": sample()}
    memory = {"alone": processes.pss_mib(server.pid)}
    with Held(client, server, idle=IDLE, target=server.target(small)) as idle:
        memory["idle"] = processes.pss_mib(server.pid)
        found["idle"] = sample()
        with Held(client, server, slow=SLOW, slow_target=server.target(large)) as slow:
            memory["slow"] = processes.pss_mib(server.pid)
            found["slow"] = sample()
    return {"samples": found, "memory": memory, "alive": {**idle.alive, "slow_alive": slow.alive["slow_alive"], "slow_bytes": slow.alive["slow_bytes"]}}


def company(arguments, setup):
    servers = []
    try:
        servers.append(contestants.Ours(setup.program, setup.work / "ours", setup.bodies.media, setup.bodies.store, name=OURS))
        servers.append(contestants.static(setup.work / "static", setup.bodies.files, nopush=False))
        for server in servers:
            for body in setup.bodies.by_size.values():
                contestants.fetch(server.port, server.target(body))
        rows = {s.name: [] for s in servers}
        for number in range(1 if arguments.quick else 3):
            for server in servers:
                setup.say(f"concurrency: {server.name}, {IDLE} idle and {SLOW} slow connections")
                rows[server.name].append(with_company(setup.client, server, setup.bodies, 0.5 if arguments.quick else 1.5))
        return rows
    finally:
        for server in servers:
            server.stop()


def cold(arguments, setup):
    """@return [{"count", "seconds": [...], "statuses": {...}}]"""
    media = setup.work / "media"
    media.mkdir()
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=640x360:r=30:d=12", "-c:v", "libx264", "-preset", "veryfast", "-g", "30", "-pix_fmt",
                    "yuv420p", "-movflags", "+faststart", str(media / "clip.mp4")], check=True)
    server = contestants.Ours(setup.program, setup.work / "cold", media, name=OURS, pinned=False)
    begun = 0

    def one(number):
        status, fields, body = contestants.fetch(server.port, "/videos/clip.mp4?" + COLD_QUERY.format(number / 100))
        if status == 200 and fields["X-Cache-Status"] == "HIT":
            raise RuntimeError("a cold variant was not cold")
        return status, len(body)

    try:
        one(1100)  # workers are up
        out = []
        for count in COLD:
            setup.say(f"concurrency: {count} cold variants at once")
            row = {"count": count, "seconds": [], "statuses": {}}
            for _ in range(max(1 if arguments.quick else 3, 16 // count)):  # few at once are soon done, and noisy
                with concurrent.futures.ThreadPoolExecutor(count) as pool:
                    begin = time.monotonic()
                    for status, _ in pool.map(one, range(begun, begun + count)):
                        row["statuses"][str(status)] = row["statuses"].get(str(status), 0) + 1
                    row["seconds"].append(time.monotonic() - begin)
                begun += count
            row["memory"] = processes.pss_mib(server.pid)
            out.append(row)
        return out
    finally:
        server.stop()


def run(arguments, setup):
    return {"company": company(arguments, setup), "cold": cold(arguments, setup)}


def company_table(rows):
    out = []
    for name, rounds in rows.items():
        for state in STATES:
            samples = [r["samples"][state] for r in rounds]
            middle = {what: numbers.median([s[what] for s in samples if s[what] is not None]) for what in ("rps", "per_cpu", "p50", "p99")}
            against = numbers.paired([s["per_cpu"] for s in samples], [r["samples"]["alone"]["per_cpu"] for r in rounds])
            memory = rounds[0]["memory"][state]
            out.append([name, {"alone": "nobody else", "idle": f"{IDLE:,} idle", "slow": f"{IDLE:,} idle, {SLOW:,} slow"}[state], numbers.count(middle["rps"]),
                        numbers.count(middle["per_cpu"]), numbers.ratio(against), numbers.micros(middle["p50"]), numbers.micros(middle["p99"]), f"{memory:.0f}"])
    return numbers.table(["contestant", "open besides", "requests/s", "per server CPU s", "of that alone", "p50", "p99", "PSS MiB"], out, left=2)


def per_connection(rounds):
    """KiB of the server's memory for one idle connection (the kernel's own not counted). Of the first round: later the heap is that large already."""
    return (rounds[0]["memory"]["idle"] - rounds[0]["memory"]["alone"]) * 1024 / IDLE


def render(data):
    lost = {name: [(IDLE - r["alive"]["idle_alive"], SLOW - r["alive"]["slow_alive"]) for r in rounds] for name, rounds in data["company"].items()}
    out = ["## Concurrency", "", f"### Hits among {IDLE:,} idle connections and {SLOW:,} slow readers", "",
           f"64 KiB hits on 16 connections. Idle: asked once for 1 KiB, then silent. Slow: read 20 MiB with {numbers.size(RATE)}/s each, small receive buffers; what they cost is in "
           "the CPU figure.", "", company_table(data["company"]), ""]
    for name, rounds in data["company"].items():
        gone = "; none was closed" if not any(map(any, lost[name])) else f"; closed by the server (idle, slow) in each round: {lost[name]}"
        out.append(f"- {name}: {per_connection(rounds):.1f} KiB for an idle connection{gone}")
    first = numbers.median(data["cold"][0]["seconds"])
    out += ["", "### Cold variants at once", "", "One second of 640x360 to 320 wide, every variant another one; server and workers on all cores. *speed-up*: variants per second "
            "against one at a time.", "",
            numbers.table(["at once", "seconds", "variants/s", "speed-up", "PSS MiB", "answers"],
                          [[row["count"], f"{numbers.median(row['seconds']):.2f}", f"{row['count'] / numbers.median(row['seconds']):.1f}",
                            f"{row['count'] / numbers.median(row['seconds']) * first:.2f}", f"{row['memory']:.0f}",
                            ", ".join(f"{n} x {s}" for s, n in row["statuses"].items())] for row in data["cold"]], left=0), ""]
    return "\n".join(out)


def plots(data):
    first = numbers.median(data["cold"][0]["seconds"])
    return [("cold", "Cold variants at once: variants per second, one at a time = 1",
             {str(r["count"]): {"video-resizer": r["count"] / numbers.median(r["seconds"]) * first} for r in data["cold"]})]
