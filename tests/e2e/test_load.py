"""Many clients at once: one transform, one origin read, bounded memory."""
import concurrent.futures
import os
import threading

import pytest

from kit import media, wire
from kit.wait import until

CLIENTS = 200


def together(count, work):
    """Runs work(i) in `count` threads that start at the same moment. @return their results in order"""
    gate = threading.Barrier(count)

    def run(i):
        gate.wait(60)
        return work(i)

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_200_cold_requests_are_one_transform_and_one_origin_read(server, origin, tmp_path):
    origin.files["/a.mp4"] = media.clip("medium.mp4")
    origin.files["/b.mp4"] = media.clip("medium.mp4")
    server.config["origins"] = [server.http_origin(origin)]
    server.allow_loopback_origins()
    server.start()
    assert server.get("/remote/b.mp4?width=320")[0].status == 200
    made = server.transforms()

    def client(_):
        with wire.Connection(server.address, timeout=120) as c:
            reply = c.ask("/remote/a.mp4?width=320")
            return reply.status, reply["X-Cache-Source"], reply.body(), reply.complete

    answers = together(CLIENTS, client)
    assert [a[0] for a in answers] == [200] * CLIENTS
    assert all(a[3] for a in answers)
    assert server.transforms() - made == 1, "exactly one transform"
    assert origin.bytes_sent_twice("/a.mp4") == 0, "no byte of the source was read twice"
    # In how many parts it was read depends on the pace of reading and reading ahead; it was opened once.
    opened = [asked for _, _, asked, _ in origin.gets("/a.mp4") if asked is None or asked.startswith("bytes=0-")]
    assert len(opened) == 1, origin.gets("/a.mp4")
    assert origin.bytes_sent("/a.mp4") <= media.clip("medium.mp4").stat().st_size

    # All bodies decode to identical frames. There are at most two byte forms: streamed and stored.
    forms = {}
    for _, _, body, _ in answers:
        forms.setdefault(body, 0)
        forms[body] += 1
    assert len(forms) <= 2
    paths = []
    for n, body in enumerate(forms):
        path = tmp_path / f"form{n}.mp4"
        path.write_bytes(body)
        assert media.decode_errors(path) == ""
        paths.append(path)
    paths.sort(key=lambda p: "moof" not in media.boxes(p.read_bytes()))  # the streamed form first
    assert len(media.frame_hashes(paths[0])) == 240
    media.same_pictures_and_sound(paths[0], paths[-1])

    layers = lambda layer: server.metric("video_resizer_requests_total", layer=layer)  # noqa: E731
    until(lambda: sum(layers(x) for x in ("edge", "kv", "joined", "transform")) == CLIENTS + 1, "every request is counted once")
    assert layers("transform") == 2


def test_parallel_requests_of_many_variants_all_work(server):
    server.add(media.clip("small.mp4"), "small.mp4")
    server.start()
    replies = together(24, lambda i: server.get(f"/videos/small.mp4?mode=frame&width={100 + 2 * (i % 12)}&time={i % 2}", timeout=120))
    assert {r.status for r, _ in replies} == {200}
    assert server.transforms() <= 24 and server.transforms(result="ok") == server.transforms()


def test_a_full_queue_answers_at_once(server):
    """One worker, a queue of one: the third variant at the same time is refused, not kept waiting."""
    server.config["transform"] = {"workers": 1, "queue": 1}
    server.add(media.clip("long.mp4"), "long.mp4")
    server.start()
    statuses = []
    with server.connect() as running, server.connect() as queued:
        assert running.ask("/videos/long.mp4?width=640").some()
        queued.send(b"GET /videos/long.mp4?width=642 HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: server.metric("video_resizer_queue_depth") >= 1, "one job waits")
        reply, body = server.get("/videos/long.mp4?width=644")
        statuses.append(reply.status)
        assert reply.status == 503 and int(reply["Retry-After"]) >= 1, body[:300]
        assert b"OVERLOADED" in body
        # Before anything was done for it; what needs no worker goes on, and so does what is under way.
        assert server.metric("video_resizer_queue_refusals_total") == 1
        assert server.metric("video_resizer_productions_total") == 2
        assert server.get("/videos/long.mp4", headers=[("Range", "bytes=0-99")])[0].status == 206
        with server.connect() as joined:
            joined.send(b"GET /videos/long.mp4?width=642 HTTP/1.1\r\nHost: x\r\n\r\n")
            until(lambda: server.metric("video_resizer_joins_total") == 1, "it waits with the first")
        assert server.metric("video_resizer_queue_refusals_total") == 1
    # Our own overload is never remembered.
    until(lambda: server.get("/videos/long.mp4?width=644&mode=frame")[0].status == 200, "work again", 60, every=0.3)


@pytest.mark.skipif(bool(os.environ.get("VR_SANITIZE")), reason="memory of an instrumented build says nothing")
def test_50_clients_of_a_500_mb_original_stay_under_150_mb(server):
    size = 500 << 20
    path = server.media / "huge.mp4"
    original = media.clip("small.mp4").read_bytes()
    with open(path, "wb") as f:  # a real clip, then one huge sparse `free` box
        f.write(original)
        f.write((size - len(original)).to_bytes(4, "big") + b"free")
        f.truncate(size)
    server.start()

    def client(_):
        with wire.Connection(server.address, timeout=300) as c:
            reply = c.ask("/videos/huge.mp4")
            assert reply.status == 200
            return len(reply.some(1)) + reply.skip()

    taken = together(50, client)
    assert taken == [size] * 50
    peak = server.status_kib("VmHWM")
    assert peak < 150 * 1024, f"{peak / 1024:.0f} MB at the peak"
    print(f"peak RSS {peak / 1024:.0f} MB")


def test_idle_connections_cost_little(server):
    server.start()
    before = server.status_kib("VmRSS")
    connections = [server.connect() for _ in range(500)]
    try:
        assert server.ready()
        assert server.status_kib("VmRSS") - before < 500 * 40
    finally:
        for c in connections:
            c.close()
