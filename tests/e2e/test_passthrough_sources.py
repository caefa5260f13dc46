"""Origins of mode "passthrough" and their sources: circuits, second tries, buckets."""
import json
import signal
import socket
import threading
import urllib.parse

import pytest

from kit import expect, wire
from kit.raw_origin import answer
from kit.s3 import S3Server
from kit.wait import until

from test_passthrough import get

QUICK = {"retryBackoff": "1ms"}


def attempts(body):
    return json.loads(body)["error"]["details"]["attempts"]


def dead_url():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return "http://127.0.0.1:%d" % s.getsockname()[1]


# -- circuits

def open_circuit(site, failures=1):
    """Makes the site fail as often as it takes."""
    site.answers["/bad"] = answer(status="500 Oops", body=b"oops")
    for _ in range(failures):
        assert get(site, "/bad")[1] == b"oops"
    assert site.server.metric("video_resizer_origin_breaker_state", origin="site") == 2


def guarded(site, failures=1, cooldown="1h", **more):
    site.server.config["fetch"] = {**QUICK, "breakerFailures": failures, "breakerCooldown": cooldown, **more}


def test_an_origin_that_keeps_failing_is_left_alone(site):
    guarded(site, failures=3)
    site.answers["/x"] = answer("Cache-Control: max-age=60", body=b"x")
    site.answers["/fine"] = answer(body=b"fine")
    site.server.start()
    assert get(site)[1] == b"x"
    open_circuit(site, 3)
    asked = len(site.asked())
    reply, body = get(site, "/fine")
    expect.error(reply, body, "OVERLOADED")
    assert reply.status == 503 and 3000 < int(reply["Retry-After"]) <= 3600 and reply["Cache-Control"] == "no-store"
    assert attempts(body) == "http: circuit open" and site.address.encode() not in body
    assert get(site)[0]["X-Cache-Status"] == "HIT", "what is fresh needs nobody"
    with site.server.connect() as c:
        assert c.ask("/fine", "POST", [("Content-Length", "1")], b"q").status == 503
    assert get(site, "/fine", "HEAD")[0].status == 503
    assert len(site.asked()) == asked
    labels = {"origin": "site", "source": site.address}
    assert site.server.metric("video_resizer_origin_breaker_state", **labels) == 2
    assert site.server.metric("video_resizer_origin_breaker_opened_total", **labels) == 1
    assert site.server.metric("video_resizer_origin_breaker_skipped_total", **labels) == 3

    # What is known of a source outlives a reload.
    site.server.write_config()
    site.server.signal(signal.SIGHUP)
    site.server.wait_event("config_reloaded")
    assert get(site, "/fine")[0].status == 503 and len(site.asked()) == asked


def test_stale_answers_while_the_circuit_is_open(site):
    guarded(site)
    site.server.config["cache"] = {"staleIfError": "1h"}
    site.answers["/x"] = answer("Cache-Control: max-age=60", "Age: 100", body=b"old")
    site.answers["/swr"] = answer("Cache-Control: max-age=60, stale-while-revalidate=1000", "Age: 100", body=b"old")
    site.answers["/must"] = answer("Cache-Control: max-age=60, must-revalidate", "Age: 100", body=b"old")
    site.answers["/older"] = answer("Cache-Control: max-age=60", "Age: 10000", body=b"older")
    site.server.start()
    for target in ("/x", "/swr", "/must", "/older"):
        assert get(site, target)[0].status == 200
    open_circuit(site)
    asked = len(site.asked())
    for target in ("/x", "/swr", "/x"):
        reply, body = get(site, target)
        assert (reply.status, body, reply["X-Cache-Status"]) == (200, b"old", "STALE"), target
    for target in ("/must", "/older"):
        assert get(site, target)[0].status == 503, target
    assert get(site, headers=[("Cache-Control", "no-cache")])[0].status == 503
    assert len(site.asked()) == asked


@pytest.mark.parametrize("status", ["404 No", "429 Slow", "403 No", "501 Not made", "505 Version"])
def test_what_tells_of_the_request_does_not_open_a_circuit(site, status):
    guarded(site)
    site.answers["/x"] = answer(status=status, body=b"no")
    site.server.start()
    for n in range(1, 5):
        assert get(site)[1] == b"no" and len(site.asked()) == n


@pytest.mark.parametrize("status", ["500 Oops", "502 Bad", "503 Busy", "504 Late", "599 Odd"])
def test_what_tells_of_the_server_opens_one(site, status):
    guarded(site)
    site.answers["/x"] = answer(status=status, body=b"no")
    site.server.start()
    assert get(site)[1] == b"no"
    assert get(site)[0].status == 503 and len(site.asked()) == 1


def test_no_connection_and_no_answer_open_it_too(site):
    guarded(site, failures=2, retries=0, firstByteTimeout="50ms")
    gate = threading.Event()
    site.answers["/late"] = lambda _: gate.wait(20) and answer(body=b"late")
    site.server.config["origins"].insert(0, {"name": "dead", "matcher": "^/dead", "mode": "passthrough", "sources": [{"type": "http", "url": dead_url()}]})
    site.server.start()
    for text in ("http: unreachable", "http: unreachable", "http: circuit open"):
        assert attempts(get(site, "/dead")[1]) == text
    for text in ("http: timeout", "http: timeout", "http: circuit open"):
        assert attempts(get(site, "/late")[1]) == text
    gate.set()


def test_one_probe_at_a_time_decides(site):
    guarded(site, cooldown="1ms")
    gate = threading.Event()
    site.answers["/slow"] = lambda _: gate.wait(20) and answer(body=b"well again")
    site.answers["/other"] = answer(body=b"other")
    site.server.start()
    open_circuit(site)
    with site.server.connect() as c:
        c.begin("/slow")
        until(lambda: site.asked("/slow"), "the probe is under way")
        assert site.server.metric("video_resizer_origin_breaker_state", origin="site") == 1
        for _ in range(3):
            reply, body = get(site, "/other")
            expect.error(reply, body, "OVERLOADED")
            assert int(reply["Retry-After"]) >= 1
        assert not site.asked("/other")
        gate.set()
        assert c.reply().body() == b"well again"
    assert get(site, "/other")[1] == b"other"
    assert site.server.metric("video_resizer_origin_breaker_state", origin="site") == 0


def test_a_client_that_leaves_does_not_keep_the_probe(site):
    guarded(site, cooldown="1ms")
    gate = threading.Event()
    site.answers["/slow"] = lambda _: gate.wait(20) and answer(status="500 Oops")
    site.answers["/other"] = answer(body=b"other")
    site.server.start()
    open_circuit(site)
    c = site.server.connect()
    c.begin("/slow")
    until(lambda: site.asked("/slow"), "the probe is under way")
    c.close()
    gate.set()
    until(lambda: get(site, "/other")[0].status == 200, "the next probe")


def test_an_open_circuit_leads_to_the_next_source(site):
    guarded(site, failures=2, retries=0)
    site.server.config["origins"][0]["sources"].insert(0, {"type": "http", "url": dead_url()})
    site.answers["/x"] = answer(body=b"second")
    site.server.start()
    for _ in range(4):
        with site.server.connect() as c:
            assert c.ask("/x", "POST", [("Content-Length", "1")], b"q").body() == b"second"
    assert site.server.metric("video_resizer_origin_breaker_skipped_total", origin="site") == 2
    site.answers["/x"] = answer(status="500 Oops")
    for _ in range(2):
        assert get(site)[0].status == 500
    reply, body = get(site)
    assert reply.status == 503 and attempts(body) == "http: circuit open, http: circuit open"


def test_zero_failures_switch_it_off(site):
    guarded(site, failures=0)
    site.answers["/x"] = answer(status="500 Oops", body=b"oops")
    site.server.start()
    for n in range(1, 30):
        assert get(site)[1] == b"oops" and len(site.asked()) == n


# -- second tries

def first_ill(site, ill, well, target="/x"):
    """The first request gets `ill`, all others `well`."""
    seen = []

    def reply(asked):
        seen.append(asked)
        return ill if len(seen) == 1 else well
    site.answers[target] = reply
    site.server.config.setdefault("fetch", dict(QUICK))


@pytest.mark.parametrize("ill", [None, [b"HTTP/1.1 200 O"], answer("Retry-After: 0", status="503 Busy", body=b"come again")])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_answer_or_come_again_is_tried_again(site, method, ill):
    first_ill(site, ill, answer("X-It: 1", body=b"it" if method == "GET" else b""))
    site.server.start()
    reply, body = get(site, method=method)
    assert reply.status == 200 and reply["X-It"] == "1" and body == (b"it" if method == "GET" else b"")
    assert len(site.asked("/x")) == 2 and site.server.metric("video_resizer_origin_retries_total") == 1


def test_a_kept_connection_that_was_closed_costs_nobody_an_answer(site):
    site.answers["/warm"] = answer(body=b"warm")
    first_ill(site, None, answer(body=b"it"))
    site.server.start()
    get(site, "/warm")
    assert get(site)[1] == b"it" and len(site.asked("/x")) == 2


@pytest.mark.parametrize("lines", [[], ["Retry-After: 3600"], ["Retry-After: soon"], ["Retry-After: -1"]])
def test_other_refusals_are_passed_on_at_once(site, lines):
    first_ill(site, answer(*lines, status="503 Busy", body=b"busy"), answer(body=b"it"))
    site.server.start()
    assert get(site)[1] == b"busy" and len(site.asked("/x")) == 1


@pytest.mark.parametrize("status", ["500 Oops", "502 Bad", "504 Late", "429 Slow", "200 OK"])
def test_retry_after_of_other_answers_means_nothing_here(site, status):
    first_ill(site, answer("Retry-After: 0", status=status, body=b"first"), answer(body=b"it"))
    site.server.start()
    assert get(site)[1] == b"first" and len(site.asked("/x")) == 1


def test_the_last_refusal_is_passed_on(site):
    site.server.config["fetch"] = {**QUICK, "retries": 3}
    site.answers["/x"] = answer("Retry-After: 0", status="503 Busy", body=b"still busy")
    site.server.start()
    reply, body = get(site)
    assert (reply.status, body, reply["Retry-After"]) == (503, b"still busy", "0") and len(site.asked("/x")) == 4


def test_every_try_is_told(site):
    site.server.config["fetch"] = {**QUICK, "retries": 2}
    replies = [answer("Retry-After: 0", status="503 Busy"), None, None]
    site.answers["/x"] = lambda _: replies.pop(0)
    site.server.start()
    reply, body = get(site)
    expect.error(reply, body, "ALL_SOURCES_FAILED")
    assert attempts(body) == "http: 503 then unreachable then unreachable" and not replies


def test_busy_is_no_reason_to_send_a_post_twice(site):
    site.server.config["fetch"] = dict(QUICK)
    site.answers["/x"] = answer("Retry-After: 0", status="503 Busy", body=b"busy")
    site.server.start()
    for method, body in (("POST", b"once"), ("GET", b"once"), ("DELETE", b"")):
        with site.server.connect() as c:
            assert c.ask("/x", method, [("Content-Length", str(len(body)))] if body else [], body).body() == b"busy"
    assert [a.method for a in site.asked("/x")] == ["POST", "GET", "DELETE"]


def test_zero_retries_mean_none(site):
    first_ill(site, None, answer(body=b"it"))
    site.server.config["fetch"] = {"retries": 0}
    site.server.start()
    assert get(site)[0].status == 502 and len(site.asked("/x")) == 1


def test_what_has_begun_is_not_begun_again(site):
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    first_ill(site, [early], answer(body=b"it"))
    first_ill(site, [answer("Content-Length: 10", length=False) + b"half"], answer(body=b"it"), "/y")
    site.server.start()
    with site.server.connect() as c:
        assert c.ask("/x").status == 103
        assert c.reply().status == 502
    with site.server.connect() as c:
        with pytest.raises(wire.Cut):
            c.ask("/y").body()
    assert len(site.asked("/x")) == 1 and len(site.asked("/y")) == 1


def test_those_who_wait_together_are_tried_again_together(site):
    gate = threading.Event()
    seen = []

    def reply(asked):
        seen.append(asked)
        if len(seen) == 1:
            gate.wait(20)
            return None
        return answer("Cache-Control: max-age=60", body=b"one")
    site.answers["/x"] = reply
    site.server.config["fetch"] = dict(QUICK)
    site.server.start()
    connections = [site.server.connect() for _ in range(20)]
    for c in connections:
        c.begin("/x")
    until(lambda: seen, "the origin is asked")
    gate.set()
    assert [c.reply().body() for c in connections] == [b"one"] * 20
    assert len(seen) == 2
    for c in connections:
        c.close()


def test_stale_comes_after_the_last_try(site):
    site.server.config["fetch"] = {**QUICK, "retries": 1}
    site.server.config["cache"] = {"staleIfError": "1h"}
    replies = [answer("Cache-Control: max-age=60", "Age: 100", body=b"old"), None, answer("Cache-Control: max-age=60", "Age: 100", body=b"new"), None, None]
    site.answers["/x"] = lambda _: replies.pop(0)
    site.server.start()
    assert get(site)[1] == b"old"
    assert get(site)[1] == b"new", "the second try succeeds"
    reply, body = get(site)
    assert (body, reply["X-Cache-Status"]) == (b"new", "STALE") and not replies


# -- buckets

TEXT = b"body { color: red }\n" * 50


@pytest.fixture
def s3():
    s = S3Server()
    yield s
    s.close()


def use(server, s3, entry=None, sources=(), start=True, **fetch):
    """A server whose /assets/... is the bucket, passed through."""
    server.config["buckets"] = {"VIDEOS": entry or s3.settings()}
    server.config["origins"] = [{"name": "assets", "matcher": "^/assets/(.+)$", "captureGroups": ["path"], "mode": "passthrough",
                                 "sources": list(sources) or [{"type": "s3", "bucket": "VIDEOS", "path": "${path}"}]}]
    server.config["fetch"] = {**QUICK, **fetch}
    server.environment.update(s3.environment())
    server.open_admin()
    s3.put("a.css", TEXT, "text/css")
    if start:
        server.start()
    return server


SENT = {"host", "accept", "accept-encoding", "user-agent", "via", "authorization", "x-amz-date", "x-amz-content-sha256"}


def test_an_object_comes_as_it_is_and_is_kept(server, s3):
    s3.fields = [("Cache-Control", "max-age=60"), ("x-amz-meta-title", "it"), ("x-amz-id-2", "internal"), ("Set-Cookie", "a=b"),
                 ("Content-Encoding", "aws-chunked")]
    use(server, s3)
    reply, body = server.get("/assets/a.css")
    assert (reply.status, body, reply["Content-Type"]) == (200, TEXT, "text/css")
    assert reply["ETag"] and reply["Last-Modified"] and reply["x-amz-meta-title"] == "it" and reply["X-Cache-Status"] == "MISS"
    for name in ("x-amz-id-2", "x-amz-request-id", "Server", "Set-Cookie", "Content-Encoding"):
        assert reply[name] is None, name
    hit, body = server.get("/assets/a.css")
    assert hit["X-Cache-Status"] == "HIT" and body == TEXT
    part, body = server.get("/assets/a.css", headers=[("Range", "bytes=5-9")])
    assert part.status == 206 and body == TEXT[5:10]
    assert len(s3.requests) == 1
    method, target, fields = s3.requests[0]
    assert (method, target) == ("GET", "/videos/a.css") and set(fields) == SENT


def test_nothing_of_the_client_reaches_the_bucket_but_its_conditions(server, s3):
    use(server, s3)
    headers = [("Authorization", "Bearer theirs"), ("Cookie", "session=1"), ("X-Amz-Date", "20000101T000000Z"), ("x-amz-acl", "public-read"),
               ("x-amz-security-token", "t"), ("X-Forwarded-For", "1.2.3.4"), ("Origin", "https://x"), ("Accept-Encoding", "br"),
               ("Cache-Control", "no-store"), ("User-Agent", "me"), ("If-None-Match", '"no"'), ("X-Other", "1")]
    for query in ("", "?acl", "?list-type=2&prefix=", "?versionId=1", "?response-content-type=text/html", "?X-Amz-Signature=0", "?partNumber=1"):
        reply, body = server.get("/assets/a.css" + query, headers=headers)
        assert (reply.status, body, reply["Content-Type"]) == (200, TEXT, "text/css"), query
    for _, target, fields in s3.requests:
        assert target == "/videos/a.css" and set(fields) == SENT | {"if-none-match"}
        assert fields["authorization"].startswith("AWS4-HMAC-SHA256 ") and fields["user-agent"] != "me" and fields["accept-encoding"] == "identity"
        assert "if-none-match" not in fields["authorization"], "signed is what has to be"


@pytest.mark.parametrize("signing", ["header", "presigned"])
@pytest.mark.parametrize("key", ["dir/a b+c.css", "é€.css", "100%.css", "q?#.css"])
def test_keys_and_signatures(server, s3, signing, key):
    use(server, s3, s3.settings(signing=signing), start=False)
    s3.put(key, TEXT, "text/css")
    server.start()
    reply, body = server.get("/assets/" + urllib.parse.quote(key) + "?v=1")
    assert (reply.status, body) == (200, TEXT), body[:300]
    assert "X-Amz-Signature" not in str(reply.fields)


def test_conditions_and_ranges_go_to_the_bucket(server, s3):
    use(server, s3)
    etag = s3.objects["a.css"][2]
    reply, body = server.get("/assets/a.css", headers=[("If-None-Match", etag), ("Cache-Control", "no-store")])
    assert (reply.status, body) == (304, b"") and reply["ETag"] == etag
    reply, body = server.get("/assets/a.css", headers=[("If-Match", '"other"')])
    assert (reply.status, body, reply["Content-Length"], reply["Content-Type"]) == (412, b"", "0", None)
    reply, body = server.get("/assets/a.css", headers=[("Range", "bytes=10-19")])
    assert reply.status == 206 and body == TEXT[10:20] and reply["Content-Range"] == f"bytes 10-19/{len(TEXT)}"
    reply, body = server.get("/assets/a.css", headers=[("Range", "bytes=99999-")])
    assert (reply.status, body) == (416, b"")
    reply, body = server.get("/assets/a.css", "HEAD", [("Cache-Control", "no-store")])
    assert (reply.status, body, reply["Content-Length"]) == (200, b"", str(len(TEXT)))
    assert [(m, f.get("range"), f.get("if-match"), f.get("if-none-match")) for m, _, f in s3.requests] == [
        ("GET", None, None, etag), ("GET", None, '"other"', None), ("GET", "bytes=10-19", None, None), ("GET", "bytes=99999-", None, None), ("HEAD", None, None, None)]


def test_parts_of_two_versions_are_never_mixed(server, s3):
    """The test's server does not know If-Range, as some real ones do not."""
    use(server, s3, retries=0)
    old = s3.objects["a.css"][2]
    more = [("Range", "bytes=10-19"), ("If-Range", old)]
    reply, body = server.get("/assets/a.css", headers=more)
    assert reply.status == 206 and body == TEXT[10:20] and len(s3.requests) == 1
    s3.put("b.css", TEXT[::-1], "text/css")
    reply, body = server.get("/assets/b.css", headers=more)
    assert reply.status == 200 and body == TEXT[::-1]
    assert "range" not in s3.requests[-1][2] and len(s3.requests) == 3


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "LIST", "TRACE"])
def test_a_bucket_is_read_only(server, s3, method):
    use(server, s3)
    with server.connect() as c:
        body = b"evil" if method in ("POST", "PUT", "PATCH") else b""
        reply = c.ask("/assets/a.css", method, [("Content-Length", "4")] if body else [], body)
        assert reply.status == 405
        expect.error(reply, reply.body(), "METHOD_NOT_ALLOWED")
        if method != "TRACE":
            assert reply["Allow"] == "GET, HEAD"
    assert not s3.requests and s3.objects["a.css"][0] == TEXT


@pytest.mark.parametrize("refusal, code, text", [
    ((403, "AccessDenied"), "ALL_SOURCES_FAILED", "403 AccessDenied"), ((403, "SignatureDoesNotMatch"), "ALL_SOURCES_FAILED", "403 SignatureDoesNotMatch"),
    ((404, "NoSuchKey"), "NOT_FOUND", "404 NoSuchKey"), ((404, "NoSuchBucket"), "ALL_SOURCES_FAILED", "404 NoSuchBucket"),
    ((400, "ExpiredToken"), "ALL_SOURCES_FAILED", "400 ExpiredToken"), ((301, "PermanentRedirect"), "ALL_SOURCES_FAILED", "301 PermanentRedirect"),
    ((500, "InternalError"), "ALL_SOURCES_FAILED", "500 InternalError"), ((503, "SlowDown"), "ALL_SOURCES_FAILED", "503 SlowDown (3 tries)")])
def test_refusals_are_ours_and_say_little(server, s3, refusal, code, text):
    use(server, s3)
    for method in ("GET", "HEAD"):
        s3.refuse = [refusal] * 3
        reply, body = server.get("/assets/a.css", method)
        assert reply["Content-Type"] == "application/json" and reply["Cache-Control"] == "no-store" and reply["Location"] is None
        assert not any(n.lower().startswith("x-amz") for n, _ in reply.fields)
        s3.refuse = []
        if method == "HEAD":
            assert body == b""
            continue
        expect.error(reply, body, code)
        assert attempts(body) == "s3: " + text
        for secret in (b"<", s3.access.encode(), s3.secret.encode(), s3.bucket.encode(), s3.endpoint.encode()):
            assert secret not in body
    assert server.get("/assets/a.css")[1] == TEXT, "nothing of it is remembered"


def test_a_real_refusal_and_its_secrets(server, s3):
    use(server, s3, start=False)
    server.environment["S3_SECRET"] = "wr0ng"
    server.start()
    reply, body = server.get("/assets/a.css")
    expect.error(reply, body, "ALL_SOURCES_FAILED")
    assert attempts(body) == "s3: 403 SignatureDoesNotMatch" and s3.secret not in server.log_tail(1000)
    server.wait_log(lambda e: "secretKey or region are wrong" in json.dumps(e), "what may be wrong")


def test_redirects_of_a_bucket_are_neither_followed_nor_passed_on(server, s3):
    other = S3Server()
    try:
        other.put("a.css", b"elsewhere")
        s3.public = other.public = True
        s3.redirect = other.endpoint + "/videos/a.css"
        use(server, s3, s3.settings(signing="none", accessKey=None, secretKey=None))
        reply, body = server.get("/assets/a.css")
        expect.error(reply, body, "ALL_SOURCES_FAILED")
        assert reply["Location"] is None and attempts(body) == "s3: 307 TemporaryRedirect" and other.requests == []
    finally:
        other.close()


def test_validation_and_deletion(server, s3):
    s3.fields = [("Cache-Control", "max-age=60, stale-if-error=0"), ("Age", "100")]
    server.config["cache"] = {"staleIfError": "1h"}
    use(server, s3)
    assert server.get("/assets/a.css")[1] == TEXT
    reply, body = server.get("/assets/a.css")
    assert body == TEXT and reply["X-Cache-Status"] == "HIT"
    assert s3.requests[-1][2]["if-none-match"] == s3.objects["a.css"][2]
    s3.put("a.css", b"new")
    assert server.get("/assets/a.css")[1] == b"new"
    del s3.objects["a.css"]
    for _ in range(2):
        expect.error(*server.get("/assets/a.css"), "NOT_FOUND")


def test_a_stored_object_stands_in_for_refusals_within_its_limits(server, s3):
    s3.fields = [("Cache-Control", "max-age=60, stale-if-error=1000"), ("Age", "100")]
    use(server, s3)
    assert server.get("/assets/a.css")[1] == TEXT
    for refusal in ((403, "AccessDenied"), (503, "SlowDown"), (500, "InternalError")):
        s3.refuse = [refusal]
        reply, body = server.get("/assets/a.css")
        assert (body, reply["X-Cache-Status"]) == (TEXT, "STALE"), refusal
        assert s3.refuse == [], "a busy server is left alone then"


def test_a_busy_bucket_is_asked_again_and_one_that_keeps_failing_is_not(server, s3):
    use(server, s3, breakerFailures=3, breakerCooldown="1h")
    s3.refuse = [(503, "SlowDown"), (429, "TooManyRequests")]
    assert server.get("/assets/a.css")[1] == TEXT and s3.refuse == []
    s3.refuse = [(500, "InternalError")] * 3
    for _ in range(3):
        expect.error(*server.get("/assets/a.css", headers=[("Cache-Control", "no-cache")]), "ALL_SOURCES_FAILED")
    asked = len(s3.requests)
    reply, body = server.get("/assets/b.css")
    expect.error(reply, body, "OVERLOADED")
    assert attempts(body) == "s3: circuit open" and len(s3.requests) == asked
    assert server.metric("video_resizer_origin_breaker_state", origin="assets", source="VIDEOS") == 2


def test_the_bucket_itself_is_nobodys_business(server, s3):
    use(server, s3, sources=[{"type": "s3", "bucket": "VIDEOS"}], start=False)
    server.config["origins"][0].update(matcher="^/", captureGroups=[])
    server.start()
    for target in ("/", "//", "/?list-type=2"):
        reply, body = server.get(target)
        expect.error(reply, body, "NOT_FOUND")
        assert attempts(body) == "s3: not found"
    for target in ("/../x", "/%2e%2e/other-bucket/x", "/a/..%2f..%2fother/x"):
        assert server.get(target)[0].status in (400, 404), target
    assert server.get("/a.css")[1] == TEXT
    assert [target for _, target, _ in s3.requests] == ["/videos/a.css"]


def test_a_bucket_behind_an_http_source_that_is_away(server, s3):
    use(server, s3, sources=[{"type": "http", "url": dead_url()}, {"type": "s3", "bucket": "VIDEOS", "path": "${path}"}])
    assert server.get("/assets/a.css")[1] == TEXT
    assert attempts(server.get("/assets/none.css")[1]) == "http: unreachable, s3: 404 NoSuchKey"


def test_scripts_of_other_sites_may_read_a_bucket_when_cors_says_so(server, s3):
    server.config["cors"] = {"allowOrigins": ["https://app.example"]}
    use(server, s3)
    site = ("Origin", "https://app.example")
    reply, _ = server.get("/assets/a.css", "OPTIONS", [site, ("Access-Control-Request-Method", "GET"), ("Access-Control-Request-Headers", "range")])
    assert reply.status == 204 and reply["Access-Control-Allow-Headers"] == "range" and not s3.requests
    reply, body = server.get("/assets/a.css", headers=[site])
    assert reply["Access-Control-Allow-Origin"] == site[1] and body == TEXT
    assert "origin" not in s3.requests[0][2]
    assert server.get("/assets/a.css", headers=[("Origin", "https://evil.example")])[0]["Access-Control-Allow-Origin"] is None
