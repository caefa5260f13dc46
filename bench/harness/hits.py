"""The hit path: requests per second of server CPU time, latencies and memory, of us, of who else serves such bytes, and of the bare loop."""
from . import contestants, numbers
from .bodies import KIB, MIB
from .field import Field

OURS, OURS_FILE, OURS_KV = "video-resizer, edge in memory", "video-resizer, edge by descriptor", "video-resizer, KV (edge off)"
FULL_ROUNDS, SIDE_ROUNDS = 5, 3
BY_DESCRIPTOR = ("20m", "range")  # larger than cache.edge.maxObjectInMemory, so by descriptor from the server as shipped too


class Case:
    """@param nominal size of the body @param range (first, last) or None @param unchanged whether it is asked for with its ETag: 304"""

    def __init__(self, key, label, nominal, byte_range=None, unchanged=False):
        self.key, self.label, self.nominal, self.range, self.unchanged = key, label, nominal, byte_range, unchanged

    def request(self, bodies, etag):
        """@return what Client.sample() takes"""
        if self.unchanged:
            return {"headers": [f"If-None-Match: {etag}"], "status": 304, "length": None}
        if self.range:
            first, last = self.range
            return {"headers": [f"Range: bytes={first}-{last}"], "status": 206, "length": last - first + 1}
        return {"status": 200, "length": bodies.by_size[self.nominal].length}


CASES = [Case("1k", "1 KiB", KIB), Case("64k", "64 KiB", 64 * KIB), Case("range", "64 KiB of 20 MiB", 20 * MIB, (MIB, MIB + 64 * KIB - 1)),
         Case("304", "304 of 64 KiB", 64 * KIB, unchanged=True), Case("1m", "1 MiB", MIB), Case("20m", "20 MiB", 20 * MIB)]


def enter(field, setup):
    """Starts all contestants, one after the other."""
    work, bodies = setup.work, setup.bodies
    for i, (name, cache) in enumerate(((OURS, None), (OURS_FILE, {"edge": {"maxObjectInMemory": "2KiB"}}), (OURS_KV, {"edge": {"maxBytes": 0, "maxObjectInMemory": 0}}))):
        field.add(contestants.Ours(setup.program, work / f"ours-{i}", bodies.media, bodies.store, cache, name))
    for nopush in (True, False):
        field.add(contestants.static(work / f"static-{nopush}", bodies.files, nopush))
        field.add(contestants.proxy_cache(work / f"proxy-{nopush}", field.origin, nopush))
    field.add(contestants.Varnish(work / "varnish", field.origin))
    field.add(contestants.TrafficServer(work / "ats", field.origin))
    for sendfile in (False, True):
        field.add(contestants.Limit(setup.limit, work / f"limit-{sendfile}", bodies.files, sendfile))


def takes_part(case, name, connections):
    """Which rows are worth their time: ours by descriptor where the default is memory, everybody only at 16 connections."""
    if name == OURS_FILE:
        return case.key in ("64k", "1m") and connections == 16
    if name == OURS_KV:
        return connections == 16
    return True


def plan(quick):
    """[(case, connections, rounds, seconds)]"""
    if quick:
        return [(case, 16, 3, 0.3 if case.key != "20m" else 0.6) for case in CASES]
    out = [(case, 16, FULL_ROUNDS, 1.0 if case.key != "20m" else 2.0) for case in CASES]
    for connections in (1, 256):
        out += [(case, connections, SIDE_ROUNDS, 0.7 if case.key != "20m" else 2.5) for case in CASES]
    return out


def run(arguments, setup):
    with Field(contestants.origin(setup.work / "origin", setup.bodies.files)) as field:
        enter(field, setup)
        field.warm(setup.bodies.by_size.values())
        data = {"cases": [], "memory": field.memory()}
        for case, connections, rounds, seconds in plan(arguments.quick):
            if arguments.cases and case.key not in arguments.cases:
                continue
            setup.say(f"hits: {case.label}, {connections} connections")
            samples = field.measure(setup.client, setup.bodies.by_size[case.nominal], lambda etag: case.request(setup.bodies, etag), rounds, connections, seconds,
                                    lambda name: takes_part(case, name, connections))
            data["cases"].append({"key": case.key, "label": case.label, "connections": connections, "seconds": seconds, "samples": samples})
            field.check_hits()
            data["memory_after"] = field.memory()
            setup.keep(data)
        return data


def merge(old, new):
    """Both runs' cases in the usual order; of a case that is in both, the new one."""
    order = [case.key for case in CASES]
    cases = {(c["key"], c["connections"]): c for c in old["cases"] + new["cases"]}
    return {**new, "cases": sorted(cases.values(), key=lambda c: (c["connections"] != 16, c["connections"], order.index(c["key"])))}


def values(samples, name, what):
    return [s[what] for s in samples.get(name, []) if s[what] is not None]


def best_of(samples, group):
    """The contestant of that group with the best median of requests per server CPU second, or None. A group is the beginning of names.

    One that stalls (nginx with tcp_nopush waits 40 ms for some answers) has next to no CPU time, and a figure made of noise: it is left out.
    """
    speed = {n: numbers.median(values(samples, n, "rps")) or 0 for n in samples if n.startswith(group)}
    names = [n for n in speed if speed[n] >= max(speed.values()) / 2]
    return max(names, key=lambda n: numbers.median(values(samples, n, "per_cpu")) or 0, default=None)


def rival_ratio(samples, ours, group):
    """@return paired(...) of requests per server CPU second of ours against the better one of the group, or None"""
    rival = best_of(samples, group)
    if rival is None or not samples.get(ours):
        return None
    return paired(samples, ours, rival)


def paired(samples, ours, theirs):
    return numbers.paired(*([s["per_cpu"] for s in samples[name]] for name in (ours, theirs)))


def case_table(case, ours=OURS):
    """A row for each contestant, with the ratio against `ours`."""
    samples, rows = case["samples"], []
    for name in samples:
        middle = {what: numbers.median(values(samples, name, what)) for what in ("rps", "per_cpu", "cpu_us", "p50", "p99", "server_busy", "client_busy")}
        against = "" if name == ours else numbers.ratio(paired(samples, ours, name))
        label = "video-resizer, edge by descriptor" if name == OURS and case["key"] in BY_DESCRIPTOR else name
        rows.append([label, numbers.count(middle["rps"]), numbers.count(middle["per_cpu"]), numbers.micros(middle["cpu_us"] or None), numbers.micros(middle["p50"]),
                     numbers.micros(middle["p99"]), f"{middle['server_busy']:.0%} / {middle['client_busy']:.0%}", against])
    return numbers.table(["contestant", "requests/s", "per server CPU s", "CPU each", "p50", "p99", "server / client busy", "ours / this"], rows)


def foreign(case):
    """Says when something else was on the server's core for more than a tenth of a contestant's time."""
    found = {name: numbers.median(values(case["samples"], name, "foreign")) for name in case["samples"]}
    worst = [f"{name} {share:.0%}" for name, share in found.items() if share > 0.1]
    return " Other processes or interrupts had the server's core for a part of the time of: " + ", ".join(worst) + "." if worst else ""


def render(data):
    out = ["## Hit path", "",
           "*per server CPU s* is the figure to trust: requests per second of user and system time of all the server's processes (`/proc/PID/stat`; the "
           "network's softirq work that is done in their context is in it). *ours / this*: the ratio of that figure, pair by pair of the same round, median "
           "[least-most]. *busy*: of the server's core and of the load client's. Every server writes its access log (nginx with `buffer=64k`; Varnish into shared "
           "memory only), ours with metrics and policy on, as shipped.", ""]
    for case in data["cases"]:
        count = len(next(iter(case["samples"].values())))
        out += [f"### {case['label']}, {case['connections']} connection{'s' if case['connections'] > 1 else ''}", "", f"{count} rounds of {case['seconds']:g} s.{foreign(case)}", "", case_table(case), ""]
    out += ["### Memory", "", "Proportional set size of all processes, in MiB, before and after all of that. Ours has its worker processes in it; a body by sendfile "
            "is in the page cache and in nobody's figure.", "",
            numbers.table(["contestant", "before", "after"], [[n, f"{m:.0f}", f"{data['memory_after'][n]:.0f}"] for n, m in data["memory"].items()]), ""]
    return "\n".join(out)


def plots(data):
    """[(file name, title, {group: {bar: value}})]: requests per server CPU second, nginx static = 1."""
    groups = {}
    for case in data["cases"]:
        if case["connections"] != 16:
            continue
        samples = case["samples"]
        base = numbers.median(values(samples, best_of(samples, "nginx static"), "per_cpu"))
        bars = {}
        for label, group in (("video-resizer", OURS), ("by descriptor", OURS_FILE), ("KV", OURS_KV), ("nginx static", "nginx static"),
                             ("nginx proxy_cache", "nginx proxy_cache"), ("Varnish", "Varnish"), ("Traffic Server", "Traffic Server"), ("bare loop", "bare loop")):
            best = best_of(samples, group)
            if best:
                bars[label] = numbers.median(values(samples, best, "per_cpu")) / base
        groups[case["label"]] = bars
    return [("hits", "Requests per second of server CPU, nginx static = 1", groups)] if groups else []


