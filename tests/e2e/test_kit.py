"""The kit itself: an instrument that cannot show a failure proves nothing."""
import threading

import pytest

from kit import media, wire
from kit.wait import until
from kit.origin import HttpOrigin


@pytest.fixture
def small(origin):
    path = media.clip("small.mp4")
    origin.files["/a.mp4"] = path
    return path.read_bytes()


def test_whole_body_and_ranges_are_as_asked(origin, small):
    reply, body = wire.fetch(origin.address, "/a.mp4")
    assert (reply.status, body, reply["content-length"]) == (200, small, str(len(small)))
    for spec, wanted in (("0-99", small[:100]), ("100-", small[100:]), ("-50", small[-50:])):
        reply, body = wire.fetch(origin.address, "/a.mp4", headers={"Range": "bytes=" + spec})
        assert (reply.status, body) == (206, wanted)
    assert wire.fetch(origin.address, "/a.mp4", headers={"Range": f"bytes={len(small)}-"})[0].status == 416


def test_chunked_bodies_are_put_together(origin, small):
    origin.no_length = True
    reply, body = wire.fetch(origin.address, "/a.mp4")
    assert body == small and reply.complete and "content-length" not in reply


def test_a_cut_body_is_noticed(origin, small):
    for no_length in (False, True):
        origin.no_length = no_length
        origin.cut_after = 1000
        with wire.Connection(origin.address) as c:
            reply = c.ask("/a.mp4")
            with pytest.raises(wire.Cut):
                reply.body()
            assert not reply.complete


def test_the_origin_counts_what_it_sends(origin, small):
    wire.fetch(origin.address, "/a.mp4", headers={"Range": "bytes=0-99"})
    wire.fetch(origin.address, "/a.mp4", headers={"Range": "bytes=50-149"})
    assert len(origin.gets("/a.mp4")) == 2
    until(lambda: origin.bytes_sent("/a.mp4") == 200, "both answers are counted")
    assert origin.bytes_sent_twice("/a.mp4") == 50


def test_the_gate_holds_bodies_back(origin, small):
    origin.gate.clear()
    with wire.Connection(origin.address) as c:
        reply = c.ask("/a.mp4")
        got = threading.Event()
        reader = threading.Thread(target=lambda: (reply.some(), got.set()))
        reader.start()
        assert not got.wait(0.2)
        origin.gate.set()
        assert got.wait(10)
        reader.join()


def test_skip_counts_every_byte(origin, small):
    with wire.Connection(origin.address) as c:
        assert c.ask("/a.mp4").skip() == len(small)


def test_clips_are_what_they_claim():
    facts = media.probe(media.clip("small.mp4"))
    video = media.video_of(facts)
    assert (video["width"], video["height"], video["codec_name"]) == (320, 180, "h264")
    assert media.audio_of(facts)["codec_name"] == "aac"
    assert abs(media.duration_of(facts) - 3) < 0.1
    assert len(media.frame_hashes(media.clip("small.mp4"))) == 75
    assert media.decode_errors(media.clip("small.mp4")) == ""


def test_a_damaged_clip_is_noticed(tmp_path):
    whole = media.clip("small.mp4").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[:len(whole) * 2 // 3])
    assert media.decode_errors(cut) != ""
    assert media.boxes(whole)[:2] == ["ftyp", "moov"]
