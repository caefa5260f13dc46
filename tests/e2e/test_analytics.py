"""Analytics: every request is counted once, under how it was answered; numbers survive restarts; the admin API and the command show them."""
import json
import os
import struct
import subprocess
import threading

import pytest

from kit import media
from kit.raw_origin import RawOrigin, answer
from kit.wait import until

MEDIA = ("edge", "kv", "stale", "joined", "miss", "bypass")


def report(server, hours=24):
    reply, document = server.ask_admin(f"/admin/analytics?hours={hours}")
    assert reply.status == 200, document
    return document


def count(document, outcome):
    group = "layers" if outcome in MEDIA else "others"
    return document[group][outcome]["requests"]


class Tally:
    """What the client itself saw: one answer each, by what its headers say."""

    def __init__(self, server):
        self.server, self.seen, self.media, self.others = server, {}, 0, 0
        self.lock = threading.Lock()

    def add(self, reply):
        status, source = reply["X-Cache-Status"], reply["X-Cache-Source"]
        name = {"HIT": "edge" if source == "edge" else "kv", "STALE": "stale", "BYPASS": "bypass", "MISS": "made"}[status]
        with self.lock:
            self.seen[name] = self.seen.get(name, 0) + 1
            self.media += 1

    def get(self, target, method="GET", headers=(), expect=None):
        reply, _ = self.server.get(target, method, headers)
        assert expect is None or reply.status == expect, (target, reply.status)
        self.add(reply)
        return reply


@pytest.fixture
def counted(server):
    server.open_admin()
    server.config["analytics"] = {"interval": "1s"}
    server.config["cache"] = {"kvTtl": {"ok": 3600}, "staleWhileRevalidate": 3600, "sourceCheckInterval": 0}
    server.add(media.clip("small.mp4"), "small.mp4")
    site = RawOrigin()
    site.answers["/page"] = answer("Cache-Control: max-age=600", "Content-Type: text/plain", body=b"page")
    server.config["origins"] = [server.file_origin(),
                                {"name": "short", "matcher": "^/short/(.+)$", "captureGroups": ["path"], "ttl": {"ok": 1},
                                 "sources": [{"type": "file", "root": str(server.media), "path": "${path}"}]},
                                {"name": "site", "matcher": "^/site(/.+)$", "captureGroups": ["path"], "mode": "passthrough",
                                 "sources": [{"type": "http", "url": site.url, "path": "${path}"}]}]
    server.allow_loopback_origins()
    server.start()
    yield server
    site.close()


def test_the_outcomes_of_a_mixed_load_add_up_to_the_media_requests(counted):
    tally = Tally(counted)
    frame, video = "/videos/small.mp4?mode=frame&width=160", "/videos/small.mp4?width=160"
    original = "/videos/small.mp4"
    # cold, warm, HEAD, ranges, conditions
    tally.get(frame, expect=200)
    counted.wait_stored(1)
    hit = tally.get(frame, expect=200)
    assert hit["X-Cache-Status"] == "HIT"
    tally.get(frame, "HEAD", expect=200)
    tally.get(frame, headers=[("Range", "bytes=0-9")], expect=206)
    tally.get(frame, headers=[("Range", "bytes=5-9")], expect=206)
    tally.get(frame, headers=[("Range", "bytes=0-1,4-5")], expect=206)
    tally.get(frame, headers=[("Range", "bytes=99999999-")], expect=416)
    tally.get(frame, headers=[("If-None-Match", hit["ETag"])], expect=304)
    tally.get(frame, headers=[("If-Match", '"other"')], expect=412)
    tally.get("/videos/small.mp4?mode=frame&width=161", "HEAD", expect=200)  # nobody makes it for that
    tally.get(original, expect=200)
    tally.get(original, expect=200)
    # bypasses
    tally.get(frame + "&debug=true", expect=200)
    tally.get(frame + "&nocache=1", expect=200)
    tally.get(frame + "&no-kv-cache=true", expect=200)
    reply, _ = counted.get(frame + "&debug=view")
    assert reply.status == 200
    tally.media += 1
    tally.seen["bypass"] = tally.seen.get("bypass", 0) + 1
    # failures, remembered ones too
    for _ in range(3):
        tally.get("/videos/missing.mp4?width=160", expect=404)
    # many at once
    threads = [threading.Thread(target=tally.get, args=(video,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # stale
    tally.get("/short/small.mp4?mode=frame&width=150", expect=200)
    until(lambda: tally.get("/short/small.mp4?mode=frame&width=150")["X-Cache-Status"] == "STALE", "a stale answer", every=0.2)
    # from the KV
    counted.wait_stored(3)
    # clients that leave: one during a cold production, one during a hit
    made = counted.metric("video_resizer_productions_total")
    with counted.connect() as connection:
        connection.begin("/videos/small.mp4?width=300")
        until(lambda: counted.metric("video_resizer_productions_total") > made, "its production began")
        connection.reset()
    with counted.connect(receive_buffer=4096) as connection:
        connection.begin(original)
        assert connection.take_some(10)
        connection.reset()
    left = 2
    # what is no media request
    others = {"refused": 0, "passthrough": 0, "passthroughHit": 0}
    assert counted.get("/videos/%2e%2e/secret.mp4")[0].status == 400
    assert counted.get("/nowhere/a.mp4")[0].status == 404
    others["refused"] += 2
    with counted.connect() as connection:
        assert connection.ask("/videos/small.mp4", "POST", [("Content-Length", "0")]).status == 405
    others["refused"] += 1
    for kind in ("passthrough", "passthroughHit"):
        assert counted.get("/site/page")[1] == b"page"
        others[kind] += 1
    assert counted.get("/healthz")[0].status == 200  # counted nowhere

    sent = tally.media + left
    until(lambda: report(counted)["totals"]["mediaRequests"] >= sent, "all are counted")
    told = report(counted)
    assert told["totals"]["mediaRequests"] == sent
    assert sum(count(told, name) for name in MEDIA) == sent
    assert told["totals"]["requests"] == sent + sum(others.values())
    for name, expected in others.items():
        assert count(told, name) == expected, name
    # each as its headers said; of those that left nobody knows what they would have been told
    seen = {name: count(told, name) for name in MEDIA}
    seen["made"] = seen.pop("miss") + seen.pop("joined")
    assert all(seen.get(name, 0) >= n for name, n in tally.seen.items()), (seen, tally.seen)
    assert sum(seen.values()) - sum(tally.seen.values()) == left
    # and as the metrics say, which count on their own
    requests = sum(counted.metric("video_resizer_requests_total", layer=layer) for layer in ("edge", "kv", "joined", "transform", "bypass"))
    assert requests - others["passthroughHit"] == sent
    assert count(told, "joined") == counted.metric("video_resizer_requests_total", layer="joined")
    until(lambda: sum(counted.metric("video_resizer_outcomes_total", outcome=name) for name in MEDIA) == sent, "the outcomes' metric")
    # every other way of counting comes to the same
    assert sum(row["requests"] for row in told["statuses"].values()) == told["totals"]["requests"]
    assert sum(row["requests"] for row in told["modes"].values()) == sent
    assert sum(row["requests"] for row in told["derivatives"].values()) == sent
    assert sum(point["requests"] for point in told["series"]) == told["totals"]["requests"]
    assert sum(row["requests"] for row in told["topVariants"]) == sent
    assert told["errorCodes"]["NOT_FOUND"]["requests"] == 3
    assert told["errorCodes"]["INVALID_URL"]["requests"] == 1


def test_what_hits_save_is_what_their_production_cost(counted):
    target = "/videos/small.mp4?width=170"
    counted.get(target)
    counted.wait_stored(1)
    meta = counted.entry("video:videos/small.mp4:w=170")["metadata"]["customData"]
    assert meta["encodeSeconds"] > 0 and meta["sourceBytes"] == media.clip("small.mp4").stat().st_size
    for _ in range(4):
        counted.get(target)
    counted.get(target, "HEAD")
    counted.get(target, headers=[("Range", "bytes=10-")])
    until(lambda: report(counted)["totals"]["mediaRequests"] == 7, "all are counted")
    totals = report(counted)["totals"]
    assert totals["encodeSeconds"]["saved"] == pytest.approx(4 * meta["encodeSeconds"], rel=0.01, abs=1e-4)
    assert totals["encodeSeconds"]["spentOnResults"] == pytest.approx(meta["encodeSeconds"], rel=0.01, abs=1e-4)
    assert totals["originBytes"] == {"read": meta["sourceBytes"], "saved": 4 * meta["sourceBytes"]}
    assert totals["productions"] == {"ok": 1, "failed": 0}
    assert counted.metric("video_resizer_origin_bytes_saved_total") == 4 * meta["sourceBytes"]
    until(lambda: report(counted)["totals"]["encodeSeconds"]["spent"] > 0, "the pool says what its worker took")
    row = report(counted)["topVariants"][0]
    assert row["key"] == "video:videos/small.mp4:w=170" and row["requests"] == 7 and row["encodeSecondsSpent"] > 0
    assert report(counted)["formats"]["mp4"]["hits"] == 6


def first_rows(path):
    """[(level, requests of all outcomes)] of a file, read as docs/formats/analytics.md says."""
    data = path.read_bytes()
    magic, version, length, _ = struct.unpack_from(">8sIQQ", data)
    assert (magic, version, length) == (b"vr-stats", 1, len(data) - 28)
    at, rows = 32, []

    def number(size):
        nonlocal at
        at += size
        return int.from_bytes(data[at - size:at], "big")

    def skip(size):
        nonlocal at
        at += size

    for _ in range(struct.unpack_from(">I", data, 28)[0]):
        level, requests = number(1), 0
        skip(8 + 40)
        for _ in range(number(1)):
            skip(1)
            requests += number(8)
            skip(48 + 8)
            skip(5 * number(1))
        for _ in range(number(1)):
            for _ in range(number(2)):
                skip(number(2) + 56)
        for _ in range(2):
            for _ in range(number(2)):
                skip(8)
                skip(number(2) + 64)
        rows.append((level, requests))
    return rows


def test_numbers_survive_a_restart_and_a_kill(counted):
    target = "/videos/small.mp4?mode=frame&width=160"
    for _ in range(5):
        counted.get(target)
    counted.get("/videos/missing.mp4?width=1")
    until(lambda: report(counted)["totals"]["requests"] == 6, "all are counted")
    counted.restart()
    told = report(counted)
    assert told["totals"]["requests"] == 6 and told["totals"]["mediaRequests"] == 6
    assert told["recentErrors"][0]["code"] == "NOT_FOUND"
    assert told["topVariants"][0]["requests"] == 5
    for _ in range(4):
        counted.get(target)
    path = counted.data / "analytics" / "open"
    until(lambda: dict(first_rows(path)).get(2) == 10, "an interval later they are in the file")
    counted.kill9()
    counted.resume()
    assert report(counted)["totals"]["requests"] == 10


def test_files_that_cannot_be_read_cost_the_numbers_and_nothing_else(counted):
    counted.get("/videos/small.mp4?mode=frame&width=160")
    until(lambda: report(counted)["totals"]["requests"] == 1, "it is counted")
    counted.stop()
    path = counted.data / "analytics" / "open"
    data = bytearray(path.read_bytes())
    data[11] = 99
    path.write_bytes(data)
    counted.resume()
    assert counted.events("analytics_not_loaded")
    assert report(counted)["totals"]["requests"] == 0
    assert counted.get("/videos/small.mp4?mode=frame&width=160")[0].status == 200
    until(lambda: report(counted)["totals"]["requests"] == 1, "and it counts on")


def test_no_secret_is_shown_or_kept(counted):
    secret = "hunter2hunter2"
    for target in (f"/videos/missing.mp4?width=160&token={secret}", f"/videos/%2e%2e/a.mp4?X-Amz-Signature={secret}",
                   f"/site/missing?password={secret}", f"/cdn-cgi/media/width=100/https://me:{secret}@example.com/a.mp4",
                   f"/cdn-cgi/media/width=100/https://example.com/a.mp4?token={secret}"):
        assert counted.get(target)[0].status >= 400
    until(lambda: report(counted)["totals"]["requests"] == 5, "all are counted")
    told = report(counted)
    assert len(told["recentErrors"]) >= 3
    assert secret not in json.dumps(told)
    counted.stop()
    for path in (counted.data / "analytics").iterdir():
        assert secret.encode() not in path.read_bytes()


def test_the_route_is_guarded_and_says_what_is_wrong(counted):
    assert counted.ask_admin("/admin/analytics", token="wrong")[0].status == 401
    for bad in ("hours=0", "hours=-1", "hours=x", "hours=1.5", "hours=", "hours=999999999999999999999", "hours=9601", "days=3", "hours=%zz"):
        reply, document = counted.ask_admin("/admin/analytics?" + bad)
        assert reply.status == 400 and document["error"]["code"] == "INVALID_PARAMETER", (bad, document)
        assert "hours" in document["error"]["message"] or bad.endswith("%zz"), document
    for hours, resolution in ((1, "minute"), (3, "minute"), (4, "hour"), (192, "hour"), (193, "day"), (9600, "day")):
        assert report(counted, hours)["resolution"] == resolution
    assert counted.admin_call("POST", "/admin/analytics")[0] == 405


def test_storage_is_told_with_its_limits(counted):
    counted.get("/videos/small.mp4?mode=frame&width=160")
    counted.wait_stored(1)
    storage = report(counted)["storage"]
    assert storage["edge"]["entries"] == 1 and 0 < storage["edge"]["bytes"] < storage["edge"]["maxBytes"] == 256 << 20
    assert storage["kv"]["entries"] == 1 and 0 < storage["kv"]["bytes"] < storage["kv"]["maxBytes"] == 50 << 30


def test_switched_off_it_counts_nothing_and_serves_all_the_same(server):
    server.open_admin()
    server.add(media.clip("small.mp4"), "small.mp4")
    server.config["analytics"] = {"enabled": False}
    server.start()
    for _ in range(2):
        assert server.get("/videos/small.mp4?mode=frame&width=160")[0].status == 200
    reply, document = server.ask_admin("/admin/analytics")
    assert reply.status == 404 and "analytics.enabled" in document["error"]["message"]
    assert not (server.data / "analytics").exists()
    until(lambda: server.metric("video_resizer_requests_total") == 2, "the metrics of requests stay")


def stats(server, *arguments, token=True):
    environment = dict(os.environ, TOKEN=server.admin_token)
    done = subprocess.run([str(media.BIN / "video-resizer"), "stats", *arguments], capture_output=True, text=True, timeout=60, env=environment)
    return done.returncode, done.stdout, done.stderr


def test_the_command_shows_it(counted):
    for _ in range(3):
        counted.get("/videos/small.mp4?mode=frame&width=160")
    counted.get("/videos/missing.mp4?width=1")
    until(lambda: report(counted)["totals"]["requests"] == 4, "all are counted")
    code, out, err = stats(counted, "-c", str(counted.config_path), "--admin", counted.admin)
    assert (code, err) == (0, "")
    assert "4 requests, 4 of them for media" in out
    for word in ("edge", "miss", "videos", "NOT_FOUND", "frame:videos/small.mp4:w=160", "edge holds", "KV holds"):
        assert word in out, out
    code, out, err = stats(counted, "--admin", counted.admin, "--token-env", "TOKEN", "--hours", "1", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["totals"]["requests"] == 4 and json.loads(out)["hours"] == 1
    code, out, err = stats(counted, "--admin", counted.admin, "--token-env", "NO_SUCH")
    assert (code, out) == (1, "") and "NO_SUCH" in err
    code, out, err = stats(counted, "--admin", counted.admin, "--token-env", "TOKEN", "--hours", "99999")
    assert (code, out) == (1, "") and "1-9600" in err
    assert stats(counted, "--hours", "0")[0] == 2
    gone = counted.admin
    counted.stop()
    code, out, err = stats(counted, "--admin", gone, "--token-env", "TOKEN")
    assert (code, out) == (1, "") and "gives no answer" in err
