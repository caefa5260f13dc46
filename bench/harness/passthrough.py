"""Passed-through hits: an origin of mode `passthrough` against nginx's proxy_cache in front of the same files."""
from . import contestants
from .bodies import KIB, MIB
from .field import Field
from .hits import case_table

OURS = "video-resizer, passthrough"
# Not 1 MiB: at the time of writing a passed-through body a little below cache.edge.maxObjectInMemory, up to exactly that, never becomes a hit.
SIZES = (("1 KiB", KIB), ("64 KiB", 64 * KIB), ("20 MiB", 20 * MIB))


def run(arguments, setup):
    with Field(contestants.origin(setup.work / "origin", setup.bodies.files)) as field:
        field.add(contestants.OursPassthrough(setup.program, setup.work / "ours", setup.bodies.media, name=OURS, pages=field.origin))
        for nopush in (True, False):
            field.add(contestants.proxy_cache(setup.work / f"proxy-{nopush}", field.origin, nopush))
        bodies = [setup.bodies.by_size[size] for _, size in SIZES]
        field.warm(bodies)
        data = {"cases": []}
        for (label, _), body in zip(SIZES, bodies):
            setup.say(f"passthrough: {label}")
            rounds, seconds = (3, 0.3) if arguments.quick else (5, 1.0)
            samples = field.measure(setup.client, body, lambda _, length=body.length: {"length": length}, rounds, 16, seconds)
            data["cases"].append({"key": label, "label": label, "connections": 16, "seconds": seconds, "samples": samples})
        field.check_hits()
        return data


def render(data):
    out = ["## Passed-through hits", "", "Hits of an origin of mode `passthrough` (files of an nginx with `Cache-Control: max-age`), and of nginx's `proxy_cache` before "
           "the same one. Columns as above.", ""]
    for case in data["cases"]:
        out += [f"### Passed through, {case['label']}", "", case_table(case, OURS), ""]
    return "\n".join(out)


def plots(data):
    return []
