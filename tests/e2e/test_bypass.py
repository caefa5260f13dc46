"""Bypass (cache contract §6), row by row: who may, what is read, what is written, and that nobody else notices."""
import json
import signal

import pytest

from kit import expect, media, wire
from kit.wait import until

TARGET = "/videos/small.mp4?mode=frame&width=160"
KEY = "frame:videos/small.mp4:w=160"
BYPASSED = "KV; fwd=bypass, edge; fwd=bypass"
STORED = "KV; fwd=bypass; stored, edge; fwd=bypass; stored"


@pytest.fixture
def make(server):
    def start(debug=None, **cache):
        server.add(media.clip("small.mp4"), "small.mp4")
        server.config["cache"] = cache
        if debug is not None:
            server.config["debug"] = debug
        server.open_admin()
        server.start()
        return server
    return start


def is_debug_answer(server, target=TARGET, headers=()):
    """Whether that request was a debug request; checks that it then reads and writes nothing."""
    made, entries = server.transforms(), server.metric("video_resizer_edge_entries")
    reply, _ = server.get(target, headers=headers)
    if reply["X-Cache-Status"] != "BYPASS":
        return False
    assert reply["Cache-Control"] == "no-store" and reply["Cache-Status"] == BYPASSED
    expect.media_headers(reply, status_in=("BYPASS",), source="transform", key=KEY)
    assert server.transforms() == made + 1
    assert server.metric("video_resizer_edge_entries") == entries
    return True


def test_the_debug_flag(make):
    server = make()
    assert is_debug_answer(server, TARGET + "&debug=true")
    assert server.entry(KEY) is None, "neither layer was written"
    server.get(TARGET)
    server.wait_stored(1)
    before = server.entry(KEY)["metadata"]
    assert is_debug_answer(server, TARGET + "&debug=true"), "nor is one read"
    assert server.entry(KEY)["metadata"] == before
    for off in ("&debug=false", "&debug=0"):
        assert not is_debug_answer(server, TARGET + off)


@pytest.mark.parametrize("header", [("X-Debug", "true"), ("X-Debug-Enabled", "true"), ("Debug", "1")])
def test_a_debug_header_counts_from_an_allowed_address_only(make, header):
    server = make(debug={"allowedAddresses": ["127.0.0.1"]})
    server.get(TARGET)
    assert is_debug_answer(server, headers=[header])
    assert not is_debug_answer(server, headers=[(header[0], "false")])
    server.config["debug"]["allowedAddresses"] = ["192.0.2.1"]
    reload(server)
    assert not is_debug_answer(server, headers=[header]), "from anywhere else it is just a header"


def test_debug_for_everybody_is_a_setting(make):
    server = make(debug={"enabled": True})
    for _ in range(2):
        assert is_debug_answer(server)
    server.config["debug"]["enabled"] = False
    reload(server)
    assert not is_debug_answer(server)


def reload(server):
    mark = len(server.log)
    server.write_config()
    server.signal(signal.SIGHUP)
    server.wait_log(lambda e: "reload" in e.get("event", ""), "the reload", after=mark)


@pytest.mark.parametrize("flag", ["debug=true", "nocache=1", "bypass", "no-kv-cache=true", "debug=view"])
def test_an_operator_can_forbid_it_to_all_but_some(make, flag):
    server = make(debug={"allowedAddresses": ["192.0.2.1"]}, allowPublicBypass=False)
    server.get(TARGET)
    reply, body = server.get(TARGET + "&" + flag)
    assert (reply["X-Cache-Status"], reply["X-Cache-Source"]) == ("HIT", "edge") and body[:3] == b"\xff\xd8\xff"
    assert server.transforms() == 1
    server.config["debug"]["allowedAddresses"] = ["127.0.0.1"]
    reload(server)
    reply, body = server.get(TARGET + "&" + flag)
    if flag == "debug=view":
        assert json.loads(body)["key"] == KEY
    elif flag == "no-kv-cache=true":
        assert reply["X-Cache-Source"] == "edge", "it leaves the edge at work"
    else:
        assert reply["X-Cache-Status"] == "BYPASS", "from an allowed address it works"


@pytest.mark.parametrize("flag", ["nocache", "nocache=1", "bypass", "bypass=true"])
def test_nocache_reads_nothing_and_stores_the_result(make, flag):
    server = make()
    for made in (1, 2, 3):
        reply, _ = server.get(TARGET + "&" + flag)
        assert (reply["X-Cache-Status"], reply["Cache-Status"]) == ("BYPASS", STORED)
        assert server.transforms() == made
    until(lambda: server.metric("video_resizer_kv_stores_total", result="stored") == 3, "each was stored")
    assert server.get(TARGET)[0]["X-Cache-Source"] == "edge"
    server.restart()
    assert server.get(TARGET)[0]["X-Cache-Source"] == "KV"


def test_the_names_of_nocache_are_configurable(make):
    server = make(bypassQueryParameters=["fresh"])
    server.get(TARGET)
    assert server.get(TARGET + "&nocache=1&bypass=1")[0]["X-Cache-Status"] == "HIT"
    assert server.get(TARGET + "&fresh")[0]["X-Cache-Status"] == "BYPASS"


def test_no_kv_cache_neither_reads_nor_writes_the_kv(make):
    server = make()
    reply, _ = server.get(TARGET + "&no-kv-cache=true")
    assert (reply["X-Cache-Status"], reply["Cache-Status"]) == ("MISS", "KV; fwd=bypass, edge; fwd=miss; stored")
    assert "X-KV-Cache-TTL" not in reply
    assert server.get(TARGET + "&no-kv-cache=true")[0]["X-Cache-Source"] == "edge"
    assert server.entry(KEY)["layers"]["KV"] is False
    server.purge(key=KEY)
    server.get(TARGET)
    server.wait_stored(1)
    server.restart()
    assert server.get(TARGET + "&no-kv-cache=true")[0]["X-Cache-Status"] == "MISS", "the KV has it, and is not asked"


def test_the_kv_can_be_switched_off_and_on_while_running(make):
    server = make()
    server.get(TARGET)
    server.wait_stored(1)
    server.config["cache"]["enableKVCache"] = False
    reload(server)
    other = "/videos/small.mp4?mode=frame&width=100"
    assert server.get(other)[0]["Cache-Status"] == "KV; fwd=bypass, edge; fwd=miss; stored"
    assert server.get(other)[0]["X-Cache-Source"] == "edge"
    assert server.metric("video_resizer_kv_entries") == 1, "not written"
    server.restart()
    assert server.get(TARGET)[0]["X-Cache-Status"] == "MISS", "not read"
    server.config["cache"]["enableKVCache"] = True
    reload(server)
    server.get("/videos/small.mp4?mode=frame&width=90")
    until(lambda: server.metric("video_resizer_kv_entries") == 2, "written again")


@pytest.fixture
def gated(server, origin):
    origin.files["/a.mp4"] = media.clip("small.mp4")
    server.config["origins"] = [server.http_origin(origin)]
    server.config["fetch"] = {"spoolKeep": 0}
    server.start()
    origin.gate.clear()
    return server


@pytest.mark.parametrize("flag", ["debug=true", "nocache=1"])
def test_a_bypassing_request_neither_joins_nor_feeds_the_others(gated, origin, flag):
    """R-67: normal before, bypass, normal after: two productions, and the two normal ones share theirs."""
    target = "/remote/a.mp4?mode=frame&width=160"
    with gated.connect() as first, gated.connect() as bypass, gated.connect() as second:
        first.begin(target)
        until(lambda: gated.metric("video_resizer_productions_in_flight") == 1, "the normal production")
        bypass.begin(target + "&" + flag)
        until(lambda: gated.metric("video_resizer_productions_in_flight") == 2, "one of its own for the bypass")
        second.begin(target)
        until(lambda: gated.metric("video_resizer_joins_total") == 1, "the second normal request joined")
        origin.gate.set()
        replies = [c.reply() for c in (first, bypass, second)]
        bodies = [r.body() for r in replies]
    assert [r["X-Cache-Status"] for r in replies] == ["MISS", "BYPASS", "MISS"]
    assert "collapsed" in replies[2]["Cache-Status"] and "collapsed" not in replies[1]["Cache-Status"]
    assert len(set(bodies)) == 1 and gated.transforms() == 2


def test_a_bypass_that_fails_poisons_nobody(server, origin):
    server.config["origins"] = [server.http_origin(origin)]
    server.start()
    target = "/remote/a.mp4?mode=frame&width=160"
    origin.files["/a.mp4"] = media.clip("small.mp4")
    server.get(target)
    origin.status = 503
    reply, _ = server.get(target + "&debug=true")
    assert (reply.status, reply["X-Cache-Status"], reply["Cache-Control"]) == (502, "BYPASS", "no-store")
    assert server.get(target)[0]["X-Cache-Status"] == "HIT"
    assert server.metric("video_resizer_negative_stored_total") == 0


def test_view_explains_and_does_no_work(make):
    server = make()

    def view():
        reply, body = server.get(TARGET + "&debug=view")
        assert (reply.status, reply["Content-Type"], reply["Cache-Control"]) == (200, "application/json", "no-store")
        return json.loads(body)
    cold = view()
    assert cold["key"] == KEY and cold["request"]["mode"] == "frame" and cold["request"]["options"]["width"] == 160
    assert cold["origin"]["name"] == "videos" and "video-mode-frame" in cold["cacheTags"]
    assert cold["layers"]["edge"]["state"] == cold["layers"]["KV"]["state"] == "absent" and cold["verdict"].startswith("miss")
    assert cold["plan"]["kind"] == "transform"
    assert server.transforms() == 0 and server.metric("video_resizer_edge_entries") == 0
    server.get(TARGET)
    server.wait_stored(1)
    warm = view()
    assert warm["layers"]["edge"]["state"] == warm["layers"]["KV"]["state"] == "fresh" and warm["verdict"] == "hit in edge"
    server.purge(key=KEY, mode="soft")
    assert view()["layers"]["KV"]["state"] == "expired"


def test_flags_are_no_part_of_the_question(make):
    """Debug flags, playback hints, file names and utm_* share one entry (R-35)."""
    server = make()
    server.get(TARGET)
    for more in ("utm_source=x", "filename=a.jpg", "autoplay=true", "debug=false", "unknown=1", "no-kv-cache=false"):
        reply, _ = server.get(TARGET + "&" + more)
        assert (reply["X-Cache-Status"], reply["X-KV-Cache-Key"]) == ("HIT", KEY), more
    with wire.Connection(server.address) as c:
        assert c.ask(TARGET, headers={"Cookie": "a=b", "Authorization": "Basic eDp5"})["X-Cache-Status"] == "HIT"
    assert server.transforms() == 1
