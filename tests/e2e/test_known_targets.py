"""A target asked often takes a shorter way (delivery/known_targets.h). Nobody may notice: what the answer depends on beside the
target still counts, and what is purged, changed or configured anew counts at once."""
import signal

import pytest

from kit import media, wire

TARGET = "/videos/small.mp4?mode=frame&width=160"
KEY = "frame:videos/small.mp4:w=160"
OWN = {"date", "server-timing", "x-request-id", "age", "x-kv-cache-age", "x-kv-cache-ttl", "cache-control", "cache-status"}


@pytest.fixture
def known(server):
    """A server that has answered TARGET so often, on one connection (so on one loop), that it knows it."""
    server.add(media.clip("small.mp4"), "small.mp4")
    server.config["debug"] = {"allowedAddresses": ["127.0.0.1"]}
    server.open_admin()
    server.start()
    with wire.Connection(server.address) as connection:
        server.ask = lambda target=TARGET, **more: finished(connection.ask(target, **more))
        server.ask()
        server.wait_stored(1)
        for _ in range(3):
            assert server.ask()["X-Cache-Source"] == "edge"
        yield server


def finished(reply):
    reply.content = reply.body()
    return reply


def reload(server):
    mark = len(server.log)
    server.write_config()
    server.signal(signal.SIGHUP)
    server.wait_log(lambda e: "reload" in e.get("event", ""), "the reload", after=mark)


def test_answers_are_the_same_as_those_worked_out(known):
    """Against the same variant asked for under targets that were never asked before."""
    for headers in ((), (("Range", "bytes=5-9"),), (("Range", "bytes=0-1,4-5"),), (("Range", "bytes=99999999-"),),
                    (("If-None-Match", "*"),), (("If-Match", '"other"'),)):
        for method in ("GET", "HEAD"):
            short = known.ask(headers=headers, method=method)
            name = f"{method}{len(headers)}{headers[0][1] if headers else ''}"
            long = known.ask(TARGET + "&unknown" + str(abs(hash(name))) + "=1", headers=headers, method=method)
            assert short.status == long.status, (headers, method)
            left = {n: v for n, v in fields(short).items() if n not in OWN}
            right = {n: v for n, v in fields(long).items() if n not in OWN}
            if "content-type" in left and left["content-type"].startswith("multipart"):
                left.pop("content-type"), right.pop("content-type")  # its boundary is its own
                assert len(short.content) == len(long.content)
            else:
                assert short.content == long.content
            right.pop("x-param-warnings", None)
            assert left == right, (headers, method)
            assert set(fields(short)) == set(fields(long)) - {"x-param-warnings"}


def fields(reply):
    return {name.lower(): value for name, value in reply.fields}


def test_each_answer_has_an_id_of_its_own(known):
    ids = {known.ask()["X-Request-ID"] for _ in range(5)}
    assert len(ids) == 5
    assert known.ask(headers=[("X-Request-ID", "mine")])["X-Request-ID"] == "mine"


def test_a_debug_header_still_counts(known):
    assert known.ask(headers=[("X-Debug", "true")])["X-Cache-Status"] == "BYPASS"
    assert known.ask()["X-Cache-Status"] == "HIT"


def test_what_is_purged_is_gone(known):
    made = known.transforms()
    known.purge(key=KEY)
    assert known.ask()["X-Cache-Status"] == "MISS"
    assert known.transforms() == made + 1


def test_a_reload_counts_at_once(known):
    assert known.ask()["Cache-Control"].startswith("public, max-age=")
    for origin in known.config["origins"]:
        origin["cacheControl"] = "private, max-age=7"
    reload(known)
    for _ in range(4):
        assert known.ask()["Cache-Control"] == "private, max-age=7"


def test_a_changed_preset_counts_at_once(server):
    server.add(media.clip("small.mp4"), "small.mp4")
    server.config["derivatives"] = {"thumb": {"mode": "frame", "width": 64}}
    server.start()
    target = "/videos/small.mp4?derivative=thumb"
    with wire.Connection(server.address) as connection:
        for _ in range(4):
            reply = finished(connection.ask(target))
        assert reply["X-Cache-Source"] == "edge" and reply["X-Resolved-Width"] == "64"
        server.config["derivatives"]["thumb"]["width"] = 96
        reload(server)
        for _ in range(4):
            assert finished(connection.ask(target))["X-Resolved-Width"] == "96"


def test_what_a_field_chooses_is_not_taken_from_the_target(server):
    server.add(media.clip("small.mp4"), "small.mp4")
    server.start()
    target = "/videos/small.mp4?mode=frame&width=64&format=auto"
    with wire.Connection(server.address) as connection:
        for accept, kind in [("image/webp", "image/webp"), ("image/png", "image/png")] * 4:
            reply = finished(connection.ask(target, headers=[("Accept", accept)]))
            assert reply["Content-Type"] == kind
            assert reply["Vary"] == "Accept"
