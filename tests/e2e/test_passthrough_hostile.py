"""Origins of mode "passthrough": what one client or one odd answer must not do to the others. Each case is a fault that was there once."""
import json
import signal
import threading

import pytest

from kit.raw_origin import RawOrigin, answer
from kit.wait import until

from test_passthrough import get, parts


def ask(site, target="/x", method="GET", headers=(), body=b""):
    with site.server.connect() as c:
        reply = c.ask(target, method, list(headers), body)
        return reply, reply.body()


def chunked(pieces, *lines):
    """The bytes of a chunked answer, piece by piece; a callable among them is waited for."""
    yield answer(*lines, "Transfer-Encoding: chunked", length=False)
    for piece in pieces:
        if callable(piece):
            piece()
        else:
            yield b"%x\r\n" % len(piece) + piece + b"\r\n"
    yield b"0\r\n\r\n"


# -- wrong bytes

def test_a_slow_reader_of_what_is_not_kept_gets_every_byte(site):
    size = 48 << 20
    unit = bytes(range(1, 252))
    data = (unit * (size // len(unit) + 1))[:size]
    site.answers["/x"] = lambda _: iter([answer("Cache-Control: no-store", f"Content-Length: {size}", length=False)] +
                                        [data[i:i + 70001] for i in range(0, size, 70001)])
    site.server.start()
    with site.server.connect(receive_buffer=1 << 16) as c:
        reply = c.ask("/x")
        got = bytearray()
        while not reply.complete:
            got += reply.some(32 << 10)
        assert got == data


def test_what_grew_too_large_to_be_kept_is_not_joined(site):
    gate = threading.Event()
    piece = bytes(range(1, 252)) * 4177
    site.answers["/x"] = lambda _: chunked([piece] * 12 + [lambda: gate.wait(20), piece], "Cache-Control: max-age=60")
    site.server.config["passthrough"] = {"maxObjectBytes": 4 << 20}
    site.server.start()
    with site.server.connect() as c, site.server.connect() as d:
        first = c.ask("/x")
        taken = 0
        while taken < 6 * len(piece):  # the cut is seen with the next chunk: not all twelve
            taken += len(first.some(1 << 20))
        gate.set()
        second = d.ask("/x")
        assert second.body() == piece * 13
    assert len(site.asked()) == 2


@pytest.mark.parametrize("failure", [answer(status="503 Down", body=b"down"), None])
def test_a_part_does_not_stand_in_for_the_whole(site, failure):
    site.answers["/x"] = parts
    site.server.start()
    ask(site, headers=[("Range", "bytes=0-3")])
    site.answers["/x"] = failure if failure else lambda _: None
    assert ask(site)[0].status in (502, 503)


def test_a_range_that_was_the_whole_is_the_whole(site):
    site.answers["/x"] = parts
    site.server.start()
    assert ask(site, headers=[("Range", "bytes=0-")])[1] == b"0123456789"
    reply, body = ask(site)
    assert (reply.status, body, reply["X-Cache-Status"]) == (200, b"0123456789", "HIT")


def test_the_rest_of_a_part_does_not_lengthen_its_life(site):
    modified = "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT"

    def reply(a):
        if a.one("Range") == "bytes=0-3":
            return answer("Cache-Control: max-age=60, must-revalidate", 'ETag: "a"', modified, "Content-Range: bytes 0-3/8", body=b"0123", status="206 P")
        return answer('ETag: "a"', modified, "Age: 61", "Content-Range: bytes 4-7/8", body=b"4567", status="206 P")
    site.answers["/x"] = reply
    site.server.start()
    ask(site, headers=[("Range", "bytes=0-3")])
    assert ask(site)[1] == b"01234567"
    site.answers["/x"] = answer(body=b"new")
    assert ask(site)[1] == b"new"


# -- what one is told and others get

@pytest.mark.parametrize("status,field", [("416 R", ("Range", "bytes=99-")), ("412 P", ("If-Match", '"zz"'))])
def test_an_answer_to_one_requests_conditions_is_not_the_resources(site, status, field):
    site.answers["/x"] = lambda a: answer("Cache-Control: max-age=60", status=status if a.get(field[0]) else "200 OK", body=b"fine")
    site.server.start()
    assert ask(site, headers=[field])[0].status == int(status[:3])
    assert ask(site)[0].status == 200


def test_the_body_of_a_get_chooses_nothing_for_others(site):
    site.answers["/x"] = lambda a: answer("Cache-Control: max-age=60", body=b"said " + a.body)
    site.server.start()
    assert ask(site, headers=[("Content-Length", "4")], body=b"evil")[1] == b"said evil"
    assert ask(site)[1] == b"said "


def test_a_field_that_connection_hides_from_the_origin_selects_nothing(site):
    site.answers["/x"] = lambda a: answer("Cache-Control: max-age=60", "Vary: Accept-Language", body=(a.one("Accept-Language") or "none").encode())
    site.server.start()
    assert ask(site, headers=[("Accept-Language", "de"), ("Connection", "Accept-Language")])[1] == b"none"
    assert ask(site, headers=[("Accept-Language", "de")])[1] == b"de"


def together(site, first, second):
    """Two clients of one held-back answer. @return their replies"""
    gate = threading.Event()
    answers = site.answers["/x"]

    def held(a):
        gate.wait(20)
        return answers(a)
    before = len(site.asked())
    site.answers["/x"] = held
    with site.server.connect() as c, site.server.connect() as d:
        c.begin("/x", headers=first)
        until(lambda: len(site.asked()) > before, "the first one's request is with the origin")
        d.begin("/x", headers=second)
        ask(site, "/other")  # the second one's has been taken up by then
        gate.set()
        replies = c.reply(), d.reply()
        for reply in replies:
            reply.body()
        return replies


def test_a_cookie_set_by_a_validation_is_for_who_led_it(site):
    site.answers["/x"] = lambda a: answer("Cache-Control: max-age=60", 'ETag: "a"', "Set-Cookie: session=ALICE", status="304 N", length=False) \
        if a.get("If-None-Match") else answer("Cache-Control: max-age=10", "Age: 11", 'ETag: "a"', body=b"v")
    site.server.start()
    ask(site)
    alice, bob = together(site, [("Cookie", "session=ALICE")], [("Cookie", "session=BOB")])
    assert alice["Set-Cookie"] == "session=ALICE"
    assert bob.status == 200 and (bob["Set-Cookie"] is None or len(site.asked("/x")) == 3), "his own, or none"


def test_fields_that_are_one_clients_own_reach_nobody_else(site):
    own = 'Cache-Control: max-age=60, private="X-User"', "X-User: alice"
    site.answers["/x"] = lambda a: answer(*own, body=b"v")
    site.server.start()
    alice, bob = together(site, [], [])
    assert alice["X-User"] == "alice" and bob["X-User"] is None
    assert ask(site)[0]["X-User"] is None
    for target, method, status in (("/y", "GET", "304 N"), ("/z", "HEAD", "200 OK")):
        site.answers[target] = lambda a: answer(*own, 'ETag: "a"', status=status, length=False) if a.get("If-None-Match") or a.method == "HEAD" \
            else answer('Cache-Control: max-age=10, private="X-User"', "Age: 11", 'ETag: "a"', "X-User: first", body=b"v")
        ask(site, target), ask(site, target, method)
        reply, _ = ask(site, target)
        assert reply["X-Cache-Status"] == "HIT" and reply["X-User"] is None, target


def test_a_vary_that_comes_with_a_validation_counts(site):
    site.answers["/x"] = lambda a: answer("Cache-Control: max-age=60", "Vary: X-User", 'ETag: "a"', status="304 N", length=False) \
        if a.get("If-None-Match") else answer("Cache-Control: max-age=10", "Age: 11", 'ETag: "a"', body=b"v")
    site.server.start()
    ask(site), ask(site, headers=[("X-User", "alice")])
    assert ask(site, headers=[("X-User", "alice")])[0]["X-Cache-Status"] == "HIT"
    assert ask(site, headers=[("X-User", "bob")])[0]["X-Cache-Status"] == "MISS"


def test_what_the_origin_is_told_of_the_url_is_part_of_it(site):
    site.answers["/x"] = lambda a: answer("Cache-Control: max-age=60", body=(a.one("X-Forwarded-Proto") + " " + a.one("X-Forwarded-Host")).encode())
    site.server.start()
    assert ask(site, headers=[("X-Forwarded-Proto", "https")])[1].startswith(b"https ")
    assert ask(site)[1].startswith(b"http ")
    assert ask(site, headers=[("X-Forwarded-Host", "h")])[1] == b"http h"


def test_white_space_in_front_of_a_colon_hides_no_field(site):
    site.answers["/x"] = answer("Cache-Control : private", "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT", body=b"alice")
    site.server.start()
    assert ask(site)[0]["Cache-Control"] == "private" and ask(site)[0]["X-Cache-Status"] == "MISS"


def test_a_bare_cr_forges_no_field(site):
    site.answers["/x"] = answer("Cache-Control: max-age=60", "Cache-Status: a\rX-Evil: 1", "Content-Type: a\rX-Evil: 2", body=b"v")
    site.server.start()
    for _ in range(2):
        with site.server.connect() as c:
            c.begin("/x")
            assert b"\r" not in c.take_until(b"\r\n\r\n").replace(b"\r\n", b"")


def test_after_a_reload_another_origins_answers_are_not_used(site):
    site.server.config["origins"][0]["storeSetCookie"] = True
    site.answers["/x"] = answer("Cache-Control: max-age=60", "Set-Cookie: a=b", body=b"old")
    site.server.start()
    assert [get(site)[1], get(site)[0]["X-Cache-Status"]] == [b"old", "HIT"]
    other = RawOrigin()
    other.answers["/x"] = answer(body=b"new")
    site.server.config["origins"][0] = {"name": "other", "matcher": "^/", "mode": "passthrough", "sources": [{"type": "http", "url": other.url}]}
    site.server.write_config(json.dumps(site.server.config))
    site.server.signal(signal.SIGHUP)
    site.server.wait_event("config_reloaded")
    assert get(site)[1] == b"new"
    other.close()


# -- what others lose

def test_a_part_without_a_validator_does_not_push_the_whole_out(site):
    site.answers["/x"] = lambda a: answer("Cache-Control: max-age=60", "Content-Range: bytes 0-1/10", body=b"01", status="206 P") if a.get("Range") \
        else answer("Cache-Control: max-age=60", body=b"0123456789")
    site.server.start()
    ask(site), ask(site, headers=[("Range", "bytes=0-1"), ("Cache-Control", "no-cache")])
    assert ask(site)[0]["X-Cache-Status"] == "HIT"


def test_unsafe_requests_to_other_urls_cost_nothing_here(site):
    gate = threading.Event()

    def slowly(_):
        gate.wait(60)
        return answer("Cache-Control: max-age=60", body=b"v")
    site.answers["/x"] = slowly
    site.answers["/p"] = answer("Location: /q", "Content-Location: /r", body=b"")
    site.server.config["fetch"] = {"firstByteTimeout": "60s"}
    site.server.start()
    with site.server.connect() as c:
        c.begin("/x")
        until(lambda: site.asked("/x"), "it is asked for")
        with site.server.connect() as d:
            for _ in range(90):  # three addresses each: more than the 256 that are remembered
                assert d.ask("/p", "POST", [("Content-Length", "0")]).body() == b""
        gate.set()
        assert c.reply().body() == b"v"
    assert ask(site)[0]["X-Cache-Status"] == "HIT"


def test_hits_within_stale_while_revalidate_ask_once_whatever_they_want(site):
    gate = threading.Event()

    def reply(a):
        if not a.get("If-None-Match"):
            return answer("Cache-Control: max-age=10, stale-while-revalidate=600", "Age: 11", 'ETag: "a"', body=b"0123456789")
        gate.wait(20)
        return answer("Cache-Control: max-age=60", 'ETag: "a"', status="304 N", length=False)
    site.answers["/x"] = reply
    site.server.start()
    ask(site)
    with site.server.connect() as c:
        for _ in range(20):
            assert c.ask("/x", headers=[("Range", "bytes=0-1"), ("If-Range", '"a"')]).body() == b"01"
    gate.set()
    until(lambda: ask(site)[0]["X-Cache-Status"] == "HIT", "it is fresh again")
    assert len(site.asked()) == 2 and not site.asked()[1].get("Range")


@pytest.mark.parametrize("way", ["stale-while-revalidate", "a 304 of ours"])
def test_a_transfer_that_nobody_reads_ends(site, way):
    swr = way == "stale-while-revalidate"
    replies = iter([answer("Cache-Control: max-age=10" + (", stale-while-revalidate=600" if swr else ""), "Age: 11", 'ETag: "a"', body=b"old")])

    def reply(_):
        return next(replies, None) or chunked([bytes(1 << 20)] * 200, "Cache-Control: max-age=60", 'ETag: "b"')
    site.answers["/x"] = reply
    site.server.config["passthrough"] = {"maxObjectBytes": 4 << 20}
    site.server.start()
    ask(site)
    assert ask(site, headers=[] if swr else [("If-None-Match", '"b"')])[0].status == (200 if swr else 304)
    if swr:  # while the first exchange is being put away, nobody begins the refresh: the next one who asks does
        until(lambda: len(site.asked()) >= 2 or (ask(site) and False), "it is being refreshed")
    assert site.ended.wait(20)


def test_a_place_in_the_queue_is_not_for_ever(site):
    """One origin that never ends takes what it may have, and whoever wants more of it is told."""
    gate = threading.Event()

    def hold(_):
        gate.wait(60)
        return answer(body=b"late")
    site.answers["/x"] = hold
    site.server.config["fetch"] = {"connectTimeout": "5s", "firstByteTimeout": "60s"}
    site.server.start()
    connections = [site.server.connect() for _ in range(400)]
    for i, c in enumerate(connections):
        c.begin(f"/x?{i}")
    refused = until(lambda: site.server.events("request"), "one is refused")
    assert all((e["status"], e["reason"]) == (503, "OVERLOADED") for e in refused)
    assert len(site.asked()) <= 384
    gate.set()
    for c in connections:
        c.close()
