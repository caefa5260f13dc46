"""Freshness (cache contract §4, §7): TTLs and what a client is told of them, what happens after them, how a changed source is noticed."""
import concurrent.futures
import re

import pytest

from kit import expect, media
from kit.wait import until

TARGET = "/remote/a.mp4?mode=frame&width=160"
KEY = "frame:remote/a.mp4:w=160"


@pytest.fixture
def make(server, origin):
    """Starts the server over a remote source with these cache settings. The source is there."""
    def start(ttl=None, **cache):
        origin.files["/a.mp4"] = media.clip("small.mp4")
        server.config["origins"] = [server.http_origin(origin, **({"ttl": ttl} if ttl else {}))]
        server.config["fetch"] = {"spoolKeep": 0, "firstByteTimeout": 30}
        server.config["cache"] = cache
        server.allow_loopback_origins()
        server.open_admin()
        server.start()
        return server
    return start


def promise(reply):
    """(seconds that a cache behind us keeps it: RFC 9111 §4.2, seconds since it was made)"""
    max_age = int(re.fullmatch(r"public, max-age=(\d+)", reply["Cache-Control"]).group(1))
    assert reply["Age"] == "0", "what remains is counted from now; an age would be taken off once more"
    return max_age - int(reply["Age"]), int(reply["X-KV-Cache-Age"] or 0)


def wait_expired(server):
    """An entry that has just been asked for is served stale: its TTL is over."""
    return until(lambda: (lambda r, b: (r, b) if r["X-Cache-Status"] == "STALE" else None)(*server.get(TARGET)), "the entry expires", 10, every=0.05)


# -- how long

@pytest.mark.parametrize("settings, ttl, environment, expected", [
    ({}, None, {}, 86400),
    ({"kvTtl": {"ok": 1000}}, None, {}, 1000),
    ({"kvTtl": {"ok": "2h"}}, {"ok": 500}, {}, 500),
    ({"kvTtl": {"ok": 1000}}, None, {"CACHE_KV_TTL_OK": "700"}, 700),
    ({"kvTtl": {"ok": 1000}}, {"ok": 500}, {"CACHE_KV_TTL_OK": "700"}, 500),
    ({"kvTtl": {"ok": 1000}}, None, {"CACHE_KV_TTL_OK": "700", "VIDEO_RESIZER_CACHE__KVTTL__OK": "600"}, 600),
], ids=["default", "configured", "the origin's own", "environment", "the origin's own beats all", "our own variable"])
def test_a_success_lives_as_long_as_its_class_says(make, server, settings, ttl, environment, expected):
    server.environment.update(environment)
    make(ttl, **settings)
    for status in ("MISS", "HIT"):
        reply, _ = server.get(TARGET)
        assert reply["X-Cache-Status"] == status
        max_age, age = promise(reply)
        assert expected - 5 < max_age <= expected - age
    server.wait_stored(1)
    entry = server.entry(KEY)["metadata"]
    assert entry["expiresAt"] - entry["createdAt"] == expected * 1000
    hit, _ = server.get(TARGET)
    assert int(hit["X-KV-Cache-TTL"]) == promise(hit)[0]


@pytest.mark.parametrize("name, status", [("REDIRECTS", 302), ("CLIENT_ERROR", 404), ("SERVER_ERROR", 503)])
def test_the_other_classes_and_their_variables(make, server, origin, name, status):
    server.environment["CACHE_KV_TTL_" + name] = "77"
    make()
    if status == 302:
        server.stop()
        server.config["origins"][0]["sources"][0]["redirects"] = "pass"
        server.start()
        origin.redirects["/a.mp4"] = "/b.mp4"
    else:
        origin.status = status
    for _ in range(2):
        reply, _ = server.get(TARGET)
        max_age, age = promise(reply)
        assert 70 < max_age <= 77 - age


@pytest.mark.parametrize("settings, ttl", [({"kvTtl": {"ok": 0}}, None), ({}, {"ok": 0})], ids=["everywhere", "one origin"])
def test_zero_means_do_not_store(make, settings, ttl):
    server = make(ttl, **settings)
    for made in (1, 2):
        reply, _ = server.get(TARGET)
        assert reply.status == 200 and reply["X-Cache-Status"] == "MISS"
        assert "stored" not in reply["Cache-Status"]
        assert server.transforms() == made
    assert server.metric("video_resizer_kv_entries") == server.metric("video_resizer_edge_entries") == 0
    with server.connect() as c:
        reply = c.ask("/remote/a.mp4")
        assert reply.status == 200 and reply["Cache-Control"] in ("no-store", "public, max-age=0")


@pytest.mark.parametrize("name", ["CACHE_ENABLE_KV", "VIDEO_RESIZER_CACHE__ENABLEKVCACHE"])
@pytest.mark.parametrize("value", ["false", "0", "no"])
def test_the_environments_false_is_false(make, server, name, value):
    server.environment[name] = value
    make()
    assert server.get(TARGET)[0]["Cache-Status"] == "KV; fwd=bypass, edge; fwd=miss; stored"
    assert server.get(TARGET)[0]["X-Cache-Source"] == "edge"
    assert server.metric("video_resizer_kv_entries") == 0


def test_the_remaining_time_counts_down(make):
    server = make(kvTtl={"ok": 100})
    server.get(TARGET)
    server.wait_stored(1)
    first, _ = promise(server.get(TARGET)[0])
    later, age = until(lambda: (lambda p: p if p[1] >= 2 else None)(promise(server.get(TARGET)[0])), "two seconds have passed", 10, every=0.1)
    assert 98 - age <= later <= 100 - age and first - 4 <= later < first, "no more than remains, and no less"
    server.restart()
    reply, _ = server.get(TARGET)
    max_age, age = promise(reply)
    assert reply["X-Cache-Source"] == "KV" and age >= 2 and 98 - age <= max_age <= 100 - age, "the KV knows its age too"


def test_every_form_of_an_answer_is_kept_as_long_by_caches_behind_us(make, origin):
    """200, 206, 304 and HEAD, variant, original, error; an origin's own Cache-Control counts from when the body was made."""
    server = make(kvTtl={"ok": 1000, "clientError": 500}, sourceCheckInterval="1h")
    for target in (TARGET, "/remote/a.mp4", "/remote/nosuch.mp4"):
        server.get(target)
    server.wait_stored(2)
    etags = {target: until(lambda: (lambda r: r["ETag"] if r["X-Cache-Status"] == "HIT" else None)(server.get(target)[0]), "a hit")
             for target in (TARGET, "/remote/a.mp4")}
    until(lambda: int(server.get(TARGET)[0]["X-KV-Cache-Age"]) >= 2, "two seconds have passed", 10, every=0.1)

    def fresh_for(reply):
        return int(re.search(r"max-age=(\d+)", reply["Cache-Control"]).group(1)) - int(reply["Age"])

    for target, etag in etags.items():
        for method, headers, status in (("GET", {}, 200), ("GET", {"Range": "bytes=0-9"}, 206), ("GET", {"If-None-Match": etag}, 304), ("HEAD", {}, 200)):
            reply, _ = server.get(target, method, headers=headers)
            assert (reply.status, reply["X-Cache-Status"]) == (status, "HIT"), (target, method, headers)
            assert fresh_for(reply) == int(reply["X-KV-Cache-TTL"]) <= 998, (target, method, headers, reply.fields)
    reply, _ = server.get("/remote/nosuch.mp4")
    assert (reply.status, reply["X-Cache-Status"]) == (404, "HIT")
    ttl = int(re.search(r"edge; hit; ttl=(\d+)", reply["Cache-Status"]).group(1))
    assert fresh_for(reply) == ttl <= 498
    server.config["origins"][0]["cacheControl"] = "public, max-age=600"
    server.write_config()
    server.signal(1)
    server.wait_event("config_reloaded")
    reply, _ = server.get(TARGET)
    assert reply["X-Cache-Status"] == "HIT" and reply["Age"] == reply["X-KV-Cache-Age"] and fresh_for(reply) <= 598


# -- after it

def test_stale_while_revalidate(make, origin):
    """Served at once, marked, asked about once, touched: no transform, nothing but the expiry changes."""
    server = make(kvTtl={"ok": 1}, staleWhileRevalidate=1000, sourceCheckInterval=0)
    _, body = server.get(TARGET)
    server.wait_stored(1)
    before = server.entry(KEY)["metadata"]
    origin.heads.clear()
    asked = len(origin.requests)
    reply, stale = wait_expired(server)
    assert stale == body and promise(reply)[0] == 0
    assert re.fullmatch(r"edge; hit; ttl=(0|-\d+)", reply["Cache-Status"])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for reply, again in pool.map(lambda _: server.get(TARGET), range(40)):
            assert (reply["X-Cache-Status"], again) == ("STALE", body), "nobody waits for the origin, which says nothing"
    until(lambda: origin.waiting == 1, "one question is under way")
    assert len(origin.requests) == asked + 1, "once, whoever asks meanwhile"
    origin.heads.set()
    until(lambda: server.metric("video_resizer_kv_touches_total") == 1, "the answer came: a touch")
    after = server.entry(KEY)["metadata"]
    assert after.pop("expiresAt") > before.pop("expiresAt") and after == before
    assert server.transforms() == 1 and origin.bytes_sent("/a.mp4") > 0
    server.restart()
    assert server.get(TARGET)[1] == body, "the touched entry is whole"


def test_beyond_it_the_origin_is_asked_first(make, origin):
    server = make(kvTtl={"ok": 1}, staleWhileRevalidate=0, staleIfError=0, sourceCheckInterval=0)
    _, body = server.get(TARGET)
    reply, again = until(lambda: (lambda r, b: (r, b) if "fwd=stale" in r["Cache-Status"] else None)(*server.get(TARGET)), "revalidated", 10, every=0.05)
    assert (reply["X-Cache-Status"], again) == ("HIT", body)
    assert re.fullmatch(r"edge; fwd=stale; fwd-status=304; ttl=[01]", reply["Cache-Status"])
    assert server.transforms() == 1


def test_stale_if_error(make, origin):
    server = make(kvTtl={"ok": 1, "serverError": 1}, staleWhileRevalidate=0, staleIfError=1000, sourceCheckInterval=0)
    _, body = server.get(TARGET)
    origin.status = 503
    reply, stale = wait_expired(server)
    assert stale == body and promise(reply)[0] == 0
    asked = len(origin.requests)
    for _ in range(10):
        assert server.get(TARGET)[0]["X-Cache-Status"] == "STALE"
    assert len(origin.requests) <= asked + 1, "a failing origin is not asked for every request"
    origin.status = None
    until(lambda: server.get(TARGET)[0]["X-Cache-Status"] == "HIT", "it has recovered", 10, every=0.05)
    assert server.transforms() == 1


def test_stale_if_error_has_an_end(make, origin):
    server = make(kvTtl={"ok": 1, "serverError": 1}, staleWhileRevalidate=0, staleIfError=0, sourceCheckInterval=0)
    server.get(TARGET)
    origin.status = 503
    reply, body = until(lambda: (lambda r, b: (r, b) if r.status != 200 else None)(*server.get(TARGET)), "the failure shows", 10, every=0.05)
    expect.error(reply, body, "ALL_SOURCES_FAILED")
    origin.status = None
    until(lambda: server.get(TARGET)[0].status == 200, "and is over when it is", 10, every=0.05)
    assert server.transforms() == 1, "the entry was kept: its source proved unchanged"


@pytest.mark.parametrize("status", [404, 410])
def test_a_deleted_source_takes_its_entry_along(make, origin, status):
    """Within stale-if-error too: gone is an answer, not a failure."""
    server = make(kvTtl={"ok": 1}, staleWhileRevalidate=0, staleIfError=1000, sourceCheckInterval=0)
    server.get(TARGET)
    server.wait_stored(1)
    origin.status = status
    until(lambda: server.get(TARGET)[0].status == 404, "gone", 10, every=0.05)
    assert server.metric("video_resizer_kv_entries") == 0
    server.restart()
    assert server.get(TARGET)[0].status == 404


# -- the source changes

def change(origin):
    origin.files["/a.mp4"] = media.clip("silent.mp4")


def test_a_changed_source_is_noticed_within_the_interval_and_nobody_waits(make, origin):
    server = make(sourceCheckInterval=1)
    _, old = server.get(TARGET)
    change(origin)

    def fresh():
        reply, body = server.get(TARGET)
        assert reply["X-Cache-Status"] == "HIT", "a hot hit stays one: the new version is made behind it"
        return body != old
    until(fresh, "the new version", 10, every=0.05)
    until(lambda: server.transforms(result="ok") == 2, "made once more")
    assert server.metric("video_resizer_source_changes_total") == 1
    server.wait_stored(1)
    server.restart()
    assert server.get(TARGET)[1] != old, "the KV has the new one"


def test_a_hit_never_waits_for_the_origin(make, origin):
    server = make(sourceCheckInterval=1)
    _, body = server.get(TARGET)
    origin.heads.clear()
    until(lambda: server.get(TARGET) and origin.waiting == 1, "the comparison is under way, and hangs", 10, every=0.05)
    for _ in range(20):
        reply, again = server.get(TARGET)
        assert (reply["X-Cache-Status"], again) == ("HIT", body)
    assert origin.waiting == 1, "one question at a time"


def test_an_interval_of_zero_never_looks(make, origin):
    server = make(kvTtl={"ok": 86400}, sourceCheckInterval=0)
    _, old = server.get(TARGET)
    asked = len(origin.requests)
    change(origin)
    for _ in range(20):
        assert server.get(TARGET)[1] == old
    assert server.metric("video_resizer_source_checks_total") == 0 and len(origin.requests) == asked


def test_use_renews_the_ttl_before_it_ends(make, origin):
    """Past half of its TTL an entry in use, whose source is unchanged, is touched: it never gets stale, and is never made again."""
    server = make(kvTtl={"ok": 4}, staleWhileRevalidate=0, staleIfError=0, sourceCheckInterval=1)
    server.get(TARGET)
    server.wait_stored(1)
    created = server.entry(KEY)["metadata"]["createdAt"]

    def used():
        assert server.get(TARGET)[0]["X-Cache-Status"] == "HIT"
        return server.entry(KEY)["metadata"]["expiresAt"] - created > 6000
    until(used, "renewed past the end of its first TTL", 20, every=0.05)
    assert server.transforms() == 1
    assert server.metric("video_resizer_kv_touches_total") >= 1
    assert server.entry(KEY)["metadata"]["createdAt"] == created


def test_a_source_without_validators_is_made_again_not_trusted(make, origin):
    origin.etag = origin.last_modified = False
    server = make(kvTtl={"ok": 1}, staleWhileRevalidate=0, sourceCheckInterval=0)
    server.get(TARGET)
    until(lambda: server.get(TARGET) and server.transforms(result="ok") >= 2, "made again", 10, every=0.1)


# -- read your own write

@pytest.mark.parametrize("edge", ["256MiB", 0])
def test_the_request_right_after_the_last_byte_finds_what_was_written(make, edge):
    """No gap between the answer and its being found, while it is stored in the background or after."""
    server = make(edge={"maxBytes": edge, "maxObjectInMemory": 0 if edge == 0 else "1MiB"})
    with server.connect() as c:
        for width in range(100, 140):
            target = f"/remote/a.mp4?mode=frame&width={width}"
            first = c.ask(target).body()
            reply = c.ask(target)
            assert reply.body() == first
            assert reply["X-Cache-Status"] == "HIT" if edge else "collapsed" in reply["Cache-Status"] or reply["X-Cache-Source"] == "KV"
    assert server.transforms() == 40


def test_every_reader_of_one_production_reads_its_write(make):
    server = make()
    targets = [f"/remote/a.mp4?mode=frame&width={width}" for width in range(200, 210)] * 8
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        bodies = list(pool.map(lambda t: server.get(t)[1], targets))
    for index, target in enumerate(targets[:10]):
        assert {bodies[i] for i in range(index, len(targets), 10)} == {server.get(target)[1]}
    assert server.transforms() == 10
