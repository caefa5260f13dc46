"""Ranges, conditions and HEAD are the same on an edge hit, a KV hit and a fresh whole-form answer (RFC 9110)."""
import pytest

from kit import expect, media

TARGET = "/videos/small.mp4"


@pytest.fixture(params=["edge", "KV", "edge-variant"])
def hit(server, request):
    """(server, target, whole body, headers of the hit); every request below is answered by that layer."""
    server.add(media.clip("small.mp4"), "small.mp4")
    if request.param == "KV":
        server.config["cache"] = {"edge": {"maxBytes": 0}}
    server.start()
    target = TARGET + ("?width=160" if request.param == "edge-variant" else "")
    server.get(target)
    server.wait_stored(1)
    reply, body = server.get(target)
    assert reply["X-Cache-Status"] == "HIT" and reply["X-Cache-Source"] == request.param.split("-")[0], reply.fields
    return server, target, body, reply


@pytest.mark.parametrize("spec, first, last", [
    ("bytes=0-0", 0, 0), ("bytes=0-99", 0, 99), ("bytes=100-", 100, None), ("bytes=-1", -1, None), ("bytes=-500", -500, None),
    ("bytes=5-99999999999", 5, None), ("bytes=-99999999999", 0, None),
])
def test_single_ranges(hit, spec, first, last):
    server, target, body, whole = hit
    size = len(body)
    begin = size + first if first < 0 else first
    end = size - 1 if last is None else last
    reply, part = server.get(target, headers={"Range": spec})
    assert reply.status == 206
    assert reply["Content-Range"] == f"bytes {begin}-{end}/{size}"
    assert part == body[begin:end + 1] and reply["Content-Length"] == str(end - begin + 1)
    assert reply["ETag"] == whole["ETag"] and reply["Content-Type"] == whole["Content-Type"]
    expect.media_headers(reply, status_in=("HIT",))


def test_all_ranges_in_one_test_put_together_are_the_body(hit):
    server, target, body, _ = hit
    step = max(1, len(body) // 7)
    with server.connect() as c:
        parts = [c.ask(target, headers={"Range": f"bytes={at}-{at + step - 1}"}).body() for at in range(0, len(body), step)]
    assert b"".join(parts) == body


def test_what_cannot_be_satisfied_is_416(hit):
    server, target, body, _ = hit
    for spec in (f"bytes={len(body)}-", "bytes=99999999999-", "bytes=-0"):
        reply, text = server.get(target, headers={"Range": spec})
        assert reply.status == 416, spec
        assert reply["Content-Range"] == f"bytes */{len(body)}"
        expect.error(reply, text, "RANGE_NOT_SATISFIABLE")


@pytest.mark.parametrize("spec", ["bytes=", "bytes=a-b", "bytes=9-2", "items=0-5", "bytes 0-5", "bytes=--5", "bytes=1-2-3"])
def test_malformed_ranges_are_ignored(hit, spec):
    server, target, body, _ = hit
    reply, whole = server.get(target, headers={"Range": spec})
    assert (reply.status, whole) == (200, body)


def test_head_is_get_without_a_body(hit):
    server, target, body, whole = hit
    with server.connect() as c:
        reply = c.ask(target, "HEAD")
        assert reply.status == 200 and reply["Content-Length"] == str(len(body))
        again = c.ask(target)  # the connection is still in step
        assert again.body() == body
        ranged = c.ask(target, "HEAD", {"Range": "bytes=0-9"})
        assert (ranged.status, ranged["Content-Length"]) == (200, str(len(body))), "RFC 9110 section 14.2: ranges are for GET"
    same = {"etag", "last-modified", "content-type", "accept-ranges", "cache-tag", "x-kv-cache-key"}
    for name in same:
        assert reply[name] == whole[name]


def test_conditions(hit):
    server, target, body, whole = hit
    etag, modified = whole["ETag"], whole["Last-Modified"]
    ask = lambda **h: server.get(target, headers={k.replace("_", "-"): v for k, v in h.items()})  # noqa: E731
    for headers in ({"If_None_Match": etag}, {"If_None_Match": f'"x", {etag}'}, {"If_None_Match": "*"}, {"If_None_Match": "W/" + etag},
                    {"If_Modified_Since": modified}):
        reply, text = ask(**headers)
        assert (reply.status, text) == (304, b""), headers
        assert reply["ETag"] == etag and "Cache-Control" in reply
    for headers in ({"If_None_Match": '"other"'}, {"If_Modified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, {"If_Match": etag}, {"If_Match": "*"},
                    {"If_None_Match": '"other"', "If_Modified_Since": modified}, {"If_Modified_Since": "yesterday"}):
        reply, text = ask(**headers)
        assert (reply.status, text) == (200, body), headers
    assert ask(If_Match='"other"')[0].status == 412
    assert ask(If_Unmodified_Since="Thu, 01 Jan 1970 00:00:00 GMT")[0].status == 412


def test_if_range(hit):
    server, target, body, whole = hit
    ask = lambda value: server.get(target, headers={"Range": "bytes=0-9", "If-Range": value})  # noqa: E731
    reply, part = ask(whole["ETag"])
    assert (reply.status, part) == (206, body[:10])
    for value in ('"other"', "W/" + whole["ETag"], "Thu, 01 Jan 1970 00:00:00 GMT"):
        reply, part = ask(value)
        assert (reply.status, part) == (200, body), value


def test_not_modified_beats_range(hit):
    server, target, _, whole = hit
    assert server.get(target, headers={"Range": "bytes=0-9", "If-None-Match": whole["ETag"]})[0].status == 304


def test_a_cold_range_is_a_range_of_the_stored_form(running):
    """No form may be spliced with another: a range of a variant nobody made yet waits for the stored form."""
    target = "/videos/small.mp4?width=180"
    reply, part = running.get(target, headers={"Range": "bytes=100-299"})
    assert reply.status == 206, part[:300]
    whole_reply, whole = running.get(target)
    assert part == whole[100:300] and reply["Content-Range"] == f"bytes 100-299/{len(whole)}"
    assert reply["ETag"] == whole_reply["ETag"]
    assert running.transforms() == 1


def test_a_cold_open_range_from_zero_is_answered_at_once(running, tmp_path):
    """What every browser sends first."""
    reply, body = running.get("/videos/small.mp4?width=190", headers={"Range": "bytes=0-"})
    assert reply.status in (200, 206)
    path = tmp_path / "a.mp4"
    path.write_bytes(body)
    assert media.decode_errors(path) == ""


def test_cold_head_names_the_variant(running):
    with running.connect() as c:
        reply = c.ask("/videos/small.mp4?width=150", "HEAD")
        assert reply.status == 200, reply.fields
        assert reply["X-KV-Cache-Key"] == "video:videos/small.mp4:w=150"


def test_age_and_max_age_add_up(running):
    target = "/videos/small.mp4?mode=frame&width=160"
    running.get(target)
    reply, _ = running.get(target)
    max_age = int(reply["Cache-Control"].split("max-age=")[1].split(",")[0])
    assert max_age - int(reply["Age"]) <= 86400 and max_age > 86000


def test_the_clients_conditions_never_reach_the_origin(server, origin):
    origin.files["/a.mp4"] = media.clip("small.mp4")
    server.config["origins"] = [server.http_origin(origin)]
    server.allow_loopback_origins()
    server.start()
    reply, _ = server.get("/remote/a.mp4?mode=frame&width=160", headers={
        "Range": "bytes=5-9", "If-None-Match": '"x"', "Cookie": "secret=1", "Authorization": "Basic eDp5", "If-Range": '"y"'})
    assert reply.status in (200, 206)
    for _, _, asked, fields in origin.requests:
        assert asked != "bytes=5-9"
        for name in ("if-none-match", "if-range", "cookie", "authorization"):
            assert fields.get(name) not in ('"x"', '"y"', "secret=1", "Basic eDp5"), (name, fields)
