"""The cold path: every mode and format against the ffmpeg command line with the same encoder settings and threads. Wall time, CPU
time, time to the first byte, bytes read from an HTTP origin, and what the server adds to the encode.

    tools/bench_cold  --bin build/release/bin [--out FILE] [--json FILE] [--only PART] [--rounds 5]    (suite "targets")
    tools/bench_media --bin build/release/bin ...                                                      (suite "media")

Contestants alternate; medians, and the median of the ratios pair by pair. Ours: one request to a running server whose store knows
nothing of it (`nocache`); CPU of the server process and of its workers. ffmpeg: one process, `-threads 2` for decoding and one
encoder thread, as our recipe on two cores. Its first byte is that of a second run that writes fragments to a pipe. "server" is
what is spent outside of the worker: (request - job) / job by wall time, server CPU / worker CPU by CPU. Requests and bytes are
counted by an origin that understands ranges, at a source nobody has asked for before.
"""
import argparse
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
VP9 = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "6", "-row-mt", "0", "-auto-alt-ref", "0", "-lag-in-frames", "0", "-crf", "36", "-b:v", "0"]
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-profile:v", "high"]
X265 = ["-c:v", "libx265", "-preset", "superfast", "-crf", "26", "-x265-params", "log-level=none:pools=none:frame-threads=1:wpp=0:open-gop=0:info=0"]
SVT = ["-c:v", "libsvtav1", "-preset", "11", "-crf", "42", "-svtav1-params", "lp=1"]
AAC, OPUS, MP3 = (["-c:a", "aac", "-ac", "2", "-b:a", "128k"], ["-c:a", "libopus", "-ac", "2", "-b:a", "96k"], ["-c:a", "libmp3lame", "-ac", "2", "-b:a", "160k"])
MP4, FRAGMENTS = ["-movflags", "+faststart"], ["-movflags", "+frag_keyframe+empty_moov+default_base_moof", "-frag_duration", "500000", "-f", "mp4"]
PIPED_WEBM = ["-f", "webm"]

# The targets: ours / ffmpeg.
TRANSFORM, FIRST_BYTE, PICTURE = 1.03, 0.10, 1 / 3


def scale(width):
    return f"scale={width}:-2:flags=bicubic,format=yuv420p"


def moving(encoder, sound, width=640, gop=60, ceiling=True):
    """Our recipe in ffmpeg's words; the ceiling is that of 16:9 at 30 frames/s and quality auto."""
    rate = int(0.35 * width * (width * 9 // 16) * 30)
    limits = ["-maxrate", str(rate), "-bufsize", str(2 * rate)] if ceiling and encoder in (X264, X265) else []
    return ["-map", "0:v:0", "-map", "0:a:0?", "-vf", scale(width), *encoder, *limits, "-g", str(gop), "-threads", "1", *sound]


class Case:
    """@param before, after ffmpeg's arguments around `-i source`; `pipe`: what its piped run adds instead of `whole`;
    `target` most of ours / ffmpeg by wall time; `http`: the source is at an HTTP origin"""

    def __init__(self, label, clip, query, after, suffix, before=(), whole=(), pipe=None, program="ffmpeg", target=None, http=False):
        self.label, self.clip, self.query, self.after, self.suffix = label, clip, query, list(after), suffix
        self.before, self.whole, self.pipe, self.program = list(before), list(whole), pipe, program
        self.target, self.http = target, http

    def command(self, source, to, piped=False):
        if self.program == "ffprobe":
            return ["ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", source]
        return ["ffmpeg", "-nostdin", "-v", "error", "-y", "-threads", "2", *self.before, "-i", source, *self.after, *(self.pipe if piped else self.whole), to]


def frame_case(label, clip, seconds, http):
    where = " over HTTP" if http else ""
    return Case(f"frame at {label}{where}", clip, f"mode=frame&width=640&time={seconds}s", ["-frames:v", "1", "-update", "1", "-vf", "scale=640:-2:flags=bicubic", "-q:v", "4"],
                "jpg", before=["-ss", str(seconds)], target=PICTURE, http=http)


def sheet_case(label, clip, interval, before=(), target=None, width=320, http=False):
    return Case(label, clip, f"mode=spritesheet&width={width}&imageCount=20&columns=5",
                ["-frames:v", "1", "-update", "1", "-vf", f"fps=1/{interval},scale={width}:-2:flags=bicubic,tile=5x4", "-q:v", "4"], "jpg", before=before, target=target, http=http)


def targets(long_seconds):
    """What issue 6 asks for."""
    cases = []
    for height, width in ((360, 640), (720, 1280)):
        cases += [Case(f"H.264, 1080p to {height}p", "hd", f"width={width}", moving(X264, AAC, width), "mp4", whole=MP4, pipe=FRAGMENTS, target=TRANSFORM),
                  Case(f"VP9, 1080p to {height}p", "hd", f"width={width}&format=webm", moving(VP9, OPUS, width), "webm", pipe=PIPED_WEBM, target=TRANSFORM)]
    cases.append(Case("H.264, 60 s of 720p to 360p", "minute", "width=640", moving(X264, AAC), "mp4", whole=MP4, pipe=FRAGMENTS, target=TRANSFORM))
    cases.append(Case("copy, the sound left out", "minute", "audio=false", ["-map", "0:v:0", "-c", "copy"], "mp4", whole=MP4, pipe=FRAGMENTS, target=TRANSFORM))
    for http in (False, True):
        for share in (0, 50, 95):
            cases.append(frame_case(f"{share} %", "long", long_seconds * share // 100 + (0.5 if share else 0), http))
    cases += [frame_case("50 %, key frames 8 s apart", "sparse", 30.5, False),
              sheet_case("sheet of 20, 60 s", "minute", 3, target=PICTURE),
              sheet_case("sheet of 20, long, ffmpeg on key frames only", "long", long_seconds // 20, before=["-skip_frame", "nokey"], target=PICTURE),
              Case("audio, M4A of AAC", "minute", "mode=audio", ["-vn", "-c:a", "copy"], "m4a", whole=MP4, target=TRANSFORM),
              Case("audio, MP3", "minute", "mode=audio&format=mp3", ["-vn", *MP3], "mp3", target=TRANSFORM),
              Case("audio, Opus", "minute", "mode=audio&format=opus", ["-vn", *OPUS], "ogg", target=TRANSFORM)]
    return cases


def media():
    """Every mode and format."""
    frame = ["-frames:v", "1", "-update", "1", "-vf"]
    return [
        Case("video, MP4 H.264", "clip", "width=640", moving(X264, AAC), "mp4", whole=MP4, pipe=FRAGMENTS),
        Case("video, WebM VP9", "clip", "width=640&format=webm", moving(VP9, OPUS), "webm", pipe=PIPED_WEBM),
        Case("video, MP4 H.265", "clip", "width=640&format=h265", moving(X265, AAC), "mp4", whole=MP4, pipe=FRAGMENTS),
        Case("video, MP4 AV1", "clip", "width=640&format=av1", moving(SVT, AAC), "mp4", whole=MP4, pipe=FRAGMENTS),
        Case("video, 2 s cut from the middle", "minute", "width=640&time=30s&duration=2s", ["-t", "2", *moving(X264, AAC)], "mp4", before=["-ss", "30"], whole=MP4, pipe=FRAGMENTS),
        Case("video, twice as fast", "clip", "width=640&speed=2", ["-map", "0:v:0", "-map", "0:a:0", "-vf", "setpts=PTS/2," + scale(640), "-af", "atempo=2", *X264, "-g", "60",
                                                                  "-threads", "1", *AAC], "mp4", whole=MP4, pipe=FRAGMENTS),
        Case("video, only the sound left out", "minute", "audio=false", ["-map", "0:v:0", "-c", "copy"], "mp4", whole=MP4, pipe=FRAGMENTS),
        Case("animation, GIF", "clip", "width=320&format=gif&fps=10&duration=3s",
             ["-t", "3", "-vf", "fps=10,scale=320:-2:flags=bicubic,split[a][b];[a]palettegen[p];[b][p]paletteuse"], "gif"),
        Case("animation, WebP", "clip", "width=320&format=webp&fps=10&duration=3s", ["-t", "3", "-vf", "fps=10,scale=320:-2:flags=bicubic", "-c:v", "libwebp_anim", "-quality", "75",
                                                                                    "-loop", "0"], "webp"),
        Case("frame, JPEG", "minute", "mode=frame&width=640&time=30.5s", [*frame, "scale=640:-2:flags=bicubic", "-q:v", "4"], "jpg", before=["-ss", "30.5"]),
        Case("frame, PNG", "minute", "mode=frame&width=640&time=30.5s&format=png", [*frame, "scale=640:-2:flags=bicubic,format=rgb24", "-pred", "mixed",
                                                                                   "-compression_level", "4"], "png", before=["-ss", "30.5"]),
        Case("frame, WebP", "minute", "mode=frame&width=640&time=30.5s&format=webp", ["-frames:v", "1", "-vf", "scale=640:-2:flags=bicubic", "-c:v", "libwebp", "-quality", "75"], "webp",
             before=["-ss", "30.5"]),
        sheet_case("sheet, 20 tiles, JPEG", "minute", 3),
        sheet_case("sheet, 20 tiles, ffmpeg on key frames only", "minute", 3, before=["-skip_frame", "nokey"], width=318),
        Case("audio, M4A of AAC", "minute", "mode=audio", ["-vn", "-c:a", "copy"], "m4a", whole=MP4),
        Case("audio, MP3", "minute", "mode=audio&format=mp3", ["-vn", *MP3], "mp3"),
        Case("audio, Opus", "minute", "mode=audio&format=opus", ["-vn", *OPUS], "ogg"),
        Case("facts, JSON", "minute", "mode=info", [], "json", program="ffprobe"),
    ]


# ---- clips

CLIPS = {"clip": (10, "1280x720", 60, 10), "hd": (10, "1920x1080", 60, 10), "minute": (60, "1280x720", 60, 10), "sparse": (60, "1280x720", 240, 10), "long": (60, "1280x720", 60, 4)}


def make_clip(name, folder, minutes):
    """`long` is one minute, copied end to end: made in seconds, demuxed like any other of its length."""
    seconds, size, gop, noise = CLIPS[name]
    path = folder / f"{name}.mp4"
    part = folder / "part.mp4" if name == "long" else path
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=s={size}:r=30:d={seconds},noise=alls={noise}:all_seed=1", "-f", "lavfi", "-i",
                    f"sine=f=440:d={seconds}", "-c:v", "libx264", "-preset", "superfast", "-crf", "25", "-g", str(gop), "-c:a", "aac", "-ac", "2", "-movflags", "+faststart",
                    str(part)], check=True)
    if name == "long":
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-stream_loop", str(minutes - 1), "-i", str(part), "-c", "copy", "-movflags", "+faststart", str(path)], check=True)
        part.unlink()
    return path


# ---- one measurement

def children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


MEDIA_BEGINS = (b"mdat", b"\x1f\x43\xb6\x75")  # MP4's media, Matroska's first cluster


def read_all(some, begin, look):
    """@return (seconds to the first byte, to the first of media (`look`) or likewise, bytes)"""
    first, first_media, head, total = None, None, b"", 0
    while data := some():
        total += len(data)
        if first is None:
            first = time.monotonic() - begin
        if first_media is None:
            head = (head + data)[:1 << 20]
            if not look or any(m in head for m in MEDIA_BEGINS):
                first_media = time.monotonic() - begin
    return first, first_media, total


class Run:
    """What one run took: seconds, bytes."""

    def __init__(self, wall, cpu, size, first=None, first_media=None, job_wall=None, job_cpu=None):
        self.wall, self.cpu, self.size, self.first, self.first_media = wall, cpu, size, first, first_media
        self.job_wall, self.job_cpu = job_wall, job_cpu


class Contest:
    def __init__(self, server, origin, work, clips, kit):
        self.server, self.origin, self.work, self.clips, self.kit = server, origin, work, clips, kit
        self.remotes = 0

    def settled(self):
        self.kit["until"](lambda: self.server.metric("video_resizer_productions_in_flight") == 0 and
                          self.server.metric("video_resizer_workers", state="busy") == 0 and
                          self.server.metric("video_resizer_workers", state="starting") == 0, "the production is stored, new workers wait", 120, every=0.01)

    def remote(self, clip):
        """A path at the origin that nobody has asked for."""
        self.remotes += 1
        path = f"/r{self.remotes}.mp4"
        self.origin.files[path] = self.clips[clip]
        return path

    def ours(self, case, base=None):
        self.settled()
        target = base or ("/remote" + self.remote(case.clip) if case.http else "/videos/" + self.clips[case.clip].name)
        metric = self.server.metric
        server, workers, jobs = self.kit["cpu_seconds"](self.server.pid), metric("video_resizer_encode_seconds_total"), metric("video_resizer_job_seconds_sum")
        begin = time.monotonic()
        with self.kit["wire"].Connection(self.server.address, timeout=600) as c:
            reply = c.ask(f"{target}?{case.query}&nocache=1")
            first, first_media, size = read_all(lambda: reply.some(1 << 16), begin, case.pipe)
        wall = time.monotonic() - begin
        if reply.status != 200:
            return None
        self.settled()
        # A worker's CPU time is known when it has been collected, a little after its last word.
        self.kit["until"](lambda: metric("video_resizer_encode_seconds_total") > workers, "the worker is counted", 10, every=0.005)
        server, workers = self.kit["cpu_seconds"](self.server.pid) - server, metric("video_resizer_encode_seconds_total") - workers
        return Run(wall, server + workers, size, first, first_media, metric("video_resizer_job_seconds_sum") - jobs, workers)

    def theirs(self, case):
        out = f"{self.work}/out.{case.suffix}"
        source = self.origin.url + self.remote(case.clip) if case.http else str(self.clips[case.clip])
        cpu = children_cpu()
        begin = time.monotonic()
        done = subprocess.run(case.command(source, out), capture_output=True)
        run = Run(time.monotonic() - begin, children_cpu() - cpu, len(done.stdout) if case.program == "ffprobe" else os.path.getsize(out) if os.path.exists(out) else 0)
        if done.returncode:
            sys.exit(f"{case.label}: {done.stderr.decode()[-600:]}")
        if case.pipe:
            begin = time.monotonic()
            with subprocess.Popen(case.command(source, "pipe:1", piped=True), stdout=subprocess.PIPE) as p:
                run.first, run.first_media, _ = read_all(lambda: p.stdout.read1(1 << 16), begin, True)
        return run

    def reads(self, case):
        """((requests, bytes) of ours, of ffmpeg) with the source at an HTTP origin nobody has asked yet."""
        path = self.remote(case.clip)
        if self.ours(case, "/remote" + path) is None:
            return None
        other = self.remote(case.clip)
        subprocess.run(case.command(self.origin.url + other, f"{self.work}/out.{case.suffix}"), capture_output=True, check=True)
        return [(len(self.origin.gets(p)), self.origin.bytes_sent(p)) for p in (path, other)]


# ---- rows

def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def row_of(case, pairs, reads, source_bytes):
    """What is kept of a case: a flat dict of numbers, ready for JSON."""
    ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    row = {"case": case.label, "clip": case.clip, "http": case.http, "target": case.target, "rounds": len(pairs), "source_bytes": source_bytes}
    for who, runs in (("ours", ours), ("ffmpeg", theirs)):
        for field in ("wall", "cpu", "size", "first", "first_media"):
            row[f"{who}_{field}"] = median([getattr(r, field) for r in runs])
    row["wall_ratio"] = median([a.wall / b.wall for a, b in pairs])
    row["cpu_ratio"] = median([a.cpu / b.cpu for a, b in pairs])
    row["first_share"] = median([a.first / b.wall for a, b in pairs])
    row["first_media_share"] = median([a.first_media / b.wall for a, b in pairs])
    row["server_wall"] = median([(a.wall - a.job_wall) / a.job_wall for a in ours if a.job_wall])
    row["server_cpu"] = median([(a.cpu - a.job_cpu) / a.job_cpu for a in ours if a.job_cpu])
    row["met"] = None if case.target is None else row["wall_ratio"] <= case.target
    row["first_met"] = row["first_share"] <= FIRST_BYTE if case.pipe and case.target else None
    if reads:
        (row["requests"], row["read"]), (row["ffmpeg_requests"], row["ffmpeg_read"]) = reads
    return row


def run(bin_dir=ROOT / "build/release/bin", suite="targets", only="", rounds=5, minutes=45, say=None):
    """Measures. @return (rows, facts about the run); `say` is given each row when it is there."""
    os.environ["VR_BIN_DIR"] = str(pathlib.Path(bin_dir).resolve())
    sys.path.insert(0, str(ROOT / "tests/e2e"))
    from kit import wire
    from kit.origin import HttpOrigin
    from kit.server import Server, cpu_seconds
    from kit.wait import until
    cases = [c for c in (media() if suite == "media" else targets(minutes * 60)) if only in c.label]
    work = pathlib.Path(tempfile.mkdtemp(prefix="vr-bench-cold-"))
    server, origin = Server(work / "server"), HttpOrigin()
    rows, missing = [], []
    facts = {"cores": os.cpu_count(), "cpu": next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?"), "kernel": platform.release(),
             "load_before": os.getloadavg()[0], "rounds": rounds, "minutes": minutes, "missing": missing}
    try:
        clips = {name: make_clip(name, work, minutes) for name in sorted({c.clip for c in cases})}
        facts["clips"] = {name: {"seconds": minutes * 60 if name == "long" else CLIPS[name][0], "size": CLIPS[name][1], "key_every": CLIPS[name][2] / 30, "bytes": path.stat().st_size}
                          for name, path in clips.items()}
        server.config["origins"].append(server.http_origin(origin))
        server.allow_loopback_origins()
        for path in clips.values():
            server.add(path)
        server.start()
        contest = Contest(server, origin, work, clips, {"wire": wire, "until": until, "cpu_seconds": cpu_seconds})
        for case in cases:
            if contest.ours(case) is None:  # also warms the page cache, for both
                missing.append(case.label)
                continue
            pairs = []
            for n in range(rounds):
                order = (contest.ours, contest.theirs) if n % 2 == 0 else (contest.theirs, contest.ours)
                pair = {f.__name__: f(case) for f in order}
                pairs.append((pair["ours"], pair["theirs"]))
            rows.append(row_of(case, pairs, contest.reads(case), clips[case.clip].stat().st_size))
            if say:
                say(rows[-1])
    finally:
        server.stop(expect=None)
        origin.close()
        subprocess.run(["rm", "-rf", str(work)], check=False)
    facts["load_after"] = os.getloadavg()[0]
    return rows, facts


# ---- words

def number(value, digits=2):
    return "" if value is None else f"{value:.{digits}f}"


def percent(value):
    return "" if value is None else f"{100 * value:.0f} %"


def verdict(row):
    if row["met"] is None:
        return ""
    return f"{'met' if row['met'] else 'MISSED'} (<= {row['target']:.2f})"


HEAD = ["| what | source | wall s | ffmpeg | ratio | target | CPU s | ffmpeg | ratio | first byte s | first media s | ffmpeg | first byte / ffmpeg's wall | server: wall | CPU | bytes | ffmpeg |",
        "|---|---|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"]


def line_of(row):
    first = percent(row["first_share"]) + ("" if row["first_met"] is None else " met" if row["first_met"] else " MISSED (<= 10 %)")
    cells = [row["case"], row["clip"], number(row["ours_wall"], 3), number(row["ffmpeg_wall"], 3), f"**{row['wall_ratio']:.2f}**", verdict(row), number(row["ours_cpu"], 3),
             number(row["ffmpeg_cpu"], 3), f"**{row['cpu_ratio']:.2f}**", number(row["ours_first"], 3), number(row["ours_first_media"], 3), number(row["ffmpeg_first_media"], 3), first,
             percent(row["server_wall"]), percent(row["server_cpu"]), f"{row['ours_size']:,.0f}", f"{row['ffmpeg_size']:,.0f}"]
    return "| " + " | ".join(cells) + " |"


def markdown(rows, facts):
    """The section of the report, as lines."""
    clips = "; ".join(f"`{name}` {c['seconds']:,} s of {c['size']} at 30 fps ({c['bytes'] / 1e6:.1f} MB, key frame every {c['key_every']:.0f} s)" for name, c in facts["clips"].items())
    lines = [f"{facts['cores']} x {facts['cpu']}, Linux {facts['kernel']}, load {facts['load_before']:.1f} when it began and {facts['load_after']:.1f} at the end. {facts['rounds']} alternating "
             f"rounds, medians; ratios pair by pair, below 1: ours took less. {clips}; moving pattern with noise. Wall and CPU of a `ffmpeg` include its start (about 0.1 s each); its first "
             "byte is that of a second run that writes fragments to a pipe. `server`: what is spent outside of the worker, as a part of what is spent in it.", "", *HEAD]
    lines += [line_of(row) for row in rows]
    lines += ["", "### Bytes read from an HTTP origin", "", "One run each, the origin understands ranges; a source that nobody has asked for before.", "",
              "| what | source MB | requests | MB | ffmpeg: requests | MB | ours / ffmpeg |", "|---|--:|--:|--:|--:|--:|--:|"]
    for row in rows:
        if "read" in row:
            lines.append(f"| {row['case']} | {row['source_bytes'] / 1e6:.1f} | {row['requests']} | {row['read'] / 1e6:.2f} | {row['ffmpeg_requests']} | {row['ffmpeg_read'] / 1e6:.2f} | "
                         f"**{row['read'] / max(1, row['ffmpeg_read']):.2f}** |")
    if facts["missing"]:
        lines += ["", "Not made by this version: " + ", ".join(facts["missing"]) + "."]
    return lines


def main(suite="targets", title="Cold path"):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=str(ROOT / "build/release/bin"))
    parser.add_argument("--out", default="", help="Markdown; otherwise printed")
    parser.add_argument("--json", default="", help="the rows and the facts")
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("ROUNDS", "5")))
    parser.add_argument("--minutes", type=int, default=45, help="length of the long clip")
    args = parser.parse_args()
    rows, facts = run(args.bin, suite, args.only, args.rounds, args.minutes, say=lambda row: print(line_of(row), file=sys.stderr, flush=True))
    text = "\n".join([f"# {title}, {time.strftime('%Y-%m-%d')}", "", *markdown(rows, facts)]) + "\n"
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps({"facts": facts, "rows": rows}, indent=1) + "\n")
    if args.out:
        pathlib.Path(args.out).write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
