"""Failures of a source are remembered for a short time by their class (cache contract §4, R-43), and nothing else is."""
import os
import re
import signal
import time

import pytest

from kit import expect, media
from kit.server import cpu_seconds
from kit.wait import until

TARGET = "/remote/a.mp4?mode=frame&width=160"
KEY = "frame:remote/a.mp4:w=160"
HTML = b"<html><body>Not here</body></html>"


def remote(server, origin, **ttl):
    server.config["origins"] = [server.http_origin(origin, ttl=ttl) if ttl else server.http_origin(origin)]
    server.config["fetch"] = {"firstByteTimeout": 1}
    server.config["transform"] = {"maxSourceBytes": "1MiB"}
    server.allow_loopback_origins()
    server.open_admin()
    return server


def gone(origin):
    origin.status = 404


def gone_for_good(origin):
    origin.status = 410


def a_web_page(origin):
    origin.body, origin.content_type = HTML, "text/html"


def no_video_inside(origin):
    origin.body = b"no video at all " * 1000


def a_broken_video(origin):
    whole = media.clip("small.mp4").read_bytes()
    at = whole.index(b"moov")
    origin.body = whole[:at - 4] + bytes(len(whole) - at)


def too_large(origin):
    origin.body = bytes(2 << 20)


def failing(origin):
    origin.status = 503


def silent(origin):
    origin.heads.clear()


# what the origin does, the API's name for it, the status, its class and that class's default TTL
FAILURES = [(gone, "NOT_FOUND", 404, "clientError", 60), (gone_for_good, "NOT_FOUND", 404, "clientError", 60),
            (a_web_page, "SOURCE_UNSUPPORTED", 415, "clientError", 60), (no_video_inside, None, None, "clientError", 60),
            (a_broken_video, None, None, "clientError", 60), (too_large, "SOURCE_TOO_LARGE", 413, "clientError", 60),
            (failing, "ALL_SOURCES_FAILED", 502, "serverError", 10), (silent, "ORIGIN_TIMEOUT", 504, "serverError", 10)]


def recovered(origin):
    origin.status = origin.body = None
    origin.content_type = "video/mp4"
    origin.heads.set()
    origin.files["/a.mp4"] = media.clip("small.mp4")


@pytest.mark.parametrize("fail, code, status, kind, ttl", FAILURES, ids=[f[0].__name__ for f in FAILURES])
def test_a_failure_of_the_source_is_remembered_by_its_class(server, origin, fail, code, status, kind, ttl):
    remote(server, origin).start()
    fail(origin)
    first, body = server.get(TARGET)
    expect.error(first, body, code)
    assert first.status in ((status,) if status else (415, 422))
    expect.media_headers(first, status_in=("MISS",), source="transform", key=KEY)
    assert first["Cache-Control"] == f"public, max-age={ttl}" and first["Age"] == "0"
    asked = len(origin.requests)
    for _ in range(3):
        again, text = server.get(TARGET)
        assert (again.status, text) == (first.status, body)
        expect.media_headers(again, status_in=("HIT",), source="edge", key=KEY)
        max_age = int(again["Cache-Control"].removeprefix("public, max-age="))
        remains = int(re.search(r"ttl=(\d+)", again["Cache-Status"]).group(1))
        assert 0 < max_age == remains <= ttl and again["Age"] == "0"
        assert again["Cache-Tag"] == first["Cache-Tag"]
        assert "ETag" not in again and "Accept-Ranges" not in again
        assert {n.lower() for n, _ in again.fields} == {n.lower() for n, _ in first.fields} - {"x-processing-time-ms"}, "R-124"
    assert len(origin.requests) == asked, "the origin is left in peace"
    assert server.metric("video_resizer_kv_entries") == 0
    recovered(origin)
    assert server.get(TARGET)[0].status == first.status, "still remembered"
    assert server.get(TARGET + "&nocache=1")[0].status == 200, "bypassable"
    assert server.get(TARGET)[0].status == 200, "and a success replaces it"


@pytest.mark.parametrize("fail, kind", [(gone, "clientError"), (failing, "serverError")])
def test_it_never_masks_a_recovery_beyond_its_ttl(server, origin, fail, kind):
    remote(server, origin, **{kind: 1}).start()
    fail(origin)
    begin = time.monotonic()
    assert server.get(TARGET)[0].status >= 400
    recovered(origin)
    until(lambda: server.get(TARGET)[0].status == 200, "the source is asked again", 5, every=0.05)
    assert time.monotonic() - begin < 3


@pytest.mark.parametrize("fail, kind", [(gone, "clientError"), (failing, "serverError")])
def test_a_class_with_a_ttl_of_zero_is_not_remembered(server, origin, fail, kind):
    remote(server, origin, **{kind: 0}).start()
    fail(origin)
    for _ in range(2):
        reply, _ = server.get(TARGET)
        assert (reply["X-Cache-Status"], reply["Cache-Control"]) == ("MISS", "no-store")
        assert reply["Cache-Status"] == "KV; fwd=miss, edge; fwd=miss", "nothing is stored"
    recovered(origin)
    assert server.get(TARGET)[0].status == 200, "at once"
    assert server.metric("video_resizer_negative_stored_total") == 0


def test_failures_are_remembered_although_successes_are_not(server, origin):
    """The classes are independent, and what is said about storing is said of this answer."""
    remote(server, origin, ok=0).start()
    gone(origin)
    assert server.get(TARGET)[0]["Cache-Status"] == "KV; fwd=miss, edge; fwd=miss; stored"
    assert server.get(TARGET)[0]["X-Cache-Status"] == "HIT"


def test_a_time_past_the_end_stays_wrong(server, origin):
    """The client's mistake, but one that only the source can tell."""
    remote(server, origin).start()
    recovered(origin)
    for status in ("MISS", "HIT"):
        reply, body = server.get(TARGET + "&time=1000s")
        expect.error(reply, body, "TIME_OUT_OF_RANGE")
        assert reply["X-Cache-Status"] == status


def test_bad_requests_are_answered_and_not_remembered(server, origin):
    remote(server, origin)
    server.config["validation"] = "strict"
    server.start()
    for target in ("/remote/a.mp4?width=1", "/nothing/a.mp4", "/remote/a.txt", "/remote/../a.mp4", "/remote/%zz.mp4"):
        for _ in range(2):
            reply, _ = server.get(target)
            assert 400 <= reply.status < 500 and reply["X-Cache-Status"] != "HIT"
    assert server.metric("video_resizer_negative_stored_total") == 0
    assert not origin.requests


def test_overload_is_never_remembered(server, origin):
    remote(server, origin)
    server.config["transform"] = {"workers": 1, "queue": 0}
    server.add(media.clip("long.mp4"), "long.mp4")
    server.config["origins"].append(server.file_origin())
    server.start()
    recovered(origin)
    with server.connect() as c:
        assert c.ask("/videos/long.mp4?width=640").some(), "the only worker is busy"
        reply, body = server.get(TARGET)
        expect.error(reply, body, "OVERLOADED")
        assert reply["Cache-Control"] == "no-store" and int(reply["Retry-After"]) > 0
        again, _ = server.get(TARGET)
        assert (again.status, again["X-Cache-Status"]) == (503, "MISS"), "asked anew each time"
    assert server.metric("video_resizer_negative_stored_total") == 0
    until(lambda: server.get(TARGET)[0].status == 200, "and served once there is room", 60, every=0.1)


def test_a_clients_abort_is_never_remembered(server, origin):
    remote(server, origin).start()
    recovered(origin)
    origin.gate.clear()
    c = server.connect()
    c.begin(TARGET)
    until(lambda: server.metric("video_resizer_productions_in_flight") == 1, "a production is under way")
    c.reset()
    origin.gate.set()
    assert server.get(TARGET)[0].status == 200
    assert server.metric("video_resizer_negative_stored_total") == 0


def test_our_own_failure_is_never_remembered(server):
    server.add(media.clip("long.mp4"), "long.mp4")
    server.start()
    target = "/videos/long.mp4?width=640"
    with server.connect() as c:
        c.begin(target, headers={"Range": "bytes=5-9"})  # waits for the stored form
        pid = until(lambda: next((p for p in server.workers() if p and busy(p)), None), "a worker is at work")
        os.kill(pid, signal.SIGKILL)
        reply = c.reply()
        expect.error(reply, reply.body(), "TRANSFORM_FAILED")
        assert reply["Cache-Control"] == "no-store"
    assert server.metric("video_resizer_negative_stored_total") == 0
    with server.connect() as c:
        assert c.ask(target).status == 200, "the next request tries again"


def busy(pid):
    try:
        return cpu_seconds(pid) > 0.2
    except OSError:
        return False


def test_every_waiter_gets_the_same_error_and_one_question_was_asked(server, origin):
    remote(server, origin).start()
    origin.status = 404
    origin.heads.clear()
    clients = [server.connect() for _ in range(20)]
    try:
        for c in clients:
            c.begin(TARGET)
        until(lambda: server.metric("video_resizer_joins_total") == 19, "all wait for one production")
        origin.heads.set()
        replies = [c.reply() for c in clients]
        bodies = {r.body() for r in replies}
        assert {r.status for r in replies} == {404} and len(bodies) == 1
    finally:
        for c in clients:
            c.close()
    assert len(origin.requests) == 1
