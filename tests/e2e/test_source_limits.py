"""What a source may be at most (docs/access.md, "Limits"): each limit refuses what is over it, says which it was, leaves nothing behind, and
lets what is exactly at it pass."""
import json
import signal
import subprocess

import pytest

from kit import expect, media, wire
from kit.raw_origin import RawOrigin, answer
from kit.wait import until

# Facts of the clips of kit/media.py.
SMALL_PIXELS = 320 * 180
SILENT_SECONDS, SILENT_PICTURES = 2, 50
ANIMATION, ANIMATION_PIXELS = "?format={}&width=80&height=60&fps=10", 80 * 60


def over(server, target, limit, value, allowed):
    """Asks for something over a limit: twice, since it is remembered. @return the reply"""
    files, entries, made = server.files(), server.metric("video_resizer_kv_entries"), server.transforms(result="ok")
    for status in ("MISS", "HIT"):
        reply, body = server.get(target)
        expect.error(reply, body, "SOURCE_TOO_LARGE")
        assert (reply.status, reply["X-Cache-Status"]) == (413, status), reply.fields
        details = json.loads(body)["error"]["details"]
        details.pop("attempts", None)
        assert details == {"limit": limit, "value": str(value), "allowed": str(allowed)}, details
        assert str(server.folder) not in body.decode() and reply["ETag"] is None
    until(lambda: server.files() == files, "nothing is left of it on disk")
    assert server.metric("video_resizer_kv_entries") == entries and server.transforms(result="ok") == made
    assert server.metric("video_resizer_queue_depth") == 0
    return reply


def passes(server, target, entries):
    """Asks for something that is just not over it, and waits until it is stored. @return the body"""
    reply, body = server.get(target)
    assert reply.status == 200 and body, (target, reply.fields, body[:300])
    server.wait_stored(entries)
    return body


def set_limit(server, key, value):
    server.config.setdefault("transform", {})[key] = value
    server.write_config()
    known = len(server.events("config_reloaded"))
    server.signal(signal.SIGHUP)
    until(lambda: len(server.events("config_reloaded")) > known, "the limit is in force")


@pytest.fixture
def limited(server):
    """limited(key, value): a server with this limit and the clips."""
    def start(key, value, *clips):
        for name in clips:
            server.add(media.clip(name), name)
        server.config["transform"] = {key: value}
        server.start()
        return server
    return start


def test_bytes_of_a_file(limited):
    size = media.clip("small.mp4").stat().st_size
    server = limited("maxSourceBytes", size, "small.mp4")
    passes(server, "/videos/small.mp4?mode=frame&width=64", 1)
    set_limit(server, "maxSourceBytes", size - 1)
    over(server, "/videos/small.mp4?mode=frame&width=66", "bytes", size, size - 1)
    over(server, "/videos/small.mp4?width=66", "bytes", size, size - 1)
    over(server, "/videos/small.mp4", "bytes", size, size - 1)
    reply = over(server, "/cdn-cgi/media/mode=frame,width=68/videos/small.mp4", "bytes", size, size - 1)
    assert reply["Cf-Resized"] == "err=9402"
    assert server.transforms() == 1, "no worker has seen any of it"


@pytest.fixture
def raw():
    origin = RawOrigin()
    yield origin
    origin.close()


@pytest.mark.parametrize("says_length", [True, False], ids=["length", "chunked"])
def test_bytes_of_an_http_source(server, raw, says_length):
    """Refused before it is fetched where the origin says the size, else as soon as there is more."""
    clip = media.clip("small.mp4").read_bytes()
    size, fields = len(clip), ("Content-Type: video/mp4", 'ETag: "v1"')

    def chunks(_):
        yield answer(*fields, "Transfer-Encoding: chunked", length=False)
        for at in range(0, size, 4096):
            piece = clip[at:at + 4096]
            yield b"%x\r\n%s\r\n" % (len(piece), piece)
        yield b"0\r\n\r\n"

    raw.answers["/a.mp4"] = answer(*fields, body=clip) if says_length else chunks
    server.config["origins"] = [server.http_origin(raw)]
    server.config["fetch"] = {"spoolKeep": 0}
    server.config["transform"] = {"maxSourceBytes": size}
    server.start()
    passes(server, "/remote/a.mp4?mode=frame&width=64&time=2", 1)
    until(lambda: not any(p.is_file() for p in (server.data / "spool").rglob("*")), "the spool is let go")
    set_limit(server, "maxSourceBytes", size - 1)
    asked = len(raw.requests)
    over(server, "/remote/a.mp4?mode=frame&width=66&time=2", "bytes", size if says_length else f"more than {size - 1}", size - 1)
    assert len(raw.requests) == asked + 1, "the second time it is remembered"


@pytest.mark.parametrize("query", ["?mode=frame&", "?", "?mode=spritesheet&imageCount=4&", "?format=gif&fps=5&"])
def test_pixels(limited, query):
    server = limited("maxPixels", SMALL_PIXELS, "small.mp4")
    passes(server, f"/videos/small.mp4{query}width=64", 1)
    set_limit(server, "maxPixels", SMALL_PIXELS - 1)
    over(server, f"/videos/small.mp4{query}width=66", "pixels", SMALL_PIXELS, SMALL_PIXELS - 1)
    reply, body = server.get("/videos/small.mp4")
    assert reply.status == 200 and body == media.clip("small.mp4").read_bytes(), "as it is it is not decoded"


@pytest.mark.parametrize("query", ["?mode=frame&", "?", "?mode=spritesheet&imageCount=4&", "?duration=1s&"])
def test_duration(limited, query):
    server = limited("maxDuration", f"{SILENT_SECONDS}s", "silent.mp4")
    passes(server, f"/videos/silent.mp4{query}width=64", 1)
    set_limit(server, "maxDuration", f"{SILENT_SECONDS * 1000 - 1}ms")
    over(server, f"/videos/silent.mp4{query}width=66", "duration", SILENT_SECONDS, SILENT_SECONDS - 0.001)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_streams(limited, tmp_path, suffix):
    """Some containers cannot be opened with more streams than the parser takes, others go on without; both are refused."""
    name = f"three.{suffix}"
    (tmp_path / "made").mkdir()
    path = tmp_path / "made" / name
    sound = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:d=1"]
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1", *sound, "-map", "0:v", "-map", "1:a", "-map", "1:a",
                    "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac" if suffix != "avi" else "mp3", str(path)], check=True)
    assert len(media.probe(path)["streams"]) == 3
    server = limited("maxStreams", 3)
    server.add(path, name)
    passes(server, f"/videos/{name}?mode=frame&width=48", 1)
    passes(server, f"/videos/{name}?width=48", 2)
    set_limit(server, "maxStreams", 2)
    for query in ("?mode=frame&width=50", "?width=50", "?mode=audio&format=mp3"):
        over(server, f"/videos/{name}{query}", "streams", "more than 2", 2)


def test_frames(limited):
    """Pictures that have to be decoded, for one result."""
    server = limited("maxFrames", SILENT_PICTURES, "silent.mp4")
    passes(server, "/videos/silent.mp4?format=gif&fps=5&width=64", 1)
    passes(server, "/videos/silent.mp4?width=64", 2)
    set_limit(server, "maxFrames", SILENT_PICTURES - 1)
    over(server, "/videos/silent.mp4?format=gif&fps=5&width=66", "frames", f"more than {SILENT_PICTURES - 1}", SILENT_PICTURES - 1)
    # What is far too long is refused before anything of it is decoded.
    set_limit(server, "maxFrames", SILENT_PICTURES // 2 - 1)
    over(server, "/videos/silent.mp4?width=68", "frames", SILENT_PICTURES, SILENT_PICTURES // 2 - 1)
    # A picture near the beginning needs few of them, one at the end all from the key frame on.
    set_limit(server, "maxFrames", 5)
    passes(server, "/videos/silent.mp4?mode=frame&width=64&time=0.1s", 3)
    over(server, "/videos/silent.mp4?mode=frame&width=64&time=1.9s", "frames", "more than 5", 5)


def test_frames_of_a_video_that_streams_already(limited):
    """Its head is out when the picture too many comes: the transfer is cut, nothing is stored, and who asks again is told why."""
    server = limited("maxFrames", SILENT_PICTURES - 1, "silent.mp4")
    try:
        reply, body = server.get("/videos/silent.mp4?width=66")
    except wire.Cut:
        pass
    else:
        expect.error(reply, body, "SOURCE_TOO_LARGE")
    until(lambda: server.files() == [], "nothing is left of it on disk")
    assert server.metric("video_resizer_kv_entries") == 0 and server.transforms(result="ok") == 0
    reply, body = server.get("/videos/silent.mp4?width=66", "HEAD")
    assert reply.status == 413 and reply["X-Cache-Status"] == "HIT"
    reply, body = server.get("/videos/silent.mp4?width=66")
    expect.error(reply, body, "SOURCE_TOO_LARGE")
    most = SILENT_PICTURES - 1
    assert json.loads(body)["error"]["details"] == {"limit": "frames", "value": f"more than {most}", "allowed": str(most)}


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_pixels_of_an_animation(limited, kind):
    """Its last picture stands at 2.0 s: 21 of them. What is expected from the head (20) is refused before anything is decoded."""
    target = "/videos/silent.mp4" + ANIMATION.format(kind)
    server = limited("maxAnimationPixels", 21 * ANIMATION_PIXELS, "silent.mp4")
    passes(server, target, 1)
    set_limit(server, "maxAnimationPixels", 21 * ANIMATION_PIXELS - 1)
    over(server, target + "&quality=60", "animation pixels", 21 * ANIMATION_PIXELS, 21 * ANIMATION_PIXELS - 1)
    set_limit(server, "maxAnimationPixels", 20 * ANIMATION_PIXELS - 1)
    over(server, target + "&quality=61", "animation pixels", 20 * ANIMATION_PIXELS, 20 * ANIMATION_PIXELS - 1)
    passes(server, target + "&duration=1s", 2)
