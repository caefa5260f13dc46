"""`redirects: "pass"`: a redirect of the origin is the answer, cached as such, and never a 200 (cache contract §4, R-42)."""
import pytest

from kit import expect, media
from kit.wait import until

TARGET = "/remote/old.mp4?mode=frame&width=160"
KEY = "frame:remote/old.mp4:w=160"


@pytest.fixture
def passing(server, origin):
    """Passes redirects; /new.mp4 exists, /old.mp4 leads there."""
    origin.files["/new.mp4"] = media.clip("small.mp4")
    origin.redirects["/old.mp4"] = "/new.mp4"
    remote = server.http_origin(origin)
    remote["sources"][0]["redirects"] = "pass"
    server.config["origins"] = [remote]
    server.config["cache"] = {"kvTtl": {"redirects": 1000}}
    server.open_admin()
    server.start()
    return server


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_redirect_is_the_answer_and_stays_one(passing, origin, status):
    origin.redirect_status = status
    for source, cache_status in (("transform", "MISS"), ("edge", "HIT"), ("edge", "HIT")):
        reply, body = passing.get(TARGET)
        assert (reply.status, body) == (status, b"")
        assert reply["Location"] == "/remote/new.mp4?mode=frame&width=160", "a path of ours, for the same variant"
        expect.media_headers(reply, source=source, status_in=(cache_status,), key=KEY)
        max_age = int(reply["Cache-Control"].removeprefix("public, max-age="))
        assert 0 <= int(reply["Age"]) and 900 < max_age <= 1000 - int(reply["Age"])
        assert "ETag" not in reply and "Accept-Ranges" not in reply
    assert len(origin.requests) == 1, "remembered"
    assert passing.metric("video_resizer_origin_requests_total", result="redirect") == 1
    assert passing.transforms(result="ok") == 0
    assert passing.metric("video_resizer_kv_entries") == 0


def test_whoever_follows_gets_the_variant(passing):
    reply, _ = passing.get(TARGET)
    reply, body = passing.get(reply["Location"])
    assert reply.status == 200 and body[:3] == b"\xff\xd8\xff"


def test_every_variant_and_the_original_are_elsewhere(passing):
    for query in ("", "?width=160", "?mode=frame&width=100"):
        reply, _ = passing.get("/remote/old.mp4" + query)
        assert (reply.status, reply["Location"]) == (302, "/remote/new.mp4" + query)
    with passing.connect() as c:
        assert c.ask("/remote/old.mp4?width=170", "HEAD").status == 302, "also what nobody has asked for yet"
        reply = c.ask(TARGET, headers={"Range": "bytes=0-9", "If-None-Match": "*"})
        assert (reply.status, reply.body()) == (302, b""), "conditions and ranges are for representations"


def test_a_redirect_away_is_passed_as_it_is(passing, origin):
    origin.redirects["/old.mp4"] = "https://user:secret@cdn.example.com/b.mp4?v=2"
    assert passing.get(TARGET)[0]["Location"] == "https://cdn.example.com/b.mp4?v=2"


@pytest.mark.parametrize("location", ["http://127.0.0.1:1/x.mp4", "javascript:alert(1)", "ftp://example.com/x", "http://[::1]/x"])
def test_a_place_nobody_should_be_sent_to_is_a_failure_of_the_source(passing, origin, location):
    origin.redirects["/old.mp4"] = location
    reply, body = passing.get(TARGET)
    expect.error(reply, body, "ALL_SOURCES_FAILED")
    assert "Location" not in reply
    assert location.encode() not in body


def test_a_secret_of_ours_is_not_passed_on(server, origin):
    remote = server.http_origin(origin)
    remote["sources"][0].update(redirects="pass", auth={"type": "query", "name": "sig", "value": "s3cr3t-value"})
    server.config["origins"] = [remote]
    origin.redirects["/old.mp4"] = "https://cdn.example.com/b.mp4?sig=s3cr3t-value"
    server.start()
    reply, body = server.get(TARGET)
    expect.error(reply, body, "ALL_SOURCES_FAILED")
    assert all(b"s3cr3t" not in part.encode() for _, part in reply.fields)


def test_it_can_be_bypassed_and_purged(passing, origin):
    passing.get(TARGET)
    del origin.redirects["/old.mp4"]
    origin.files["/old.mp4"] = media.clip("silent.mp4")
    assert passing.get(TARGET)[0].status == 302, "still remembered"
    assert passing.get(TARGET + "&nocache=1")[0].status == 200
    assert passing.get(TARGET)[0].status == 200, "and the fresh result has replaced it"

    origin.redirects["/old.mp4"] = "/new.mp4"
    other = "/remote/old.mp4?mode=frame&width=100"
    assert passing.get(other)[0].status == 302
    assert passing.purge(source="remote/old.mp4")["edge"] == 2
    del origin.redirects["/old.mp4"]
    assert passing.get(other)[0].status == 200


def test_it_is_forgotten_after_its_ttl(server, origin):
    remote = server.http_origin(origin, ttl={"redirects": 1})
    remote["sources"][0]["redirects"] = "pass"
    server.config["origins"] = [remote]
    origin.redirects["/old.mp4"] = "/new.mp4"
    server.start()
    assert server.get(TARGET)[0].status == 302
    del origin.redirects["/old.mp4"]
    origin.files["/old.mp4"] = media.clip("small.mp4")
    until(lambda: server.get(TARGET)[0].status == 200, "the source is asked again", 10, every=0.1)


def test_a_ttl_of_zero_remembers_nothing(server, origin):
    remote = server.http_origin(origin, ttl={"redirects": 0})
    remote["sources"][0]["redirects"] = "pass"
    server.config["origins"] = [remote]
    origin.redirects["/old.mp4"] = "/new.mp4"
    server.start()
    for asked in (1, 2):
        reply, _ = server.get(TARGET)
        assert (reply.status, reply["X-Cache-Status"], reply["Cache-Control"]) == (302, "MISS", "no-store")
        assert len(origin.requests) == asked


def test_an_entry_whose_source_has_moved_goes_with_it(server, origin):
    origin.files["/old.mp4"] = media.clip("small.mp4")
    remote = server.http_origin(origin)
    remote["sources"][0]["redirects"] = "pass"
    server.config["origins"] = [remote]
    server.config["cache"] = {"sourceCheckInterval": 1}
    server.start()
    assert server.get(TARGET)[0].status == 200
    origin.redirects["/old.mp4"] = "/new.mp4"
    until(lambda: server.get(TARGET)[0].status == 302, "the move is noticed within sourceCheckInterval", 10, every=0.1)


def test_redirects_are_followed_unless_configured(server, origin):
    origin.files["/new.mp4"] = media.clip("small.mp4")
    origin.redirects["/old.mp4"] = "/new.mp4"
    server.config["origins"] = [server.http_origin(origin)]
    server.start()
    reply, body = server.get(TARGET)
    assert reply.status == 200 and body[:3] == b"\xff\xd8\xff" and "Location" not in reply
