"""Purges and kill -9: what was purged stays away, and a purge that was cut off is finished at the next start."""
import http.client
import os
import threading

import pytest

from kit import media
from kit.wait import until

MANY = 400


@pytest.fixture
def filled(server):
    """A server that has stored MANY originals of group/ and two variants that no purge below means."""
    server.open_admin()
    server.config["cache"] = {"kv": {"inlineThreshold": "1KiB"}}  # so that every body is a file
    server.add(media.clip("small.mp4"), "small.mp4")
    folder = server.media / "group"
    folder.mkdir()
    for i in range(MANY):
        (folder / f"{i:04}.mp4").write_bytes(b"%04d" % i * 500)
    server.start()
    fill(server)
    return server


OTHERS = ("/videos/small.mp4", "/videos/small.mp4?mode=frame&width=160")


def members():
    return [f"/videos/group/{i:04}.mp4" for i in range(MANY)]


def fill(server):
    for target in list(OTHERS) + members():
        assert server.get(target)[0].status == 200
    server.wait_stored(MANY + len(OTHERS))


def entries(server):
    return server.metric("video_resizer_kv_entries")


def check_gone(server, sample=40):
    """Nothing of the group is served from any layer; the others are."""
    assert entries(server) == len(OTHERS)
    for target in members()[::MANY // sample]:
        reply, body = server.get(target)
        assert (reply["X-Cache-Status"], reply["X-Cache-Source"]) == ("MISS", "transform"), target
        assert body == target[-8:-4].encode() * 500
    for target in OTHERS:
        assert server.get(target)[0]["X-Cache-Status"] == "HIT"


def test_a_purge_is_in_force_on_every_layer_and_over_kill_9_right_behind_its_answer(filled):
    assert filled.purge(prefix="video:videos/group/") == {"KV": MANY, "edge": MANY, "productions": 0}
    filled.kill9()
    filled.resume()
    check_gone(filled)
    until(lambda: len(filled.files()) <= len(OTHERS) + 40, "the bodies of what was purged are swept")


def test_a_soft_purge_is_in_force_after_kill_9_too(filled):
    target = members()[7]
    assert filled.purge(prefix="video:videos/group/", mode="soft")["KV"] == MANY
    filled.kill9()
    filled.resume()
    assert entries(filled) == MANY + len(OTHERS), "stale, but still there"
    reply, _ = filled.get(target)
    assert reply["X-Cache-Status"] == "STALE", reply.fields
    assert filled.get(OTHERS[0])[0]["X-Cache-Status"] == "HIT"


def test_kill_9_in_the_middle_of_a_purge_leaves_all_or_nothing(filled):
    seen = set()
    for delay in (0.0, 0.001, 0.002, 0.004, 0.006, 0.009, 0.013, 0.02):
        answered = threading.Event()

        def purge():
            try:
                filled.purge(prefix="video:videos/group/")
                answered.set()
            except (OSError, http.client.HTTPException):
                pass  # killed meanwhile

        thread = threading.Thread(target=purge)
        thread.start()
        answered.wait(delay)  # where in the purge the kill falls is what is varied
        filled.kill9()
        thread.join()
        filled.resume()
        left = entries(filled)
        assert left in (len(OTHERS), MANY + len(OTHERS)), "part of a purge came true"
        if answered.is_set():
            assert left == len(OTHERS), "an answered purge was forgotten"
        seen.add((answered.is_set(), left == len(OTHERS), bool(filled.events("purge_finished"))))
        if left == len(OTHERS):
            fill(filled)
    print("answered, gone, finished at the start:", sorted(seen))


def test_a_client_that_leaves_does_not_stop_a_purge(filled):
    c = http.client.HTTPConnection(filled.admin, timeout=20)
    c.request("POST", "/admin/purge", body='{"prefix": "video:videos/group/"}', headers={"Authorization": "Bearer " + filled.TOKEN})
    c.sock.close()
    until(lambda: entries(filled) == len(OTHERS), "the purge ends without its client")
    filled.kill9()
    filled.resume()
    check_gone(filled)


@pytest.mark.skipif(bool(os.environ.get("VR_SANITIZE")), reason="too slow")
def test_a_purge_while_variants_are_made_leaves_nothing_older_behind(filled):
    """Requests go on all the time; what they got before the purge is never served after it."""
    stop = threading.Event()
    failures = []

    def ask():
        while not stop.is_set():
            for target in members()[:20]:
                reply, _ = filled.get(target)
                if reply.status != 200:
                    failures.append(reply.status)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for t in threads:
        t.start()
    try:
        for i in range(20):
            (filled.media / "group" / f"{i:04}.mp4").write_bytes(b"new!" * 500)
        for _ in range(5):
            filled.purge(prefix="video:videos/group/")
            for target in members()[:20]:
                assert filled.get(target)[1] == b"new!" * 500, target
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not failures
