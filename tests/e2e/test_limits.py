"""What one client may cost: productions per minute, and whose they are behind proxies."""
import json
import time

from kit import media, wire
from test_load import together

STILL = "/videos/small.mp4?mode=frame&width={}"


def limited(server, per_minute=6, burst=3, **access):
    server.add(media.clip("small.mp4"), "small.mp4")
    server.config["access"] = {"productionLimit": {"perMinute": per_minute, "burst": burst}, **access}
    server.start()


def test_a_burst_then_503_and_hits_stay_free(server):
    limited(server)
    replies = [server.get(STILL.format(64 + 2 * i)) for i in range(5)]
    assert [r.status for r, _ in replies] == [200, 200, 200, 503, 503]
    refused, body = replies[3]
    error = json.loads(body)["error"]
    assert error["code"] == "OVERLOADED" and error["details"]["limit"] == "productions_per_client"
    assert 1 <= int(refused["Retry-After"]) <= 10, "the next token comes after 10 s"
    assert refused["Cache-Control"] == "no-store" and refused["X-Content-Type-Options"] == "nosniff"
    for _ in range(20):
        assert server.get(STILL.format(64))[0].status == 200
    assert server.transforms() == 3
    server.wait_stored(3)
    server.restart()
    for i in range(3):  # the KV's hits are as free as the edge's
        assert server.get(STILL.format(64 + 2 * i))[0]["X-Cache-Status"] == "HIT"
    assert server.transforms() == 0


def test_joining_is_free(server):
    server.add(media.clip("medium.mp4"), "medium.mp4")
    limited(server, burst=1)
    statuses = [s for s in together(20, lambda _: server.get("/videos/medium.mp4?width=200", timeout=120)[0].status)]
    assert statuses == [200] * 20
    assert server.transforms() == 1
    assert server.get(STILL.format(64))[0].status == 503


def forwarded(client):
    return [("X-Forwarded-For", client)]


def test_clients_behind_a_trusted_proxy_have_limits_of_their_own(server):
    limited(server, burst=1, trustedProxies=["127.0.0.0/8"])
    ask = lambda width, client: server.get(STILL.format(width), headers=forwarded(client))[0].status  # noqa: E731
    assert [ask(64, "198.51.100.1"), ask(66, "198.51.100.1")] == [200, 503]
    assert ask(66, "198.51.100.2") == 200
    assert ask(68, "6.6.6.6, 198.51.100.2") == 503, "what stands left is forged and changes nothing"
    assert [ask(70, "2001:db8:1:1::1"), ask(72, "2001:db8:1:1:ffff::2"), ask(72, "2001:db8:1:2::1")] == [200, 503, 200]
    line = server.wait_log(lambda e: e.get("event") == "request" and e.get("client") == "2001:db8:1:2::1", "the client's address")
    assert line["peer"] == "127.0.0.1"


def test_nobody_else_is_believed(server):
    limited(server, burst=1)
    assert server.get(STILL.format(64), headers=forwarded("198.51.100.1"))[0].status == 200
    assert server.get(STILL.format(66), headers=forwarded("198.51.100.2"))[0].status == 503


def test_a_refused_leader_does_not_take_others_along(server):
    """Many requests for one URL at once, half of them of a client that has nothing left."""
    limited(server, burst=1, trustedProxies=["127.0.0.1"])
    assert server.get(STILL.format(64), headers=forwarded("198.51.100.1"))[0].status == 200
    client = lambda i: "198.51.100.1" if i % 2 else f"198.51.100.{100 + i}"  # noqa: E731
    answers = together(30, lambda i: (i % 2, server.get(STILL.format(80), headers=forwarded(client(i)))[0].status))
    assert {status for poor, status in answers if not poor} == {200}
    assert {status for poor, status in answers if poor} <= {200, 503}
    assert server.transforms() == 2


def test_debug_headers_count_from_the_client_not_from_its_proxy(server):
    server.add(media.clip("small.mp4"), "small.mp4")
    server.config["access"] = {"trustedProxies": ["127.0.0.1"]}
    server.start()
    debug = ("X-Debug", "true")
    assert server.get(STILL.format(64), headers=[debug, *forwarded("198.51.100.1")])[0]["Cache-Control"] != "no-store"
    assert server.get(STILL.format(64), headers=[debug])[0]["Cache-Control"] == "no-store"


def test_the_queue_is_fair_between_clients(server):
    """One worker. A client floods; another's single request is done long before the flood is."""
    server.add(media.clip("medium.mp4"), "medium.mp4")
    server.add(media.clip("small.mp4"), "small.mp4")
    server.config["transform"] = {"workers": 1}
    server.config["access"] = {"trustedProxies": ["127.0.0.1"]}
    server.start()
    flood = [wire.Connection(server.address, timeout=300) for _ in range(12)]
    for i, c in enumerate(flood):
        c.begin(f"/videos/medium.mp4?width={100 + 2 * i}", headers=forwarded("198.51.100.1"))
    from kit.wait import until
    until(lambda: server.metric("video_resizer_queue_depth") >= 9, "the flood waits")
    reply, _ = server.get(STILL.format(64), headers=forwarded("198.51.100.2"), timeout=300)
    assert reply.status == 200
    waiting = server.metric("video_resizer_queue_depth")
    assert waiting >= 5, f"only {waiting} of the flood wait: the other client waited for nearly all of it"
    for c in flood:
        c.close()
