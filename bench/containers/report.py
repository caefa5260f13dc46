"""Tables of the results, as Markdown on standard output."""
import json
import statistics


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def ms(value):
    return "-" if value is None else f"{value * 1000:.0f}" if value < 10 else f"{value:.0f} s"


def size(value):
    return "-" if value is None else f"{value / 1000:.0f}k" if value < 10e6 else f"{value / 1e6:.1f}M"


def table(title, head, rows):
    print(f"\n{title}\n\n| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")


def grouped(rows, *names):
    out = {}
    for row in rows:
        out.setdefault(tuple(row.get(name) for name in names), []).append(row)
    return out


def failure(rows):
    errors = [row["error"] for row in rows if row["error"]]
    short = errors[0].split("PIPELINE_ERROR_")[-1].split("DEMUXER_ERROR_")[-1].split(":")[0] if errors else ""
    return f"{len(errors)}/{len(rows)} {short}" if errors else ""


def seek(rows, i):
    seeks = [row["seeks"][i] for row in rows if len(row["seeks"]) > i]
    if not seeks:
        return "-"
    missed = any(abs(s["at"] - s["wanted"]) > 1 for s in seeks)
    return (f"{ms(median(s['wall'] for s in seeks))} / {median(s['cost'][0] for s in seeks):.0f} / {size(median(s['cost'][1] for s in seeks))}"
            + (f" (lands at {median(s['at'] for s in seeks):.0f} s)" if missed else ""))


def write(folder):
    def read(step):
        path = folder / f"{step}.json"
        return json.loads(path.read_text()) if path.exists() else []

    for (length,), rows in grouped(read("sizes"), "length").items():
        base = next(row["bytes"] for row in rows if row["form"] == "faststart")
        table(f"Sizes, {length}", ["form", "bytes", "against faststart", "moov", "moofs", "reserved", "sidx", "mfra"],
              [(r["form"], r["bytes"], f"{(r['bytes'] / base - 1) * 100:+.2f} %" if ".webm" not in r["form"] else "", r.get("moov", ""), r.get("moofs", ""),
                r.get("index", ""), r.get("sidx", ""), r.get("mfra", "")) for r in rows])
    table("Flash and tone", ["form", "flash s", "tone s", "picture late by ms"],
          [(r["form"], r["flash"], r["tone"], f"{(r['flash'] - r['tone']) * 1000:.1f}") for r in read("sync")])
    table("Finishing", ["length", "way", "n", "wall ms", "cpu ms", "written MB", "read MB"],
          [(length, way, len(rows), f"{median(r['wall'] for r in rows) * 1000:.2f}", ms(median(r.get("cpu") for r in rows)),
            f"{median(r['wrote'] for r in rows) / 1e6:.2f}", f"{(median(r.get('read') for r in rows) or 0) / 1e6:.0f}")
           for (length, way), rows in grouped(read("finish"), "length", "way").items()])
    table("ffmpeg's tools over HTTP", ["length", "tool", "form", "n", "ms", "requests", "bytes", "answer", "error"],
          [(length, tool, form, len(rows), ms(median(r["wall"] for r in rows)), median(r["requests"] for r in rows), size(median(r["bytes"] for r in rows)),
            rows[0]["answer"][:10], rows[0]["error"] or "") for (length, tool, form), rows in grouped(read("consumers"), "length", "tool", "form").items()])
    for (name, length, link), rows in grouped(read("load"), "browser", "length", "link").items():
        table(f"{name}, {length}, {'link ' + link if link else 'loopback'}: served with length and ranges",
              ["form", "n", "metadata ms", "playable ms", "requests", "bytes", "seek 50 %: ms / requests / bytes", "seek 90 %", "all: requests", "bytes",
               "duration", "errors"],
              [(form, len(rs), ms(median(r["metadata"] for r in rs)), ms(median(r["playable"] for r in rs)), median(r["load"][0] for r in rs),
                size(median(r["load"][1] for r in rs)), seek(rs, 0), seek(rs, 1), median(r["total"][0] for r in rs), size(median(r["total"][1] for r in rs)),
                rs[0]["last"], failure(rs)) for (form,), rs in grouped(rows, "form").items()])
    table("Ten seeks, chromium, 10min, link", ["form", "n", "done", "median ms", "slowest ms", "requests", "bytes", "errors"],
          [(form, len(rows), median(len(r["seeks"]) for r in rows), ms(median(s["wall"] for r in rows for s in r["seeks"])),
            ms(max((s["wall"] for r in rows for s in r["seeks"]), default=None)), median(r["total"][0] for r in rows), size(median(r["total"][1] for r in rows)),
            failure(rows)) for (form,), rows in grouped(read("hops"), "form").items()])
    for (name,), rows in grouped(read("stream"), "browser").items():
        table(f"{name}, 60s, chunked at twice real time, no length",
              ["form", "n", "metadata ms", "playable ms", "played s", "stalls", "duration at first", "at the end", "changes", "seekable", "seek to 40 s", "errors"],
              [(form, len(rs), ms(median(r["metadata"] for r in rs)), ms(median(r["playable"] for r in rs)), f"{median(r['played'] for r in rs) or 0:.1f}",
                median(r["stalls"] for r in rs), rs[0]["duration"], rs[0]["last"], median(r["durations"] for r in rs), median(r["seekable"] for r in rs),
                seek(rs, 0), failure(rs)) for (form,), rs in grouped(rows, "form").items()])
    table("Spliced", ["kind", "browser", "case", "requests after the first", "result"],
          [(r["kind"], r.get("browser", ""), r["what"], r.get("requests", [])[1:], {k: v for k, v in r.items() if k not in ("kind", "browser", "what", "requests")})
           for r in read("splice")])
