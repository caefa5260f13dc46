"""Clips that tests need (made by ffmpeg, kept beside the build) and what ffprobe and ffmpeg say about results."""
import fcntl
import hashlib
import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = pathlib.Path(os.environ.get("VR_BIN_DIR", ROOT / "build/release/bin"))
CORPUS = pathlib.Path(os.environ.get("VR_CORPUS", ROOT.parent / "shared/corpus"))
CACHE = pathlib.Path(os.environ.get("VR_E2E_MEDIA", ROOT / "build/e2e-media"))

_X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
_AAC = ["-c:a", "aac", "-b:a", "64k"]
_FAST = ["-movflags", "+faststart"]


def _clip(seconds, size, rate, video="testsrc2", sound=True, extra=()):
    command = ["-f", "lavfi", "-i", f"{video}=s={size}:r={rate}:d={seconds}"]
    if sound:
        command += ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:d={seconds}"]
    return command + _X264 + (_AAC if sound else ["-an"]) + _FAST + list(extra)


RECIPES = {
    "small.mp4": _clip(3, "320x180", 25),             # 16:9, sound, quick to transcode
    "silent.mp4": _clip(2, "320x240", 25, sound=False),
    "medium.mp4": _clip(8, "1280x720", 30),           # one to a few seconds of work
    "long.mp4": _clip(30, "1280x720", 30),            # long enough that a test can act while it is made
    "portrait.mp4": _clip(2, "320x180", 25),          # and then turned by its track header, see _turn
    # Every picture is another; one beep, from 3.5 s to 3.6 s.
    "beep.mp4": ["-f", "lavfi", "-i", "testsrc2=s=640x360:r=30:d=8", "-f", "lavfi", "-i",
                 "aevalsrc=0.5*sin(2*PI*1000*t)*between(t\\,3.5\\,3.6):s=48000:d=8"] + _X264 + _AAC + _FAST,
    "small.webm": ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=2", "-c:v", "libvpx", "-deadline", "realtime", "-an"],
}


def _turn(path):
    """Writes the matrix "show me turned clockwise by 90 degrees" into the first track header (ISO 14496-12 §8.3.2)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4
    assert data[at] == 0, "a version 0 box"
    turned = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    data[at + 40:at + 76] = b"".join(n.to_bytes(4, "big", signed=True) for n in turned)
    path.write_bytes(data)


def clip(name):
    """Path of the clip, made on first use. Safe between processes."""
    recipe = RECIPES[name]
    digest = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]
    stem, dot, suffix = name.rpartition(".")
    path = CACHE / f"{stem}-{digest}.{suffix}"
    if path.is_file():
        return path
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.is_file():
            part = path.with_name("part-" + path.name)
            subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y"] + recipe + [str(part)], check=True)
            if name == "portrait.mp4":
                _turn(part)
            part.rename(path)
    return path


def corpus(name=None):
    """Path of a corpus file; None when the corpus is not on this machine."""
    path = CORPUS / name if name else CORPUS
    return path if path.exists() else None


def probe(path):
    """ffprobe's view: {"format": {...}, "streams": [...]}. Raises when it is no media file."""
    done = subprocess.run(["ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", str(path)],
                          capture_output=True, text=True)
    assert done.returncode == 0, f"ffprobe {path}: {done.stderr.strip()}"
    return json.loads(done.stdout)


def video_of(facts):
    return next(s for s in facts["streams"] if s["codec_type"] == "video")


def audio_of(facts):
    return next((s for s in facts["streams"] if s["codec_type"] == "audio"), None)


def duration_of(facts):
    """Seconds of the longest picture or sound stream; of the container when its streams do not say."""
    told = [float(s["duration"]) for s in facts["streams"] if s["codec_type"] in ("video", "audio") and "duration" in s]
    return max(told) if told else float(facts["format"]["duration"])


def decode_errors(path):
    """What a full decode of everything complains about: "" when the file is whole."""
    done = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", str(path), "-map", "0", "-fps_mode", "passthrough",
                           "-enc_time_base", "-1", "-f", "null", "-"], capture_output=True, text=True)
    return done.stderr.strip() if done.returncode or done.stderr.strip() else ""


def frame_hashes(path, stream="v"):
    """One hash per decoded frame (video) in presentation order, timestamps left out."""
    done = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-map", f"0:{stream}", "-fps_mode", "passthrough",
                           "-f", "framemd5", "-"], capture_output=True, text=True)
    assert done.returncode == 0, f"ffmpeg {path}: {done.stderr.strip()}"
    return [line.rsplit(",", 1)[1].strip() for line in done.stdout.splitlines() if line and not line.startswith("#")]


def samples(path):
    """The decoded sound as 16 bit samples; b"" without an audio stream."""
    if audio_of(probe(path)) is None:
        return b""
    done = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-map", "0:a", "-f", "s16le", "-"], capture_output=True)
    assert done.returncode == 0, f"ffmpeg {path}: {done.stderr.decode().strip()}"
    return done.stdout


def grey(path, size=(160, 90)):
    """The (first) picture in grey, scaled to `size`: bytes."""
    done = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-frames:v", "1", "-vf",
                           f"scale={size[0]}:{size[1]}:flags=area", "-pix_fmt", "gray", "-f", "rawvideo", "-"], capture_output=True)
    assert done.returncode == 0, f"ffmpeg {path}: {done.stderr.decode().strip()}"
    return done.stdout


def difference(one, other):
    """Mean distance of two pictures' pixels, of grey(): 0 to 255."""
    a, b = grey(one), grey(other)
    return sum(abs(x - y) for x, y in zip(a, b, strict=True)) / len(a)


def onset(path, rate=48000):
    """When the sound begins to be loud, seconds; None: never."""
    done = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-map", "0:a", "-ac", "1", "-ar", str(rate),
                           "-f", "s16le", "-"], capture_output=True)
    assert done.returncode == 0, f"ffmpeg {path}: {done.stderr.decode().strip()}"
    heard = memoryview(done.stdout).cast("h")
    return next((i / rate for i, sample in enumerate(heard) if abs(sample) > 4000), None)


def same_pictures_and_sound(streamed, stored):
    """Fails unless both forms of a variant decode to the same. Fragmented MP4 without an edit list cannot tell players to skip
    the AAC encoder's 1024 priming samples, so the streamed sound may begin with those."""
    assert frame_hashes(streamed) == frame_hashes(stored), "streamed and stored frames differ"
    a, b = samples(streamed), samples(stored)
    channels = (audio_of(probe(stored)) or {"channels": 0})["channels"]
    assert len(a) - len(b) in (0, 1024 * 2 * channels), f"{len(a)} bytes of sound streamed, {len(b)} stored"
    assert a.endswith(b), "streamed and stored sound differ"


def boxes(data):
    """Top-level MP4 boxes of `data` (bytes) in order: ["ftyp", "moov", "mdat"]. A last cut box is listed too."""
    found, at = [], 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at:at + 4], "big")
        found.append(data[at + 4:at + 8].decode("latin-1"))
        if size == 1:
            size = int.from_bytes(data[at + 8:at + 16], "big")
        if size < 8:
            break
        at += size
    return found
