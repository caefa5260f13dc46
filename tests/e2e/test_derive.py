"""Variants made of larger ones that are held, instead of their source (docs/capacity.md): `transform.deriveFromCached`."""
import pytest

from kit import media
from kit.wait import until

BASE = "/videos/medium.mp4?derivative=large"
LARGE = "video:videos/medium.mp4:derivative=large"
DERIVATIVES = {"large": {"width": 960}, "middle": {"width": 640}, "cropped": {"width": 900, "height": 300, "fit": "cover"}}


def start(server, **transform):
    server.add(media.clip("medium.mp4"), "medium.mp4")
    server.config["derivatives"] = DERIVATIVES
    if transform:
        server.config["transform"] = transform
    server.open_admin()
    server.start()


def store_base(server):
    assert server.get(BASE)[0].status == 200
    server.wait_stored(1)


def take_source_away(server):
    (server.media / "medium.mp4").rename(server.folder / "gone.mp4")


@pytest.fixture
def deriving(server):
    """The large derivative is in the store; its source is gone."""
    start(server, deriveFromCached=True)
    store_base(server)
    take_source_away(server)
    return server


def derived_from(server, name):
    until(lambda: server.entry(name), f"{name} is stored")
    return server.entry(name)["metadata"]["customData"].get("derivedFrom")


@pytest.mark.parametrize("options, kind", [("width=320", "video/mp4"), ("mode=frame&time=2s&width=320", "image/jpeg"), ("mode=audio", "audio/mp4")])
def test_a_smaller_one_a_still_and_the_sound_need_no_source(deriving, options, kind):
    reply, body = deriving.get("/videos/medium.mp4?" + options)
    assert reply.status == 200 and reply["Content-Type"] == kind and body
    assert reply["X-Cache-Status"] == "MISS"
    assert derived_from(deriving, reply["X-KV-Cache-Key"]) == LARGE
    assert deriving.metric("video_resizer_derivations_total", result="ok") == 1


def test_a_derived_one_looks_and_lasts_as_if_made_of_the_source(server):
    """The same request with and without deriving: size, duration, rate and sound; and the picture, nearly."""
    start(server, deriveFromCached=True)
    target = "/videos/medium.mp4?width=320"
    assert server.get(target)[0].status == 200
    server.wait_stored(1)
    alone = server.get(target)[1]
    server.purge(everything=True)
    store_base(server)
    assert server.get(target)[0].status == 200
    server.wait_stored(2)
    derived = server.get(target)[1]
    assert derived != alone
    files = []
    for stem, body in (("alone", alone), ("derived", derived)):
        files.append(server.folder / f"{stem}.mp4")
        files[-1].write_bytes(body)
    first, second = (media.probe(f) for f in files)
    for stream, other in zip(first["streams"], second["streams"]):
        for field in ("codec_name", "width", "height", "r_frame_rate", "nb_frames", "sample_rate"):
            assert stream.get(field) == other.get(field), field


def test_one_generation_at_most(deriving):
    assert deriving.get("/videos/medium.mp4?derivative=middle")[0].status == 200
    middle = "video:videos/medium.mp4:derivative=middle"
    assert derived_from(deriving, middle) == LARGE
    reply, _ = deriving.get("/videos/medium.mp4?width=160")
    assert reply.status == 200
    assert derived_from(deriving, reply["X-KV-Cache-Key"]) == LARGE, "not of the derived one, though that is nearer"


@pytest.mark.parametrize("options", ["width=900", "width=320&quality=high", "width=320&rotate=90", "width=320&nocache=1", "mode=frame", "mode=info"])
def test_what_it_cannot_be_made_of_asks_the_source(deriving, options):
    """Too large, too good, turned, to be made anew, of the source's size, about the source: and that is gone."""
    assert deriving.get("/videos/medium.mp4?" + options)[0].status == 404
    assert deriving.metric("video_resizer_derivations_total") == 0


def test_it_has_to_be_allowed(server):
    start(server)
    store_base(server)
    take_source_away(server)
    assert server.get("/videos/medium.mp4?width=320")[0].status == 404


def test_nothing_is_made_of_what_was_purged_or_is_stale(deriving):
    deriving.purge(source="videos/medium.mp4", mode="soft")
    assert deriving.get("/videos/medium.mp4?width=320")[0].status == 404


def test_once_a_source_is_known_to_have_changed_nothing_is_made_of_the_old_one(server):
    start(server, deriveFromCached=True)
    store_base(server)
    reply, old = server.get("/videos/medium.mp4?mode=frame&width=320")
    child = reply["X-KV-Cache-Key"]
    assert derived_from(server, child) == LARGE
    (server.media / "medium.mp4").unlink()
    server.add(media.clip("silent.mp4"), "medium.mp4")
    server.purge(key=child, mode="soft")
    assert server.get("/videos/medium.mp4?mode=frame&width=320")[0]["X-Cache-Status"] == "STALE"
    until(lambda: server.get("/videos/medium.mp4?mode=frame&width=320")[1] != old, "it is made anew")
    until(lambda: "derivedFrom" not in server.entry(child)["metadata"]["customData"], "of the new source")
    assert server.entry(LARGE)["metadata"]["customData"]["sourceValidator"] != server.entry(child)["metadata"]["customData"]["sourceValidator"]
