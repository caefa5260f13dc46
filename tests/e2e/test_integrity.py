"""A disk that lies: bytes of a stored body change behind the server's back, and no client ever sees it."""
import pytest

from kit import media
from kit.wait import until

FRAME = "/videos/small.mp4?mode=frame&width=300&format=png"
BIG = "/videos/medium.mp4"


@pytest.fixture
def stored(server):
    """A frame (kept in memory by the edge) and an original of more than a megabyte are stored, each as a file."""
    server.config["cache"] = {"kv": {"inlineThreshold": "1KiB"}}
    server.add(media.clip("small.mp4"), "small.mp4")
    server.add(media.clip("medium.mp4"), "medium.mp4")

    def run(**kv):
        server.config["cache"]["kv"].update(kv)
        server.start()
        bodies = {target: server.get(target)[1] for target in (FRAME, BIG)}
        server.wait_stored(2)
        assert len(bodies[BIG]) > 1 << 20
        return bodies

    server.run = run
    return server


def damage(server, body):
    """Flips one byte in the middle of the file that holds `body`."""
    path = next(p for p in server.files() if p.stat().st_size == len(body))
    with open(path, "r+b") as f:
        f.seek(len(body) // 2)
        byte = f.read(1)[0]
        f.seek(len(body) // 2)
        f.write(bytes([byte ^ 0x10]))
    assert path.read_bytes() != body


def check_healed(server, target, body):
    reply, now = server.get(target)
    assert now == body, "damaged bytes were sent"
    assert (reply.status, reply["X-Cache-Status"], reply["X-Cache-Source"]) == (200, "MISS", "transform")
    assert server.metric("video_resizer_kv_dropped_total", reason="checksum") == 1
    dropped = server.wait_event("kv.dropped")
    assert dropped["reason"] == "checksum" and dropped["key"] == reply["X-KV-Cache-Key"]
    until(lambda: server.metric("video_resizer_kv_entries") == 2, "it is stored again")


def test_damage_done_while_the_server_was_stopped_costs_one_more_transform(stored):
    body = stored.run()[FRAME]
    stored.stop()
    damage(stored, body)
    stored.resume()
    check_healed(stored, FRAME, body)
    assert stored.transforms() == 1
    assert stored.get(FRAME)[1] == body
    stored.restart()
    reply, now = stored.get(FRAME)
    assert (reply["X-Cache-Source"], now == body) == ("KV", True)


@pytest.mark.parametrize("target", [FRAME, BIG])
def test_damage_under_a_running_server_is_found_when_every_read_is_verified(stored, target):
    stored.config["cache"]["edge"] = {"maxBytes": 0}
    body = stored.run(verifyOnRead=100)[target]
    reply, _ = stored.get(target)
    assert reply["X-Cache-Source"] == "KV"
    damage(stored, body)
    check_healed(stored, target, body)


def test_a_range_of_a_damaged_body_is_answered_from_the_one_made_again(stored):
    body = stored.run(verifyOnRead=100)[BIG]
    stored.stop()
    damage(stored, body)
    stored.resume()
    middle = len(body) // 2
    reply, part = stored.get(BIG, headers={"Range": f"bytes={middle - 10}-{middle + 10}"})
    assert (reply.status, part) == (206, body[middle - 10:middle + 11])
