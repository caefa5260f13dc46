"""What comes out looks like what went in, for each format and quality level, and every parameter does what it says.

Sources are generated with detail and motion; the reference is ffmpeg's own conversion, not encoded. Floors are calibrated so that
a wrong matrix, range, scaler, or a shifted or dropped picture fails: TestTheCheckItself feeds those in and wants a complaint.
"""
import dataclasses
import json
import re
import subprocess

import numpy as np
import pytest

from kit import matrix, media, pixels, serving
from kit.serving import both_forms, made, stored

SECONDS = 2


def lavfi(name, graph, seconds, codec=("-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-pix_fmt", "yuv420p", "-g", "50"), sound=None, tags=()):
    command = ["-f", "lavfi", "-i", graph]
    if sound:
        command += ["-f", "lavfi", "-i", sound, "-c:a", "aac", "-b:a", "160k"]
    media.RECIPES[name] = command + ["-t", str(seconds)] + list(tags) + list(codec) + ["-movflags", "+faststart"] * name.endswith(("mp4", "mov"))


def matrix_chain(name):
    return f"scale=out_color_matrix={name}:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int,format=yuv420p"


BT709 = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv")
BT601 = ("-colorspace", "smpte170m", "-color_primaries", "smpte170m", "-color_trc", "smpte170m", "-color_range", "tv")

# Detail and motion. Film-like noise is kept small: no encoder keeps noise, and no viewer misses it.
lavfi("q-test.mp4", f"testsrc2=s=640x360:r=25,{matrix_chain('bt601')}", SECONDS, tags=BT601)
lavfi("q-zoom.mp4", f"mandelbrot=s=640x360:r=25:end_scale=0.02:end_pts=120,{matrix_chain('bt601')}", SECONDS, tags=BT601)
lavfi("q-mix.mp4", "testsrc2=s=1280x720:r=25[a];life=s=160x90:r=25:mold=8:ratio=0.15:seed=7:life_color=#00c832:death_color=#803010:mold_color=#203080,"
      "scale=1280:720:flags=neighbor,format=rgba,colorchannelmixer=aa=0.35[b];[a][b]overlay,noise=alls=4:all_seed=3:allf=t,"
      + matrix_chain("bt709"), SECONDS, tags=BT709)
lavfi("q-bars.mp4", f"smptehdbars=s=1280x720:r=25,{matrix_chain('bt709')}", 1, tags=BT709)
lavfi("q-bars-sd.mp4", f"smptebars=s=640x480:r=25,{matrix_chain('bt601')}", 1, tags=BT601)
lavfi("q-code.mp4", pixels.code_source(640, 360, 25, 8), 8, sound="sine=frequency=440:sample_rate=48000")
lavfi("q-tone.mp4", "testsrc2=s=320x180:r=25", 6, sound="sine=frequency=440:sample_rate=48000")
lavfi("q-long.mp4", "testsrc2=s=640x360:r=25,noise=alls=12:all_seed=5:allf=t", 8)
lavfi("q-corners.mp4", "color=red:s=320x180:r=25,drawbox=x=160:y=0:w=160:h=90:c=lime:t=fill,drawbox=x=0:y=90:w=160:h=90:c=blue:t=fill,"
      "drawbox=x=160:y=90:w=160:h=90:c=white:t=fill," + matrix_chain("bt601"), 1, tags=BT601)
lavfi("q-full.mp4", "testsrc2=s=640x360:r=25,scale=out_color_matrix=bt601:out_range=pc:flags=bicubic+accurate_rnd+full_chroma_int,format=yuvj420p", 1,
      codec=("-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-pix_fmt", "yuvj420p"), tags=BT601[:-1] + ("pc",))

CODES = "q-code.mp4"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    def configure(s):
        s.config["passthrough"] = {"formats": ["mp4", "webm", "mov", "mkv"]}
        for name in media.RECIPES:
            if name.startswith("q-"):
                s.add(media.clip(name), name)
    with serving.serving(tmp_path_factory.mktemp("quality"), configure) as s:
        yield s


@pytest.fixture(autouse=True)
def log_of(request):
    if "server" in request.fixturenames:
        request.node._vr_server = request.getfixturevalue("server")


# -- likeness, by format and level


@dataclasses.dataclass
class Floor:
    """ssim, least: of R, G and B; db: PSNR; offset: of the channels' mean levels; each must hold."""
    ssim: float
    least: float
    db: float
    offset: float = 2.0

    def complaint(self, likeness, expected=None):
        if expected is not None and likeness.count != expected:
            return f"{likeness.count} pictures of {expected}"
        if likeness.mean < self.ssim or likeness.least < self.least or likeness.psnr < self.db or likeness.offset > self.offset:
            return f"{likeness}; wanted {self}"
        return None


def judge(ours, reference, floor):
    """@return a complaint, or None"""
    if len(ours) != len(reference):
        return f"{len(ours)} pictures of {len(reference)}"
    return floor.complaint(pixels.compare(ours, reference))


REFERENCES = {}


def reference(name, size, extra="", until=None):
    key = (name, size, extra, until)
    if key not in REFERENCES:
        chain = ",".join(f for f in [extra, f"scale={size[0]}:{size[1]}:flags=bicubic,format=yuv420p" if size else ""] if f)
        REFERENCES[key] = pixels.pictures(media.clip(name), chain, until=until)
    return REFERENCES[key]


SOURCES = {"q-test.mp4": (320, 180), "q-zoom.mp4": (320, 180), "q-mix.mp4": (640, 360)}
FLOORS = {
    "low": {"q-test.mp4": Floor(0.94, 0.92, 29), "q-zoom.mp4": Floor(0.84, 0.77, 26), "q-mix.mp4": Floor(0.81, 0.74, 28.5)},
    "medium": {"q-test.mp4": Floor(0.97, 0.96, 31), "q-zoom.mp4": Floor(0.90, 0.85, 29), "q-mix.mp4": Floor(0.87, 0.83, 31)},
    "high": {"q-test.mp4": Floor(0.98, 0.97, 32.5), "q-zoom.mp4": Floor(0.925, 0.89, 30.5), "q-mix.mp4": Floor(0.905, 0.89, 33)},
}
# Realtime VP9, SVT-AV1 at its fast presets and x265 superfast spend the bits otherwise: lower where noise lies over detail.
OTHER_FLOORS = {
    "low": {"q-test.mp4": Floor(0.91, 0.87, 28.5), "q-zoom.mp4": Floor(0.80, 0.70, 25), "q-mix.mp4": Floor(0.69, 0.56, 26.5)},
    "medium": {"q-test.mp4": Floor(0.955, 0.935, 30.5), "q-zoom.mp4": Floor(0.87, 0.80, 28), "q-mix.mp4": Floor(0.77, 0.63, 29)},
    "high": {"q-test.mp4": Floor(0.975, 0.96, 32.5), "q-zoom.mp4": Floor(0.91, 0.86, 30), "q-mix.mp4": Floor(0.865, 0.80, 32)},
}
VIDEO_FORMATS = {  # format: (codec, pixel format, content type)
    "mp4": ("h264", "yuv420p", "video/mp4"), "webm": ("vp9", "yuv420p", "video/webm"), "h265": ("hevc", "yuv420p", "video/mp4"),
    "av1": ("av1", "yuv420p", "video/mp4")}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("level", FLOORS)
@pytest.mark.parametrize("form", VIDEO_FORMATS)
def test_pictures_are_like_the_reference(server, tmp_path, form, level, source):
    size = SOURCES[source]
    answer = stored(server, f"/videos/{source}?width={size[0]}&format={form}&quality={level}", tmp_path)
    codec, pixel_format, kind = VIDEO_FORMATS[form]
    assert answer.reply["Content-Type"].split(";")[0] == kind
    video = media.video_of(media.probe(answer.path))
    assert (video["codec_name"], video["pix_fmt"], video["width"], video["height"]) == (codec, pixel_format, *size)
    ours = pixels.pictures(answer.path)
    complaint = judge(ours, reference(source, size), (FLOORS if form == "mp4" else OTHER_FLOORS)[level][source])
    assert complaint is None, complaint


@pytest.mark.parametrize("source, name", [("q-bars.mp4", "bt709"), ("q-bars-sd.mp4", "smpte170m"), ("q-full.mp4", "full range")])
@pytest.mark.parametrize("form", VIDEO_FORMATS)
def test_colours_stay(server, tmp_path, form, source, name):
    """Flat colour bars: every bar within a few levels, whatever the file's matrix is called."""
    answer = stored(server, f"/videos/{source}?width=320&quality=high&format={form}", tmp_path)
    complaint = judge_bars(pixels.pictures(answer.path), source)
    assert complaint is None, complaint


def judge_bars(ours, source):
    wanted = reference(source, (ours.pixels.shape[2], ours.pixels.shape[1]))
    a, b = np.median(ours.pixels[5:15], axis=0).astype(float), np.median(wanted.pixels[5:15], axis=0).astype(float)
    flat = np.abs(np.diff(b, axis=1)).max(axis=2) < 2  # not at the edges of bars
    wrong = np.abs(a - b).max(axis=2)[:, 1:][flat]
    if np.percentile(wrong, 97) > 6 or np.mean(wrong) > 2:
        return f"97 % of the flat area within {np.percentile(wrong, 97)} levels, {np.mean(wrong):.2f} off on average"
    return None


STILLS = [("jpg", "mjpeg", "image/jpeg"), ("png", "png", "image/png"), ("webp", "webp", "image/webp")]
STILL_FLOORS = {"low": Floor(0.82, 0.82, 28), "medium": Floor(0.88, 0.88, 30), "high": Floor(0.94, 0.94, 32)}
NOISY_STILL_FLOORS = {"low": Floor(0.76, 0.76, 28), "medium": Floor(0.82, 0.82, 30), "high": Floor(0.86, 0.86, 31.5)}
PNG_FLOOR = Floor(0.985, 0.985, 34)


@pytest.mark.parametrize("source, size", [("q-test.mp4", (320, 180)), ("q-mix.mp4", (640, 360)), ("q-bars.mp4", (320, 180))])
@pytest.mark.parametrize("level", STILL_FLOORS)
@pytest.mark.parametrize("form, codec, kind", STILLS)
def test_stills_are_like_the_reference(server, tmp_path, form, codec, kind, level, source, size):
    answer = made(server, f"/videos/{source}?mode=frame&width={size[0]}&time=520ms&format={form}&quality={level}", tmp_path)
    assert answer.reply["Content-Type"] == kind
    ours = pixels.pictures(answer.path)
    frame = pixels.Pictures([0.52], reference(source, size).pixels[13:14])
    if form == "png":  # all the colour there is, and nothing lost
        frame = pixels.pictures(media.clip(source), f"select='eq(n,13)',scale={size[0]}:{size[1]}:flags=bicubic+accurate_rnd+full_chroma_int,format=gbrp")
    complaint = judge(ours, frame, PNG_FLOOR if form == "png" else (NOISY_STILL_FLOORS if source == "q-mix.mp4" else STILL_FLOORS)[level])
    if complaint and (form == "png" or (form == "jpg" and "q-test" not in source and pixels.compare(ours, frame).offset > 2)):
        # To be removed with the fault: matrix.KNOWN says what it is. PNG loses half its colour resolution to the same missing flags.
        pytest.xfail("swscale without accurate_rnd+full_chroma_int: " + complaint)
    assert complaint is None, complaint


@pytest.mark.parametrize("form, codec, kind", [("gif", "gif", "image/gif"), ("webp", "webp", "image/webp")])
def test_animations(server, tmp_path, form, codec, kind):
    answer = made(server, f"/videos/q-test.mp4?width=160&format={form}&duration=1s&fps=10", tmp_path)
    assert answer.reply["Content-Type"] == kind
    if form == "webp":  # libav 5.1 cannot read animations: look at the container (RIFF of ANIM, ANMF chunks)
        assert answer.body[:4] == b"RIFF" and answer.body[8:12] == b"WEBP" and b"ANIM" in answer.body[:64]
        assert answer.body.count(b"ANMF") == 10
        size = int.from_bytes(answer.body[24:27], "little") + 1, int.from_bytes(answer.body[27:30], "little") + 1
        assert size == (160, 90)
        return
    ours = pixels.pictures(answer.path)
    assert len(ours) == 10 and ours.pixels.shape[1:3] == (90, 160)
    wanted = reference("q-test.mp4", (160, 90))
    likeness = pixels.compare(ours, wanted, [(i, wanted.at(i / 10)) for i in range(10)])
    assert likeness.mean > 0.80 and likeness.offset < 6, likeness


class TestTheCheckItself:
    """Each mistake is made on purpose with ffmpeg; the check that good results pass has to catch it."""

    @staticmethod
    def encode(tmp_path, source, chain, *more, crf="20"):
        path = tmp_path / "wrong.mp4"
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(media.clip(source)), "-vf", chain, "-c:v", "libx264", "-preset", "veryfast",
                        "-crf", crf, "-pix_fmt", "yuv420p", *more, str(path)], check=True)
        return pixels.pictures(path)

    @pytest.mark.parametrize("source", SOURCES)
    def test_the_right_conversion_passes(self, tmp_path, source):
        w, h = SOURCES[source]
        ours = self.encode(tmp_path, source, f"scale={w}:{h}:flags=bicubic")
        assert judge(ours, reference(source, (w, h)), FLOORS["high"][source]) is None

    WRONG = {
        "the matrix is named wrongly": ("scale={w}:{h}:flags=bicubic,setparams=colorspace={other}", ("-colorspace", "{other}")),
        "the matrix is converted and not named": ("scale={w}:{h}:flags=bicubic:out_color_matrix={other_scale}", ("-colorspace", "{same}")),
        "limited range shown as full": ("scale={w}:{h}:flags=bicubic,setparams=range=pc", ("-color_range", "pc")),
        "full range shown as limited": ("scale={w}:{h}:flags=bicubic:out_range=pc,setparams=range=tv", ("-color_range", "tv")),
        "nearest neighbour": ("scale={w}:{h}:flags=neighbor", ()),
        "enlarged from half the size": ("scale={w}/2:{h}/2:flags=bicubic,scale={w}:{h}:flags=bicubic", ()),
        "half a pixel aside": ("scale=2*{w}:2*{h}:flags=bicubic,crop=2*{w}-2:2*{h}:1:0,scale={w}:{h}:flags=bicubic,pad={w}+2:{h}:2:0,crop={w}:{h}:0:0", ()),
        "red and blue swapped": ("scale={w}:{h}:flags=bicubic,swapuv", ()),
        "one picture late": ("scale={w}:{h}:flags=bicubic,tpad=start=1:start_mode=clone,trim=end_frame=50", ()),
        "a picture dropped in the middle": ("select='not(eq(n,20))',scale={w}:{h}:flags=bicubic", ("-fps_mode", "passthrough")),
        "a picture twice instead of the next": ("scale={w}:{h}:flags=bicubic,fps=25,shuffleframes='0 1 2 3 4 4 6 7 8 9'", ()),
        "vertically flipped": ("vflip,scale={w}:{h}:flags=bicubic", ()),
        "grey": ("hue=s=0,scale={w}:{h}:flags=bicubic", ()),
    }

    @pytest.mark.parametrize("source", SOURCES)
    @pytest.mark.parametrize("mistake", WRONG)
    def test_a_mistake_is_found(self, tmp_path, mistake, source):
        w, h = SOURCES[source]
        hd = source == "q-mix.mp4"
        words = dict(w=w, h=h, other="smpte170m" if hd else "bt709", other_scale="bt601" if hd else "bt709", same="bt709" if hd else "smpte170m")
        chain, more = self.WRONG[mistake]
        ours = self.encode(tmp_path, source, chain.format(**words), *(m.format(**words) for m in more))
        if len(ours) != len(reference(source, (w, h))):
            return  # the number of pictures tells
        for floors in (FLOORS, OTHER_FLOORS):
            complaint = judge(ours, reference(source, (w, h)), floors["high"][source])
            assert complaint is not None, f"{mistake} passes: {pixels.compare(ours, reference(source, (w, h)))}"

    @pytest.mark.parametrize("source, hd", [("q-bars.mp4", True), ("q-bars-sd.mp4", False)])
    def test_bars_of_another_matrix_or_range_are_found(self, tmp_path, source, hd):
        assert judge_bars(self.encode(tmp_path, source, "scale=320:-2"), source) is None
        other = "smpte170m" if hd else "bt709"
        for chain, more in (("scale=320:-2", ("-colorspace", other)), ("scale=320:-2,setparams=range=pc", ("-color_range", "pc")),
                            ("scale=320:-2:out_range=pc,setparams=range=tv", ("-color_range", "tv")), ("scale=320:-2,swapuv", ())):
            ours = self.encode(tmp_path, source, chain + (f",setparams=colorspace={other}" if other in more else ""), *more)
            assert judge_bars(ours, source) is not None, chain


# -- every parameter does what it says


@pytest.mark.parametrize("form", VIDEO_FORMATS)
def test_quality_levels_are_ordered(server, tmp_path, form):
    sizes, likeness = [], []
    for level in ("low", "medium", "high"):
        answer = stored(server, f"/videos/q-mix.mp4?width=640&format={form}&quality={level}", tmp_path)
        sizes.append(len(answer.body))
        likeness.append(pixels.compare(pixels.pictures(answer.path), reference("q-mix.mp4", (640, 360))).mean)
    assert sizes[0] * 1.1 < sizes[1] and sizes[1] * 1.1 < sizes[2], sizes
    assert likeness[0] + 0.002 < likeness[1] < likeness[2] - 0.002, likeness


@pytest.mark.parametrize("form", VIDEO_FORMATS)
def test_quality_numbers_are_ordered(server, tmp_path, form):
    sizes = [len(stored(server, f"/videos/q-mix.mp4?width=320&duration=1s&format={form}&quality={q}", tmp_path).body) for q in (10, 50, 90)]
    assert sizes[0] * 1.2 < sizes[1] and sizes[1] * 1.2 < sizes[2], sizes


@pytest.mark.parametrize("query", ["mode=frame&format=jpg", "mode=frame&format=webp", "mode=audio", "mode=audio&format=mp3", "mode=audio&format=opus",
                                   "mode=spritesheet&columns=2&rows=2"])
def test_quality_levels_of_other_modes(server, tmp_path, query):
    source = "q-tone.mp4" if "audio" in query else "q-mix.mp4"
    width = "" if "audio" in query else "&width=320"
    sizes = [len(made(server, f"/videos/{source}?{query}{width}&quality={level}", tmp_path).body) for level in ("low", "medium", "high")]
    assert sizes[0] < sizes[1] < sizes[2], sizes


@pytest.mark.parametrize("query", ["format=mp4", "format=webm", "format=h265", "format=av1", "mode=frame&format=png", "mode=frame&format=webp"])
def test_compression_changes_the_bytes(server, tmp_path, query):
    """More effort: other bytes, and (pictures being as good) not notably more of them."""
    bodies = {c: stored(server, f"/videos/q-mix.mp4?width=320&{query}&quality=medium&compression={c}", tmp_path).body for c in ("low", "medium", "high")}
    assert bodies["low"] != bodies["medium"] and bodies["medium"] != bodies["high"], "compression does nothing"
    assert len(bodies["high"]) < len(bodies["low"]) * 1.35, {k: len(v) for k, v in bodies.items()}


@pytest.mark.parametrize("form", VIDEO_FORMATS)
@pytest.mark.parametrize("rate", [300_000, 900_000])
def test_bitrate_is_honoured(server, tmp_path, form, rate):
    text = f"{rate // 1000}k"
    answer = stored(server, f"/videos/q-long.mp4?width=640&format={form}&bitrate={text}", tmp_path)
    facts = media.probe(answer.path)
    got = len(answer.body) * 8 / media.duration_of(facts)
    assert abs(got / rate - 1) < 0.25, f"{got / 1000:.0f} kb/s, asked for {text}"


def test_bitrate_with_a_quality_is_not_cancelled(server, tmp_path):
    sizes = [len(stored(server, f"/videos/q-long.mp4?width=640&duration=4s&quality=high&bitrate={b}", tmp_path).body) for b in ("200k", "2M")]
    assert sizes[1] > sizes[0] * 3, sizes


@pytest.mark.parametrize("form", ["m4a", "mp3", "opus"])
@pytest.mark.parametrize("rate", [64, 128])
def test_bitrate_of_sound(server, tmp_path, form, rate):
    answer = made(server, f"/videos/q-code.mp4?mode=audio&format={form}&bitrate={rate}k", tmp_path)
    got = len(answer.body) * 8 / 8 / 1000
    # A pure tone may take less than it is allowed to.
    assert got < rate * 1.25 and (got > rate * 0.5 if form == "mp3" else got > 8), f"{got:.0f} kb/s"


@pytest.mark.parametrize("query, codec, kind, sound_kind", [
    ("mode=audio", "aac", "m4a", "audio/mp4"), ("format=m4a", "aac", "m4a", "audio/mp4"), ("mode=audio&format=mp3", "mp3", "mp3", "audio/mpeg"),
    ("mode=audio&format=opus", "opus", "ogg", "audio/ogg")])
def test_sound_alone(server, tmp_path, query, codec, kind, sound_kind):
    answer = made(server, "/videos/q-tone.mp4?" + query, tmp_path)
    assert answer.reply["Content-Type"].split(";")[0] == sound_kind
    facts = media.probe(answer.path)
    assert [s["codec_name"] for s in facts["streams"]] == [codec]
    assert abs(media.duration_of(facts) - 6) < 0.06
    heard = pixels.sound(answer.path)
    assert abs(pixels.frequency(heard.cut(1, 5), heard.rate) - 440) < 1
    original = pixels.sound(media.clip("q-tone.mp4"))
    alike, lag = pixels.match(heard.cut(0, 5), original.cut(0, 5), heard.rate, most_lag=0.001)
    assert alike > 0.98, (alike, lag)


@pytest.mark.parametrize("form", VIDEO_FORMATS)
def test_sound_beside_pictures(server, tmp_path, form):
    for answer in both_forms(server, f"/videos/q-tone.mp4?width=160&format={form}", tmp_path):
        audio = media.audio_of(media.probe(answer.path))
        assert (audio["codec_name"], audio["channels"]) == ("opus" if form == "webm" else "aac", 2)
        heard = pixels.sound(answer.path)
        assert abs(pixels.frequency(heard.cut(1, 5), heard.rate) - 440) < 1
    silent = stored(server, f"/videos/q-tone.mp4?width=160&format={form}&audio=false", tmp_path)
    assert media.audio_of(media.probe(silent.path)) is None
    assert len(silent.body) < len(answer.body)


@pytest.mark.parametrize("query, rate, count", [("fps=10", 10, 60), ("fps=50", 50, 300), ("fps=12.5&format=webm", 12.5, 75), ("fps=5&format=gif&duration=2s", 5, 10)])
def test_fps(server, tmp_path, query, rate, count):
    answer = stored(server, f"/videos/q-tone.mp4?width=160&audio=false&{query}", tmp_path)
    ours = pixels.pictures(answer.path, rgb=False)
    assert abs(len(ours) - count) <= 1, len(ours)
    steps = np.diff(ours.times)
    assert np.abs(steps - 1 / rate).max() < 0.0021 + (0.01 if "gif" in query else 0), "pictures are not evenly spaced"


def test_fps_takes_the_right_pictures(server, tmp_path):
    ours = pixels.pictures(stored(server, f"/videos/{CODES}?width=320&fps=5&audio=false&quality=high", tmp_path).path)
    numbers = [pixels.read_code(p) for p in ours.pixels]
    assert None not in numbers
    for time, number in zip(ours.times, numbers):
        assert abs(number - 25 * time) <= 3, f"at {time} s picture {number}"
    assert numbers == sorted(set(numbers)), numbers


@pytest.mark.parametrize("speed", [0.5, 1.5, 2, 4, 0.25])
def test_speed(server, tmp_path, speed):
    for answer in both_forms(server, f"/videos/{CODES}?width=320&quality=high&speed={speed}&duration=4s", tmp_path):
        facts = media.probe(answer.path)
        # whether duration counts before or after speed is the document's to say; the pictures must agree with it.
        ours = pixels.pictures(answer.path)
        seconds = ours.times[-1] - ours.times[0]
        assert min(abs(seconds - 4 / speed), abs(seconds - min(4, 8 / speed))) < 0.06 + 0.04 / speed, (seconds, media.duration_of(facts))
        for time, number in [(t, pixels.read_code(p)) for t, p in zip(ours.times, ours.pixels)][2:-2]:
            assert number is not None and abs(number - 25 * (time - ours.times[0]) * speed) <= 1.5 + 0.05 * speed * 25, f"at {time:.3f} s picture {number}"
        heard = pixels.sound(answer.path)
        middle = heard.start + len(heard.samples) / heard.rate / 2
        assert abs(pixels.frequency(heard.cut(middle - 0.4, middle + 0.4), heard.rate) - 440) < 4, "the pitch is another"
        assert abs(heard.start + len(heard.samples) / heard.rate - ours.times[-1]) < 0.12 + 0.04 / speed, "sound and pictures do not end together"


def test_speed_of_sound_alone(server, tmp_path):
    answer = made(server, "/videos/q-tone.mp4?mode=audio&speed=2", tmp_path)
    assert abs(media.duration_of(media.probe(answer.path)) - 3) < 0.1
    heard = pixels.sound(answer.path)
    assert abs(pixels.frequency(heard.cut(0.5, 2.5), heard.rate) - 440) < 4


CORNERS = {0: "rgbw", 90: "brwg", 180: "wbgr", 270: "gwrb"}  # top left, top right, bottom left, bottom right


def corner_colours(picture):
    h, w, _ = picture.shape
    names = {"r": (255, 0, 0), "g": (0, 255, 0), "b": (0, 0, 255), "w": (255, 255, 255)}
    found = ""
    for y, x in ((h // 4, w // 4), (h // 4, w * 3 // 4), (h * 3 // 4, w // 4), (h * 3 // 4, w * 3 // 4)):
        level = picture[max(0, y - 3):y + 3, max(0, x - 3):x + 3].reshape(-1, 3).mean(axis=0)
        found += min(names, key=lambda n: float(np.abs(level - np.array(names[n])).sum()))
    return found


@pytest.mark.parametrize("turn", CORNERS)
@pytest.mark.parametrize("query", ["format=mp4", "format=webm", "mode=frame", "mode=frame&format=png", "mode=frame&format=webp"])
def test_rotate(server, tmp_path, query, turn):
    path = stored(server, f"/videos/q-corners.mp4?{query}&quality=high" + (f"&rotate={turn}" if turn else ""), tmp_path).path
    picture = pixels.pictures(path).pixels[0]
    assert picture.shape[:2] == ((320, 180) if turn % 180 else (180, 320))
    assert corner_colours(picture) == CORNERS[turn]


def test_rotate_with_a_width(server, tmp_path):
    """The width asked for is the answer's width, after the turn."""
    picture = pixels.pictures(stored(server, "/videos/q-corners.mp4?rotate=90&width=90", tmp_path).path).pixels[0]
    assert picture.shape[:2] == (160, 90) and corner_colours(picture) == CORNERS[90]


@pytest.mark.parametrize("crop, colour, size", [
    ("160:90:0:0", "r", (160, 90)), ("160:90:160:0", "g", (160, 90)), ("160:90:0:90", "b", (160, 90)), ("160:90:160:90", "w", (160, 90)), ("80:40:200:100", "w", (80, 40))])
@pytest.mark.parametrize("query", ["format=mp4", "mode=frame&format=png"])
def test_crop(server, tmp_path, query, crop, colour, size):
    picture = pixels.pictures(stored(server, f"/videos/q-corners.mp4?{query}&crop={crop}&quality=high", tmp_path).path).pixels[0]
    assert picture.shape[:2] == size[::-1]
    assert corner_colours(picture) == colour * 4
    spread = picture[2:-2, 2:-2].astype(int).reshape(-1, 3)
    assert (spread.max(axis=0) - spread.min(axis=0)).max() < 12, "a neighbour's colour shines in"


def test_crop_before_scaling_before_rotation(server, tmp_path):
    picture = pixels.pictures(stored(server, "/videos/q-corners.mp4?mode=frame&format=png&crop=320:90:0:0&rotate=90&width=90", tmp_path).path).pixels[0]
    assert picture.shape[:2] == (320, 90)
    assert corner_colours(picture) == "rrgg", corner_colours(picture)  # red beside green, turned clockwise: red above green


@pytest.mark.parametrize("query, size", [("width=100&height=100&fit=pad", (100, 100)), ("width=160&dpr=2", (320, 180)), ("width=161", (160, 90)), ("height=91", (160, 90))])
def test_sizes(server, tmp_path, query, size):
    picture = pixels.pictures(stored(server, f"/videos/q-corners.mp4?{query}", tmp_path).path).pixels[0]
    assert abs(picture.shape[1] - size[0]) <= 2 and abs(picture.shape[0] - size[1]) <= 2 and picture.shape[0] % 2 == 0 and picture.shape[1] % 2 == 0, picture.shape
    if "pad" in query:
        assert picture[:15].max() < 24 and picture[-15:].max() < 24, "the bars are not black"
        assert corner_colours(picture[22:78]) == CORNERS[0]


# -- time to the picture


@pytest.mark.parametrize("form", VIDEO_FORMATS)
@pytest.mark.parametrize("query, first, count", [
    ("", 0, 200), ("time=1s", 25, 175), ("time=1.2s&duration=1s", 30, 25), ("time=2020ms&duration=400ms", 50, 10), ("duration=1.5s", 0, 38), ("time=7s", 175, 25),
    ("time=7960ms", 199, 1)])
def test_exactly_these_pictures(server, tmp_path, form, query, first, count):
    """Numbers in the pictures: none missing, none twice, the right first one. A cut in the middle of a picture shows that picture."""
    for answer in both_forms(server, f"/videos/{CODES}?width=320&audio=false&format={form}&quality=high&{query}", tmp_path):
        ours = pixels.pictures(answer.path)
        numbers = [pixels.read_code(p) for p in ours.pixels]
        assert numbers == list(range(first, first + len(numbers))), numbers
        assert abs(len(numbers) - count) <= ("2020" in query or "1.5s" in query), (len(numbers), count)
        assert ours.times[0] < 0.12, "pictures begin late"


@pytest.mark.parametrize("form", ["jpg", "png", "webp"])
@pytest.mark.parametrize("time, number", [("0", 0), ("1s", 25), ("1.04s", 26), ("1.039s", 25), ("3.999s", 99), ("7.96s", 199), ("7.99s", 199)])
def test_a_still_is_the_picture_of_that_time(server, tmp_path, form, time, number):
    picture = pixels.pictures(made(server, f"/videos/{CODES}?mode=frame&width=320&format={form}&time={time}", tmp_path).path).pixels[0]
    assert pixels.read_code(picture) == number


def test_a_sheet_is_evenly_spaced_and_its_vtt_fits(server, tmp_path):
    query = f"/videos/{CODES}?mode=spritesheet&width=160&columns=4&rows=3"
    sheet = pixels.pictures(made(server, query, tmp_path).path).pixels[0]
    vtt = made(server, query + "&format=vtt", tmp_path)
    assert vtt.reply["Content-Type"].split(";")[0] == "text/vtt"
    cues = matrix.read_vtt(vtt.body.decode())
    matrix.check_grid(cues, sheet.shape[1], sheet.shape[0], 4, 3)
    assert len(cues) == 12 and abs(cues[-1][1] - 8) < 0.05, cues
    numbers = [pixels.read_code(sheet[y:y + h, x:x + w]) for _, _, (x, y, w, h) in cues]
    assert None not in numbers and numbers == sorted(numbers), numbers
    for (first, end, _), number in zip(cues, numbers):
        assert 25 * first - 50 <= number <= 25 * end + 1, f"{first}-{end} s shows picture {number}"  # a key frame each 2 s at worst
    # The cues point to the sheet itself, by a link that works from where the VTT is.
    link = re.search(r"^(\S+)#xywh=", vtt.body.decode(), re.M).group(1)
    target = link if link.startswith("/") else "/videos/" + link
    assert made(server, target, tmp_path, "linked").body == made(server, query, tmp_path).body


@pytest.mark.parametrize("query, tiles", [("imageCount=6&columns=3", 6), ("interval=2s", 4), ("columns=5&rows=1", 5), ("", 20)])
def test_number_of_tiles(server, tmp_path, query, tiles):
    vtt = made(server, f"/videos/{CODES}?mode=spritesheet&width=64&format=vtt&{query}", tmp_path)
    assert len(matrix.read_vtt(vtt.body.decode())) == tiles


def test_tiles_are_clipped_to_what_exists(server, tmp_path):
    vtt = made(server, "/videos/q-corners.mp4?mode=spritesheet&width=64&format=vtt&imageCount=100", tmp_path)
    assert len(matrix.read_vtt(vtt.body.decode())) <= 25


# -- the rest


def test_info(server, tmp_path):
    answer = made(server, f"/videos/{CODES}?mode=info", tmp_path)
    assert answer.reply["Content-Type"].split(";")[0] == "application/json"
    text = json.dumps(json.loads(answer.body))
    for fact in ("h264", "aac", "640", "360", "48000"):
        assert fact in text, f"{fact} is missing in {text}"
    again = made(server, f"/videos/{CODES}?mode=info", tmp_path)
    assert again.body == answer.body and again.reply["X-Cache-Status"] == "HIT"
    assert str(tmp_path) not in text and "/videos" not in json.loads(answer.body).get("path", "")


@pytest.mark.parametrize("accept, kinds", [("image/webp,*/*", ("image/webp",)), ("image/png", ("image/png",)), ("image/jpeg", ("image/jpeg",)), ("*/*", ("image/jpeg", "image/png", "image/webp"))])
def test_format_auto(server, tmp_path, accept, kinds):
    try:
        answer = serving.ask(server, "/videos/q-test.mp4?mode=frame&width=160&format=auto", tmp_path, "auto", headers=[("Accept", accept)])
    except serving.NotYet as e:
        pytest.skip(f"not made yet: {e}")
    assert answer.status == 200, answer
    if "accept" not in (answer.reply["Vary"] or "").lower() and not serving.ALL_MODES:
        pytest.xfail("format=auto does not look at Accept yet")
    assert answer.reply["Content-Type"] in kinds, answer
    assert "accept" in (answer.reply["Vary"] or "").lower()


@pytest.mark.parametrize("query", [
    "width=320", "width=320&format=webm", "width=320&format=h265", "width=320&format=av1", "width=160&format=gif&duration=1s", "width=160&format=webp&duration=1s",
    "mode=frame&width=320", "mode=frame&width=320&format=png", "mode=frame&width=320&format=webp", "mode=spritesheet&columns=3&rows=2&width=160",
    "mode=spritesheet&columns=3&rows=2&width=160&format=vtt", "mode=audio", "mode=audio&format=mp3", "mode=audio&format=opus", "mode=info", "width=320&speed=2&fps=10",
    "width=320&bitrate=300k", "width=320&quality=auto"])
def test_the_same_request_gives_the_same_bytes(server, tmp_path, query):
    """Made twice from scratch, the stored forms are equal to the byte."""
    target = f"/videos/q-code.mp4?{query}"
    first = stored(server, target, tmp_path)
    again = made(server, target + "&nocache=1", tmp_path)
    assert again.reply["X-Cache-Status"] != "HIT"
    third = made(server, target, tmp_path, "third")
    assert third.body == first.body
    assert third.reply["ETag"] == first.reply["ETag"]


def test_easy_content_costs_less_with_quality_auto(tmp_path_factory, tmp_path):
    """transform.targetSsim: the rate factor is solved per source, so a quiet clip takes fewer bytes than at the fixed level."""
    sizes = {}
    for target in (None, 0.97):
        def configure(s):
            if target:
                s.config.setdefault("transform", {})["targetSsim"] = target
            s.add(media.clip("q-quiet.mp4"), "q-quiet.mp4")
        try:
            with serving.serving(tmp_path_factory.mktemp("auto"), configure) as s:
                sizes[target] = len(stored(s, "/videos/q-quiet.mp4?width=640", tmp_path).body)
        except AssertionError as e:
            if target and "targetSsim" in str(e) and not serving.ALL_MODES:
                pytest.skip("not made yet: transform.targetSsim")
            raise
    assert sizes[0.97] < sizes[None] * 0.8, sizes


lavfi("q-quiet.mp4", "gradients=s=1280x720:r=25:d=4:seed=3:speed=0.004:c0=#203060:c1=#405040", 4)
