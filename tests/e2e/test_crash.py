"""kill -9 of a worker and of the server in the middle of the work: nothing half-made is ever seen."""
import os
import pathlib
import signal
import time

import pytest

from kit import expect, media, wire
from kit.server import cpu_seconds
from kit.wait import until

TARGET = "/videos/long.mp4?width=640"


@pytest.fixture
def long(server):
    server.add(media.clip("long.mp4"), "long.mp4")
    server.add(media.clip("small.mp4"), "small.mp4")
    server.start()
    return server


def busiest_worker(server):
    """The worker that is at work: the one that has used the most CPU."""
    def find():
        ages = []
        for pid in server.workers():
            try:
                ages.append((cpu_seconds(pid), pid))
            except OSError:
                pass
        busy = max(ages, default=(0, 0))
        return busy[1] if busy[0] >= 0.1 else None
    return until(find, "a worker is busy")


def test_a_killed_worker_costs_one_request(long):
    with long.connect() as c:
        reply = c.ask(TARGET)
        assert reply.status == 200 and reply.some()
        os.kill(busiest_worker(long), signal.SIGKILL)
        with pytest.raises(wire.Cut):
            reply.body()
        assert not reply.complete, "a truncated body must not look complete"
    until(lambda: long.metric("video_resizer_worker_deaths_total", cause="crash") >= 1, "the death is counted")
    assert long.metric("video_resizer_kv_entries") == 0
    assert long.transforms(result="ok") == 0
    # The server lives, other work goes on, and the very same request works the next time.
    assert long.get("/videos/small.mp4?mode=frame&width=160")[0].status == 200
    again, body = long.get(TARGET)
    assert again.status == 200 and again.complete and again["X-Cache-Status"] == "MISS"
    hit, _ = long.get(TARGET)
    assert hit["X-Cache-Status"] == "HIT"


def test_every_waiter_hears_of_the_death(long):
    with long.connect() as a, long.connect() as b:
        first = a.ask(TARGET)
        assert first.some()
        second = b.ask(TARGET)
        assert second.some()
        os.kill(busiest_worker(long), signal.SIGKILL)
        for reply in (first, second):
            with pytest.raises(wire.Cut):
                reply.body()


def test_a_worker_killed_before_the_first_byte_is_an_error_answer(server, origin):
    """The source is held back, so that nothing has been sent when the worker dies."""
    origin.files["/a.mp4"] = media.clip("medium.mp4")
    server.config["origins"] = [server.http_origin(origin)]
    server.config["transform"] = {"workers": 1}
    server.allow_loopback_origins()
    server.start()
    taker = until(server.workers, "a worker is idle")  # the only one: it will get the job
    origin.gate.clear()
    with server.connect() as c:
        c.send(b"GET /remote/a.mp4?width=320 HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: origin.gets("/a.mp4"), "the source is being read")
        for pid in taker:
            os.kill(pid, signal.SIGKILL)
        reply = c.reply()
        expect.error(reply, reply.body(), "TRANSFORM_FAILED")
        origin.gate.set()
    assert server.get("/remote/a.mp4?width=320")[0].status == 200


def test_the_zygotes_death_is_survived(long):
    os.kill(long.zygote(), signal.SIGKILL)
    def works():
        reply, _ = long.get("/videos/small.mp4?mode=frame&width=160")
        return reply.status == 200
    until(works, "transforms work again", 20, every=0.2)


def test_kill_9_of_the_server_leaves_nothing_partial(long):
    long.get("/videos/small.mp4?width=160")
    long.wait_stored(1)
    whole = long.get("/videos/small.mp4?width=160")[1]
    with long.connect() as c:
        reply = c.ask(TARGET)
        assert reply.some()
        below = [pid for pid, _, _ in long.descendants()]
        assert below and long.files(), "work is going on"
        long.kill9()
        with pytest.raises(wire.Cut):
            reply.body()
    until(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in below), "no worker outlives the server", 10)

    seconds = long.resume()
    assert seconds < 2.0 or os.environ.get("VR_SANITIZE"), f"restart took {seconds:.2f} s"
    assert long.metric("video_resizer_kv_entries") == 1
    # Bodies up to 64 KiB live in the index, so only a larger one is a file; nothing else may be left.
    assert len(long.files()) <= 1, "unfinished bodies and staging files are swept"
    reply, body = long.get("/videos/small.mp4?width=160")
    assert reply["X-Cache-Source"] == "KV" and body == whole
    reply, _ = long.get(TARGET)
    assert reply.status == 200 and reply["X-Cache-Status"] == "MISS" and reply.complete


def test_kill_9_again_and_again_loses_no_stored_entry(long):
    """Entries that were reported as stored are whole after each kill."""
    seen = {}
    for round_ in range(4):
        for width in (100, 120, 140):
            target = f"/videos/small.mp4?mode=frame&width={width + round_ * 2}&format=png"
            _, seen[target] = long.get(target)
        long.wait_stored(len(seen))
        with long.connect() as c:
            assert c.ask(TARGET + f"&time={round_}").some()
            long.kill9()
        long.resume()
        for target, body in seen.items():
            reply, now = long.get(target)
            assert (reply["X-Cache-Status"], now == body) == ("HIT", True), target


def test_a_damaged_body_is_a_miss_not_an_answer(long):
    """After an unclean end each body's checksum is verified when it is first read."""
    target = "/videos/small.mp4"
    long.get(target)
    long.wait_stored(1)
    bodies = [p for p in long.files() if p.stat().st_size == media.clip("small.mp4").stat().st_size]
    assert len(bodies) == 1, long.files()
    long.kill9()
    data = bytearray(bodies[0].read_bytes())
    data[len(data) // 2] ^= 0xFF
    bodies[0].write_bytes(data)
    long.resume()
    reply, body = long.get(target)
    assert body == media.clip("small.mp4").read_bytes()
    assert reply["X-Cache-Status"] == "MISS"
