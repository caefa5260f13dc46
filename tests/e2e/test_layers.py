"""Edge, KV and transform: who answers when, with which headers; restarts; bypass flags; negative entries."""
import json

import pytest

from kit import expect, media
from kit.wait import until

VARIANT = "/videos/small.mp4?width=160"
KEY = "video:videos/small.mp4:w=160"


def test_miss_then_edge_then_kv_after_a_restart(running, tmp_path):
    first, streamed = running.get(VARIANT)
    assert first.status == 200
    expect.media_headers(first, status_in=("MISS",), source="transform", key=KEY)
    second, stored = running.get(VARIANT)
    expect.media_headers(second, status_in=("HIT",), source="edge", key=KEY)
    expect.stored_headers(second)
    running.wait_stored(1)
    assert (running.transforms(), running.transforms(result="ok")) == (1, 1)

    running.restart()
    third, again = running.get(VARIANT)
    expect.media_headers(third, status_in=("HIT",), source="KV", key=KEY)
    expect.stored_headers(third)
    expect.kv_headers(third)
    assert again == stored, "hits before and after the restart are byte-identical"
    assert third["ETag"] == second["ETag"] and third["Last-Modified"] == second["Last-Modified"]
    assert running.transforms() == 0
    fourth, promoted = running.get(VARIANT)
    expect.media_headers(fourth, status_in=("HIT",), source="edge")
    assert promoted == stored

    a, b = tmp_path / "streamed.mp4", tmp_path / "stored.mp4"
    a.write_bytes(streamed)
    b.write_bytes(stored)
    media.same_pictures_and_sound(a, b)


def test_the_streamed_answer_promises_nothing_it_cannot_keep(running):
    reply, _ = running.get("/videos/small.mp4?width=170")
    if "ETag" not in reply:
        assert "Content-Length" not in reply and "Accept-Ranges" not in reply
        assert "no-store" in reply["Cache-Control"]


def test_counters_by_layer(running):
    running.get(VARIANT)
    for _ in range(3):
        running.get(VARIANT)
    requests = lambda layer: running.metric("video_resizer_requests_total", layer=layer)  # noqa: E731
    until(lambda: requests("edge") == 3, "three edge hits counted")
    assert requests("transform") == 1
    running.wait_stored(1)
    assert running.metric("video_resizer_kv_stores_total", result="stored") == 1
    assert running.metric("video_resizer_origin_requests_total") >= 1
    until(lambda: running.metric("video_resizer_encode_seconds_total") > 0, "the worker's CPU time, known at its end, is counted")


def short_lived(server):
    server.config["cache"] = {"kvTtl": {"ok": 1}, "staleWhileRevalidate": 0, "staleIfError": 0, "sourceCheckInterval": 1}
    server.add(media.clip("small.mp4"), "small.mp4")
    server.start()
    target = "/videos/small.mp4?mode=frame&width=160"
    server.get(target)
    return target


def test_an_expired_entry_of_an_unchanged_source_is_revalidated_and_not_made_again(server):
    target = short_lived(server)
    def revalidated():
        assert server.get(target)[0].status == 200
        return server.metric("video_resizer_revalidated_total") >= 1
    until(revalidated, "the entry expired and was revalidated", 10, every=0.2)
    assert server.transforms() == 1


def test_an_expired_entry_of_a_changed_source_is_made_again(server):
    target = short_lived(server)
    old = server.get(target)[1]
    fresh = server.media / "fresh"
    fresh.write_bytes(media.clip("silent.mp4").read_bytes())
    fresh.rename(server.media / "small.mp4")
    until(lambda: server.get(target)[1] != old, "the new source is seen", 15, every=0.2)
    assert server.transforms(result="ok") >= 2


def test_zero_ttl_stores_nothing(server):
    server.config["cache"] = {"kvTtl": {"ok": 0}}
    server.add(media.clip("small.mp4"), "small.mp4")
    server.start()
    target = "/videos/small.mp4?mode=frame&width=160"
    for _ in range(2):
        assert server.get(target)[0]["X-Cache-Status"] == "MISS"
    assert server.metric("video_resizer_kv_entries") == 0


def test_kv_can_be_switched_off(server):
    server.config["cache"] = {"enableKVCache": False}
    server.add(media.clip("small.mp4"), "small.mp4")
    server.start()
    server.get(VARIANT)
    assert server.get(VARIANT)[0]["X-Cache-Source"] == "edge"
    server.restart()
    assert server.get(VARIANT)[0]["X-Cache-Status"] == "MISS"
    assert server.metric("video_resizer_kv_entries") == 0


def test_kv_can_be_switched_off_by_the_environment(server):
    server.environment["CACHE_ENABLE_KV"] = "false"
    server.add(media.clip("small.mp4"), "small.mp4")
    server.start()
    server.get(VARIANT)
    server.restart()
    assert server.get(VARIANT)[0]["X-Cache-Status"] == "MISS"


def test_a_changed_preset_makes_old_entries_unreachable(server):
    server.add(media.clip("small.mp4"), "small.mp4")
    server.config["derivatives"] = {"tiny": {"width": 160}}
    server.start()
    target = "/videos/small.mp4?mode=frame&derivative=tiny&format=png"
    server.get(target)
    server.wait_stored(1)
    server.stop()
    server.config["derivatives"] = {"tiny": {"width": 100}}
    server.start()
    reply, body = server.get(target)
    assert reply["X-Cache-Status"] == "MISS"
    assert int.from_bytes(body[16:20], "big") == 100, "width of the PNG"


def test_debug_touches_no_layer(running):
    reply, _ = running.get(VARIANT + "&debug=true")
    assert reply.status == 200
    expect.media_headers(reply, status_in=("BYPASS",), key=KEY)
    assert "no-store" in reply["Cache-Control"]
    assert running.get(VARIANT)[0]["X-Cache-Status"] == "MISS", "nothing was written"
    running.wait_stored(1)
    made = running.transforms()
    reply, _ = running.get(VARIANT + "&debug=true")
    assert reply["X-Cache-Status"] == "BYPASS" and running.transforms() == made + 1, "nothing was read"


def test_no_kv_cache_leaves_the_edge_at_work(running):
    running.get(VARIANT + "&no-kv-cache=true")
    assert running.get(VARIANT + "&no-kv-cache=true")[0]["X-Cache-Source"] == "edge"
    running.restart()
    reply, _ = running.get(VARIANT)
    assert reply["X-Cache-Status"] == "MISS", "the KV was not written"
    running.wait_stored(1)
    running.restart()
    assert running.get(VARIANT + "&no-kv-cache=true")[0]["X-Cache-Status"] == "MISS", "the KV is not read"


@pytest.mark.parametrize("flag", ["nocache", "nocache=1", "bypass", "bypass=true"])
def test_nocache_reads_nothing_and_stores_the_result(running, flag):
    target = "/videos/small.mp4?mode=frame&width=160"
    running.get(target)
    made = running.transforms()
    reply, _ = running.get(target + "&" + flag)
    assert reply["X-Cache-Status"] in ("BYPASS", "MISS") and running.transforms() == made + 1
    assert running.get(target)[0]["X-Cache-Status"] == "HIT"
    assert running.transforms() == made + 1


def test_bypass_can_be_forbidden(server):
    server.config["cache"] = {"allowPublicBypass": False}
    server.config["debug"] = {"enabled": False, "allowedAddresses": []}
    server.add(media.clip("small.mp4"), "small.mp4")
    server.start()
    target = "/videos/small.mp4?mode=frame&width=160"
    server.get(target)
    for flag in ("nocache=1", "debug=true", "no-kv-cache=true"):
        assert server.get(target + "&" + flag)[0]["X-Cache-Status"] == "HIT", flag
    assert server.transforms() == 1


def test_debug_view_explains_without_work(running):
    reply, body = running.get(VARIANT + "&debug=view")
    assert (reply.status, (reply["Content-Type"] or "").split(";")[0]) == (200, "application/json")
    assert "no-store" in reply["Cache-Control"]
    text = json.dumps(json.loads(body))
    assert KEY in text and "videos" in text
    assert running.transforms() == 0
    running.get(VARIANT)
    _, after = running.get(VARIANT + "&debug=view")
    assert after != body, "the explanation shows what the layers hold now"


def test_not_found_is_remembered_for_a_short_time_only(server, origin):
    server.config["origins"] = [server.http_origin(origin)]
    server.config["cache"] = {"kvTtl": {"clientError": 1}}
    server.allow_loopback_origins()
    server.start()
    reply, body = server.get("/remote/gone.mp4?width=160")
    expect.error(reply, body, "NOT_FOUND")
    origin.files["/gone.mp4"] = media.clip("small.mp4")
    until(lambda: server.get("/remote/gone.mp4?mode=frame&width=160")[0].status == 200, "the source appeared", 15, every=0.2)


def test_tags_are_sent(running):
    reply, _ = running.get("/videos/small.mp4?mode=frame&derivative=mobile&format=png")
    tags = [t.strip() for t in reply["Cache-Tag"].split(",")]
    for wanted in ("video-derivative-mobile", "video-format-png", "video-mode-frame"):
        assert wanted in tags, tags
    assert any(t.startswith("video-") and "small" in t for t in tags), tags


def test_hits_and_misses_carry_the_same_set_of_headers(running):
    target = "/videos/small.mp4?mode=frame&width=160"
    names = []
    for _ in range(2):
        names.append({n.lower() for n, _ in running.get(target)[0].fields})
    running.wait_stored(1)
    running.restart()
    names.append({n.lower() for n, _ in running.get(target)[0].fields})
    wobbling = {"x-processing-time-ms", "x-kv-cache-age", "x-kv-cache-ttl"}
    miss, edge, kv = (n - wobbling for n in names)
    assert miss == edge == kv
