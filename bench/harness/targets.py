"""The speed issue's targets for hits, against what was measured. Factors of requests per server CPU second at 16 connections."""
from . import hits, numbers

# (label, case, ours, rival group, factor). The bare loop's factor is that of its own lead, at most 1.25.
TARGETS = [
    ("edge hit / nginx static", "1k", hits.OURS, "nginx static", 2.0),
    ("edge hit / nginx proxy_cache", "1k", hits.OURS, "nginx proxy_cache", 3.5),
    ("edge hit / Varnish", "1k", hits.OURS, "Varnish", 4.0),
    ("edge hit / nginx static", "64k", hits.OURS, "nginx static", 1.6),
    ("edge hit / nginx static", "range", hits.OURS, "nginx static", 1.6),
    ("edge hit / nginx static", "1m", hits.OURS, "nginx static", 1.0),
    ("edge hit / nginx static", "20m", hits.OURS, "nginx static", 1.0),
    ("KV hit / nginx static", "64k", hits.OURS_KV, "nginx static", 1.0),
    ("KV hit / nginx static", "range", hits.OURS_KV, "nginx static", 1.0),
    ("KV hit / nginx static", "1m", hits.OURS_KV, "nginx static", 1.0),
    ("KV hit / nginx static", "20m", hits.OURS_KV, "nginx static", 1.0),
    *(("edge hit / bare loop", key, hits.OURS, "bare loop", 0.8) for key in ("1k", "64k", "range", "1m", "20m")),
]


def rows(data):
    """[(label, body, rival, factor, paired ratio, reached, the bare loop's ratio)]"""
    cases = {c["key"]: c for c in data["cases"] if c["connections"] == 16}
    out = []
    for label, key, ours, group, factor in TARGETS:
        if key not in cases:
            continue
        found = hits.rival_ratio(cases[key]["samples"], ours, group)
        if found is None:
            continue
        samples = cases[key]["samples"]
        limit = hits.best_of(samples, "bare loop")
        possible = hits.rival_ratio(samples, limit, group) if limit and group != "bare loop" else None
        out.append((label, cases[key]["label"], hits.best_of(samples, group), factor, found, verdict(found, factor), possible))
    return out


def verdict(found, factor):
    if found[0] >= factor:
        return "reached"
    return "missed, within the spread" if found[2] >= factor else "missed"


def p99_rows(data):
    """Large bodies: p99 no worse than that of nginx static. [(body, ours, theirs, reached)]"""
    out = []
    for case in data["cases"]:
        if case["connections"] == 16 and case["key"] in ("1m", "20m"):
            rival = hits.best_of(case["samples"], "nginx static")
            if rival and hits.OURS in case["samples"]:
                a, b = (numbers.median(hits.values(case["samples"], n, "p99")) for n in (hits.OURS, rival))
                out.append((case["label"], a, b, "reached" if a <= b else "missed"))
    return out


def render(data):
    table = [[label, body, f"{factor:.2f}", numbers.ratio(found), reached, f"{possible[0]:.2f}" if possible else ""]
             for label, body, _, factor, found, reached, possible in rows(data)]
    table += [["p99, edge hit / nginx static", body, "1.00", f"{a / b:.2f} ({numbers.micros(a)} / {numbers.micros(b)})", reached, ""]
              for body, a, b, reached in p99_rows(data)]
    return "\n".join(["## Targets", "", "Ratios of requests per server CPU second, 16 connections, median [least-most] of the rounds; the better of nginx with and without "
                      "`tcp_nopush`. 0.80 of the bare loop is the issue's \"within 1.25x\". *bare loop*: its ratio to the "
                      "same rival, so what is possible on this machine without log, policy, limits and parsing.", "",
                      numbers.table(["target", "body", "wanted", "measured", "", "bare loop"], table, left=2), ""])
