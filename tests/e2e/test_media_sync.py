"""Flash and beep: what is seen and what is heard stay together within 20 ms, in every form a viewer may get."""
import subprocess

import numpy as np
import pytest

from kit import media, pixels, serving
from kit.serving import both_forms

SECONDS = 6
_FLASH = f"color=black:s=160x90:r=25:d={SECONDS},drawbox=color=white:t=fill:enable='lt(mod(t+0.001,1),0.11)*gte(t,0.9)',format=yuv420p"
_BEEP = f"aevalsrc='if(lt(mod(t,1),0.1)*gte(t,0.9),0.8*sin(2*PI*1000*t),0)':s=48000:d={SECONDS}"
_H264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-g", "50", "-bf", "2"]
_MP4 = _H264 + ["-c:a", "aac", "-b:a", "128k"]
_BOTH = ["-f", "lavfi", "-i", _FLASH, "-f", "lavfi", "-i", _BEEP]


def recipe(name, arguments):
    media.RECIPES[name] = arguments


recipe("s-plain.mp4", _BOTH + _MP4 + ["-movflags", "+faststart"])
recipe("s-plain.webm", _BOTH + ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"])
recipe("s-plain.ts", _BOTH + _MP4)                                      # begins at 1.4 s
recipe("s-avi.avi", _BOTH + ["-c:v", "mpeg4", "-q:v", "4", "-c:a", "pcm_s16le"])
# Every third picture, and all around a flash: between 40 and 120 ms apart.
recipe("s-vfr.mp4", _BOTH + ["-vf", "select='lt(mod(n+2,25),7)+not(mod(n,3))'", "-fps_mode", "vfr"] + _MP4)
recipe("s-audio-late.mp4", _BOTH + ["-af", "atrim=start=1.7"] + _MP4)
recipe("s-video-late.mp4", _BOTH + ["-vf", "trim=start=1.6"] + _MP4)
recipe("s-audio-short.mp4", _BOTH + ["-af", "atrim=end=3.5"] + _MP4)
recipe("s-video-short.mp4", _BOTH + ["-vf", "trim=end=3.6"] + _MP4)
recipe("s-late-stamps.mkv", _BOTH + _MP4 + ["-output_ts_offset", "5"])
recipe("s-44100.mp4", _BOTH + _MP4 + ["-ar", "44100"])


def edited():
    """Begins inside a group of pictures, copied: an edit list hides what comes before."""
    path = media.CACHE / "s-edited.mp4"
    if not path.exists():
        part = path.with_name("part-s-edited.mp4")
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-ss", "0.48", "-i", str(media.clip("s-plain.mp4")), "-c", "copy", str(part)], check=True)
        part.rename(path)
    return path


def flashes(path, rate=25):
    shown = pixels.pictures(path, "scale=16:16", rgb=False)
    level = shown.pixels.reshape(len(shown), -1).mean(axis=1)
    return [shown.times[i] for i in range(1, len(shown)) if level[i] > 110 and level[i - 1] <= 110]


def beeps(path):
    heard = pixels.sound(path, rate=48000)
    power = np.convolve(heard.samples.astype(np.float64) ** 2, np.ones(96) / 96, mode="same")
    loud = power > power.max() * 0.35
    # A beep begins where it has been quiet for 100 ms.
    starts = [i for i in np.flatnonzero(loud) if not loud[max(0, i - 4800):i].any() and i > 0]
    return [heard.start + i / heard.rate for i in starts]


def pairs(path):
    """[(flash, beep)] of the flashes that have a beep within 300 ms; those without one are returned apart."""
    seen, heard = flashes(path), beeps(path)
    matched = [(f, min(heard, key=lambda b: abs(b - f))) for f in seen if heard and min(abs(b - f) for b in heard) < 0.3]
    return matched, seen, heard


def check(path, expected, limit=0.020, position=0.045, delay=0.0, lonely=0):
    """@param expected when flashes are to be seen, seconds; None: not checked
    @param lonely flashes without a beep and beeps without a flash that there have to be; None: any
    @param delay by how much the whole may come later: fragments without an edit list keep the encoder's delay"""
    matched, seen, heard = pairs(path)
    alone = len(seen) + len(heard) - 2 * len(matched)
    assert len(matched) >= 2 and lonely in (alone, None), f"flashes {np.round(seen, 3)}, beeps {np.round(heard, 3)}"
    apart = [b - f for f, b in matched]
    assert max(abs(a) for a in apart) <= limit, f"sound is {[f'{a * 1000:+.0f}' for a in apart]} ms behind the picture"
    if expected is not None:
        shift = min(max(0.0, min(seen, key=lambda f: abs(f - expected[0])) - expected[0]), delay)
        for want in expected:
            nearest = min(abs(f - shift - want) for f in seen)
            assert nearest <= position, f"no flash at {want:.3f} s (+{shift:.3f}): {[round(f, 3) for f in seen]}"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    def configure(s):
        for name in media.RECIPES:
            if name.startswith("s-"):
                s.add(media.clip(name), name)
        s.add(edited(), "s-edited.mp4")
    with serving.serving(tmp_path_factory.mktemp("sync"), configure) as s:
        yield s


@pytest.fixture(autouse=True)
def log_of(request):
    if "server" in request.fixturenames:
        request.node._vr_server = request.getfixturevalue("server")


@pytest.mark.parametrize("name", ["s-plain.mp4", "s-plain.webm", "s-plain.ts", "s-vfr.mp4", "s-edited.mp4", "s-audio-late.mp4", "s-video-late.mp4", "s-late-stamps.mkv"])
def test_the_sources_are_in_sync(name):
    """The measure itself: what we made is together within 10 ms (an encoder's smear)."""
    check(edited() if name == "s-edited.mp4" else media.clip(name), None, limit=0.010, lonely=1 if name in ("s-audio-late.mp4", "s-video-late.mp4") else 0)


def test_the_measure_finds_40_ms(tmp_path):
    for shift in (-0.04, 0.04):
        path = tmp_path / "off.mp4"
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(media.clip("s-plain.mp4")), "-itsoffset", str(shift), "-i", str(media.clip("s-plain.mp4")),
                        "-map", "0:v", "-map", "1:a", "-c", "copy", str(path)], check=True)
        with pytest.raises(AssertionError, match="behind the picture"):
            check(path, None)


# (source, query, expected flashes)
WHOLE = [1, 2, 3, 4, 5]
CASES = {
    "plain": ("s-plain.mp4", "", WHOLE),
    "trimmed": ("s-plain.mp4", "time=1.5s&duration=3s", [0.5, 1.5, 2.5]),
    "trimmed between pictures": ("s-plain.mp4", "time=1510ms", [0.49, 1.49, 2.49, 3.49]),
    "trimmed on a key frame": ("s-plain.mp4", "time=2.5s", [0.5, 1.5, 2.5]),
    "half speed": ("s-plain.mp4", "speed=0.5", [2, 4, 6, 8, 10]),
    "double speed": ("s-plain.mp4", "speed=2", [0.5, 1, 1.5, 2, 2.5]),
    "trimmed and fast": ("s-plain.mp4", "time=1.5s&speed=2", [0.25, 0.75, 1.25, 1.75]),
    "fewer pictures": ("s-plain.mp4", "fps=12.5", None),
    "vfr": ("s-vfr.mp4", "", WHOLE),
    "vfr trimmed": ("s-vfr.mp4", "time=1.5s", [0.5, 1.5, 2.5, 3.5]),
    "vfr made constant": ("s-vfr.mp4", "fps=25", WHOLE),
    "edit list": ("s-edited.mp4", "", [0.52, 1.52, 2.52, 3.52, 4.52]),
    "edit list trimmed": ("s-edited.mp4", "time=1s", [0.52, 1.52, 2.52, 3.52]),
    "sound begins later": ("s-audio-late.mp4", "", WHOLE),
    "sound begins later, trimmed before": ("s-audio-late.mp4", "time=500ms", [0.5, 1.5, 2.5, 3.5]),
    "sound begins later, trimmed after": ("s-audio-late.mp4", "time=2.5s", [0.5, 1.5, 2.5]),
    "pictures begin later": ("s-video-late.mp4", "", [2, 3, 4, 5]),
    "sound ends early": ("s-audio-short.mp4", "", WHOLE),
    "pictures end early": ("s-video-short.mp4", "", [1, 2, 3]),
    "transport stream": ("s-plain.ts", "", WHOLE),
    "transport stream trimmed": ("s-plain.ts", "time=1.5s", [0.5, 1.5, 2.5, 3.5]),
    "avi": ("s-avi.avi", "", WHOLE),
    "webm source": ("s-plain.webm", "", WHOLE),
    "time stamps from 5 s on": ("s-late-stamps.mkv", "", WHOLE),
    "time stamps from 5 s on, trimmed": ("s-late-stamps.mkv", "time=1.5s", [0.5, 1.5, 2.5, 3.5]),
    "44.1 kHz": ("s-44100.mp4", "", WHOLE),
}


LONELY = {"sound begins later": 1, "sound begins later, trimmed before": 1, "pictures begin later": 1, "sound ends early": 2, "pictures end early": 2}


@pytest.mark.parametrize("form", ["mp4", "webm", "h265", "av1"])
@pytest.mark.parametrize("case", CASES)
def test_sound_and_picture_stay_together(server, tmp_path, case, form):
    if form in ("h265", "av1") and case not in ("plain", "trimmed", "double speed"):
        pytest.skip("the same muxer as mp4")
    source, query, expected = CASES[case]
    # Fast and slow sound is put together from pieces of some 20 ms: an onset may be smeared by as much.
    limit = 0.035 if "speed" in query else 0.020
    if "fps=12.5" in query:
        limit = 0.055  # a picture may begin half a picture early or late
    for n, answer in enumerate(both_forms(server, f"/videos/{source}?width=160&format={form}&quality=high" + ("&" + query if query else ""), tmp_path)):
        try:
            check(answer.path, expected, limit, delay=0.0 if n else 0.2, lonely=LONELY.get(case, 0))
        except AssertionError as e:
            if case == "pictures begin later" and n == 0 and form != "webm" and "no flash" in str(e):
                pytest.xfail(f"fragments: the gap behind the first picture is taken for the encoder's delay, all comes 1.6 s late: {e}")
            raise AssertionError(f"{'stored' if n else 'first'} form: {e}") from None


def test_copied_packets_stay_together(server, tmp_path):
    """No size, no quality: a trim on a key frame may copy packets. Together all the same."""
    for n, answer in enumerate(both_forms(server, "/videos/s-plain.mp4?time=2s", tmp_path)):
        check(answer.path, [1, 2, 3], delay=0.0 if n else 0.2, lonely=None)
