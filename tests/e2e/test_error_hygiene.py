"""Every error, whoever makes it: exactly the contract's JSON (http contract §4), a message, nothing of ours in it, nosniff, and a
Cache-Control of its class."""
import json
import re
import threading

import pytest

from kit import expect, media, wire
from kit.bad_origin import held, honest
from kit.raw_origin import RawOrigin, answer
from kit.serving import serving

GATE = threading.Event()  # opened at the end: whoever stalls may go
TOKEN = "s3cr3t-t0ken-0f-the-0rigin"
HOST = b"Host: x\r\n"
NO_STORE, CLIENT, SERVER = "no-store", "public, max-age=60", "public, max-age=10"
FRAME = "?mode=frame&width=96"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    origin = RawOrigin()
    plain = media.clip("small.mp4").read_bytes()
    origin.answers.update({
        "/gone.mp4": answer(status="404 Not Found", body=TOKEN.encode()), "/500.mp4": answer(status="500 E", body=b"Traceback (most recent call last): /srv/x.py"),
        "/slow.mp4": lambda a: held(GATE), "/none.mp4": lambda a: None, "/html.mp4": answer("Content-Type: text/html", body=b"<html>"),
        "/odd-type.mp4": answer("Content-Type: \xff\"<script>/tmp/x</script>\x80+json", body=b"{}"), "/long-type.mp4": answer("Content-Type: " + "x" * 30_000 + "+json", body=b"{}"),
        "/text.mp4": answer("Content-Type: video/mp4", body=b"no video at all " * 200), "/large.mp4": answer("Content-Type: video/mp4", "Content-Length: 99999999", length=False),
        "/away.mp4": answer("Location: http://169.254.169.254/latest/" + TOKEN, status="302 F"), "/loop.mp4": answer("Location: /loop.mp4", status="302 F"),
        "/cut.mp4": lambda a: iter([answer("Content-Type: video/mp4", f"Content-Length: {len(plain)}", length=False) + plain[:5000]]),
        "/good.mp4": honest(plain),
    })

    def configure(server):
        server.add(media.clip("small.mp4"), "small.mp4")
        for name, data in (("empty.mp4", b""), ("page.mp4", b"<!DOCTYPE html><html><body>404</body></html>" * 50), ("text.mp4", b"Lorem ipsum dolor sit amet. " * 500)):
            (server.media / name).write_bytes(data)
        (server.media / "broken.mp4").write_bytes(plain[:plain.index(b"moov") - 4] + bytes(5000))
        remote = server.http_origin(origin)
        remote["sources"][0]["auth"] = {"type": "bearer", "token": "${ORIGIN_TOKEN}"}
        query = server.http_origin(origin, name="query", matcher="^/query/(.+)$")
        query["sources"][0]["auth"] = {"type": "query", "name": "key", "value": "${ORIGIN_TOKEN}"}
        both = {"name": "both", "matcher": "^/both/(.+)$", "captureGroups": ["path"], "sources": [
            {"type": "file", "root": str(server.media), "path": "${path}"}, {"type": "http", "url": origin.url, "path": "${path}", "priority": 1}]}
        pages = {"name": "pages", "matcher": "^/pages/", "mode": "passthrough", "sources": [{"type": "http", "url": "http://127.0.0.1:9"}]}
        server.environment["ORIGIN_TOKEN"] = TOKEN
        server.config["origins"] = [server.file_origin(), remote, query, both, pages]
        server.config["fetch"] = {"connectTimeout": "800ms", "firstByteTimeout": "800ms", "idleTimeout": "800ms"}
        server.config["transform"] = {"maxSourceBytes": "1MiB", "maxDuration": "1h"}
        server.config["http"] = {"headerTimeout": 1, "maxBodyBytes": "1KiB"}
        server.open_admin()
    with serving(tmp_path_factory.mktemp("hygiene"), configure) as server:
        server.origin = origin
        yield server
        GATE.set()
    origin.close()


def clean(server, reply, body, status, code, caching):
    """What every error has to be."""
    assert reply.status == status, (reply.status, body[:300])
    assert reply["Content-Type"] == "application/json" and reply["X-Content-Type-Options"] == "nosniff", reply.fields
    assert reply["Cache-Control"] == caching, reply["Cache-Control"]
    for name in ("Server", "X-Powered-By", "Set-Cookie", "ETag"):
        assert name not in reply or status in (412, 416), reply.fields
    assert (reply["Retry-After"] is not None) == (status == 503)
    assert "X-Request-ID" in reply
    assert len(body) < 1500, "as long as that only when somebody else wrote it"
    document = json.loads(body)
    assert list(document) == ["error"] and set(document["error"]) <= {"code", "message", "details"}
    error = document["error"]
    assert error["code"] == code and isinstance(error["message"], str) and re.fullmatch(r"[ -~]{5,200}", error["message"])
    details = error.get("details", {"x": "y"})
    assert details and all(isinstance(v, str) for v in details.values()), details
    text = body.decode().lower() + " ".join(f"{n}: {v}" for n, v in reply.fields if n != "X-Param-Warnings").lower()
    for leak in (TOKEN, str(server.folder), "/tmp/", "/work/", "/srv/", server.origin.address, "127.0.0.1", "localhost", "169.254", ".cc:", "std::", "boost", "exception", "traceback", "curl", "openssl",
                 "ffmpeg", "libav", "errno", "0x", "rocksdb", "<script", "version", "\\u0000"):
        if leak == "version" and status == 505:
            continue
        assert leak.lower() not in text, (leak, text)


# name: (target, status, code, Cache-Control)
TARGETS = {
    "no origin": ("/nowhere/a.mp4", 404, "NO_MATCHING_ORIGIN", CLIENT),
    "no video": ("/nowhere/a.txt", 404, "NOT_FOUND", CLIENT),
    "no file": ("/videos/none.mp4" + FRAME, 404, "NOT_FOUND", CLIENT),
    "no original": ("/videos/none.mp4", 404, "NOT_FOUND", CLIENT),
    "climbing": ("/videos/../x.mp4", 400, "INVALID_URL", NO_STORE),
    "bad escape": ("/videos/%zz.mp4", 400, "INVALID_URL", NO_STORE),
    "too far": ("/videos/small.mp4?mode=frame&time=99", 400, "TIME_OUT_OF_RANGE", NO_STORE),
    "empty": ("/videos/empty.mp4" + FRAME, 422, "SOURCE_CORRUPT", CLIENT),
    "a page": ("/videos/page.mp4" + FRAME, 415, "SOURCE_UNSUPPORTED", CLIENT),
    "a text": ("/videos/text.mp4?width=96", 415, "SOURCE_UNSUPPORTED", CLIENT),
    "broken": ("/videos/broken.mp4?width=96", 422, "SOURCE_CORRUPT", CLIENT),
    "sound without any": ("/remote/text.mp4?mode=audio", 415, "SOURCE_UNSUPPORTED", CLIENT),
    "info of nothing": ("/videos/broken.mp4?mode=info", 422, "SOURCE_CORRUPT", CLIENT),
    "sheet of nothing": ("/videos/broken.mp4?mode=spritesheet", 422, "SOURCE_CORRUPT", CLIENT),
    "origin 404": ("/remote/gone.mp4" + FRAME, 404, "NOT_FOUND", CLIENT),
    "origin 500": ("/remote/500.mp4" + FRAME, 502, "ALL_SOURCES_FAILED", SERVER),
    "origin mute": ("/remote/none.mp4" + FRAME, 502, "ALL_SOURCES_FAILED", SERVER),
    "origin slow": ("/remote/slow.mp4" + FRAME, 504, "ORIGIN_TIMEOUT", SERVER),
    "origin html": ("/remote/html.mp4" + FRAME, 415, "SOURCE_UNSUPPORTED", CLIENT),
    "origin odd type": ("/remote/odd-type.mp4" + FRAME, 415, "SOURCE_UNSUPPORTED", CLIENT),
    "origin long type": ("/remote/long-type.mp4" + FRAME, 415, "SOURCE_UNSUPPORTED", CLIENT),
    "origin text": ("/remote/text.mp4" + FRAME, 415, "SOURCE_UNSUPPORTED", CLIENT),
    "origin large": ("/remote/large.mp4" + FRAME, 413, "SOURCE_TOO_LARGE", CLIENT),
    "origin away": ("/remote/away.mp4" + FRAME, 502, "ALL_SOURCES_FAILED", SERVER),
    "origin loop": ("/remote/loop.mp4" + FRAME, 502, "ALL_SOURCES_FAILED", SERVER),
    "origin cut": ("/remote/cut.mp4" + FRAME, 502, "ALL_SOURCES_FAILED", SERVER),
    "secret in the query": ("/query/500.mp4" + FRAME, 502, "ALL_SOURCES_FAILED", SERVER),
    "two sources": ("/both/500.mp4" + FRAME, 502, "ALL_SOURCES_FAILED", SERVER),
    "two sources, none": ("/both/gone.mp4" + FRAME, 404, "NOT_FOUND", CLIENT),
    "passed through to nobody": ("/pages/x", 502, "ALL_SOURCES_FAILED", NO_STORE),
    "passed through, climbing": ("/pages/..%2fx", 400, "INVALID_URL", NO_STORE),
}


@pytest.mark.parametrize("name", TARGETS)
def test_what_the_source_or_the_url_is_to_blame_for(place, name):
    target, status, code, caching = TARGETS[name]
    for method in ("GET", "HEAD"):
        reply, body = place.get(target, method)
        if method == "GET":
            clean(place, reply, body, status, code, caching)
            first = reply
        else:
            assert body == b"" and reply.status in (first.status, 200), reply.fields
            assert reply.status == 200 or reply["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("fields, status, code", [([("Range", "bytes=99999999-")], 416, "RANGE_NOT_SATISFIABLE"), ([("If-Match", '"zz"')], 412, "PRECONDITION_FAILED")])
def test_conditions(place, fields, status, code):
    reply, body = place.get("/videos/small.mp4", headers=fields)
    clean(place, reply, body, status, code, NO_STORE)


# name: (bytes, status, code)
RAW = {
    "nonsense": (b"GARBAGE\r\n\r\n", 400, "BAD_REQUEST"),
    "no host": (b"GET /videos/small.mp4 HTTP/1.1\r\n\r\n", 400, "BAD_REQUEST"),
    "half a head": (b"GET /videos/small.mp4 HTTP/1.1\r\nHost: x\r\nX-Slow: ", 408, "REQUEST_TIMEOUT"),
    "other methods": (b"DELETE /videos/small.mp4 HTTP/1.1\r\n" + HOST + b"\r\n", 405, "METHOD_NOT_ALLOWED"),
    "unknown methods": (b"BREW /videos/small.mp4 HTTP/1.1\r\n" + HOST + b"\r\n", 405, "METHOD_NOT_ALLOWED"),
    "connect": (b"CONNECT x:1 HTTP/1.1\r\n" + HOST + b"\r\n", 501, "METHOD_UNSUPPORTED"),
    "coding": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\n", 501, "TRANSFER_CODING_UNSUPPORTED"),
    "version": (b"GET / HTTP/3.0\r\n" + HOST + b"\r\n", 505, "VERSION_UNSUPPORTED"),
    "long target": (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "URI_TOO_LONG"),
    "long field": (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 40_000 + b"\r\n\r\n", 431, "HEADERS_TOO_LARGE"),
    "many fields": (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 500 + b"\r\n", 431, "HEADERS_TOO_LARGE"),
    "large body": (b"POST /pages/x HTTP/1.1\r\n" + HOST + b"Content-Length: 2000\r\n\r\n", 413, "BODY_TOO_LARGE"),
    "large chunks": (b"POST /pages/x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n7d0\r\n" + b"a" * 2000 + b"\r\n0\r\n\r\n", 413, "BODY_TOO_LARGE"),
    "expectation": (b"POST /pages/x HTTP/1.1\r\n" + HOST + b"Expect: miracles\r\nContent-Length: 1\r\n\r\na", 417, "EXPECTATION_FAILED"),
}


@pytest.mark.parametrize("name", RAW)
@pytest.mark.parametrize("listener", ["main", "admin"])
def test_what_is_no_request(place, name, listener):
    raw, status, code = RAW[name]
    if listener == "admin" and b"/pages/" in raw and status == 417 or listener == "admin" and status == 405:
        pytest.skip("the admin listener has routes of its own")
    with wire.Connection(place.address if listener == "main" else place.admin, timeout=15) as c:
        try:
            c.send(raw)
        except ConnectionError:
            pass
        reply = c.reply()
        body = reply.body()
        clean(place, reply, body, status, code, NO_STORE)
        if status == 405:
            assert reply["Allow"]
        else:
            assert reply["Connection"] == "close" and c.at_end()
    expect.error(reply, body)


@pytest.mark.parametrize("target, token, status, code", [("/nope", None, 404, "NOT_FOUND"), ("/admin/entry?key=x", "", 401, "UNAUTHORIZED"), ("/admin/entry?key=x", "wrong", 401, "UNAUTHORIZED"),
                                                         ("/admin/entry", "right", 400, "INVALID_PARAMETER"), ("/admin/entry?key=%ff%00", "right", None, None), ("/admin/../metrics", None, None, None)])
def test_the_admin_listener(place, target, token, status, code):
    with wire.Connection(place.admin) as c:
        reply = c.ask(target, headers=[("Authorization", "Bearer " + (place.TOKEN if token == "right" else token))] if token else [])
        body = reply.body()
    assert 400 <= reply.status < 500 and place.TOKEN.encode() not in body
    error = json.loads(body)["error"]
    assert reply["Cache-Control"] == NO_STORE and reply["X-Content-Type-Options"] == "nosniff"
    if status:
        assert (reply.status, error["code"]) == (status, code)


def test_strict_validation(server):
    """400 with the same reasons that lenient validation warns of; a stranger's names and values are not echoed."""
    server.add(media.clip("small.mp4"), "small.mp4")
    server.config["validation"] = "strict"
    server.start()
    reply, body = server.get("/videos/small.mp4?width=%3Cscript%3E&height=%ff%00&fit=%22&" + "&".join(f"time={'9' * 50}x" for _ in range(50)))
    assert expect.error(reply, body, "INVALID_PARAMETER")
    assert reply["Cache-Control"] == NO_STORE and b"script" not in body and len(body) < 2000
    assert set(json.loads(body)["error"]["details"]) == {"width", "height", "fit", "time"}


def test_nothing_of_the_secret_is_logged(place):
    assert TOKEN not in "\n".join(place.raw_log)
