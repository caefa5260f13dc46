#!/usr/bin/env python3
"""Containers compared: indexed-first MP4, fragmented MP4 with and without a front index (sidx), WebM with its Cues at either end.

    bench/containers/run.py                 all steps, about 40 minutes; clips and results under build/containers, 2 GB
    bench/containers/run.py load --lengths 60s --rounds 3
    bench/containers/run.py report          prints the tables of what was measured so far (docs/formats/containers.md holds them)

Steps: clips, sizes, sync, finish, consumers, load, hops, stream, splice, report. Needs ffmpeg, chromium; firefox-esr when there.
With BENCH_LOCK=FILE each block of measurements holds an flock on FILE. Forms take turns inside a round; figures are medians.
"""
import argparse
import contextlib
import fcntl
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import browser
import clips
import mp4
import server

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINK = "40,20"  # ms of round trip, Mbit/s
LOAD_MP4 = ["faststart", "fragmented", *clips.SIDX]
LOAD_WEBM = ["cues-front", "cues-reserved", "cues-reserved-1s", "cues-end", "no-cues"]
FIREFOX_MP4 = ["faststart", "fragmented", "sidx-gop", "sidx-gop-neg", "sidx-gop-neg-mehd"]
HOPS = [.83, .11, .47, .92, .05, .66, .31, .74, .22, .58]


@contextlib.contextmanager
def alone():
    if not os.environ.get("BENCH_LOCK"):
        yield
        return
    with open(os.environ["BENCH_LOCK"], "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Bench:
    def __init__(self, folder, lengths, rounds, browsers, forms):
        self.folder, self.lengths, self.rounds, self.forms = folder, lengths, rounds, forms
        self.browsers = [name for name in browsers if browser.available(name)]
        (folder / "results").mkdir(parents=True, exist_ok=True)

    def keep(self, step, rows):
        """Writes the rows of a step; those of earlier runs stay where this run had another browser or length."""
        path = self.folder / "results" / f"{step}.json"

        def group(row):
            return row.get("browser"), row.get("length"), row.get("link"), row.get("form") if step == "load" else None
        old = json.loads(path.read_text()) if path.exists() else []
        fresh = {group(row) for row in rows}
        rows = [row for row in old if group(row) not in fresh] + rows
        path.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")

    def mp4(self, length, form):
        return self.folder / f"{length}-{form}.mp4"

    # ---- clips, sizes ----
    def clips(self):
        with alone():
            clips.make(self.folder, self.lengths)

    def sizes(self):
        rows = []
        for length in self.lengths:
            for form in ["faststart", "fragmented", "plain", *clips.SIDX]:
                path = self.mp4(length, form)
                with open(path, "rb") as file:
                    kinds = [(kind, size) for kind, _, _, size in mp4.boxes(file, 0, mp4.length(file))]
                    index = [(kind, size) for kind, size in kinds if kind in ("sidx", "free") and size > 8]
                rows.append({"length": length, "form": form, "bytes": path.stat().st_size, "moofs": sum(kind == "moof" for kind, _ in kinds),
                             "moov": sum(size for kind, size in kinds if kind == "moov"), "index": sum(size for _, size in index),
                             "sidx": [size for kind, size in index if kind == "sidx"][:2], "mfra": sum(size for kind, size in kinds if kind == "mfra")})
            for path in sorted(self.folder.glob(f"{length}-*.webm")):
                rows.append({"length": length, "form": path.stem.split("-", 1)[1] + ".webm", "bytes": path.stat().st_size})
        self.keep("sizes", rows)

    # ---- picture and sound in step ----
    def sync(self):
        rows = []
        for form, path in clips.flash(self.folder):
            def found(options, pattern):
                text = subprocess.run(["ffmpeg", "-nostdin", "-copyts", "-i", path, *options, "-f", "null", "-"], capture_output=True, text=True).stderr
                return re.findall(pattern, text)
            lit = found(["-an", "-vf", "select='gt(scene,0.2)',showinfo"], r"pts_time:([\d.]+)")
            heard = found(["-vn", "-af", "silencedetect=n=-20dB:d=0.1"], r"silence_end: ([\d.]+)")
            rows.append({"form": form, "flash": float(lit[0]), "tone": float(heard[0])})
        self.keep("sync", rows)

    # ---- what finishing costs ----
    def finish(self):
        rows, target = [], self.folder / "finish"
        target.mkdir(exist_ok=True)
        for length in self.lengths:
            source = self.folder / f"{length}.mp4"
            with open(self.mp4(length, "faststart"), "rb") as file:
                start, end = mp4.find(file, "moov", 0, mp4.length(file))
            ways = {
                "fragmented only": [clips.BASES["plain"]], "index at end": [[]], "faststart": [clips.FASTSTART],
                "index reserved in front": [["-moov_size", str(int((end - start) * 1.1) + 1024)]],
                "both (today)": [clips.TODAY, clips.FASTSTART],
            }
            for _ in range(self.rounds):
                with alone():
                    for way, outputs in ways.items():
                        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(source)]
                        for i, options in enumerate(outputs):
                            command += ["-map", "0", "-c", "copy", *options, str(target / f"{i}.mp4")]
                        rows.append({"length": length, "way": way, **cost(command)})
                    at = mp4.reserved(self.mp4(length, "plain"), target / "s.mp4", space := clips.room(length, 2, True))
                    began = time.perf_counter()
                    mp4.patch(target / "s.mp4", at, space, count=2, groups=True)
                    whole = time.perf_counter() - began
                    with open(target / "s.mp4", "r+b") as file:
                        file.seek(at)
                        box = file.read(space)
                        began = time.perf_counter()
                        os.pwrite(file.fileno(), box, at)
                    rows.append({"length": length, "way": "sidx patch", "wall": time.perf_counter() - began, "with_parsing": whole, "wrote": space})
            for path in target.iterdir():
                path.unlink()
        self.keep("finish", rows)

    # ---- ffprobe and ffmpeg over HTTP ----
    def consumers(self):
        rows, host = [], server.Server(self.folder)
        for length in self.lengths:
            want = clips.SECONDS[length] * 0.9
            for form in ["faststart", "fragmented", *clips.SIDX]:
                for i in range(min(3, self.rounds)):
                    with alone():
                        for tool, command in {
                            "ffprobe": ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"],
                            "ffmpeg -ss": ["ffmpeg", "-nostdin", "-v", "error", "-ss", str(want), "-i"],
                        }.items():
                            key = f"{length}-{form}-{tool[:7].strip()}-{i}"
                            url = f"{host.address}/f/{length}-{form}.mp4?run={key}&link={LINK}"
                            command = command + [url] + (["-frames:v", "1", "-an", "-f", "framemd5", "-"] if tool == "ffmpeg -ss" else [])
                            began = time.time()
                            try:
                                done = subprocess.run(command, capture_output=True, text=True, timeout=90)
                                text = (done.stdout.strip().splitlines() or [""])[-1].split(",")[-1].strip()
                                error = done.stderr.strip().splitlines()[-1][-120:] if done.stderr.strip() else None
                            except subprocess.TimeoutExpired:
                                text, error = "", "more than 90 s"
                            requests, sent = host.between(key, began, time.time())
                            rows.append({"length": length, "form": form, "tool": tool, "wall": time.time() - began, "requests": requests, "bytes": sent,
                                         "answer": text, "error": error})
        host.shutdown()
        self.keep("consumers", rows)

    # ---- browsers ----
    @contextlib.contextmanager
    def session(self, name):
        host = server.Server(self.folder)
        at = browser.Browser(name, host)
        try:
            at.run("10s-faststart.mp4", [{"seek": 5}])  # warm up: decoders are loaded once
            yield host, at
        finally:
            at.close()
            host.shutdown()

    def load(self):
        rows = []
        for name in self.browsers:
            for length in self.lengths:
                with self.session(name) as (host, at):
                    for link in [LINK] + ([""] if length == "10min" and name == "chromium" else []):
                        for turn in range(self.rounds):
                            with alone():
                                rows += self.load_round(name, host, at, length, link, turn)
                            self.keep("load", rows)

    def load_round(self, name, host, at, length, link, turn):
        files = [(form, f"{length}-{form}.mp4") for form in (LOAD_MP4 if name == "chromium" else FIREFOX_MP4)]
        if length in clips.WEBM_LENGTHS:
            files += [(form + ".webm", f"{length}-{form}.webm") for form in LOAD_WEBM]
        rows, seconds = [], clips.SECONDS[length]
        for form, file in files:
            if self.forms and form not in self.forms:
                continue
            slow = form in ("fragmented", "no-cues.webm", "sidx-all") or name == "firefox" and "sidx" in form
            if slow and seconds >= 600 and turn >= 2 and link or seconds > 600 and form in ("sidx-gop-neg-mfra", "sidx-gop-neg-mehd") or form == "sidx-tree" and turn >= 2:
                continue  # minutes each, or an error
            if name == "firefox" and seconds > 600:
                continue
            result = at.run(file, [{"seek": seconds * 0.5}, {"seek": seconds * 0.9}], f"link={link}" if link else "", patience=75)
            rows.append({"browser": name, "length": length, "link": link, "form": form, **facts(host, result)})
        return rows

    def hops(self):
        rows, seconds = [], clips.SECONDS["10min"]
        with self.session("chromium") as (host, at):
            for _ in range(min(3, self.rounds)):
                with alone():
                    for form in ["faststart", "sidx-gop", "sidx-gop-neg", "sidx-gop-neg-1", "sidx-64-neg", "sidx-all"]:
                        result = at.run(f"10min-{form}.mp4", [{"seek": seconds * at_} for at_ in HOPS], f"link={LINK}", patience=40)
                        rows.append({"form": form, **facts(host, result)})
                self.keep("hops", rows)

    def stream(self):
        """Paced by the clock and light: without the lock."""
        rows = []
        files = {form: f"60s-{form}.mp4" for form in ["fragmented", "free", "free-mehd", "delayed", "neg", "faststart"]}
        files |= {form + ".webm": f"60s-{form}.webm" for form in ["no-cues", "no-cues-1s", "live", "cues-front"]}
        for name in self.browsers:
            with self.session(name) as (host, at):
                for _ in range(min(3, self.rounds)):
                    for form, file in files.items():
                        pace = 2 * (self.folder / file).stat().st_size / 60
                        result = at.run(file, [{"play": 3}, {"seek": 40}], f"pace={pace:.0f}", patience=45)
                        rows.append({"browser": name, "form": form, **facts(host, result)})
                    self.keep("stream", rows)

    # ---- one validator for two forms ----
    def splice(self):
        rows = []
        streamed, stored = self.mp4("10s", "free").read_bytes(), self.mp4("10s", "sidx-gop").read_bytes()
        differ = [i for i, (a, b) in enumerate(zip(streamed, stored)) if a != b]
        assert len(streamed) == len(stored)
        part = self.folder / "splice.mp4"

        def packets(data):
            part.write_bytes(data)
            done = subprocess.run(["ffprobe", "-v", "error", "-count_packets", "-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", part],
                                  capture_output=True, text=True)
            return done.stdout.split(), done.stderr.strip()
        whole = packets(stored)
        points = sorted({*range(differ[0] - 9, differ[-1] + 10, 7)})
        for first, then, what in ((streamed, stored, "streamed, then stored"), (stored, streamed, "stored, then streamed")):
            bad = [k for k in points if packets(first[:k] + then[k:]) != whole]
            rows.append({"kind": "bytes", "what": what, "first": differ[0], "last": differ[-1], "points": len(points), "broken": len(bad)})
        part.unlink()
        cluster = bytes.fromhex("1f43b675")
        pipe, file = ((self.folder / f"60s-{form}.webm").read_bytes() for form in ("no-cues-1s", "cues-reserved-1s"))
        rows.append({"kind": "bytes", "what": "WebM, a pipe's clusters are those of the file with reserved Cues",
                     "same": pipe[pipe.index(cluster):] == file[file.index(cluster):]})
        cut = "pace=1000000&cut=600000"
        cuts = {
            "one layout, no ETag": ("free", "&next=60s-sidx-gop.mp4"), "one layout, ETag": ("free", "&next=60s-sidx-gop.mp4&etag=one&tag2=one"),
            "one layout, ETag, Accept-Ranges": ("free", "&next=60s-sidx-gop.mp4&etag=one&tag2=one&ranges=1"),
            "two layouts, no ETag then ETag": ("fragmented", "&next=60s-faststart.mp4&tag2=two"),
            "two layouts, ETag then another": ("fragmented", "&next=60s-faststart.mp4&etag=one&tag2=two"),
            "two layouts, 200 to the range": ("fragmented", "&next=60s-faststart.mp4&tag2=two&whole=1"),
            "two layouts, 416 to the range": ("fragmented", "&next=60s-faststart.mp4&tag2=two&fail=416"),
            "the streamed form again": ("fragmented", "&next=60s-fragmented.mp4"),
        }
        for name in self.browsers:
            with self.session(name) as (host, at), alone():
                for what, (form, options) in cuts.items():
                    result = at.run(f"60s-{form}.mp4", [{"play": 9}], cut + options, patience=20)
                    rows.append({"kind": "cut", "browser": name, "what": what, "requests": [asked for _, asked in host.requests[result["key"]]],
                                 **{k: result.get(k) for k in ("error", "played", "last")}})
                for what, options in {"no-store": "pace=20000000", "ETag": "pace=20000000&etag=one&tag2=one&ranges=1"}.items():
                    key = f"twice-{name}-{what}"
                    loads = [at.run("10s-free.mp4", [{"play": 9.5}], options, patience=30, run=key) for _ in range(2)]
                    rows.append({"kind": "again", "browser": name, "what": what, "requests": [asked for _, asked in host.requests[key]],
                                 "last": [r["last"] for r in loads], "seekable": [r["seekable"] for r in loads], "error": [r["error"] for r in loads]})
        self.keep("splice", rows)

    # ---- tables ----
    def report(self):
        import report
        report.write(self.folder / "results")


def facts(host, result):
    """Times in s from setting src; requests and bytes until the picture could play, and for each seek."""
    start, key, events = result["start"], result["key"], result["events"]
    since = {name: at - start for name, at in events.items()}
    ready = events.get("canplay", result["end"])
    return {"error": result["error"], "metadata": since.get("loadedmetadata"), "playable": since.get("canplay"), "load": host.between(key, start - 1, ready),
            "seeks": [{"wall": s["to"] - s["from"], "wanted": s["wanted"], "at": s["at"], "shown": s["shown"],
                       "cost": host.between(key, s["from"], s["to"])} for s in result["seeks"]],
            "total": host.between(key, start - 1, result["end"]), "wall": result["end"] - start, "duration": result.get("duration"), "last": result["last"],
            "seekable": result["seekable"], "durations": len(result["durations"]), "played": result.get("played"), "stalls": result["stalls"]}


def cost(command):
    """Wall and processor time of a child, and what it read and wrote by system calls."""
    began = time.perf_counter()
    child = subprocess.Popen(command)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    wall = time.perf_counter() - began
    counters = dict(line.split(": ") for line in pathlib.Path(f"/proc/{child.pid}/io").read_text().splitlines())
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, command
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "wrote": int(counters["wchar"]), "read": int(counters["rchar"])}


def main():
    steps = ["clips", "sizes", "sync", "finish", "consumers", "load", "hops", "stream", "splice", "report"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", default=[], metavar="STEP")
    parser.add_argument("--lengths", nargs="+", default=list(clips.SECONDS), choices=list(clips.SECONDS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--browsers", nargs="+", default=list(browser.COMMANDS), choices=list(browser.COMMANDS))
    parser.add_argument("--forms", nargs="+", help="only these in the step load; what was measured of the others stays")
    parser.add_argument("--dir", type=pathlib.Path, default=ROOT / "build/containers")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: exit(1))
    bench = Bench(args.dir, args.lengths, args.rounds, args.browsers, args.forms)
    for step in args.steps or steps:
        assert step in steps, step
        began = time.monotonic()
        getattr(bench, step)()
        if step != "report":
            print(f"{step}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
