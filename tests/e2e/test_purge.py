"""Tags, purge and listing (cache contract §5) over the admin routes, on every layer and on work under way; who may use them."""
import json
import threading
import time

import pytest

from kit import expect, media, wire
from kit.wait import until

FORMATS = ["mp4", "bak", "mp42"]  # so that siblings with longer names are sources too
SIBLINGS = ("a.mp4", "a.mp4.bak", "a.mp42", "b/a.mp4")


def frame(name, width):
    return f"/videos/{name}?mode=frame&width={width}"


def key_of(name, width):
    return f"frame:videos/{name}:w={width}"


@pytest.fixture
def stocked(server):
    """Frames of four siblings at two sizes, one more with a preset and one of another origin, all in edge and KV."""
    for name in SIBLINGS:
        (server.media / name).parent.mkdir(exist_ok=True)
        server.add(media.clip("small.mp4"), name)
    other = server.folder / "other"
    other.mkdir()
    (other / "c.mp4").write_bytes(media.clip("silent.mp4").read_bytes())
    server.config["passthrough"] = {"formats": FORMATS}
    server.config["derivatives"] = {"tiny": {"mode": "frame", "width": 20, "format": "png"}}
    server.config["origins"] = [server.file_origin(cacheTags=["customer-1"]), {
        "name": "other", "matcher": "^/other/(.+)$", "captureGroups": ["path"], "cacheTags": ["customer-2"],
        "sources": [{"type": "file", "root": str(other), "path": "${path}"}]}]
    server.open_admin()
    server.start()
    server.stock = [frame(name, width) for name in SIBLINGS for width in (16, 160)] + ["/videos/a.mp4?derivative=tiny", "/other/c.mp4?mode=frame&width=16"]
    for target in server.stock:
        assert server.get(target)[0].status == 200
    server.wait_stored(len(server.stock))
    return server


SCOPES = {
    "key": ({"key": key_of("a.mp4", 16)}, {0}),
    "tag of a source": ({"tag": "video-videos/a.mp4"}, {0, 1, 8}),
    "tag of a preset": ({"tag": "video-derivative-tiny"}, {8}),
    "tag of a format": ({"tag": "video-format-png"}, {8}),
    "tag of a mode": ({"tag": "video-mode-frame"}, set(range(10))),
    "tag of an origin": ({"tag": "customer-2"}, {9}),
    "source": ({"source": "videos/a.mp4"}, {0, 1, 8}),
    "source in a folder": ({"source": "videos/b/a.mp4"}, {6, 7}),
    "prefix": ({"prefix": "frame:videos/a.mp4"}, {0, 1, 2, 3, 4, 5, 8}),
    "prefix with its end": ({"prefix": "frame:videos/a.mp4:"}, {0, 1, 8}),
    "origin": ({"origin": "videos"}, set(range(9))),
    "created before now": ({"createdBefore": "tomorrow"}, set(range(10))),
    "created before the first": ({"createdBefore": 1}, set()),
    "everything": ({"everything": True}, set(range(10))),
    "nothing there": ({"key": "frame:videos/none.mp4"}, set()),
}


def filled(scope):
    return {k: int((time.time() + 86400) * 1000) if v == "tomorrow" else v for k, v in scope.items()}


@pytest.mark.parametrize("layers", ["edge and KV", "KV alone"])
@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_every_scope_hits_what_it_names_and_nothing_else(stocked, mode, layers):
    """One server for all scopes: after each, what was hit is made or refreshed again."""
    for name, (scope, hit) in SCOPES.items():
        if layers == "KV alone":
            stocked.restart()
        edge = len(hit) if layers == "edge and KV" else 0
        report = stocked.purge(**filled(scope), dryRun=True)
        assert report == {"KV": len(hit), "edge": edge, "productions": 0}, name
        if layers == "edge and KV":
            for target in stocked.stock:
                assert stocked.get(target)[0]["X-Cache-Source"] == "edge", f"{name}: a dry run changed {target}"
        assert stocked.purge(**filled(scope), mode=mode) == report, name
        expected = {"hard": "MISS", "soft": "STALE"}[mode]
        for index, target in enumerate(stocked.stock):
            reply, body = stocked.get(target)
            assert reply.status == 200
            assert reply["X-Cache-Status"] == (expected if index in hit else "HIT"), (name, target)
        until(lambda: all(stocked.get(t)[0]["X-Cache-Status"] == "HIT" for t in stocked.stock), "everything is fresh again")
        stocked.wait_stored(len(stocked.stock))


def test_what_is_purged_does_not_come_back_with_a_restart(stocked):
    stocked.purge(source="videos/a.mp4")
    stocked.restart()
    statuses = [stocked.get(t)[0]["X-Cache-Status"] for t in stocked.stock]
    assert statuses == ["MISS", "MISS"] + ["HIT"] * 6 + ["MISS", "HIT"]


def test_a_soft_purge_is_refreshed_without_a_transform(stocked):
    made = stocked.transforms()
    before = stocked.entry(key_of("a.mp4", 16))["metadata"]
    stocked.purge(source="videos/a.mp4", mode="soft")
    assert stocked.get(frame("a.mp4", 16))[0]["X-Cache-Status"] == "STALE"
    until(lambda: stocked.get(frame("a.mp4", 16))[0]["X-Cache-Status"] == "HIT", "revalidated behind the stale answer")
    assert stocked.transforms() == made, "its source has not changed"
    after = stocked.entry(key_of("a.mp4", 16))["metadata"]
    assert after["createdAt"] == before["createdAt"] and after["expiresAt"] >= before["expiresAt"]
    assert after["customData"] == before["customData"], "a touch leaves all else alone"


def test_a_soft_purge_without_a_kv_leaves_the_edge_something_to_serve(server):
    server.config["cache"] = {"enableKVCache": False}
    server.add(media.clip("small.mp4"), "small.mp4")
    server.open_admin()
    server.start()
    target = "/videos/small.mp4?mode=frame&width=160"
    server.get(target)
    assert server.purge(source="videos/small.mp4", mode="soft") == {"KV": 0, "edge": 1, "productions": 0}
    assert server.get(target)[0]["X-Cache-Status"] == "STALE"
    until(lambda: server.get(target)[0]["X-Cache-Status"] == "HIT", "refreshed")
    assert server.transforms() == 1
    assert server.purge(source="videos/small.mp4")["edge"] == 1
    assert server.get(target)[0]["X-Cache-Status"] == "MISS", "hard is hard"


@pytest.fixture
def remote(server, origin):
    origin.files["/a.mp4"] = media.clip("small.mp4")
    server.config["origins"] = [server.http_origin(origin)]
    server.config["fetch"] = {"spoolKeep": 0}
    server.open_admin()
    server.start()
    return server


@pytest.mark.parametrize("scope", [{"key": "frame:remote/a.mp4:w=160"}, {"tag": "video-format-jpg"}, {"source": "remote/a.mp4"},
                                   {"prefix": "frame:"}, {"origin": "remote"}, {"everything": True}])
def test_work_that_began_before_a_purge_is_served_and_never_stored(remote, origin, scope):
    target = "/remote/a.mp4?mode=frame&width=160"
    origin.gate.clear()
    with remote.connect() as c:
        c.begin(target)
        until(lambda: remote.metric("video_resizer_productions_in_flight") == 1, "a production is under way")
        assert remote.purge(**scope) == {"KV": 0, "edge": 0, "productions": 1}
        origin.gate.set()
        reply = c.reply()
        assert reply.status == 200 and reply.body(), "its waiters are served"
    assert remote.metric("video_resizer_purge_discarded_total") == 1
    assert remote.entry("frame:remote/a.mp4:w=160") is None
    assert remote.get(target)[0]["X-Cache-Status"] == "MISS"
    assert remote.transforms() == 2


def test_whoever_asks_after_the_purge_does_not_join_what_began_before(remote, origin):
    target = "/remote/a.mp4?mode=frame&width=160"
    origin.gate.clear()
    with remote.connect() as before, remote.connect() as after:
        before.begin(target)
        until(lambda: remote.metric("video_resizer_productions_in_flight") == 1, "a production is under way")
        remote.purge(everything=True)
        after.begin(target)
        until(lambda: remote.metric("video_resizer_productions_in_flight") == 1, "a second one")
        origin.gate.set()
        assert before.reply().status == 200
        fresh = after.reply()
        assert fresh.status == 200 and fresh.skip()
        assert "collapsed" not in fresh["Cache-Status"]
    until(lambda: remote.entry("frame:remote/a.mp4:w=160"), "the second is kept")
    assert remote.get(target)[0]["X-Cache-Status"] == "HIT"


def test_a_remembered_failure_is_purged_too(remote, origin):
    target = "/remote/late.mp4?mode=frame&width=160"
    assert remote.get(target)[0].status == 404
    origin.files["/late.mp4"] = media.clip("small.mp4")
    assert remote.get(target)[0].status == 404
    assert remote.purge(source="remote/late.mp4") == {"KV": 0, "edge": 1, "productions": 0}
    assert remote.get(target)[0].status == 200


# -- listing

def listed(server, source, limit):
    rows, cursor, pages = [], "", 0
    while True:
        reply, page = server.ask_admin(f"/admin/variants?source={source}&limit={limit}" + (f"&cursor={cursor}" if cursor else ""))
        assert reply.status == 200 and page["source"] == source
        assert len(page["variants"]) <= limit
        rows += page["variants"]
        pages += 1
        cursor = page.get("cursor")
        if not cursor:
            return rows, pages


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_the_listing_is_complete_and_exact(stocked, limit):
    """Over its pages: every variant of the source once, the original too, none of its siblings, nothing internal."""
    stocked.get("/videos/a.mp4")
    stocked.wait_stored(len(stocked.stock) + 1)
    rows, pages = listed(stocked, "videos/a.mp4", limit)
    assert sorted(r["key"] for r in rows) == sorted(
        [key_of("a.mp4", 16), key_of("a.mp4", 160), "frame:videos/a.mp4:derivative=tiny", "video:videos/a.mp4"])
    assert pages >= 4 / limit
    for row in rows:
        assert set(row) == {"key", "layers", "use", "metadata"} and row["layers"] == {"edge": True, "KV": True}
        assert row["metadata"]["sourcePath"] == "videos/a.mp4"
    for name in ("a.mp4.bak", "a.mp42", "b/a.mp4"):
        rows, _ = listed(stocked, "videos/" + name, limit)
        assert sorted(r["key"] for r in rows) == [key_of(name, 16), key_of(name, 160)]
    assert listed(stocked, "videos/none.mp4", limit) == ([], 1)
    assert listed(stocked, "videos/a", limit) == ([], 1), "a source is not a prefix"


def test_a_page_goes_on_where_it_ended_although_entries_go(stocked):
    reply, first = stocked.ask_admin("/admin/variants?source=videos/a.mp4&limit=1")
    stocked.purge(key=first["variants"][0]["key"])
    reply, second = stocked.ask_admin(f"/admin/variants?source=videos/a.mp4&limit=10&cursor={first['cursor']}")
    assert len(second["variants"]) == 2 and "cursor" not in second


@pytest.mark.parametrize("query", ["", "?source=", "?source=a&limit=0", "?source=a&limit=1001", "?source=a&limit=x", "?source=a&limit=-1"])
def test_a_listing_asked_for_wrongly_is_refused(stocked, query):
    reply, document = stocked.ask_admin("/admin/variants" + query)
    assert reply.status == 400 and document["error"]["code"] == "INVALID_PARAMETER"


# -- who may

ROUTES = [("/admin/variants?source=a.mp4", None), ("/admin/entry?key=video:a.mp4", None), ("/admin/purge", {"everything": True})]


@pytest.mark.parametrize("target, body", ROUTES)
def test_without_a_configured_token_the_routes_are_closed(server, target, body):
    server.start()
    for token in ("", "t0ken", "undefined"):
        reply, document = server.ask_admin(target, body, token=token)
        assert (reply.status, document["error"]["code"]) == (403, "ADMIN_CLOSED")


def test_only_the_token_opens(stocked):
    for target, body in ROUTES:
        for header in (None, "Bearer", "Bearer ", "Bearer t0ke", "Bearer t0kenn", "Bearer T0KEN", "Basic t0ken", "t0ken", "bearert0ken"):
            with wire.Connection(stocked.admin) as c:
                text = json.dumps(body).encode() if body else b""
                fields = [("Content-Length", str(len(text)))] if body else []
                fields += [("Authorization", header)] if header is not None else []
                reply = c.ask(target, "POST" if body else "GET", fields, text)
                assert reply.status == 401 and reply["WWW-Authenticate"] == "Bearer", (target, header)
                assert reply["Cache-Control"] == "no-store"
                reply.body()
    assert stocked.get(stocked.stock[0])[0]["X-Cache-Status"] == "HIT", "nothing was purged"
    assert stocked.ask_admin("/admin/purge", {"key": "x"})[0].status == 200


def test_the_main_listener_has_no_admin_routes(stocked):
    reply, body = stocked.get("/admin/variants?source=videos/a.mp4", headers={"Authorization": "Bearer t0ken"})
    expect.error(reply, body, "NOT_FOUND")
    assert stocked.get("/admin/purge", "POST", {"Authorization": "Bearer t0ken", "Content-Length": "0"})[0].status == 405


@pytest.mark.parametrize("body", [b"", b"[]", b"{", {}, {"key": "a", "tag": "b"}, {"key": ""}, {"everything": False}, {"everything": "yes"},
                                  {"createdBefore": "today"}, {"key": "a", "mode": "gently"}, {"key": "a", "dryRun": "no"}, {"keys": ["a"]}])
def test_a_purge_asked_for_wrongly_purges_nothing(stocked, body):
    reply, document = stocked.ask_admin("/admin/purge", body)
    assert reply.status == 400 and document["error"]["code"] == "INVALID_PARAMETER" and document["error"]["message"]
    assert stocked.metric("video_resizer_kv_entries") == len(stocked.stock)


def test_other_methods_are_refused(stocked):
    with wire.Connection(stocked.admin) as c:
        for target, method, allow in (("/admin/purge", "GET", "POST"), ("/admin/variants?source=a", "DELETE", "GET, HEAD"), ("/admin/entry?key=a", "PUT", "GET, HEAD")):
            reply = c.ask(target, method, {"Authorization": "Bearer t0ken"})
            assert (reply.status, reply["Allow"]) == (405, allow)
            reply.body()


# -- and all at once

def test_purges_under_load_lose_no_request_and_leave_nothing_old(stocked):
    """Purges run while clients ask: every answer is whole; after the last purge and the last old answer nothing of before is left."""
    stop, wrong = threading.Event(), []

    def ask():
        while not stop.is_set():
            for target in stocked.stock[:4]:
                reply, body = stocked.get(target)
                if reply.status != 200 or not body:
                    wrong.append((target, reply.status))

    clients = [threading.Thread(target=ask) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        for turn in range(20):
            stocked.purge(source="videos/a.mp4", mode="soft" if turn % 3 == 0 else "hard")
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert not wrong
    began = int(time.time() * 1000)
    stocked.purge(everything=True)
    assert stocked.metric("video_resizer_kv_entries") == 0
    for target in stocked.stock:
        reply, _ = stocked.get(target)
        assert reply["X-Cache-Status"] == "MISS"
        entry = stocked.entry(reply["X-KV-Cache-Key"])
        assert entry["metadata"]["createdAt"] >= began
