"""Several sources of one origin: who is asked, how often, what is told, and who is left alone."""
import json
import signal

import pytest

from kit import expect, media
from kit.origin import HttpOrigin
from kit.raw_origin import RawOrigin, answer
from kit.server import Server
from kit.wait import until

FRAME = "?mode=frame&width=160"


@pytest.fixture
def raw():
    origin = RawOrigin()
    yield origin
    origin.close()


def several(server, *urls, **fetch):
    place = {"name": "remote", "matcher": "^/remote/(.+)$", "captureGroups": ["path"]}
    place["sources"] = [{"type": "http", "url": url, "path": "${path}", "priority": i} for i, url in enumerate(urls)]
    server.config["origins"] = [place]
    server.config["fetch"] = {"retryBackoff": "1ms", **fetch}
    server.config["cache"] = {"kvTtl": {"clientError": 0, "serverError": 0}}
    return place


def attempts(body):
    return json.loads(body)["error"]["details"]["attempts"]


def sick(raw, path, *replies):
    """Answers `path` with each of `replies` in turn, the last one for ever."""
    left = list(replies)
    raw.answers[path] = lambda asked: left.pop(0) if len(left) > 1 else left[0]


def plain(status, *fields):
    return answer("Connection: close", *fields, status=status)


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone", "500 Oops", "503 Busy", "403 No"])
def test_the_next_source_has_it(server, origin, raw, status):
    origin.files["/a.mp4"] = media.clip("small.mp4")
    raw.answers["/a.mp4"] = plain(status)
    several(server, raw.url, origin.url)
    server.start()
    reply, body = server.get("/remote/a.mp4" + FRAME)
    assert reply.status == 200, body[:300]
    assert len(raw.asked("/a.mp4")) == 1, "who has failed is not asked again while another one has it"


def test_html_with_200_is_no_video(server, raw):
    raw.answers["/a.mp4"] = answer("Content-Type: text/html", body=b"<html>not here</html>")
    several(server, raw.url)
    server.start()
    reply, body = server.get("/remote/a.mp4" + FRAME)
    expect.error(reply, body, "SOURCE_UNSUPPORTED")


def test_every_attempt_is_told_and_nothing_else(server, raw, origin):
    origin.status = 410
    sick(raw, "/a.mp4", plain("503 Busy"), plain("500 Oops"))
    place = several(server, raw.url, origin.url)
    place["sources"][0]["auth"] = {"type": "bearer", "token": "s3cr3t-token"}
    place["sources"][1]["auth"] = {"type": "query", "name": "key", "value": "s3cr3t-key"}
    place["sources"].append({"type": "file", "root": str(server.media), "path": "${path}", "priority": 9})
    server.start()
    reply, body = server.get("/remote/a.mp4" + FRAME)
    expect.error(reply, body, "ALL_SOURCES_FAILED")
    assert attempts(body) == "http: 503 then 500, http: 410, file: not found"
    for secret in (b"s3cr3t", raw.address.encode(), origin.address.encode(), str(server.media).encode()):
        assert secret not in body
    assert "s3cr3t" not in server.log_tail(100000)


def test_not_found_tells_every_attempt_too(server, raw, origin):
    raw.answers["/a.mp4"] = plain("410 Gone")
    several(server, raw.url, origin.url)
    server.start()
    reply, body = server.get("/remote/a.mp4" + FRAME)
    expect.error(reply, body, "NOT_FOUND")
    assert attempts(body) == "http: 410, http: 404"
    assert len(raw.asked("/a.mp4")) == 1 and len(origin.gets("/a.mp4")) == 1


def served(body):
    """A 206 of a small file."""
    def reply(asked):
        first, last = asked.one("Range").split("=")[1].split("-")
        first, last = int(first), min(int(last), len(body) - 1)
        return answer("Content-Type: video/mp4", 'ETag: "v1"', f"Content-Range: bytes {first}-{last}/{len(body)}",
                      status="206 Partial Content", body=body[first:last + 1])
    return reply


@pytest.mark.parametrize("first", [plain("503 Busy"), plain("502 Bad"), plain("504 Late"), plain("429 Slow", "Retry-After: 0"), None])
def test_what_fails_and_then_is_fine_is_fine(server, raw, first):
    good = served(media.clip("small.mp4").read_bytes())
    seen = []

    def reply(asked):
        seen.append(asked.one("Range"))
        return first if len(seen) == 1 else good(asked)
    raw.answers["/a.mp4"] = reply
    several(server, raw.url)
    server.start()
    got, body = server.get("/remote/a.mp4" + FRAME)
    assert got.status == 200, body[:300]
    assert seen.count(seen[0]) >= 2 and server.metric("video_resizer_origin_retries_total") == 1


@pytest.mark.parametrize("reply, text", [(plain("500 Oops"), "http: 500"), (plain("400 Bad"), "http: 400"), (plain("401 Who"), "http: 401"),
                                         (plain("503 Busy", "Retry-After: 3600"), "http: 503")])
def test_what_no_second_try_would_cure_is_asked_once(server, raw, reply, text):
    raw.answers["/a.mp4"] = reply
    several(server, raw.url)
    server.start()
    got, body = server.get("/remote/a.mp4" + FRAME)
    expect.error(got, body, "ALL_SOURCES_FAILED")
    assert attempts(body) == text
    assert len(raw.asked("/a.mp4")) == 1


def test_a_source_that_keeps_failing_is_left_alone_and_comes_back(server, raw, origin):
    origin.files["/a.mp4"] = media.clip("small.mp4")
    ill = [True]
    good = served(media.clip("small.mp4").read_bytes())
    raw.answers["/a.mp4"] = lambda asked: plain("500 Oops") if ill[0] else good(asked)
    several(server, raw.url, origin.url, breakerFailures=3, breakerCooldown="1h")
    server.start()
    for width in range(160, 170):
        assert server.get(f"/remote/a.mp4?mode=frame&width={width}")[0].status == 200
    assert len(raw.asked("/a.mp4")) == 3
    labels = {"origin": "remote", "source": raw.address}
    assert server.metric("video_resizer_origin_breaker_state", **labels) == 2
    assert server.metric("video_resizer_origin_breaker_opened_total", **labels) == 1
    assert server.metric("video_resizer_origin_breaker_skipped_total", **labels) == 7

    # What is known of a source outlives a reload that keeps it; the cool-down may change.
    place = server.config["origins"][0]
    place["sources"] = place["sources"][:1]
    place["sources"][0]["priority"] = 7
    server.write_config()
    server.signal(signal.SIGHUP)
    server.wait_event("config_reloaded")
    reply, body = server.get("/remote/a.mp4?mode=frame&width=200")
    expect.error(reply, body, "ALL_SOURCES_FAILED")
    assert attempts(body) == "http: circuit open"
    ill[0] = False
    mark = len(server.log)
    server.config["fetch"]["breakerCooldown"] = "1ms"
    server.write_config()
    server.signal(signal.SIGHUP)
    server.wait_event("config_reloaded", after=mark)
    assert server.get("/remote/a.mp4?mode=frame&width=200")[0].status == 200
    assert server.metric("video_resizer_origin_breaker_state", **labels) == 0


def test_stale_is_served_while_the_circuit_is_open(server, raw):
    ill = [False]
    good = served(media.clip("small.mp4").read_bytes())
    raw.answers["/a.mp4"] = lambda asked: plain("500 Oops") if ill[0] else good(asked)
    raw.answers["/b.mp4"] = plain("500 Oops")
    several(server, raw.url, breakerFailures=1, breakerCooldown="1h")
    server.config["cache"] = {"kvTtl": {"ok": 1, "serverError": 0}, "staleWhileRevalidate": 0, "staleIfError": "1h"}
    server.start()
    first = server.get("/remote/a.mp4" + FRAME)
    assert first[0].status == 200
    server.wait_stored(1)
    ill[0] = True
    expect.error(*server.get("/remote/b.mp4" + FRAME), "ALL_SOURCES_FAILED")
    asked = len(raw.asked("/a.mp4"))

    def stale():
        reply, body = server.get("/remote/a.mp4" + FRAME)
        assert reply.status == 200 and body == first[1]
        return reply["X-Cache-Status"] == "STALE"
    until(stale, "the answer is stale")
    assert len(raw.asked("/a.mp4")) == asked, "an open circuit is not asked"


def test_missing_files_do_not_open_a_circuit(server, origin):
    several(server, origin.url, breakerFailures=2)
    server.start()
    for i in range(6):
        reply, body = server.get(f"/remote/{i}.mp4" + FRAME)
        expect.error(reply, body, "NOT_FOUND")
    assert len(origin.requests) == 6


def test_a_passed_through_request_names_its_attempts_too(server, raw):
    dead = []
    for _ in range(2):
        gone = HttpOrigin()
        gone.close()
        dead.append({"type": "http", "url": gone.url})
    server.config["origins"] = [{"name": "pages", "matcher": "^/page", "mode": "passthrough", "sources": dead}]
    server.start()
    reply, body = server.get("/page")
    expect.error(reply, body, "ALL_SOURCES_FAILED")
    assert attempts(body) == "http: unreachable (3 tries), http: unreachable (3 tries)"
    server.config["origins"][0]["sources"].append({"type": "http", "url": raw.url})
    raw.answers["/page"] = answer(body=b"here")
    server.write_config()
    server.signal(signal.SIGHUP)
    server.wait_event("config_reloaded")
    assert server.get("/page")[1] == b"here"


# -- Cache-Control of an origin

OWN = "private, max-age=77, stale-while-revalidate=5"


def test_an_origins_own_cache_control(server, origin):
    origin.files["/a.mp4"] = media.clip("small.mp4")
    place = several(server, origin.url)
    place["cacheControl"] = OWN
    server.start()
    target = "/remote/a.mp4" + FRAME
    miss = server.get(target)[0]
    assert miss.status == 200
    server.wait_stored(1)
    hit = server.get(target)[0]
    assert hit["X-Cache-Source"] == "edge" and hit["Cache-Control"] == OWN and int(hit["Age"]) >= 0
    head = server.get(target, "HEAD")[0]
    assert head.status == 200 and head["Cache-Control"] == OWN
    same = server.get(target, headers=[("If-None-Match", hit["ETag"])])[0]
    assert same.status == 304 and same["Cache-Control"] == OWN
    part = server.get(target, headers=[("Range", "bytes=0-9")])[0]
    assert part.status == 206 and part["Cache-Control"] == OWN
    assert server.get("/remote/a.mp4")[0]["Cache-Control"] == OWN, "the original, while it is copied"
    debug = server.get(target + "&debug=1")[0]
    assert debug["Cache-Control"] == "no-store"
    missing = server.get("/remote/b.mp4" + FRAME)[0]
    assert missing.status == 404 and missing["Cache-Control"] != OWN
    server.restart()
    kv = server.get(target)[0]
    assert kv["X-Cache-Source"] == "KV" and kv["Cache-Control"] == OWN
    live = server.get("/remote/a.mp4?width=180")[0]
    if live["ETag"] is None:
        assert live["Cache-Control"] == "no-store", "what only streams is nobody's to keep"


# -- loops

def test_our_own_request_that_comes_back_is_508(server, raw, tmp_path):
    seen = []

    def reply(asked):
        seen.append(asked.one("Via"))
        return plain("404 Not Found")
    raw.answers["/a.mp4"] = reply
    raw.answers["/page"] = reply
    several(server, raw.url)
    server.config["origins"].append({"name": "pages", "matcher": "^/page", "mode": "passthrough",
                                     "sources": [{"type": "http", "url": raw.url}]})
    server.start()
    server.get("/remote/a.mp4" + FRAME, headers=[("Via", "1.0 edge, 1.1 video-resizer-other1, 1.1 video-resizer")])
    server.get("/page")
    assert len(seen) == 2
    own = seen[0].split(", ")[-1]
    assert seen[0] == "1.1 video-resizer-other1, " + own and seen[1] == own, "one name for all that we send"
    for via in (own, "1.1 x, " + own, '", ' + own):
        for target in ("/remote/a.mp4" + FRAME, "/page", "/remote/a.mp4", "/nowhere", "/cdn-cgi/media/width=90/remote/a.mp4"):
            reply_, body = server.get(target, headers=[("Via", via)])
            assert reply_.status == 508, (target, body[:200])
            expect.error(reply_, body, "LOOP_DETECTED")
            assert reply_["Cf-Resized"] == ("err=9403" if "cdn-cgi" in target else None)
    many = ", ".join(f"1.1 h{i}" for i in range(11))
    assert server.get("/page", headers=[("Via", many)])[0].status == 508
    assert len(seen) == 2
    assert server.get("/healthz", headers=[("Via", own)])[0].status == 200


def test_two_servers_in_a_row_work_and_in_a_ring_end(server, tmp_path):
    back = Server(tmp_path / "back")
    back.add(media.clip("small.mp4"), "a.mp4")
    back.start()
    try:
        several(server, "http://" + back.address + "/videos")
        server.start()
        reply, body = server.get("/remote/a.mp4" + FRAME)
        assert reply.status == 200, body[:300]
        # Now the one behind asks the one in front.
        back.config["origins"] = [{"name": "ring", "matcher": "^/remote/", "sources": [
            {"type": "http", "url": "http://" + server.address}]}]
        back.write_config()
        back.signal(signal.SIGHUP)
        back.wait_event("config_reloaded")
        server.config["origins"][0]["sources"] = [{"type": "http", "url": "http://" + back.address, "path": "remote/${path}"}]
        server.write_config()
        server.signal(signal.SIGHUP)
        server.wait_event("config_reloaded")
        reply, body = server.get("/remote/ring.mp4", timeout=20)
        assert reply.status == 502, body[:300]
        assert attempts(body).startswith("http: 502"), "the other one was told 508"
    finally:
        back.stop()
