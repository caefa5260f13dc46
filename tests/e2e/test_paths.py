"""Which file a URL may reach, and HTTP as strangers speak it."""
import os

import pytest

from kit import expect, media, wire


@pytest.fixture
def guarded(server):
    """A secret beside the media folder, and one that a symlink inside points to."""
    server.add(media.clip("small.mp4"), "small.mp4")
    (server.folder / "secret.mp4").write_bytes(b"TOPSECRET" * 100)
    (server.folder / "media-secret").mkdir()
    (server.folder / "media-secret" / "x.mp4").write_bytes(b"TOPSECRET" * 100)
    (server.media / "sub").mkdir()
    os.symlink(server.folder / "secret.mp4", server.media / "link.mp4")
    os.symlink(server.folder, server.media / "up")
    os.symlink("small.mp4", server.media / "inside.mp4")
    server.start()
    return server


@pytest.mark.parametrize("target", [
    "/videos/../secret.mp4", "/videos/%2e%2e/secret.mp4", "/videos/..%2fsecret.mp4", "/videos/sub/../../secret.mp4",
    "/videos/%2e%2e%2fsecret.mp4", "/videos/.%2e/secret.mp4", "/videos/..%5csecret.mp4", "/videos/%252e%252e/secret.mp4",
    "/videos//../secret.mp4", "/videos/./../secret.mp4", "/videos/small.mp4%00.png", "/videos/%00", "/videos/..", "/videos/%",
    "/videos/%zz.mp4", "/videos/../media-secret/x.mp4", "/../../../../etc/passwd", "/videos/link.mp4", "/videos/up/secret.mp4",
    "/videos/..;/secret.mp4", "/videos/%c0%ae%c0%ae/secret.mp4", "//videos/../secret.mp4", "/videos/%2fetc%2fpasswd", "/videos//etc/passwd",
])
@pytest.mark.parametrize("query", ["", "?width=160"])
def test_no_url_leaves_the_folder(guarded, target, query):
    reply, body = guarded.get(target + query)
    assert 400 <= reply.status < 500, (reply.status, body[:200])
    assert b"TOPSECRET" not in body and b"root:" not in body
    expect.error(reply, body)


def test_a_symlink_that_stays_inside_is_fine_or_refused_clearly(guarded):
    reply, body = guarded.get("/videos/inside.mp4")
    assert (reply.status, body) == (200, media.clip("small.mp4").read_bytes()) or reply.status in (403, 404)


def test_folders_and_special_files_are_not_served(guarded):
    os.mkfifo(guarded.media / "pipe.mp4")
    for target in ("/videos/sub", "/videos/sub.mp4", "/videos/pipe.mp4", "/videos/", "/videos"):
        reply, body = guarded.get(target, timeout=10)
        assert reply.status == 404, (target, reply.status)
        expect.error(reply, body)


def test_odd_names_reach_the_right_file(guarded):
    """R-133: dots, capitals, spaces, percent-encoding, other alphabets."""
    small = media.clip("small.mp4")
    for name, url in (("a.b.c.mp4", "a.b.c.mp4"), ("LOUD.MP4", "LOUD.MP4"), ("with space.mp4", "with%20space.mp4"), ("100%.mp4", "100%25.mp4"),
                      ("x:w=1.mp4", "x%3Aw%3D1.mp4"), ("plus+.mp4", "plus+.mp4"), ("größe.mp4", "gr%C3%B6%C3%9Fe.mp4"), ("a=b.mp4", "a=b.mp4")):
        guarded.add(small, name)
        reply, body = guarded.get("/videos/" + url)
        assert (reply.status, len(body)) == (200, small.stat().st_size), name


def test_names_cannot_forge_keys(guarded):
    keys = set()
    names = ["small.mp4?width=160", "small.mp4%3Aw=160", "small.mp4%3aw%3d160", "small.mp4:w=160"]
    for name in names[:1] + names[1:2] + names[3:]:
        reply, _ = guarded.get("/videos/" + name + ("&" if "?" in name else "?") + "debug=view")
        if reply.status == 200:
            keys.add(reply["X-KV-Cache-Key"] or name)
    assert guarded.get("/videos/small.mp4%3Aw=160")[0].status == 404


def test_unknown_paths_are_404(guarded):
    reply, body = guarded.get("/nowhere/a.mp4")
    expect.error(reply, body, "NO_MATCHING_ORIGIN")
    reply, body = guarded.get("/videos/gone.mp4?width=160")
    expect.error(reply, body, "NOT_FOUND")


def test_other_methods_are_405(guarded):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        with guarded.connect() as c:
            reply = c.ask("/videos/small.mp4", method, {"Content-Length": "0"})
            body = reply.body()
        assert {"GET", "HEAD"} <= {m.strip() for m in reply["Allow"].split(",")}
        expect.error(reply, body, "METHOD_NOT_ALLOWED")


def test_a_file_that_is_no_video_is_a_clear_error(guarded):
    (guarded.media / "page.mp4").write_bytes(b"<html>not a video</html>" * 100)
    (guarded.media / "empty.mp4").write_bytes(b"")
    for name in ("page.mp4", "empty.mp4"):
        for query in ("?width=160", "?mode=frame"):
            reply, body = guarded.get("/videos/" + name + query)
            assert expect.error(reply, body) in ("SOURCE_UNSUPPORTED", "SOURCE_CORRUPT")


# -- HTTP

def test_keep_alive_and_pipelining(guarded):
    with guarded.connect() as c:
        one = b"GET /videos/small.mp4?mode=frame&width=160 HTTP/1.1\r\nHost: x\r\n\r\n"
        c.send(one * 5 + b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + one)
        bodies = [c.reply().body() for _ in range(5)]
        assert c.reply("HEAD").status == 200
        bodies.append(c.reply().body())
    assert len(set(bodies)) == 1 and bodies[0]


def test_connection_close_is_honoured(guarded):
    with guarded.connect() as c:
        reply = c.ask("/healthz", headers={"Connection": "close"})
        reply.body()
        assert (reply["Connection"] or "").lower() == "close" and c.at_end()


@pytest.mark.parametrize("head, statuses", [
    (b"GARBAGE\r\n\r\n", {400}),
    (b"GET / HTTP/1.1\r\n\r\n", {400}),                                         # no Host
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", {400}),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", {400}),                # folded line
    (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", {400}),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", {400}),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", {400, 501}),
    (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", {400, 505}),
    (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", {414, 431}),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"b" * 70000 + b"\r\n\r\n", {431}),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n", {413, 405}),
    (b"GET /a\x01b HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
])
def test_malformed_requests_are_refused_and_the_connection_ends(guarded, head, statuses):
    with guarded.connect() as c:
        try:
            c.send(head)
        except ConnectionError:
            pass
        reply = c.reply()
        reply.body()
        assert reply.status in statuses, reply.status
        assert c.at_end()
    assert guarded.ready()


def test_request_ids_are_kept_when_sane(guarded):
    reply, _ = guarded.get("/videos/small.mp4?mode=frame&width=160", headers={"X-Request-ID": "abc-123"})
    assert reply["X-Request-ID"] == "abc-123"
    ids = {guarded.get("/videos/small.mp4?mode=frame&width=160")[0]["X-Request-ID"] for _ in range(3)}
    assert len(ids) == 3
    reply, _ = guarded.get("/healthz", headers={"X-Request-ID": "x" * 5000})
    assert len(reply["X-Request-ID"] or "") < 300


def test_cdn_cgi_scheme_means_the_same(guarded):
    reply, body = guarded.get("/cdn-cgi/media/mode=frame,width=160/videos/small.mp4")
    if reply.status == 200:
        assert guarded.get("/videos/small.mp4?mode=frame&width=160")[1] == body
    else:
        expect.error(reply, body)
