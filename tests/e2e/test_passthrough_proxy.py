"""Origins of mode "passthrough": what goes through, byte by byte, and how it ends when something is wrong (RFC 9110 §7, RFC 9112)."""
import socket
import threading

import pytest

from kit import media, wire
from kit.raw_origin import RawOrigin, answer
from kit.wait import until

from test_passthrough import get


@pytest.mark.parametrize("target", ["/", "/a?", "/a?b=c&d", "//x//", "/x/", "/%41%zz%", "/a%2Fb", "/a;b=c,d", "/~!$&'()*+,;=:@", "/?http://x/", "/x?a?b/../c"])
def test_targets_go_through_byte_for_byte(site, target):
    site.answers[target] = answer("Cache-Control: max-age=60", body=b"it")
    site.server.start()
    assert [get(site, target)[1] for _ in range(2)] == [b"it", b"it"]
    assert [a.target for a in site.asked()] == [target]


def test_different_targets_and_hosts_are_different_resources(site):
    for t in ("/a", "/a?", "/a?x", "/A", "/%61"):
        site.answers[t] = answer("Cache-Control: max-age=60", body=t.encode())
    site.server.start()
    for _ in range(2):
        for t in ("/a", "/a?", "/a?x", "/A", "/%61"):
            assert get(site, t)[1] == t.encode()
    get(site, "/a", headers=[("Host", "other.example")])
    assert len(site.asked()) == 6 and site.asked()[-1].one("X-Forwarded-Host") == "other.example"


def test_dot_segments_do_not_climb_past_the_matcher(site):
    site.server.start()
    for target in ("/../x", "/a/%2e%2e/x", "/a/..%2fx"):
        assert get(site, target)[0].status in (400, 404), target
    assert not site.asked()


def test_fields_end_to_end(site):
    site.answers["/x"] = answer("X-One: 1", "Connection: close, X-Drop", "X-Drop: no", "Keep-Alive: timeout=5", "Upgrade: h2c", "Proxy-Authenticate: Basic",
                                "X-One: 2", "Set-Cookie: a=1", "Set-Cookie: b=2", "x-weird!#$: \xe9", "Server: it", body=b"hi")
    site.server.start()
    sent = [("X-Mine", "1"), ("X-Mine", "2"), ("Connection", "X-Hop"), ("X-Hop", "no"), ("TE", "trailers"), ("Proxy-Authorization", "no"),
            ("Accept-Encoding", "br"), ("Cookie", "c=d"), ("User-Agent", "me"), ("X-Forwarded-For", "1.2.3.4"), ("Via", "1.0 before")]
    reply, _ = get(site, headers=sent)
    asked = site.asked()[0]
    assert asked.get("X-Mine") == ["1", "2"] and asked.get("Accept-Encoding") == ["br"] and asked.get("Cookie") == ["c=d"] and asked.get("User-Agent") == ["me"]
    assert not any(asked.get(n) for n in ("X-Hop", "TE", "Proxy-Authorization", "Accept", "Content-Length", "Content-Type", "Range"))
    assert asked.one("X-Forwarded-For") == "1.2.3.4, 127.0.0.1" and asked.one("X-Forwarded-Proto") == "http" and asked.one("Host") == site.address
    assert asked.one("Via").startswith("1.0 before, 1.1 video-resizer-")
    names = [n for n, _ in reply.fields]
    assert [v for n, v in reply.fields if n == "X-One"] == ["1", "2"] and [v for n, v in reply.fields if n == "Set-Cookie"] == ["a=1", "b=2"]
    assert ("x-weird!#$", "\xe9") in reply.fields and reply["Server"] == "it" and reply["Via"] == "1.1 video-resizer"
    assert not {"X-Drop", "Keep-Alive", "Upgrade", "Proxy-Authenticate"} & set(names) and names.count("Date") == 1


@pytest.mark.parametrize("status", ["201 Made", "203 Non", "299 Odd one", "300 Choose", "302 Found", "403 No", "418 Teapot", "499 X", "511 Y", "599 Z", "999 Far out"])
def test_any_status_goes_through_with_its_reason(site, status):
    site.answers["/x"] = answer("Location: /elsewhere", body=b"hi", status=status)
    site.server.start()
    with site.server.connect() as c:
        c.begin("/x")
        head = c.take_until(b"\r\n")
        assert head == b"HTTP/1.1 " + status.encode()
    assert len(site.asked()) == 1, "redirects are not followed"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_answers_without_body_keep_the_connection_in_step(site, status):
    site.answers["/x"] = answer(status=status, length=False)
    site.answers["/y"] = answer(body=b"next")
    site.server.start()
    with site.server.connect() as c:
        assert c.ask("/x").status == int(status[:3])
        assert c.ask("/y").body() == b"next"


def test_interim_answers_go_through(site):
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-Mine: 1\r\n\r\n"
    site.answers["/x"] = b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 102 Processing\r\n\r\n" + early + answer("Cache-Control: max-age=60", body=b"final")
    site.server.start()
    with site.server.connect() as c:
        first = c.ask("/x")
        assert first.status == 102
        second = c.reply()
        assert second.status == 103 and second["Link"] == "</a.css>; rel=preload" and second["X-Mine"] == "1"
        final = c.reply()
        assert (final.status, final.body()) == (200, b"final")
        hit = c.ask("/x")
        assert (hit.status, hit.body()) == (200, b"final"), "an interim answer is not stored"
    site.answers["/y"] = site.answers["/x"]
    with site.server.connect() as c:
        c.send(b"GET /y HTTP/1.0\r\nHost: a\r\n\r\n")
        assert c.reply().status == 200, "HTTP/1.0 knows no interim answers"


# -- bodies

def test_a_body_arrives_while_it_is_made(site):
    gate = threading.Event()

    def reply(_):
        def pieces():
            yield answer("Cache-Control: max-age=60", "Content-Length: 8", length=False) + b"1234"
            gate.wait(20)
            yield b"5678"
        return pieces()
    site.answers["/x"] = reply
    site.server.start()
    with site.server.connect() as c:
        answer_ = c.ask("/x")
        assert answer_.some(4) == b"1234"
        with site.server.connect() as d:
            joined = d.ask("/x")
            assert joined.some(4) == b"1234" and "collapsed" in joined["Cache-Status"]
            gate.set()
            assert answer_.body() == b"5678" and joined.body() == b"5678"
    assert get(site)[0]["X-Cache-Status"] == "HIT" and len(site.asked()) == 1


def test_chunks_are_decoded_and_stored(site):
    site.answers["/x"] = answer("Cache-Control: max-age=60", "Transfer-Encoding: chunked", length=False) + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer-A: 1\r\n\r\n"
    site.server.start()
    assert get(site)[1] == b"abcde"
    reply, body = get(site)
    assert body == b"abcde" and reply["Content-Length"] == "5" and len(site.asked()) == 1


def test_a_body_that_ends_with_the_connection(site):
    site.answers["/x"] = lambda _: iter([answer("Cache-Control: max-age=60", length=False) + b"all of it"])
    site.server.start()
    assert get(site)[1] == b"all of it" and get(site)[0]["X-Cache-Status"] == "HIT"


def test_what_follows_content_length_is_dropped_with_the_connection(site):
    site.answers["/x"] = answer("Cache-Control: max-age=60", "Content-Length: 5", length=False) + b"12345HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    site.answers["/y"] = answer(body=b"good")
    site.server.start()
    assert get(site)[1] == b"12345" and get(site)[1] == b"12345"
    for _ in range(3):
        assert get(site, "/y")[1] == b"good"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_that_breaks_off_breaks_off_for_the_client_and_is_not_stored(site, framing):
    head = answer("Cache-Control: max-age=60", "Content-Length: 100" if framing == "length" else "Transfer-Encoding: chunked", length=False)
    site.answers["/x"] = lambda _: iter([head + (b"half" if framing == "length" else b"4\r\nhalf\r\n")])
    site.server.start()
    for n in (1, 2):
        with site.server.connect() as c:
            with pytest.raises(wire.Cut):
                c.ask("/x").body()
        assert len(site.asked()) == n


@pytest.mark.parametrize("damage", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
                                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100000 + b"\r\n\r\n"])
def test_answers_that_make_no_sense_are_a_502(site, damage):
    site.answers["/x"] = damage
    site.server.start()
    reply, body = get(site)
    assert reply.status == 502 and b"ALL_SOURCES_FAILED" in body and reply["Cache-Control"] == "no-store"


@pytest.mark.parametrize("method, body, times", [("GET", b"", 3), ("HEAD", b"", 3), ("GET", b"once", 1), ("POST", b"once", 1), ("POST", b"", 1),
                                                 ("PUT", b"once", 1), ("DELETE", b"", 1), ("OPTIONS", b"", 1), ("PATCH", b"once", 1)])
def test_only_what_reads_is_sent_again_when_the_origin_has_seen_it(site, method, body, times):
    site.answers["/warm"] = answer(body=b"warm")
    site.answers["/x"] = lambda _: None
    site.server.config["fetch"] = {"retries": 2, "retryBackoff": "1ms"}
    site.server.start()
    get(site, "/warm")  # so that a kept connection is used
    with site.server.connect() as c:
        assert c.ask("/x", method, [("Content-Length", "4")] if body else [], body).status == 502
    assert [a.method for a in site.asked("/x")] == [method] * times


def test_large_bodies_are_kept_as_files(site):
    content = bytes(range(256)) * 20000
    site.answers["/x"] = answer("Cache-Control: max-age=60", body=content)
    site.server.start()
    assert get(site)[1] == content and get(site)[1] == content
    assert get(site, headers=[("Range", "bytes=5000000-5000003")])[1] == content[5000000:5000004]
    assert len(site.asked()) == 1
    site.server.purge(everything=True)
    assert get(site)[1] == content and len(site.asked()) == 2


def endless(total, *lines):
    def reply(_):
        def pieces():
            yield answer(*lines, f"Content-Length: {total}", length=False)
            for _ in range(total >> 16):
                yield bytes(1 << 16)
        return pieces()
    return reply


def test_what_is_not_kept_waits_for_its_slow_reader_and_ends_with_it(site):
    site.answers["/x"] = endless(1 << 30, "Cache-Control: no-store")
    site.server.start()
    c = site.server.connect(receive_buffer=65536)
    reply = c.ask("/x")
    reply.some(1000)
    last = [-1]

    def stands_still():
        before, last[0] = last[0], site.sent
        return last[0] == before
    until(stands_still, "the origin has to wait", every=0.5)
    assert site.sent < 64 << 20, "nothing hoards what nobody takes"
    assert not site.ended.is_set()
    c.close()
    assert site.ended.wait(20), "the origin is told that nobody listens"


def test_what_is_not_kept_leaves_no_disk_used_behind_its_reader(site):
    site.answers["/x"] = endless(128 << 20, "Cache-Control: no-store")
    site.server.start()
    with site.server.connect() as c:
        reply = c.ask("/x")
        taken = 0
        worst = 0
        while not reply.complete:
            taken += len(reply.some(1 << 20))
            if taken % (16 << 20) < 1 << 20:
                worst = max(worst, sum(_blocks(p) for p in _open_files(site.server.pid)))
    assert taken == 128 << 20 and worst < 48 << 20


def _open_files(pid):
    import pathlib
    return [p for p in pathlib.Path(f"/proc/{pid}/fd").iterdir() if _target(p).startswith("/") and "staging" in _target(p)]


def _target(link):
    import os
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _blocks(link):
    import os
    try:
        return os.stat(link).st_blocks * 512
    except OSError:
        return 0


# -- many at once

def test_concurrent_misses_are_one_request(site):
    gate = threading.Event()

    def slowly(_):
        gate.wait(20)
        return answer("Cache-Control: max-age=60", body=b"one")
    site.answers["/x"] = slowly
    site.server.start()
    connections = [site.server.connect() for _ in range(40)]
    for c in connections:
        c.begin("/x")
    until(lambda: site.asked(), "the origin is asked")
    gate.set()
    assert [c.reply().body() for c in connections] == [b"one"] * 40
    assert len(site.asked()) == 1
    for c in connections:
        c.close()


def test_answers_that_cannot_be_shared_are_asked_for_one_by_one(site):
    site.answers["/x"] = lambda a: answer("Cache-Control: private", body=a.one("X-Who").encode())
    site.server.start()
    connections = [site.server.connect() for _ in range(10)]
    for i, c in enumerate(connections):
        c.begin("/x", headers=[("X-Who", str(i))])
    assert [c.reply().body() for c in connections] == [str(i).encode() for i in range(10)]
    assert len(site.asked()) == 10
    for c in connections:
        c.close()


# -- places

def test_an_unreachable_source_is_followed_by_the_next(site):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        dead = "http://127.0.0.1:%d" % s.getsockname()[1]
    site.server.config["origins"][0]["sources"].insert(0, {"type": "http", "url": dead})
    site.answers["/x"] = answer(body=b"second")
    site.server.start()
    with site.server.connect() as c:
        assert c.ask("/x", "POST", [("Content-Length", "1")], b"q").body() == b"second"
    assert get(site)[1] == b"second"


def test_an_origin_that_leads_back_to_us_is_a_508(site):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    site.server.config["listen"] = f"127.0.0.1:{port}"
    site.server.config["origins"][0]["sources"] = [{"type": "http", "url": f"http://127.0.0.1:{port}"}]
    site.server.start()
    reply, body = get(site)
    assert reply.status == 508 and b"LOOP_DETECTED" in body


def test_templates_prefixes_and_credentials(site):
    site.server.config["origins"][0].update(matcher="^/shop/(.+)$", captureGroups=["rest"], sources=[
        {"type": "http", "url": site.url + "/base", "path": "v2/${rest}", "headers": {"X-Key": "k"}, "auth": {"type": "query", "name": "token", "value": "s&t"}}])
    site.answers["/base/v2/a%20b"] = answer(body=b"it")
    site.server.start()
    reply, body = get(site, "/shop/a%20b?q=1", headers=[("X-Key", "mine"), ("Authorization", "theirs")])
    assert body == b"it" and site.asked()[0].target == "/base/v2/a%20b?q=1&token=s%26t"
    assert site.asked()[0].get("X-Key") == ["k"] and site.asked()[0].get("Authorization") == ["theirs"]
    assert "s&t" not in str(reply.fields) and "s%26t" not in str(reply.fields)
    assert get(site, "/elsewhere")[0].status == 404


def test_videos_and_pages_side_by_side(site):
    site.server.add(media.clip("small.mp4"), "small.mp4")
    site.server.config["origins"].insert(0, site.server.file_origin())
    site.answers["/videos/readme.txt"] = answer(body=b"text")
    site.answers["/index.html"] = answer(body=b"page")
    site.server.start()
    assert get(site, "/videos/readme.txt")[1] == b"text", "no video: on to the first passthrough origin"
    assert get(site, "/index.html")[1] == b"page"
    assert get(site, "/videos/small.mp4")[0]["X-Origin"] == "videos"
    assert get(site, "/videos/small.mp4", "POST")[0].status == 405
    assert get(site, "/videos/none.mp4")[0].status == 404
    assert get(site, "/healthz")[1] == b"ok\n"
    assert not [a for a in site.asked() if a.target.endswith(".mp4")]


def test_methods_that_end_here(site):
    site.server.start()
    reply, _ = get(site, method="TRACE")
    assert reply.status == 405 and "GET" in reply["Allow"]
    assert get(site, method="OPTIONS", headers=[("Max-Forwards", "0")])[0].status == 204
    assert not site.asked()
    site.answers["/x"] = answer("Allow: GET", body=b"")
    assert get(site, method="OPTIONS", headers=[("Max-Forwards", "3")])[0]["Allow"] == "GET"
    assert site.asked()[0].one("Max-Forwards") == "2"


def test_an_upload_with_expect_and_chunks(site):
    site.answers["/x"] = lambda a: answer(body=a.body[::-1])
    site.server.start()
    with site.server.connect() as c:
        c.send(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
        assert c.reply().status == 100
        c.send(b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")
        assert c.reply().body() == b"fedcba"
    assert site.asked()[0].one("Content-Length") == "6" and not site.asked()[0].get("Expect")


def test_counted_and_logged_as_what_they_are(site):
    site.answers["/x"] = answer("Cache-Control: max-age=60", body=b"hi")
    site.server.start()
    get(site), get(site)
    for name, labels in (("requests", {"layer": "edge"}), ("requests", {"layer": "passthrough", "status": "200"}), ("origin_requests", {"origin": "site", "result": "ok"})):
        until(lambda: site.server.metric(f"video_resizer_{name}_total", **labels) == 1, f"{name} of {labels} are counted")
    assert site.server.metric("video_resizer_passthrough_entries") == 1
    until(lambda: sorted(e["layer"] for e in site.server.events("request") if e["target"] == "/x") == ["edge", "passthrough"], "both are logged")
