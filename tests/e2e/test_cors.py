"""Answers that scripts of other sites may read."""
import json

import pytest

from kit import media

SITE = ("Origin", "https://app.example")
OTHER = ("Origin", "https://shop.partner.example")
EVIL = ("Origin", "https://evil.example")
STILL = "/videos/small.mp4?mode=frame&width=64"


@pytest.fixture
def open_server(server):
    server.add(media.clip("small.mp4"), "small.mp4")
    server.config["cors"] = {"allowOrigins": ["https://app.example", "https://*.partner.example"],
                             "resourcePolicy": "cross-origin", "timingAllowOrigins": ["*"]}
    server.start()
    return server


def test_every_kind_of_answer_has_its_fields(open_server):
    s = open_server
    etag = s.get(STILL)[0]["ETag"]
    cases = [(STILL, (), 200), (STILL, [("Range", "bytes=0-9")], 206), (STILL, [("If-None-Match", etag)], 304),
             (STILL, [("Range", "bytes=999999999-")], 416), (STILL, [("If-Match", '"x"')], 412), ("/videos/none.mp4", (), 404),
             ("/nowhere.mp4", (), 404), ("/videos/small.mp4?width=98", [("Prefer", "respond-async")], 202), ("/videos/%zz.mp4", (), 400),
             ("/sse/job/none", (), 200)]
    for target, headers, status in cases:
        for method in ("GET", "HEAD") if status not in (202, 206, 416) else ("GET",):
            reply, _ = s.get(target, method=method, headers=[*headers, SITE])
            assert reply.status == status, (target, reply.status)
            assert reply["Access-Control-Allow-Origin"] == SITE[1], (target, reply.fields)
            exposed = {n.strip() for n in reply["Access-Control-Expose-Headers"].split(",")}
            assert {"Content-Range", "Accept-Ranges", "Content-Length", "ETag", "X-Cache-Status"} <= exposed
            assert "Origin" in reply["Vary"]
            assert reply["Cross-Origin-Resource-Policy"] == "cross-origin" and reply["Timing-Allow-Origin"] == "*"


def test_nobody_gets_anothers_origin_from_a_cache(open_server):
    s = open_server
    assert s.get(STILL, headers=[SITE])[0]["Access-Control-Allow-Origin"] == SITE[1]
    for _ in range(2):  # edge
        assert s.get(STILL, headers=[OTHER])[0]["Access-Control-Allow-Origin"] == OTHER[1]
        for headers in ((), [EVIL]):
            reply = s.get(STILL, headers=headers)[0]
            assert reply["Access-Control-Allow-Origin"] is None and "Origin" in reply["Vary"]
    s.wait_stored(1)
    s.restart()  # KV
    assert s.get(STILL, headers=[OTHER])[0]["Access-Control-Allow-Origin"] == OTHER[1]
    reply = s.get(STILL, headers=[SITE])[0]
    assert [v for n, v in reply.fields if n.lower() == "access-control-allow-origin"] == [SITE[1]]


def test_preflights(open_server):
    s = open_server
    ask = [("Access-Control-Request-Method", "GET"), ("Access-Control-Request-Headers", "range")]
    reply, body = s.get(STILL, method="OPTIONS", headers=[SITE, *ask])
    assert reply.status == 204 and body == b"" and reply["Content-Length"] is None
    assert reply["Access-Control-Allow-Origin"] == SITE[1]
    assert reply["Access-Control-Allow-Methods"] == "GET, HEAD"
    assert reply["Access-Control-Allow-Headers"] == "range"
    assert reply["Access-Control-Max-Age"] == "86400"
    reply, _ = s.get(STILL, method="OPTIONS", headers=[EVIL, *ask])
    assert reply.status == 204 and reply["Access-Control-Allow-Origin"] is None and reply["Access-Control-Allow-Methods"] is None
    reply, body = s.get(STILL, method="OPTIONS", headers=[SITE])
    assert reply.status == 405 and reply["Allow"] == "GET, HEAD"
    assert s.transforms() == 0


def test_any_origin(server):
    server.add(media.clip("small.mp4"), "small.mp4")
    server.config["cors"] = {"allowOrigins": ["*"]}
    server.start()
    reply, _ = server.get(STILL)
    assert reply["Access-Control-Allow-Origin"] == "*" and "Origin" not in (reply["Vary"] or "")


def test_off_by_default(server):
    server.add(media.clip("small.mp4"), "small.mp4")
    server.start()
    reply, _ = server.get(STILL, headers=[SITE])
    assert not [n for n, _ in reply.fields if n.lower().startswith("access-control")]
    assert "Vary" not in reply
    ask = [SITE, ("Access-Control-Request-Method", "GET")]
    assert server.get(STILL, method="OPTIONS", headers=ask)[0].status == 405


def test_what_a_passthrough_origin_says_stays_its_word(server, origin, tmp_path):
    page = tmp_path / "page.json"
    page.write_bytes(b"{}")
    origin.files = {"/own.json": page, "/plain.json": page}
    server.config["origins"] = [{"name": "site", "matcher": "^/", "mode": "passthrough", "sources": [{"type": "http", "url": origin.url}]}]
    server.config["cors"] = {"allowOrigins": ["https://app.example"]}
    server.start()
    reply, _ = server.get("/plain.json", headers=[SITE])
    assert reply.status == 200 and reply["Access-Control-Allow-Origin"] == SITE[1]
    assert server.get("/plain.json", headers=[EVIL])[0]["Access-Control-Allow-Origin"] is None
    origin.fields = [("Access-Control-Allow-Origin", "https://own.example"), ("Cache-Control", "max-age=60")]
    for _ in range(2):
        reply, _ = server.get("/own.json", headers=[SITE])
        assert reply.status == 200
        assert [v for n, v in reply.fields if n.lower() == "access-control-allow-origin"] == ["https://own.example"]


def test_no_answer_names_the_program_or_lets_a_browser_guess(running):
    """Hygiene: nosniff on every body, no Server field, errors of one shape also from the HTTP layer."""
    from kit import wire
    targets = ["/videos/small.mp4", STILL, "/videos/none.mp4", "/x", "/videos/small.mp4?debug=view", "/sse/job/x", "/healthz", "/readyz"]
    for target in targets:
        reply, _ = running.get(target)
        assert reply["Server"] is None and reply["X-Powered-By"] is None, target
        assert reply["X-Content-Type-Options"] == "nosniff", target
    raw = {400: b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 405: b"POST /videos/small.mp4 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
           413: b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", 414: b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
           431: b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40000 + b"\r\n\r\n", 501: b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
           505: b"GET / HTTP/2.7\r\nHost: a\r\n\r\n"}
    for status, text in raw.items():
        with wire.Connection(running.address) as c:
            c.send(text)
            reply = c.reply("GET")
            assert reply.status == status
            error = json.loads(reply.body())["error"]
            assert error["code"] and error["message"], error
            assert reply["X-Content-Type-Options"] == "nosniff" and reply["Content-Type"] == "application/json"
            assert reply["Cache-Control"] == "no-store" and reply["Server"] is None and reply["X-Request-ID"], status


def test_a_head_that_does_not_come_is_a_408(server):
    from kit import wire
    server.config["http"] = {"headerTimeout": 1}
    server.start()
    with wire.Connection(server.address) as c:
        c.send(b"GET / HTTP/1.1\r\n")
        reply = c.reply("GET")
        assert reply.status == 408 and json.loads(reply.body())["error"]["code"] == "REQUEST_TIMEOUT"
        assert reply["X-Content-Type-Options"] == "nosniff"
