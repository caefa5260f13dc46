"""What a hit costs, and an entry in memory, as the cache grows: through the real server with hits spread evenly over many targets, and inside one
process (vr_growth_bench) up to a million entries, more than can be made through the server."""
import json
import re
import shutil
import subprocess

from . import contestants, numbers, processes
from .store import ROOT

LENGTH = 1024
COUNTS, QUICK_COUNTS = (1_000, 10_000, 100_000, 1_000_000), (1_000, 10_000, 100_000)
TARGETS, QUICK_TARGETS = (10, 1_000, 10_000), (10, 1_000)
LAYERS = {"edge": "edge, find", "index": "KV index, find", "store": "KV store, get", "evict": "edge, insert into a full one"}
SERVERS = {"edge": ("edge hit", {"edge": {"maxBytes": "4GiB"}}), "kv": ("KV hit (edge off)", {"edge": {"maxBytes": 0, "maxObjectInMemory": 0}})}
FLAT = 1.25  # what we call flat: noise of this machine included


def parse_metric(text, name):
    """@param text of /metrics @return the sum of all series of that name"""
    found = re.findall(rf"^{re.escape(name)}(?:\{{[^\n]*\}})? ([0-9.eE+-]+)$", text, re.M)
    if not found:
        raise ValueError(f"no metric {name}")
    return sum(map(float, found))


def metric(server, name):
    return parse_metric(contestants.fetch(server._port("admin_listening"), "/metrics")[2].decode(), name)


def parse_points(text):
    """@param text what vr_growth_bench prints @return its points, smallest first"""
    points = sorted(json.loads(text), key=lambda p: p["entries"])
    for p in points:
        if not p["ns"] or any(not values for values in p["ns"].values()):
            raise ValueError(f"a point without times: {p}")
    return points


def inside(program, layer, counts, rounds, folder):
    where = [folder] if layer == "store" else []
    done = subprocess.run(["taskset", "-c", contestants.SERVER_CORE, str(program), layer, *map(str, [*where, rounds, *counts])], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{program.name} {layer}: {done.stderr}")
    return parse_points(done.stdout)


def through_server(arguments, setup):
    """@return {kind: [{"entries", "bytes_per_entry", "samples": [...]}]}"""
    counts = QUICK_TARGETS if arguments.quick else TARGETS
    media = setup.work / "media"
    media.mkdir(parents=True)
    for i in range(max(counts)):
        (media / f"{i:06}.mp4").write_bytes((b"%06d" % i * (LENGTH // 6 + 1))[:LENGTH])
    running, out = [], {kind: [] for kind in SERVERS}
    try:
        for count in counts:
            targets = setup.work / f"targets-{count}"
            targets.write_text("".join(f"/videos/{i:06}.mp4\n" for i in range(count)))
            for kind, (_, cache) in SERVERS.items():
                setup.say(f"growth: {kind}, {count} targets are made")
                server = contestants.Ours(setup.program, setup.work / f"{kind}-{count}", media, cache=cache, name=f"{kind} {count}")
                before = processes.pss_mib(server.pid)
                row = {"entries": count, "samples": []}
                # Two passes, the first makes them; the second is the state that is measured.
                for _ in range(2):
                    setup.client.sample(server, "/videos/000000.mp4", targets=targets, length=LENGTH, seconds=0.3)
                held = metric(server, f"video_resizer_{'edge' if kind == 'edge' else 'kv'}_entries")
                if held != count:
                    raise RuntimeError(f"{server.name}: {held:.0f} entries instead of {count}")
                row["bytes_per_entry"] = (processes.pss_mib(server.pid) - before) * (1 << 20) / count
                out[kind].append(row)
                running.append((server, targets, row))
        for number in range(3 if arguments.quick else 5):
            for server, targets, row in running if number % 2 == 0 else reversed(running):
                row["samples"].append(setup.client.sample(server, "/videos/000000.mp4", targets=targets, length=LENGTH, seconds=0.3 if arguments.quick else 1.0))
        return out
    finally:
        for server, _, _ in running:
            server.stop()


def run(arguments, setup):
    program = arguments.bin / "vr_growth_bench"
    folder = ROOT / "build/bench-growth"
    counts = QUICK_COUNTS if arguments.quick else COUNTS
    data = {"inside": {}}
    for layer in LAYERS:
        setup.say(f"growth: {layer}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            data["inside"][layer] = inside(program, layer, counts, 3 if arguments.quick else 5, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    data["server"] = through_server(arguments, setup)
    return data


def growth(points, values_of):
    """@return [(point, median, cost against the smallest, round by round)]"""
    first = values_of(points[0])
    return [(p, numbers.median([v for v in values_of(p) if v is not None]), numbers.paired(values_of(p), first)) for p in points]


def costs(row):
    return [s["cpu_us"] for s in row["samples"]]


def flat(found):
    """Whether the largest costs about what the smallest does. @param found what growth() returned"""
    ratio = found[-1][2]
    return f"{'flat' if ratio[0] <= FLAT else 'not flat'} ({numbers.ratio(ratio)} times as much at {found[-1][0]['entries']:,} as at {found[0][0]['entries']:,})"


def bytes_text(value):
    return f"{value:,.0f}" if value else ""


def render(data):
    out = ["## Growth", "", f"*grown*: CPU time against the smallest, median [least-most] of ratios round by round. Flat is what stays below {FLAT}.", "", "### Through the server",
           "", "Answers of 1 KiB, every request asks for any of the targets, all as likely; 16 connections. Memory: proportional set size of the server's processes before the "
           "first request and after all targets are held, per entry, body and buffers included (with few entries that is mostly buffers).", ""]
    rows, said = [], []
    for kind, points in data["server"].items():
        found = growth(points, costs)
        rows += [[SERVERS[kind][0], f"{p['entries']:,}", numbers.micros(middle), numbers.ratio(ratio), bytes_text(p["bytes_per_entry"])] for p, middle, ratio in found]
        said.append(f"- {SERVERS[kind][0]}: {flat(found)}")
    out += [numbers.table(["", "targets", "CPU per hit", "grown", "bytes per entry"], rows), "", *said, "", "### Inside one process", "",
            "The same code without network and HTTP: keys are drawn at random, so from some size on each lookup waits for memory. Entities with a body of 1 KiB and a head of "
            "700 bytes; *charged* is what the edge counts for `maxBytes`. The store's figures are CPU time of all threads with the hop to its thread and back; its memory is what "
            "opening takes (index, RocksDB's filters).", ""]
    rows, said = [], []
    for layer, points in data["inside"].items():
        for what in points[0]["ns"]:
            found = growth(points, lambda p, what=what: p["ns"][what])
            rows += [[LAYERS[layer], what, f"{p['entries']:,}", numbers.micros(middle / 1000) if middle >= 1000 else f"{middle:.0f} ns", numbers.ratio(ratio),
                      bytes_text(p["bytes_per_entry"]), bytes_text(p["charge_per_entry"])] for p, middle, ratio in found]
            said.append(f"- {LAYERS[layer]}, {what}: {flat(found)}")
    return "\n".join([*out, numbers.table(["layer", "", "entries", "CPU", "grown", "bytes per entry", "charged"], rows, left=2), "", *said, ""])


def plots(data):
    bars = {}
    for kind, points in data["server"].items():
        for p, _, ratio in growth(points, costs):
            bars.setdefault(f"{p['entries']:,}", {})[SERVERS[kind][0]] = ratio[0]
    inner = {}
    for layer, points in data["inside"].items():
        what = "hit" if "hit" in points[0]["ns"] else next(iter(points[0]["ns"]))
        for p, middle, _ in growth(points, lambda p, what=what: p["ns"][what]):
            inner.setdefault(f"{p['entries']:,}", {})[LAYERS[layer]] = middle / 1000
    return [("growth-server", "CPU per hit through the server, by targets; the fewest = 1", bars), ("growth-inside", "CPU of one operation in microseconds, by entries", inner)]
