"""Every file of the corpus: the right answer or a clear 4xx, never a hang, a crash or a 500 without cause."""
import concurrent.futures

import pytest

from kit import expect, media

# What cannot become a picture, and what it may be called. Everything else must work.
REFUSED = {
    "corrupt-moov-missing-512B.mp4": {"SOURCE_CORRUPT", "SOURCE_UNSUPPORTED"},
    "encrypted-cenc-short.mp4": {"SOURCE_CORRUPT", "SOURCE_UNSUPPORTED"},
    "audio-only-aac-15s.mp4": {"SOURCE_CORRUPT", "SOURCE_UNSUPPORTED"},
    "mjpeg-quicktime-moovonly-refs.mov": {"SOURCE_CORRUPT", "SOURCE_UNSUPPORTED"},
}
# Damaged: both a best effort and a clear refusal are right.
EITHER = {"corrupt-22ch-aac-frag.mp4", "corrupt-broken-sps.mp4", "corrupt-nal-decord.mp4", "trunc-h264-declares-1331s.mkv",
          "vp9-alpha-faulty.webm", "big-8k-hevc-300ms.mp4"}
# Display size after rotation and sample aspect, where it is not simply the coded size.
SHAPE = {"iphone-hevc-hlg-dv84-10bit-rot90-vfr.mov": (1080, 1920), "bbb-1080p-rot90-aac51-frag-mfra.mp4": (1080, 1920), "sar-2x1.mp4": (1280, 360),
         "h263-amrnb-352x288.3gp": (384, 288), "nasa-2video-2audio-2subs.mp4": (480, 270)}
STILL_SHAPE_MAY_VARY = {"vp8-frame-size-change.webm"}


def names():
    path = media.corpus()
    return sorted(p.name for p in path.iterdir() if p.suffix != ".tsv") if path else []


@pytest.fixture
def served(server, corpus):
    server.media.rmdir()
    server.media.symlink_to(corpus)
    server.config["origins"][0]["sources"][0]["root"] = str(corpus)
    server.start()
    return server


def expected_height(name, width):
    shape = SHAPE.get(name)
    if shape is None:
        video = media.video_of(media.probe(media.corpus(name)))
        shape = (video["width"], video["height"])
    return width * shape[1] / shape[0]


def check(server, tmp_path, name, query):
    """@return a complaint, or None"""
    try:
        reply, body = server.get(f"/videos/{name}?{query}", timeout=280)
    except Exception as e:  # a cut transfer or a hang is what this test is about
        return f"{name}?{query}: {type(e).__name__}: {e}"
    if reply.status != 200:
        try:
            code = expect.error(reply, body)
        except AssertionError as e:
            return f"{name}?{query}: {reply.status}, not an error by the contract: {e}"
        allowed = REFUSED.get(name) or (set(("SOURCE_CORRUPT", "SOURCE_UNSUPPORTED", "SOURCE_TOO_LARGE")) if name in EITHER else set())
        return None if reply.status < 500 and code in allowed else f"{name}?{query}: {reply.status} {body[:300]!r}"
    if name in REFUSED:
        return f"{name}?{query}: 200, but this is nothing to show"
    path = tmp_path / f"{name}.{'jpg' if 'frame' in query else 'mp4'}"
    path.write_bytes(body)
    try:
        video = media.video_of(media.probe(path))
        assert video["codec_name"] == ("mjpeg" if "frame" in query else "h264"), video["codec_name"]
        if "width=320" in query:
            assert video["width"] == 320, video["width"]
            if name not in STILL_SHAPE_MAY_VARY:
                assert abs(video["height"] - expected_height(name, 320)) <= 2, (video["height"], expected_height(name, 320))
        errors = media.decode_errors(path)
        assert not errors, errors[:300]
        hit, stored = server.get(f"/videos/{name}?{query}", timeout=280)
        assert hit["X-Cache-Status"] == "HIT", "the second answer is no hit"
        if "frame" not in query:
            again = path.with_suffix(".stored.mp4")
            again.write_bytes(stored)
            assert media.decode_errors(again) == ""
            media.same_pictures_and_sound(path, again)
            source = media.probe(media.corpus(name))
            if name not in EITHER and "duration" in source["format"] and not name.endswith((".gif", ".mpeg")):
                wanted = media.duration_of(source)
                got = media.duration_of(media.probe(again))
                assert abs(got - wanted) < max(0.6, wanted * 0.02), f"{got} s of {wanted} s"
    except AssertionError as e:
        return f"{name}?{query}: {e}"
    return None


@pytest.mark.parametrize("query", ["mode=frame&width=320", "width=320"])
def test_every_file_of_the_corpus(served, tmp_path, query):
    pid = served.pid
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        complaints = [c for c in pool.map(lambda n: check(served, tmp_path, n, query), names()) if c]
    assert served.process.poll() is None and served.pid == pid, "the server died"
    assert not complaints, "\n".join(complaints)


def test_frame_without_other_options(served):
    bad = []
    for name in names():
        reply, body = served.get(f"/videos/{name}?mode=frame", timeout=120)
        if reply.status != 200:
            code = expect.error(reply, body)
            if code not in (REFUSED.get(name) or {"SOURCE_CORRUPT", "SOURCE_UNSUPPORTED", "SOURCE_TOO_LARGE"} if name in EITHER or name in REFUSED else set()):
                bad.append((name, reply.status, body[:200]))
        elif body[:3] != b"\xff\xd8\xff":
            bad.append((name, "no JPEG", body[:20]))
    assert not bad
