"""Sources behind HTTP: only the bytes that are needed, and every way an origin can fail."""
import pytest

from kit.wait import until
from kit import expect, media
from kit.origin import HttpOrigin


@pytest.fixture
def remote(server, origin):
    origin.files["/a.mp4"] = media.clip("small.mp4")
    origin.files["/long.mp4"] = media.clip("long.mp4")
    server.config["origins"] = [server.http_origin(origin)]
    server.allow_loopback_origins()
    server.start()
    return server


def test_a_variant_of_a_remote_source(remote, origin, tmp_path):
    reply, body = remote.get("/remote/a.mp4?width=160")
    assert reply.status == 200
    expect.media_headers(reply, key="video:remote/a.mp4:w=160")
    path = tmp_path / "a.mp4"
    path.write_bytes(body)
    assert media.video_of(media.probe(path))["width"] == 160
    assert origin.bytes_sent_twice("/a.mp4") == 0
    before = len(origin.requests)
    assert remote.get("/remote/a.mp4?width=160")[0]["X-Cache-Status"] == "HIT"
    assert len(origin.requests) == before, "a hit asks the origin nothing"


def test_the_original_of_a_remote_source(remote):
    for _ in range(2):
        reply, body = remote.get("/remote/a.mp4")
        assert reply.status == 200 and body == media.clip("small.mp4").read_bytes()


def test_a_frame_needs_a_small_part_of_a_long_file(remote, origin):
    size = media.clip("long.mp4").stat().st_size
    reply, _ = remote.get("/remote/long.mp4?mode=frame&width=160&time=25s")
    assert reply.status == 200
    assert origin.bytes_sent("/long.mp4") < size / 3, (origin.bytes_sent("/long.mp4"), size)


def test_an_origin_without_ranges_works(remote, origin):
    origin.no_ranges = True
    assert remote.get("/remote/a.mp4?width=160")[0].status == 200


def test_an_origin_without_head_works(remote, origin):
    origin.no_head = True
    assert remote.get("/remote/a.mp4?width=160")[0].status == 200


def test_an_origin_without_length_works(remote, origin):
    origin.no_length = True
    origin.no_ranges = True
    reply, body = remote.get("/remote/a.mp4?width=160")
    assert reply.status == 200, body[:300]


def test_redirects_are_followed(remote, origin):
    origin.redirects["/moved.mp4"] = "/a.mp4"
    reply, body = remote.get("/remote/moved.mp4?mode=frame&width=160")
    assert reply.status == 200, body[:300]


def test_redirect_loops_end(remote, origin):
    origin.redirects["/loop.mp4"] = "/loop.mp4"
    reply, body = remote.get("/remote/loop.mp4?mode=frame&width=160")
    expect.error(reply, body)
    assert len([r for r in origin.requests if r[1] == "/loop.mp4"]) < 25


@pytest.mark.parametrize("status, code", [(404, "NOT_FOUND"), (410, "NOT_FOUND"), (500, "ALL_SOURCES_FAILED"), (503, "ALL_SOURCES_FAILED"),
                                          (403, "ALL_SOURCES_FAILED")])
def test_origin_errors_have_their_own_names(remote, origin, status, code):
    origin.status = status
    reply, body = remote.get("/remote/a.mp4?width=160")
    expect.error(reply, body, code)
    if code == "ALL_SOURCES_FAILED":
        assert str(status).encode() in body, "the upstream status is named"


def test_an_unreachable_origin_is_502(server):
    gone = HttpOrigin()
    server.config["origins"] = [server.http_origin(gone)]
    server.allow_loopback_origins()
    gone.close()
    server.start()
    reply, body = server.get("/remote/a.mp4?width=160")
    expect.error(reply, body, "ALL_SOURCES_FAILED")
    assert gone.url.encode() not in body and gone.address.encode() not in body


def test_the_second_source_takes_over(server, origin):
    gone = HttpOrigin()
    gone.close()
    origin.files["/a.mp4"] = media.clip("small.mp4")
    place = server.http_origin(gone)
    place["sources"] = [{"type": "http", "url": gone.url, "path": "${path}", "priority": 0},
                        {"type": "http", "url": origin.url, "path": "${path}", "priority": 1}]
    server.config["origins"] = [place]
    server.allow_loopback_origins()
    server.start()
    reply, body = server.get("/remote/a.mp4?mode=frame&width=160")
    assert reply.status == 200, body[:300]


def test_a_source_that_breaks_off_is_never_a_stored_success(remote, origin):
    origin.cut_after = 30000
    reply, body = remote.get("/remote/a.mp4?mode=frame&width=160&time=2500ms&format=png")
    if reply.status != 200:
        expect.error(reply, body)
    origin.cut_after = None
    again, whole = remote.get("/remote/a.mp4?mode=frame&width=160&time=2500ms&format=png&nocache=1")
    assert again.status == 200
    if reply.status == 200:
        assert whole == body


def test_html_instead_of_a_video_is_no_video(remote, origin, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<html><body>login please</body></html>" * 50)
    origin.files["/page.mp4"] = page
    origin.content_type = "text/html"
    reply, body = remote.get("/remote/page.mp4?width=160")
    assert expect.error(reply, body) in ("SOURCE_UNSUPPORTED", "SOURCE_CORRUPT", "ALL_SOURCES_FAILED")


def test_a_source_over_the_limit_is_413_before_the_download(server, origin):
    origin.files["/long.mp4"] = media.clip("long.mp4")
    server.config["origins"] = [server.http_origin(origin)]
    server.config["transform"] = {"maxSourceBytes": "100KiB"}
    server.allow_loopback_origins()
    server.start()
    reply, body = server.get("/remote/long.mp4?width=160")
    expect.error(reply, body, "SOURCE_TOO_LARGE")
    assert origin.bytes_sent("/long.mp4") < 2 << 20


@pytest.mark.parametrize("target", ["/remote/a.mp4", "/remote/a.mp4?mode=frame&width=160", "/remote/a.mp4?width=160"])
def test_fields_of_the_origin_are_its_own(remote, origin, target):
    """Nothing of the origin's head is copied: no cookie, no foreign validator, no hop-by-hop field, no caching rule (R-11, R-54)."""
    origin.files["/a.mp4"] = media.clip("small.mp4")
    origin.fields = [("Set-Cookie", "session=1"), ("Cache-Control", "private, no-store"), ("Vary", "*"), ("Content-Disposition", "attachment"),
                     ("X-Amz-Request-Id", "r"), ("Keep-Alive", "timeout=5")]
    for _ in range(2):
        reply, _ = remote.get(target)
        assert reply.status == 200
        for name in ("Set-Cookie", "Content-Disposition", "X-Amz-Request-Id", "Keep-Alive"):
            assert name not in reply, reply.fields
        assert "*" not in (reply["Vary"] or ""), "our own, of the responsive choice, at most"
        assert "private" not in reply["Cache-Control"]
        source_etag = '"%x-%x"' % (media.clip("small.mp4").stat().st_size, media.clip("small.mp4").stat().st_mtime_ns)
        assert reply["ETag"] != source_etag
    # Who comes in the same moment may still join the first.
    until(lambda: remote.get(target)[0]["X-Cache-Status"] == "HIT", "an origin of transforms says what its bytes are, our TTL table says how long")


def test_the_query_of_the_client_stays_here(remote, origin):
    remote.get("/remote/a.mp4?width=160&token=abc")
    assert origin.requests and all("token" not in r[1] for r in origin.requests)
