"""Served while it is made: structure, not stopwatch. A gate on the source or a long clip keeps productions open."""
import concurrent.futures
import pathlib
import random
import threading

import pytest

from kit import media, wire
from kit.wait import until


@pytest.fixture
def long(server):
    """The server with a clip that takes seconds to transcode."""
    server.add(media.clip("long.mp4"), "long.mp4")
    server.start()
    return server


TARGET = "/videos/long.mp4?width=640"


def unfinished(server):
    return server.transforms(mode="video") == 0


def test_first_body_byte_comes_before_the_transform_ends(long, tmp_path):
    with long.connect() as c:
        reply = c.ask(TARGET)
        first = reply.some()
        assert reply.status == 200 and first
        assert unfinished(long), "the first byte came only after the work was done"
        assert "Content-Length" not in reply
        body = first + reply.body()
    assert long.transforms(result="ok") == 1
    path = tmp_path / "streamed.mp4"
    path.write_bytes(body)
    facts = media.probe(path)
    video = media.video_of(facts)
    assert (video["width"], video["height"], video["codec_name"]) == (640, 360, "h264")
    assert media.decode_errors(path) == ""
    assert abs(media.duration_of(facts) - 30) < 0.5
    hit, stored = long.get(TARGET)
    assert hit["X-Cache-Source"] == "edge"
    path2 = tmp_path / "stored.mp4"
    path2.write_bytes(stored)
    media.same_pictures_and_sound(path, path2)


def test_a_late_joiner_gets_everything_from_the_start(long):
    with long.connect() as a, long.connect() as b:
        first = a.ask(TARGET)
        head = b"".join(first.some() for _ in range(3))
        second = b.ask(TARGET)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            one, two = pool.submit(first.body), pool.submit(second.body)
            streamed, joined = head + one.result(), two.result()
    assert second["X-Cache-Status"] in ("MISS", "HIT")
    assert joined == streamed, "both read the same staging file"
    assert long.transforms() == 1


def test_the_leaders_disconnect_does_not_stop_the_others(long):
    leader = long.connect()
    reply = leader.ask(TARGET)
    assert reply.some()
    with long.connect() as other:
        joined = other.ask(TARGET)
        assert joined.some()
        leader.reset()
        joined.skip()
        assert joined.complete
    assert long.transforms() == long.transforms(result="ok") == 1
    hit, _ = long.get(TARGET)
    assert hit["X-Cache-Source"] == "edge"


def test_a_client_that_leaves_alone_breaks_nothing(long):
    c = long.connect()
    assert c.ask(TARGET).some()
    c.reset()
    reply, body = long.get(TARGET)
    assert reply.status == 200 and body
    assert long.transforms(result="ok") == 1
    assert long.get(TARGET)[0]["X-Cache-Status"] == "HIT"


def test_a_client_that_does_not_read_slows_nobody(long):
    """Worse than 10 KB/s: the slow client reads nothing at all until the others have everything."""
    with long.connect(receive_buffer=4096) as slow:
        lazy = slow.ask(TARGET)
        first = lazy.some(100)
        with long.connect() as quick:
            eager = quick.ask(TARGET)
            body = eager.body()
        assert long.transforms(result="ok") == 1
        assert long.get(TARGET)[0]["X-Cache-Source"] == "edge"
        assert first + lazy.body() == body, "the slow one gets every byte in the end"


def test_a_trickling_client_and_a_quick_one(long):
    """10 KB/s, really: one reads 1 KB every 100 ms while the other takes all."""
    stop = threading.Event()
    taken = []

    def trickle():
        with long.connect(receive_buffer=4096) as slow:
            reply = slow.ask(TARGET)
            while not stop.wait(0.1):
                taken.append(len(reply.some(1024)))

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        until(lambda: taken, "the slow client got its first bytes")
        reply, body = long.get(TARGET)
        assert reply.complete and long.transforms() == 1
        assert sum(taken) < len(body) / 2, "the slow client was not slow"
    finally:
        stop.set()
        thread.join()


def test_two_variants_are_made_at_the_same_time(long):
    with long.connect() as a, long.connect() as b:
        one, two = a.ask(TARGET), b.ask("/videos/long.mp4?width=320")
        assert one.some() and two.some()
        assert unfinished(long)


def test_hits_are_served_while_a_long_transform_runs(long):
    long.add(media.clip("small.mp4"), "small.mp4")
    target = "/videos/small.mp4?mode=frame&width=160"
    long.get(target)
    with long.connect() as c:
        assert c.ask(TARGET).some()
        for _ in range(50):
            assert long.get(target)[0]["X-Cache-Source"] == "edge"
        assert unfinished(long)


def test_http_1_0_clients_get_the_stream_until_close(long, tmp_path):
    with long.connect() as c:
        c.send(f"GET {TARGET}&duration=5 HTTP/1.0\r\nHost: x\r\n\r\n".encode())
        reply = c.reply()
        assert reply.status == 200 and "Transfer-Encoding" not in reply
        path = tmp_path / "a.mp4"
        path.write_bytes(reply.body())
    assert media.decode_errors(path) == ""


@pytest.mark.parametrize("keep_from", [100, 0], ids=["given up", "kept"])
def test_what_nobody_waits_for_is_given_up_while_it_is_young(server, keep_from):
    server.add(media.clip("long.mp4"), "long.mp4")
    server.config["cache"] = {"abandonAfter": 1, "keepFromPercent": keep_from}
    server.config["transform"] = {"workers": 1}
    server.start()
    target = "/videos/long.mp4?width=1280&compression=high"
    c = server.connect()
    assert c.ask(target).some()
    c.reset()
    if keep_from == 0:
        until(lambda: server.transforms(result="ok") == 1, "it goes on", 120)
        assert server.get(target)[0]["X-Cache-Status"] == "HIT"
        assert server.metric("video_resizer_abandoned_total") == 0
        return
    until(lambda: server.transforms(result="cancelled") == 1, "it is given up, and its worker with it", 30)
    assert server.metric("video_resizer_abandoned_total") == 1
    assert server.metric("video_resizer_kv_entries") == server.metric("video_resizer_negative_stored_total") == 0
    assert not server.events("production_failed"), "nobody's failure"
    assert server.get("/videos/long.mp4?mode=frame&width=16")[0].status == 200, "the only worker's place is free again"
    with server.connect() as c:
        reply = c.ask(target)
        assert reply.status == 200 and reply.some(), "whoever comes next starts afresh"


def test_a_seek_storm_starts_one_transform_and_leaks_nothing(long):
    """What a browser does to a slider: overlapping ranges, most given up at once (R-18)."""
    def descriptors():
        return len(list(pathlib.Path(f"/proc/{long.pid}/fd").iterdir()))

    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    target = "/videos/long.mp4?width=320&duration=8"
    long.get("/videos/long.mp4?mode=frame&width=16")
    before = descriptors()
    patient = []
    for turn in range(80):
        c = long.connect()
        first = dice.randrange(0, 200_000)
        last = "" if dice.random() < 0.5 else first + dice.randrange(1, 100_000)
        c.begin(target, headers={"Range": f"bytes={first}-{last}"})
        if turn % 16 == 0:
            patient.append((c, first, last))
        else:
            c.reset()
    parts = []
    for c, first, last in patient:
        reply = c.reply()
        parts.append((reply.status, first, last, reply.body()))
        c.close()
    hit, whole = long.get(target)
    assert hit["X-Cache-Source"] == "edge"
    for status, first, last, part in parts:
        expected = whole[first:] if last == "" else whole[first:last + 1]
        assert (status, part) == ((206, expected) if expected else (416, part))
    assert long.transforms(mode="video") == 1, "one transform for all of them"
    until(lambda: long.metric("video_resizer_productions_in_flight") == 0, "nothing is left under way")
    until(lambda: descriptors() <= before + 8, f"descriptors are given back: {before} before")
