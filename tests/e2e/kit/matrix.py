"""The corpus matrix: every file x every operation, judged by facts (ffprobe) and by pixels and sound (ffmpeg's own conversion).
Used by test_media_matrix.py and tools/media_table."""
import dataclasses
import re
import subprocess
import urllib.parse

import numpy as np

from . import media, pixels, serving

WINDOW = 3.0           # seconds compared; longer sources are asked for no more
SHEET_TILE = 160       # width=
OPERATIONS = ("video", "cover", "frame", "sheet", "audio")

NO_SOUND = "SOURCE_UNSUPPORTED"

# What a file must be answered with instead of media. Sound-less sources for `audio` are found out by ffprobe.
ERRORS = {
    "corrupt-moov-missing-512B.mp4": dict.fromkeys(OPERATIONS, "SOURCE_CORRUPT"),
    "encrypted-cenc-short.mp4": dict.fromkeys(OPERATIONS, "SOURCE_UNSUPPORTED"),
    # An index without media: its data references lead to files that are never opened.
    "mjpeg-quicktime-moovonly-refs.mov": dict.fromkeys(OPERATIONS, "SOURCE_CORRUPT") | {"audio": NO_SOUND},
    # Both tracks are encrypted (Gecko's test of Common Encryption); 22 channels is what the parameters look like then.
    "corrupt-22ch-aac-frag.mp4": dict.fromkeys(OPERATIONS, "SOURCE_UNSUPPORTED"),
    "audio-only-aac-15s.mp4": dict.fromkeys(("video", "cover", "frame", "sheet"), "SOURCE_UNSUPPORTED"),
}


@dataclasses.dataclass
class Policy:
    """How a cell is compared. `why` argues everything that is not the default."""
    ssim: float = 0.96        # mean over the pictures, R, G and B alike: stricter than luma alone
    least: float = 0.93       # of any picture
    count: int = 1            # pictures more or less than the reference
    by_time: bool = False     # pictures are paired by their times instead of their numbers
    offset: float = 2.5       # level offset, of 255
    shape: tuple = None       # display size, where the container does not tell ffprobe
    stream: str = "v:0"       # the stream the server chooses
    sound: str = "a:0"
    chain: str = None         # filters of the reference, {w} and {h} are the size, instead of the usual ones
    seconds: float = None     # duration, where the container lies
    correlation: float = 0.9  # of the sound
    duration: float = 0.0     # slack beyond a picture
    why: str = ""


TONEMAP = ("zscale=w={w}:h={h}:filter=bicubic:t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,tonemap=mobius:desat=0,"
           "zscale=t=bt709:m=bt709:r=tv,format=yuv420p")

_SIZES = ("pictures change their shape: later ones are fitted into the first one's size (ffmpeg alone would stretch them); untagged, and "
          "smaller ones than 720 lines count as BT.601, so the reference's colours differ there")
POLICIES = {
    ("nasa-2video-2audio-2subs.mp4", "*"): Policy(stream="v:1", why="both videos are marked as default: the larger one is taken, as ffmpeg does"),
    ("cursed-vfr.mp4", "*"): Policy(by_time=True, count=3, why="pictures closer than 1/133 s to the one before are left out; compared by time"),
    ("vp8-frame-size-change.webm", "*"): Policy(
        chain="scale={w}:{h}:force_original_aspect_ratio=decrease:flags=bicubic,pad={w}:{h}:-1:-1,format=yuv420p,setsar=1", offset=30, ssim=0.94, least=0.9, why=_SIZES),
    ("vp8-frame-size-change.webm", "cover"): Policy(
        chain="scale={w}:{h}:force_original_aspect_ratio=increase:flags=bicubic,crop={w}:{h},format=yuv420p,setsar=1", offset=30, ssim=0.92, least=0.7, why=_SIZES),
    ("vp8-frame-size-change.webm", "frame"): Policy(shape=(4, 3), offset=30, why="the picture of that time is 4:3"),
    ("pixel-av1-hdr10-10bit-portrait.mp4", "*"): Policy(
        ssim=0.94, least=0.87, why="a moving camera in 1 Mbit/s of AV1: no more than twice the source's rate is spent, so detail goes in motion"),
    ("vp9-alpha-faulty.webm", "*"): Policy(ssim=0.9, least=0.9, why="faint noise on black: JPEG's quantiser and 8-bit rounding weigh much in SSIM (39 dB)"),
    ("mpeg4-asp-ac3-720x528.avi", "*"): Policy(ssim=0.95, why="block noise of MPEG-4 at its native edges, 38 dB"),
    ("corrupt-nal-decord.mp4", "*"): Policy(ssim=0.95, why="damaged pictures: what is concealed is noise"),
    ("sar-2x1.mp4", "frame"): Policy(ssim=0.955, why="sharp synthetic edges, squeezed in one step where the reference stretches first"),
    ("sar-2x1.mp4", "sheet"): Policy(ssim=0.955, why="likewise"),
    ("h264-10bit-nodash.mp4", "*"): Policy(ssim=0.955, why="sharp synthetic noise in 10 bit, enlarged"),
}


# What is wrong today and known. A cell leaves this list when it is right.
_BLACK = "black, or faint noise on it: ours decodes to 0/128/128 exactly, and SSIM of what is flat says little"
KNOWN = {("vp9-alpha-faulty.webm", operation): _BLACK for operation in ("video", "cover", "frame", "sheet")}
KNOWN |= {(name, "sheet"): _BLACK for name in ("longgop-1080p30-362s-moovend.mp4", "hevc-1080p-aac51.ts")}
KNOWN |= {("prores422-1080i.mov", operation): "deinterlaced from one picture alone, the reference from its neighbours too" for operation in ("frame", "sheet")}
KNOWN["bbb-720p-30s-vp8-vorbis.webm", "frame"] = "SSIM .98; the mean level is 2.7 of 255 off, 2.5 are allowed: not explained"


def policy(name, operation):
    return POLICIES.get((name, operation)) or POLICIES.get((name, "*")) or Policy()


class Source:
    """What ffprobe says of a corpus file, and what therefore must come out."""

    def __init__(self, path, plan):
        self.path, self.name, self.plan = path, path.name, plan
        facts = media.probe(path)
        self.facts = facts
        streams = facts["streams"]

        def nth(kind):
            wanted = [s for s in streams if s["codec_type"] == kind[0]]
            return wanted[int(kind[1])] if len(wanted) > int(kind[1]) else None
        self.video = nth(("video", plan.stream.split(":")[1]))
        self.audio = nth(("audio", plan.sound.split(":")[1]))
        self.origin = float(facts["format"].get("start_time") or 0)
        self.seconds = plan.seconds or float(facts["format"].get("duration") or 0)
        chosen = [s for s in (self.video, self.audio) if s]
        if not plan.seconds and chosen:
            ends = [float(s.get("start_time") or 0) + float(s["duration"]) for s in chosen if "duration" in s]
            self.seconds = (max(ends) if len(ends) == len(chosen) else self._end_of_packets(chosen)) - self.origin
        if self.video:
            told = self.video.get("duration")
            self.video_seconds = plan.seconds or (float(told) if told else self.seconds)
            rate = self.video.get("avg_frame_rate", "0/0").split("/")
            self.fps = int(rate[0]) / int(rate[1]) if int(rate[1]) else 0
            if not 1 <= self.fps <= 130:
                rate = self.video["r_frame_rate"].split("/")
                self.fps = min(130, int(rate[0]) / max(1, int(rate[1])))
            width, height = self.video["width"], self.video["height"]
            sar = self.video.get("sample_aspect_ratio", "1:1").split(":")
            if len(sar) == 2 and int(sar[0]) and int(sar[1]):
                width = width * int(sar[0]) / int(sar[1])
            turn = next((d["rotation"] for d in self.video.get("side_data_list", []) if "rotation" in d), 0)
            self.shape = plan.shape or ((height, width) if int(turn) % 180 else (width, height))

    def _end_of_packets(self, streams):
        done = subprocess.run(["ffprobe", "-v", "quiet", "-show_entries", "packet=stream_index,pts_time,duration_time", "-of", "csv=p=0", str(self.path)],
                              capture_output=True, text=True)
        wanted, end = {str(s["index"]) for s in streams}, 0.0
        for line in done.stdout.splitlines():
            index, time, length = (line.split(",") + ["", ""])[:3]
            if index in wanted and re.fullmatch(r"[\d.]+", time):
                end = max(end, float(time) + (float(length) if re.fullmatch(r"[\d.]+", length) else 0))
        return end

    def reference_chain(self, width, height, cover):
        """ffmpeg's filters for the same operation, up to 8-bit 4:2:0 as it would be encoded."""
        if self.plan.chain:
            return self.plan.chain.format(w=width, h=height)
        video, chain = self.video, []
        if video.get("color_space", "unknown") == "unknown" and video["height"] >= 720 and not video["pix_fmt"].startswith(("bgr", "rgb", "gbr", "pal")):
            chain.append("setparams=colorspace=bt709")
        if video.get("field_order") not in (None, "unknown", "progressive"):
            chain.append("bwdif=mode=send_frame")
        if cover:
            want, have = width / height, self.shape[0] / self.shape[1]
            chain.append(f"crop=w=iw*{want / have:.6f}:h=ih" if have > want else f"crop=w=iw:h=ih*{have / want:.6f}")
        if video.get("color_transfer") in ("smpte2084", "arib-std-b67"):
            chain.append(TONEMAP.format(w=width, h=height))
        elif video.get("color_space", "").startswith("bt2020"):
            chain.append(f"setparams=color_primaries=bt2020:color_trc=bt2020-10,zscale=w={width}:h={height}:filter=bicubic:p=bt709:t=bt709:m=bt709:r=tv")
        else:
            chain.append(f"scale={width}:{height}:flags=bicubic")
        return ",".join(chain + ["format=yuv420p", "setsar=1"])


@dataclasses.dataclass
class Outcome:
    name: str
    operation: str
    target: str = ""
    code: str = ""             # error code answered
    expected: str = ""         # error code wanted
    not_yet: str = ""
    fact: str = ""             # "320x180, 75 pictures" ...
    likeness: float = None     # SSIM, or correlation
    seconds: float = 0.0
    complaints: list = dataclasses.field(default_factory=list)

    def word(self):
        """The table's cell."""
        if self.not_yet:
            return "-"
        if self.complaints:
            return "**" + "; ".join(self.complaints)[:80].replace("|", "/").replace("\n", " ") + "**"
        return f"`{self.code}`" if self.code else f"{self.likeness:.3f}" if self.likeness is not None else "yes"


# (level, most macroblocks in a picture, most macroblocks per second): ISO 14496-10, table A-1
LEVELS = [(10, 99, 1485), (11, 396, 3000), (12, 396, 6000), (13, 396, 11880), (20, 396, 11880), (21, 792, 19800), (22, 1620, 20250),
          (30, 1620, 40500), (31, 3600, 108000), (32, 5120, 216000), (40, 8192, 245760), (42, 8704, 522240), (50, 22080, 589824),
          (51, 36864, 983040), (52, 36864, 2073600), (60, 139264, 4177920), (61, 139264, 8355840), (62, 139264, 16711680)]


def least_level(width, height, fps):
    size = -(-width // 16) * -(-height // 16)
    return next(level for level, most, speed in LEVELS if size <= most and size * fps * 0.999 <= speed)


class Judge:
    """Runs cells against a server whose /videos/ is the corpus."""

    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        self._sources = {}

    def run(self, name, operation):
        outcome = Outcome(name, operation, expected=ERRORS.get(name, {}).get(operation, ""))
        plan = policy(name, operation)
        source = None
        if not outcome.expected:
            source = Source(media.corpus(name), plan)
            if operation == "audio" and not outcome.expected and source.audio is None:
                outcome.expected = NO_SOUND
        query = {"video": "width=320", "cover": "width=200&height=200&fit=cover", "frame": "mode=frame&width=320",
                 "sheet": f"mode=spritesheet&columns=3&rows=3&width={SHEET_TILE}", "audio": "mode=audio"}[operation]
        try:
            if outcome.expected:
                self._ask(outcome, query)
            else:
                getattr(self, "_" + operation)(outcome, source, plan)
        except serving.NotYet as e:
            outcome.not_yet = str(e)
        except AssertionError as e:
            outcome.complaints.append(str(e)[:600])
        except Exception as e:  # a cut transfer, a time-out, something numpy cannot read: all are findings
            outcome.complaints.append(f"{type(e).__name__}: {e}"[:600])
        return outcome

    def _ask(self, outcome, query):
        outcome.target = f"/videos/{urllib.parse.quote(outcome.name)}?{query}"
        try:
            answer = serving.ask(self.server, outcome.target, self.folder, f"{outcome.name}-{outcome.operation}")
        except serving.NotYet as e:
            outcome.not_yet = str(e)
            return None
        outcome.seconds = answer.seconds
        if answer.code:
            outcome.code = answer.code
            if answer.code != outcome.expected:
                outcome.complaints.append(f"{answer.status} {answer.code}, expected {outcome.expected or 'media'}: {answer.body[:200]!r}")
            return None
        if outcome.expected:
            outcome.complaints.append(f"200, expected {outcome.expected}")
            return None
        return answer

    def _stored(self, outcome):
        """The stored form: what everyone after the first gets."""
        answer = serving.ask(self.server, outcome.target, self.folder, f"{outcome.name}-{outcome.operation}")
        assert answer.status == 200 and answer.reply["X-Cache-Status"] == "HIT", "the second answer is no hit"
        return answer

    # -- moving pictures

    def _video(self, outcome, source, plan, query="width=320&quality=high", cover=False):
        asked = WINDOW if source.seconds > WINDOW + 1 else None
        if self._ask(outcome, query + (f"&duration={asked:g}s" if asked else "")) is None:
            return
        answer = self._stored(outcome)
        facts = media.probe(answer.path)
        video, audio = media.video_of(facts), media.audio_of(facts)
        say = outcome.complaints.append
        width, height = video["width"], video["height"]
        wanted = (200, 200) if cover else (320, 320 * source.shape[1] / source.shape[0])
        if width != wanted[0] or abs(height - wanted[1]) > 2 or width % 2 or height % 2:
            say(f"size {width}x{height}, wanted {wanted[0]}x{wanted[1]:.1f}")
        if (video["codec_name"], video["profile"], video["pix_fmt"]) != ("h264", "High", "yuv420p"):
            say(f"{video['codec_name']} {video['profile']} {video['pix_fmt']}")
        level = least_level(width, height, max(source.fps, 1))
        if not level <= video["level"] <= max(40, level + 10):
            say(f"level {video['level']}, {width}x{height} at {source.fps:.2f} needs {level}")
        if video.get("sample_aspect_ratio", "1:1") not in ("1:1", "0:1", "N/A"):
            say(f"SAR {video['sample_aspect_ratio']}")
        if any("rotation" in d for d in video.get("side_data_list", [])):
            say("the display matrix was kept")
        if video.get("color_space") in (None, "unknown") or video.get("color_range") != "tv":
            say(f"colour tags: matrix {video.get('color_space')}, range {video.get('color_range')}")
        if (audio is not None) != (source.audio is not None):
            say(f"sound: {audio and audio['codec_name']} of {source.audio and source.audio['codec_name']}")
        if audio and (audio["codec_name"] != "aac" or audio["channels"] > 2 or audio["sample_rate"] not in ("44100", "48000")):
            say(f"sound {audio['codec_name']} {audio['channels']} channels {audio['sample_rate']}")
        if sum(s["codec_type"] in ("video", "audio") for s in facts["streams"]) != len(facts["streams"]):
            say(f"streams {[s['codec_type'] for s in facts['streams']]}")
        frame = 1 / max(source.fps, 1)
        if min(float(s["start_time"]) for s in facts["streams"]) > max(frame, 0.05):
            say(f"starts at {[s['start_time'] for s in facts['streams']]}")
        seconds = min(asked or 1e9, source.seconds)
        got = media.duration_of(facts)
        if abs(got - seconds) > frame + 0.025 + plan.duration:  # an AAC frame is 21-23 ms
            say(f"{got:.3f} s, wanted {seconds:.3f}")
        reference = pixels.pictures(source.path, source.reference_chain(width, height, cover), stream=plan.stream,
                                    until=source.origin + asked if asked else None)
        ours = pixels.pictures(answer.path, "")
        outcome.fact = f"{width}x{height}, {len(ours)} pictures"
        if abs(len(ours) - len(reference)) > plan.count:
            say(f"{len(ours)} pictures, the reference has {len(reference)}")
        pairs = pixels.by_time(ours, reference, 0, source.origin) if plan.by_time else None
        self._like(outcome, plan, pixels.compare(ours, reference, pairs))
        if not plan.by_time and len(ours) > 2:  # the first picture may be shown from the very beginning
            drift = max(abs(a - (b - source.origin)) for a, b in list(zip(ours.times, reference.times))[1:])
            if drift > frame / 2 + 0.005:
                say(f"a picture is shown {drift * 1000:.0f} ms off")

    def _cover(self, outcome, source, plan):
        self._video(outcome, source, plan, "width=200&height=200&fit=cover&quality=high", cover=True)

    @staticmethod
    def _like(outcome, plan, likeness):
        outcome.likeness = likeness.mean
        if likeness.mean < plan.ssim or likeness.least < plan.least or likeness.offset > plan.offset:
            outcome.complaints.append(f"{likeness} (wanted {plan.ssim}, least {plan.least}, offset {plan.offset})")

    # -- stills

    def _frame(self, outcome, source, plan):
        # The middle of the picture that is on the screen at 50 %, so that no rounding can decide.
        half = min(source.video_seconds, source.seconds) / 2
        seek = half - 0.6 if half > 8 else None  # seeking is not exact in every container
        near = pixels.pictures(source.path, "scale=16:16", seek=seek, stream=plan.stream,
                               until=source.origin + half + 0.6, rgb=False)
        at = near.at(source.origin + half)
        begin = near.times[at]
        end = near.times[at + 1] if at + 1 < len(near) else begin + 1 / max(source.fps, 1)
        time = (begin + end) / 2 - source.origin
        answer = self._ask(outcome, f"mode=frame&width=320&quality=high&time={time:.3f}s")
        if answer is None:
            return
        video = media.video_of(media.probe(answer.path))
        wanted = (320, 320 * source.shape[1] / source.shape[0])
        if (video["width"], video["codec_name"]) != (320, "mjpeg") or abs(video["height"] - wanted[1]) > 2:
            outcome.complaints.append(f"{video['codec_name']} {video['width']}x{video['height']}, wanted {wanted}")
        if answer.reply["Content-Type"] != "image/jpeg":
            outcome.complaints.append(answer.reply["Content-Type"])
        ours = pixels.pictures(answer.path, "")
        chain = f"select='between(t,{begin - 0.0006:.6f},{begin + 0.0006:.6f})'," + \
            source.reference_chain(video["width"], video["height"], False)
        reference = pixels.pictures(source.path, chain, seek=seek, stream=plan.stream, until=begin + 0.2, most=1)
        outcome.fact = f"{video['width']}x{video['height']} at {time:.3f} s"
        self._like(outcome, plan, pixels.compare(ours, reference))

    def _sheet(self, outcome, source, plan):
        asked = WINDOW if source.seconds > WINDOW + 1 else None
        query = f"mode=spritesheet&columns=3&rows=3&quality=high&width={SHEET_TILE}" + (f"&duration={asked:g}s" if asked else "")
        answer = self._ask(outcome, query)
        if answer is None:
            return
        vtt = serving.ask(self.server, outcome.target + "&format=vtt", self.folder, outcome.name + "-vtt")
        assert vtt.status == 200, vtt
        cues = read_vtt(vtt.body.decode())
        sheet = pixels.pictures(answer.path, "")
        picture = sheet.pixels[0]
        check_grid(cues, picture.shape[1], picture.shape[0], 3, 3)
        _, _, (_, _, width, height) = cues[0]
        if abs(height - width * source.shape[1] / source.shape[0]) > 2:
            outcome.complaints.append(f"tiles of {width}x{height} of a source {source.shape}")
        reference = pixels.pictures(source.path, source.reference_chain(width, height, False), stream=plan.stream,
                                    until=source.origin + asked if asked else None)
        outcome.fact = f"{len(cues)} tiles of {width}x{height}"
        if len(cues) != min(9, len(reference)):
            outcome.complaints.append(f"{len(cues)} tiles of {len(reference)} pictures")
        values, last = [], -1
        for first, end, (x, y, w, h) in cues:
            tile = picture[y:y + h, x:x + w]
            # Any picture of the tile's time will do, and the key frame before it: sheets may be made of key frames.
            candidates = [i for i, t in enumerate(reference.times) if first - 2.2 <= t - reference.times[0] <= end + 0.05]
            scores = [pixels.ssim(tile, reference.pixels[i]) for i in candidates]
            assert scores, f"no picture between {first} and {end}"
            best = int(np.argmax(scores))
            values.append(scores[best])
            last = max(last, candidates[best])
        outcome.likeness = float(np.mean(values))
        if outcome.likeness < plan.ssim - 0.03 or min(values) < plan.least - 0.05:
            outcome.complaints.append(f"tiles SSIM {outcome.likeness:.3f}, least {min(values):.3f}")

    # -- sound

    def _audio(self, outcome, source, plan):
        asked = WINDOW if source.seconds > WINDOW + 1 else None
        answer = self._ask(outcome, "mode=audio" + (f"&duration={asked:g}s" if asked else ""))
        if answer is None:
            return
        facts = media.probe(answer.path)
        audio = media.audio_of(facts)
        if len(facts["streams"]) != 1 or audio["codec_name"] != "aac" or audio["channels"] > 2:
            outcome.complaints.append(f"streams {[(s['codec_name'], s.get('channels')) for s in facts['streams']]}")
        if answer.reply["Content-Type"] != "audio/mp4":
            outcome.complaints.append(answer.reply["Content-Type"])
        begin = min(source.origin, float(source.audio.get("start_time") or 0))
        reference = pixels.sound(source.path, stream=plan.sound, until=begin + (asked or source.seconds))
        ours = pixels.sound(answer.path)
        length = min(asked or 1e9, float(source.audio.get("duration") or source.seconds) + float(source.audio.get("start_time") or 0) - begin)
        if abs(ours.start + len(ours.samples) / ours.rate - length) > 0.03 + 1024 / int(audio["sample_rate"]) + plan.duration:
            outcome.complaints.append(f"{len(ours.samples) / ours.rate:.3f} s, wanted {length:.3f}")
        a, b = ours.cut(0, WINDOW), reference.cut(begin, begin + WINDOW)
        alike, lag = pixels.match(a, b, ours.rate)
        outcome.likeness, outcome.fact = alike, f"lag {lag * 1000:+.0f} ms"
        if alike < plan.correlation or abs(lag) > 0.02:
            outcome.complaints.append(f"sound correlates {alike:.3f}, {lag * 1000:+.0f} ms off")
        louder = 20 * np.log10((pixels.rms(a) + 1e-6) / (pixels.rms(b[:len(a)]) + 1e-6))
        if abs(louder) > 3.5 and pixels.rms(b) > 1e-3:
            outcome.complaints.append(f"{louder:+.1f} dB")


_CUE = re.compile(r"(?:(\d+):)?(\d\d):(\d\d)\.(\d{3}) --> (?:(\d+):)?(\d\d):(\d\d)\.(\d{3})[^\n]*\n([^\n]+)#xywh=(\d+),(\d+),(\d+),(\d+)")


def read_vtt(text):
    """@return [(first second, last, (x, y, w, h))]"""
    assert text.startswith("WEBVTT"), text[:60]
    cues = []
    for m in _CUE.finditer(text.replace("\r\n", "\n")):
        g = m.groups()
        cues.append((int(g[0] or 0) * 3600 + int(g[1]) * 60 + int(g[2]) + int(g[3]) / 1000, int(g[4] or 0) * 3600 + int(g[5]) * 60 + int(g[6]) + int(g[7]) / 1000,
                     tuple(int(v) for v in g[9:13])))
    assert cues, text[:200]
    return cues


def check_grid(cues, width, height, columns, rows):
    """Row-major, no holes, inside the sheet, evenly spaced, in order."""
    _, _, (_, _, w, h) = cues[0]
    assert len(cues) <= columns * rows, f"{len(cues)} cues"
    assert width == columns * w, f"a sheet {width} wide for {columns} tiles of {w}"
    assert height in (rows * h, -(-len(cues) // columns) * h), f"a sheet {height} high for rows of {h}"
    for n, (_, _, box) in enumerate(cues):
        assert box == (n % columns * w, n // columns * h, w, h), f"tile {n} at {box}"
    for (_, end, _), (first, _, _) in zip(cues, cues[1:]):
        assert abs(end - first) < 0.002, f"a cue ends at {end}, the next begins at {first}"
    steps = [end - first for first, end, _ in cues]
    if len(steps) > 2:
        assert max(steps[:-1]) - min(steps[:-1]) < 0.05 + 0.02 * max(steps), f"uneven: {steps}"


def names():
    folder = media.corpus()
    return sorted(p.name for p in folder.iterdir() if p.suffix != ".tsv") if folder else []
