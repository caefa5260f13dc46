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


BEEP = "/videos/beep.mp4?"
BEEP_AT = 3.5


@pytest.fixture
def beeping(server):
    """Deriving is allowed; pictures that all differ, and a beep."""
    server.add(media.clip("beep.mp4"), "beep.mp4")
    server.config["derivatives"] = DERIVATIVES
    server.config["transform"] = {"deriveFromCached": True}
    server.open_admin()
    server.start()
    return server


def make_base(server, options):
    """Makes it of the source, stores it and takes the source away. @return its key"""
    stored = server.metric("video_resizer_kv_entries")
    reply, _ = server.get(BEEP + options)
    assert reply.status == 200
    server.wait_stored(stored + 1)
    (server.media / "beep.mp4").rename(server.folder / "beep.mp4")
    return reply["X-KV-Cache-Key"]


def saved(server, options, name):
    reply, body = server.get(BEEP + options)
    assert reply.status == 200, options
    path = server.folder / name
    path.write_bytes(body)
    return path, reply["X-KV-Cache-Key"]


@pytest.mark.parametrize("base", ["width=480", "height=300&format=webm", "derivative=large&quality=high"])
@pytest.mark.parametrize("options", ["width=160", "mode=frame&time=2s&width=160", "mode=spritesheet&width=120", "mode=audio"])
def test_a_base_need_not_be_a_derivative(beeping, base, options):
    base = make_base(beeping, base)
    _, key = saved(beeping, options, "derived")
    assert derived_from(beeping, key) == base


@pytest.mark.parametrize("form", ["", "&format=webm"])
@pytest.mark.parametrize("at", ["2s", "3.1s", "4.4333s", "5.99s"])
def test_a_still_is_of_the_clip_that_has_its_time(beeping, form, at):
    """And is the very picture: nearer to that of the source than to those beside it."""
    still = f"mode=frame&width=160&time={at}"
    seconds = float(at[:-1])
    of_source = {step: saved(beeping, f"mode=frame&width=160&time={seconds + step / 30:.6f}s", f"{step}.jpg")[0] for step in (-1, 0, 1)}
    beeping.purge(everything=True)
    base = make_base(beeping, "width=480&time=2s&duration=4s" + form)
    derived, key = saved(beeping, still, "derived.jpg")
    assert derived_from(beeping, key) == base
    apart = {step: media.difference(derived, path) for step, path in of_source.items()}
    assert apart[0] < min(apart[-1], apart[1]) / 2, apart


def test_a_sheet_is_of_the_clip_that_has_its_time(beeping):
    sheet = "mode=spritesheet&width=120&imageCount=4&duration=2s&time="
    alone, _ = saved(beeping, sheet + "3s", "alone.jpg")
    later, _ = saved(beeping, sheet + "3.2s", "later.jpg")
    beeping.purge(everything=True)
    base = make_base(beeping, "width=480&time=2s&duration=4s")
    derived, key = saved(beeping, sheet + "3s", "derived.jpg")
    assert derived_from(beeping, key) == base
    assert media.difference(derived, alone) < media.difference(derived, later) / 2


@pytest.mark.parametrize("base", ["width=480&time=2s&duration=4s", "width=480&time=2s", "width=480&time=2s&duration=4s&format=webm",
                                  "mode=audio&time=2s&duration=4s", "mode=audio&time=2s&duration=4s&format=opus",
                                  "mode=audio&time=2s&duration=4s&format=mp3"])
def test_sound_is_of_what_has_its_time(beeping, base):
    base = make_base(beeping, base)
    derived, key = saved(beeping, "mode=audio&time=3.2s&duration=1s", "derived.m4a")
    assert derived_from(beeping, key) == base
    assert media.onset(derived) == pytest.approx(BEEP_AT - 3.2, abs=0.0015)
    assert media.duration_of(media.probe(derived)) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("options", [
    "mode=frame&width=160&time=1.9s", "mode=frame&width=160&time=6s", "mode=frame&width=160",
    "mode=spritesheet&width=120&time=3s", "mode=spritesheet&width=120&time=3s&duration=4s", "mode=spritesheet&width=120&time=1s&duration=2s",
    "mode=audio", "mode=audio&time=3s", "mode=audio&time=3s&duration=3.5s", "mode=audio&time=1s&duration=2s",
    "width=160&time=3s&duration=1s", "width=160"])
def test_what_a_clip_does_not_cover_asks_the_source(beeping, options):
    """Videos always do: their length is the source's to say."""
    make_base(beeping, "width=480&time=2s&duration=4s")
    assert beeping.get(BEEP + options)[0].status == 404
    assert beeping.metric("video_resizer_derivations_total") == 0


def test_the_smallest_that_qualifies_is_taken(beeping):
    for base in ("width=600", "width=480", "width=400&quality=low", "width=500&time=1s"):
        assert beeping.get(BEEP + base)[0].status == 200
    beeping.wait_stored(4)
    assert derived_from(beeping, "video:videos/beep.mp4:w=480") is None, "480 of 600 is too near"
    _, key = saved(beeping, "width=160", "derived.mp4")
    assert derived_from(beeping, key) == "video:videos/beep.mp4:w=480"


def test_a_silent_one_serves_who_wants_no_sound(beeping):
    base = make_base(beeping, "width=480&audio=false")
    _, key = saved(beeping, "mode=frame&width=160", "derived.jpg")
    assert derived_from(beeping, key) == base
    assert beeping.get(BEEP + "mode=audio")[0].status == 404


def test_a_base_that_is_purged_while_it_is_read_is_read_to_its_end(deriving):
    key = "video:videos/medium.mp4:w=640"
    with deriving.connect() as c:
        c.begin("/videos/medium.mp4?width=640")
        reply = c.reply()
        assert reply.status == 200
        body = reply.some()
        assert body and deriving.purge(key=LARGE)["KV"] == 1
        body += reply.body()
    path = deriving.folder / "derived.mp4"
    path.write_bytes(body)
    assert media.decode_errors(path) == ""
    assert len(media.frame_hashes(path)) == 240
    assert derived_from(deriving, key) == LARGE
    assert deriving.entry(LARGE) is None


def test_a_base_that_is_damaged_gives_way_to_the_source(server):
    start(server, deriveFromCached=True)
    base = server.get(BASE)[1]
    server.wait_stored(1)
    server.stop()
    stored = max(server.files(), key=lambda path: path.stat().st_size)
    stored.write_bytes(bytes(stored.stat().st_size))
    server.resume()
    reply, _ = server.get("/videos/medium.mp4?mode=frame&width=320")
    assert reply.status == 200
    assert derived_from(server, reply["X-KV-Cache-Key"]) is None
    assert server.metric("video_resizer_kv_dropped_total", reason="checksum") == 1
    assert server.get(BASE)[1] == base, "and is made anew"


def test_when_deriving_fails_the_source_is_asked(server):
    server.add(media.clip("silent.mp4"), "silent.mp4")
    server.config["derivatives"] = DERIVATIVES
    server.config["transform"] = {"deriveFromCached": True}
    server.open_admin()
    server.start()
    alone, _ = server.get("/videos/silent.mp4?mode=audio")
    assert server.get("/videos/silent.mp4?width=160")[0].status == 200
    server.wait_stored(1)
    server.purge(key="audio:videos/silent.mp4")
    reply, _ = server.get("/videos/silent.mp4?mode=audio")
    assert reply.status == alone.status and reply.status >= 400
    assert server.metric("video_resizer_derivations_total", result="failed") == 1
    assert server.transforms(result="SOURCE_UNSUPPORTED") == 2, "told by the source, both times"


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
