"""The store's limits (cache contract §10): it fills up, stays below its limit, and every request is answered; what is worth most stays; what was learned outlives a restart."""
import concurrent.futures

import pytest

from kit import media
from kit.wait import until

MIB = 1 << 20


def still(n):
    """The n-th of many variants of one source: small, quick to make, each with a key of its own. Noise would be no smaller as a photo: PNG keeps it large."""
    return f"/videos/small.mp4?mode=frame&format=png&width={160 + n}&height=120&fit=pad"


def key_of(n):
    return f"frame:videos/small.mp4:w={160 + n}:h=120:f=png:fit=pad"


@pytest.fixture
def full(server):
    server.add(media.clip("small.mp4"), "small.mp4")
    server.config["cache"] = {"kv": {"maxBytes": "1MiB", "eviction": "lru"}, "edge": {"maxBytes": 0}}
    server.open_admin()
    return server


def wait_ready(server):
    server.wait_event("kv_keeper_ready")


def wait_settled(server):
    until(lambda: server.metric("video_resizer_kv_stores_under_way") == 0 and server.metric("video_resizer_kv_bytes") <= 0.95 * MIB, "stores and evictions are over", 20)


def test_beyond_its_limit_everything_is_served_and_the_least_used_goes(full):
    full.start()
    wait_ready(full)
    sizes = []
    for n in range(12):
        reply, body = full.get(still(n))
        assert reply.status == 200
        sizes.append(len(body))
    mean = sum(sizes) / len(sizes)
    count = min(600, int(2.5 * MIB / mean))
    popular = list(range(4))
    for n in range(12, count):
        reply, _ = full.get(still(n))
        assert reply.status == 200
        assert full.metric("video_resizer_kv_bytes") <= MIB
        if n % 10 == 0:
            for p in popular:
                reply, _ = full.get(still(p))
                assert reply.status == 200
    wait_settled(full)
    assert full.metric("video_resizer_kv_evictions_total", reason="high_watermark", policy="lru") > 0
    assert full.metric("video_resizer_kv_evicted_bytes_total") > MIB
    assert full.metric("video_resizer_kv_limit_bytes") == MIB
    assert full.metric("video_resizer_kv_stores_total", result="failed") == 0
    for p in popular:
        assert full.entry(key_of(p)), f"{p} was used all the time"
    assert full.entry(key_of(count - 1)), "the newest"
    assert full.entry(key_of(5)) is None, "used once, long ago"
    reply, _ = full.get(still(5))
    assert (reply.status, reply["X-Cache-Status"]) == (200, "MISS"), "and is made again"


def test_many_at_once_stay_below_the_limit(full):
    full.start()
    wait_ready(full)
    seen = []

    def one(n):
        reply, body = full.get(still(n), timeout=120)
        if n % 7 == 0:
            seen.append(full.metric("video_resizer_kv_bytes"))
        return reply.status, len(body)

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(one, range(120)))
    assert {status for status, _ in answers} == {200}
    wait_settled(full)
    assert max(seen) <= MIB
    if sum(size for _, size in answers) > 1.2 * MIB:
        assert full.metric("video_resizer_kv_evictions_total") > 0


def test_a_quota_takes_what_is_its_origins(full):
    short = full.folder / "short"
    short.mkdir()
    (short / "small.mp4").write_bytes(media.clip("small.mp4").read_bytes())
    full.config["cache"]["kv"]["maxBytes"] = "64MiB"
    full.config["origins"].append({"name": "shorts", "matcher": "^/shorts/(.+)$", "captureGroups": ["path"], "kvMaxBytes": "200KiB",
                                   "sources": [{"type": "file", "root": str(short), "path": "${path}"}]})
    full.start()
    wait_ready(full)
    for n in range(3):
        assert full.get(still(n))[0].status == 200
    sent = 0
    for n in range(400):
        reply, body = full.get(still(n).replace("/videos/", "/shorts/"))
        assert reply.status == 200
        sent += len(body)
        if sent > 500 << 10:
            break
    assert sent > 500 << 10
    until(lambda: full.metric("video_resizer_kv_origin_bytes", origin="shorts") <= 0.95 * (200 << 10), "the quota is kept", 20)
    assert full.metric("video_resizer_kv_evictions_total", reason="quota") > 0
    assert full.metric("video_resizer_kv_evictions_total", reason="high_watermark") == 0
    for n in range(3):
        assert full.entry(key_of(n))


def test_what_was_learned_outlives_a_restart(full):
    full.start()
    wait_ready(full)
    for n in range(3):
        assert full.get(still(n))[0].status == 200
    full.wait_stored(3)
    for _ in range(5):
        assert full.get(still(1))[0]["X-Cache-Source"] == "KV"
    use = full.entry(key_of(1))["use"]
    assert use["count"] == 5
    full.restart()
    assert full.wait_event("kv_keeper_ready")["with_state"] is True
    again = full.entry(key_of(1))["use"]
    assert again == use
    assert full.entry(key_of(0))["use"]["count"] == 0


def test_a_copy_in_the_edge_outlives_the_entry(full):
    full.config["cache"] = {"kv": {"maxEntries": 20, "eviction": "lru"}}
    full.start()
    wait_ready(full)
    for n in range(30):
        assert full.get(still(n))[0].status == 200
        until(lambda: full.metric("video_resizer_kv_stores_total", result="stored") == n + 1, "it is stored")
    until(lambda: full.metric("video_resizer_kv_entries") <= 19, "eviction is over", 20)
    entry = full.entry(key_of(0))
    assert entry["layers"]["edge"] and not entry["layers"]["KV"]
    reply, _ = full.get(still(0))
    assert (reply.status, reply["X-Cache-Status"], reply["X-Cache-Source"]) == (200, "HIT", "edge")
    assert reply["X-KV-Cache-TTL"] is None, "it is not backed by the KV any more"


@pytest.mark.parametrize("limits, shown", [({"maxBytes": "2MiB", "maxEntries": 20}, {"maxBytes": 2 * MIB, "maxEntries": 20}), ({"maxBytes": "1MiB"}, {"maxBytes": MIB})])
def test_analytics_show_what_the_store_holds_and_may_hold(full, limits, shown):
    full.config["cache"]["kv"] = limits
    full.start()
    wait_ready(full)
    for n in range(2):
        assert full.get(still(n))[0].status == 200
    full.wait_stored(2)
    reply, document = full.ask_admin("/admin/analytics?hours=1")
    assert reply.status == 200
    assert document["storage"]["kv"] == {"bytes": full.metric("video_resizer_kv_bytes"), "entries": 2, **shown}


def test_a_full_store_takes_what_is_asked_for_more_than_once(full):
    full.config["cache"]["kv"].update(minUses=2, maxEntries=10)
    full.start()
    wait_ready(full)
    for n in range(9):
        assert full.get(still(n))[0].status == 200
    full.wait_stored(9)
    for _ in range(2):
        assert full.get(still(50))[0]["X-Cache-Source"] == "transform"
        until(lambda: full.metric("video_resizer_kv_stores_under_way") == 0 and full.metric("video_resizer_kv_admission_total", result="rejected") == 1, "it was rejected once")
    until(lambda: full.entry(key_of(50)), "it is stored", 20)
    assert full.metric("video_resizer_kv_admission_total", result="rejected") == 1
