"""Metadata of an entry as the admin API shows it: exactly the names of cache contract §3, with measured values."""
import pytest

from kit import media
from kit.wait import until

ALWAYS = {"sourcePath", "cacheTags", "contentType", "contentLength", "createdAt", "expiresAt", "customData"}
CUSTOM = {"cacheVersion", "status", "etag", "origin", "sourceType", "planDigest", "bodyChecksum", "encodeSeconds", "sourceBytes"}

CASES = {
    "original": ("/videos/small.mp4", "video:videos/small.mp4", set(), "video/mp4"),
    "frame": ("/videos/small.mp4?mode=frame&width=160", "frame:videos/small.mp4:w=160", {"width", "format"}, "image/jpeg"),
    "video": ("/videos/small.mp4?width=96&height=64&duration=1&quality=low&compression=low",
              "video:videos/small.mp4:w=96:h=64:q=low:c=low:d=1s", {"width", "height", "format", "quality", "compression", "duration", "fps"}, "video/mp4"),
    "preset": ("/videos/small.mp4?derivative=tiny", "frame:videos/small.mp4:derivative=tiny", {"width", "format", "derivative"}, "image/png"),
}


@pytest.fixture
def stored(server):
    server.add(media.clip("small.mp4"), "small.mp4")
    server.config["derivatives"] = {"tiny": {"mode": "frame", "width": 20, "format": "png"}}
    server.open_admin()
    server.start()
    return server


@pytest.mark.parametrize("target, key, fields, content_type", CASES.values(), ids=CASES)
def test_exactly_the_contracts_names(stored, target, key, fields, content_type):
    stored.get(target)
    stored.wait_stored(1)
    hit, body = stored.get(target)
    entry = stored.entry(key)
    assert set(entry["use"]) == {"count", "lastAt", "ttlFactor"} and entry["use"]["ttlFactor"] == 1
    assert set(entry) == {"key", "layers", "use", "metadata"} and entry["key"] == key == hit["X-KV-Cache-Key"]
    assert entry["layers"] == {"edge": True, "KV": True, "inProduction": False}
    meta = entry["metadata"]
    assert set(meta) == ALWAYS | fields
    assert meta["sourcePath"] == "videos/small.mp4"
    assert meta["contentLength"] == len(body) == int(hit["Content-Length"]), "measured"
    assert meta["contentType"] == content_type == hit["Content-Type"]
    assert meta["cacheTags"] == hit["Cache-Tag"].split(",")
    assert meta["expiresAt"] - meta["createdAt"] == 86400_000
    custom = meta["customData"]
    assert set(custom) - {"sourceEtag", "sourceValidator", "sourceLastModified", "resolvedWidth", "resolvedHeight", "route"} == CUSTOM
    assert ("route" in custom) == bool(fields), "how it was made; an original is not made"
    assert (custom["cacheVersion"], custom["status"], custom["etag"]) == (1, 200, hit["ETag"])
    assert (custom["origin"], custom["sourceType"]) == ("videos", "file")
    assert custom["bodyChecksum"].startswith("xxh3-128:") and len(custom["planDigest"]) == 32
    assert (custom["encodeSeconds"] > 0) == bool(fields)
    assert custom["sourceBytes"] == media.clip("small.mp4").stat().st_size, "all of it was read"
    if "resolvedWidth" in custom:
        assert (hit["X-Resolved-Width"], hit["X-Resolved-Height"]) == (str(custom["resolvedWidth"]), str(custom["resolvedHeight"]))
    if "duration" in fields:
        assert abs(meta["duration"] - 1) < 0.2 and abs(meta["fps"] - 25) < 0.1
        assert (meta["width"], meta["height"], meta["quality"], meta["compression"]) == (96, 64, "low", "low"), "as asked for"
    if "derivative" in fields:
        assert meta["derivative"] == "tiny" == hit["X-Derivative"]


def test_it_is_the_same_over_a_restart(stored):
    target, key, _, _ = CASES["video"]
    stored.get(target)
    stored.wait_stored(1)
    before = stored.entry(key)["metadata"]
    stored.restart()
    entry = stored.entry(key)
    assert entry["metadata"] == before
    assert entry["layers"] == {"edge": False, "KV": True, "inProduction": False}, "looking does not promote"


def test_what_no_layer_holds_is_404(stored):
    reply, document = stored.ask_admin("/admin/entry?key=video:none.mp4")
    assert reply.status == 404 and document["error"]["code"] == "NOT_FOUND"
    assert stored.ask_admin("/admin/entry")[0].status == 400


def test_the_digest_tells_changed_plans_apart(stored):
    """What a preset means has changed: the old entry is unreachable, and replaced on the next request (R-39)."""
    target, key, _, _ = CASES["preset"]
    stored.get(target)
    stored.wait_stored(1)
    old = stored.entry(key)["metadata"]["customData"]["planDigest"]
    stored.stop()
    stored.config["derivatives"]["tiny"]["width"] = 40
    stored.start()
    assert stored.get(target)[0]["X-Cache-Status"] == "MISS"
    until(lambda: stored.entry(key)["metadata"]["customData"]["planDigest"] != old, "replaced")
    assert stored.metric("video_resizer_kv_entries") == 1, "in place"


def test_an_origins_own_tags_are_stored_and_sent(server):
    server.add(media.clip("small.mp4"), "small.mp4")
    server.config["origins"] = [server.file_origin(cacheTags=["customer-1", "tier-gold"])]
    server.open_admin()
    server.start()
    target, key, _, _ = CASES["frame"]
    reply, _ = server.get(target)
    expected = ["video-videos/small.mp4", "video-format-jpg", "video-mode-frame", "customer-1", "tier-gold"]
    assert reply["Cache-Tag"].split(",") == expected == server.entry(key)["metadata"]["cacheTags"]
