"""500 different cold variants at once, and hits on other connections meanwhile: nothing but 200, 202 and 503, bounded memory."""
import json
import threading
import time

from kit import media, wire
from kit.wait import until

VARIANTS = 500
HIT = "/videos/small.mp4?mode=frame&width=64"


def test_500_cold_variants_at_once_while_hits_run(server):
    server.add(media.clip("small.mp4"), "small.mp4")
    server.start()
    body = server.get(HIT)[1]
    server.wait_stored(1)
    before = server.status_kib("VmRSS")

    hits, bad, stop = [0, 0, 0], [], threading.Event()

    def hitter(n):
        with wire.Connection(server.address, timeout=120) as c:
            while not stop.is_set():
                reply = c.ask(HIT)
                if reply.body() != body or reply.status != 200 or reply["X-Cache-Status"] != "HIT":
                    bad.append(reply.fields)
                hits[n] += 1

    hitters = [threading.Thread(target=hitter, args=(n,)) for n in range(len(hits))]
    for t in hitters:
        t.start()
    cold = []
    try:
        cold = [wire.Connection(server.address, timeout=400) for _ in range(VARIANTS)]
        began = list(hits)
        for i, c in enumerate(cold):
            c.begin(f"/videos/small.mp4?mode=frame&width={66 + 2 * (i % 250)}&time={i // 250}")
        statuses = {}
        for c in cold:
            reply = c.reply("GET")
            content = reply.body()
            statuses[reply.status] = statuses.get(reply.status, 0) + 1
            if reply.status == 503:
                assert json.loads(content)["error"]["code"] == "OVERLOADED"
                assert int(reply["Retry-After"]) >= 1 and reply["Cache-Control"] == "no-store"
            elif reply.status == 200:
                assert content[:2] == b"\xff\xd8"
    finally:
        stop.set()
        for t in hitters:
            t.join()
        for c in cold:
            c.close()
    assert set(statuses) <= {200, 202, 503}, statuses
    assert statuses[200] >= 256, f"what fitted the queue was made: {statuses}"
    assert not bad, bad[:3]
    assert all(after > b for after, b in zip(hits, began)), "hits went on"
    until(lambda: server.metric("video_resizer_productions_in_flight") == 0, "all productions ended")
    grown = server.status_kib("VmHWM") - before
    assert grown < 200 * 1024, f"{grown} KiB more at the peak: 500 connections and productions are worth 0.4 MiB each at most"
    assert server.get("/readyz")[0].status == 200
    assert server.get("/videos/small.mp4?mode=frame&width=700", timeout=60)[0].status == 200, "it recovers"
    print({"statuses": statuses, "hits": sum(hits), "grown_kib": grown})
