"""Origins of mode "passthrough" and their sources: circuits and second tries."""
import json
import signal
import socket
import threading

import pytest

from kit import expect, wire
from kit.raw_origin import answer
from kit.wait import until

from test_passthrough import get

QUICK = {"retryBackoff": "1ms"}


def attempts(body):
    return json.loads(body)["error"]["details"]["attempts"]


def dead_url():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return "http://127.0.0.1:%d" % s.getsockname()[1]


# -- circuits

def open_circuit(site, failures=1):
    """Makes the site fail as often as it takes."""
    site.answers["/bad"] = answer(status="500 Oops", body=b"oops")
    for _ in range(failures):
        assert get(site, "/bad")[1] == b"oops"
    assert site.server.metric("video_resizer_origin_breaker_state", origin="site") == 2


def guarded(site, failures=1, cooldown="1h", **more):
    site.server.config["fetch"] = {**QUICK, "breakerFailures": failures, "breakerCooldown": cooldown, **more}


def test_an_origin_that_keeps_failing_is_left_alone(site):
    guarded(site, failures=3)
    site.answers["/x"] = answer("Cache-Control: max-age=60", body=b"x")
    site.answers["/fine"] = answer(body=b"fine")
    site.server.start()
    assert get(site)[1] == b"x"
    open_circuit(site, 3)
    asked = len(site.asked())
    reply, body = get(site, "/fine")
    expect.error(reply, body, "OVERLOADED")
    assert reply.status == 503 and 3000 < int(reply["Retry-After"]) <= 3600 and reply["Cache-Control"] == "no-store"
    assert attempts(body) == "http: circuit open" and site.address.encode() not in body
    assert get(site)[0]["X-Cache-Status"] == "HIT", "what is fresh needs nobody"
    with site.server.connect() as c:
        assert c.ask("/fine", "POST", [("Content-Length", "1")], b"q").status == 503
    assert get(site, "/fine", "HEAD")[0].status == 503
    assert len(site.asked()) == asked
    labels = {"origin": "site", "source": site.address}
    assert site.server.metric("video_resizer_origin_breaker_state", **labels) == 2
    assert site.server.metric("video_resizer_origin_breaker_opened_total", **labels) == 1
    assert site.server.metric("video_resizer_origin_breaker_skipped_total", **labels) == 3

    # What is known of a source outlives a reload.
    site.server.write_config()
    site.server.signal(signal.SIGHUP)
    site.server.wait_event("config_reloaded")
    assert get(site, "/fine")[0].status == 503 and len(site.asked()) == asked


def test_stale_answers_while_the_circuit_is_open(site):
    guarded(site)
    site.server.config["cache"] = {"staleIfError": "1h"}
    site.answers["/x"] = answer("Cache-Control: max-age=60", "Age: 100", body=b"old")
    site.answers["/swr"] = answer("Cache-Control: max-age=60, stale-while-revalidate=1000", "Age: 100", body=b"old")
    site.answers["/must"] = answer("Cache-Control: max-age=60, must-revalidate", "Age: 100", body=b"old")
    site.answers["/older"] = answer("Cache-Control: max-age=60", "Age: 10000", body=b"older")
    site.server.start()
    for target in ("/x", "/swr", "/must", "/older"):
        assert get(site, target)[0].status == 200
    open_circuit(site)
    asked = len(site.asked())
    for target in ("/x", "/swr", "/x"):
        reply, body = get(site, target)
        assert (reply.status, body, reply["X-Cache-Status"]) == (200, b"old", "STALE"), target
    for target in ("/must", "/older"):
        assert get(site, target)[0].status == 503, target
    assert get(site, headers=[("Cache-Control", "no-cache")])[0].status == 503
    assert len(site.asked()) == asked


@pytest.mark.parametrize("status", ["404 No", "429 Slow", "403 No", "501 Not made", "505 Version"])
def test_what_tells_of_the_request_does_not_open_a_circuit(site, status):
    guarded(site)
    site.answers["/x"] = answer(status=status, body=b"no")
    site.server.start()
    for n in range(1, 5):
        assert get(site)[1] == b"no" and len(site.asked()) == n


@pytest.mark.parametrize("status", ["500 Oops", "502 Bad", "503 Busy", "504 Late", "599 Odd"])
def test_what_tells_of_the_server_opens_one(site, status):
    guarded(site)
    site.answers["/x"] = answer(status=status, body=b"no")
    site.server.start()
    assert get(site)[1] == b"no"
    assert get(site)[0].status == 503 and len(site.asked()) == 1


def test_no_connection_and_no_answer_open_it_too(site):
    guarded(site, failures=2, retries=0, firstByteTimeout="50ms")
    gate = threading.Event()
    site.answers["/late"] = lambda _: gate.wait(20) and answer(body=b"late")
    site.server.config["origins"].insert(0, {"name": "dead", "matcher": "^/dead", "mode": "passthrough", "sources": [{"type": "http", "url": dead_url()}]})
    site.server.start()
    for text in ("http: unreachable", "http: unreachable", "http: circuit open"):
        assert attempts(get(site, "/dead")[1]) == text
    for text in ("http: timeout", "http: timeout", "http: circuit open"):
        assert attempts(get(site, "/late")[1]) == text
    gate.set()


def test_one_probe_at_a_time_decides(site):
    guarded(site, cooldown="1ms")
    gate = threading.Event()
    site.answers["/slow"] = lambda _: gate.wait(20) and answer(body=b"well again")
    site.answers["/other"] = answer(body=b"other")
    site.server.start()
    open_circuit(site)
    with site.server.connect() as c:
        c.begin("/slow")
        until(lambda: site.asked("/slow"), "the probe is under way")
        assert site.server.metric("video_resizer_origin_breaker_state", origin="site") == 1
        for _ in range(3):
            reply, body = get(site, "/other")
            expect.error(reply, body, "OVERLOADED")
            assert int(reply["Retry-After"]) >= 1
        assert not site.asked("/other")
        gate.set()
        assert c.reply().body() == b"well again"
    assert get(site, "/other")[1] == b"other"
    assert site.server.metric("video_resizer_origin_breaker_state", origin="site") == 0


def test_a_client_that_leaves_does_not_keep_the_probe(site):
    guarded(site, cooldown="1ms")
    gate = threading.Event()
    site.answers["/slow"] = lambda _: gate.wait(20) and answer(status="500 Oops")
    site.answers["/other"] = answer(body=b"other")
    site.server.start()
    open_circuit(site)
    c = site.server.connect()
    c.begin("/slow")
    until(lambda: site.asked("/slow"), "the probe is under way")
    c.close()
    gate.set()
    until(lambda: get(site, "/other")[0].status == 200, "the next probe")


def test_an_open_circuit_leads_to_the_next_source(site):
    guarded(site, failures=2, retries=0)
    site.server.config["origins"][0]["sources"].insert(0, {"type": "http", "url": dead_url()})
    site.answers["/x"] = answer(body=b"second")
    site.server.start()
    for _ in range(4):
        with site.server.connect() as c:
            assert c.ask("/x", "POST", [("Content-Length", "1")], b"q").body() == b"second"
    assert site.server.metric("video_resizer_origin_breaker_skipped_total", origin="site") == 2
    site.answers["/x"] = answer(status="500 Oops")
    for _ in range(2):
        assert get(site)[0].status == 500
    reply, body = get(site)
    assert reply.status == 503 and attempts(body) == "http: circuit open, http: circuit open"


def test_zero_failures_switch_it_off(site):
    guarded(site, failures=0)
    site.answers["/x"] = answer(status="500 Oops", body=b"oops")
    site.server.start()
    for n in range(1, 30):
        assert get(site)[1] == b"oops" and len(site.asked()) == n


# -- second tries

def first_ill(site, ill, well, target="/x"):
    """The first request gets `ill`, all others `well`."""
    seen = []

    def reply(asked):
        seen.append(asked)
        return ill if len(seen) == 1 else well
    site.answers[target] = reply
    site.server.config.setdefault("fetch", dict(QUICK))


@pytest.mark.parametrize("ill", [None, [b"HTTP/1.1 200 O"], answer("Retry-After: 0", status="503 Busy", body=b"come again")])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_answer_or_come_again_is_tried_again(site, method, ill):
    first_ill(site, ill, answer("X-It: 1", body=b"it" if method == "GET" else b""))
    site.server.start()
    reply, body = get(site, method=method)
    assert reply.status == 200 and reply["X-It"] == "1" and body == (b"it" if method == "GET" else b"")
    assert len(site.asked("/x")) == 2 and site.server.metric("video_resizer_origin_retries_total") == 1


def test_a_kept_connection_that_was_closed_costs_nobody_an_answer(site):
    site.answers["/warm"] = answer(body=b"warm")
    first_ill(site, None, answer(body=b"it"))
    site.server.start()
    get(site, "/warm")
    assert get(site)[1] == b"it" and len(site.asked("/x")) == 2


@pytest.mark.parametrize("lines", [[], ["Retry-After: 3600"], ["Retry-After: soon"], ["Retry-After: -1"]])
def test_other_refusals_are_passed_on_at_once(site, lines):
    first_ill(site, answer(*lines, status="503 Busy", body=b"busy"), answer(body=b"it"))
    site.server.start()
    assert get(site)[1] == b"busy" and len(site.asked("/x")) == 1


@pytest.mark.parametrize("status", ["500 Oops", "502 Bad", "504 Late", "429 Slow", "200 OK"])
def test_retry_after_of_other_answers_means_nothing_here(site, status):
    first_ill(site, answer("Retry-After: 0", status=status, body=b"first"), answer(body=b"it"))
    site.server.start()
    assert get(site)[1] == b"first" and len(site.asked("/x")) == 1


def test_the_last_refusal_is_passed_on(site):
    site.server.config["fetch"] = {**QUICK, "retries": 3}
    site.answers["/x"] = answer("Retry-After: 0", status="503 Busy", body=b"still busy")
    site.server.start()
    reply, body = get(site)
    assert (reply.status, body, reply["Retry-After"]) == (503, b"still busy", "0") and len(site.asked("/x")) == 4


def test_every_try_is_told(site):
    site.server.config["fetch"] = {**QUICK, "retries": 2}
    replies = [answer("Retry-After: 0", status="503 Busy"), None, None]
    site.answers["/x"] = lambda _: replies.pop(0)
    site.server.start()
    reply, body = get(site)
    expect.error(reply, body, "ALL_SOURCES_FAILED")
    assert attempts(body) == "http: 503 then unreachable then unreachable" and not replies


def test_busy_is_no_reason_to_send_a_post_twice(site):
    site.server.config["fetch"] = dict(QUICK)
    site.answers["/x"] = answer("Retry-After: 0", status="503 Busy", body=b"busy")
    site.server.start()
    for method, body in (("POST", b"once"), ("GET", b"once"), ("DELETE", b"")):
        with site.server.connect() as c:
            assert c.ask("/x", method, [("Content-Length", str(len(body)))] if body else [], body).body() == b"busy"
    assert [a.method for a in site.asked("/x")] == ["POST", "GET", "DELETE"]


def test_zero_retries_mean_none(site):
    first_ill(site, None, answer(body=b"it"))
    site.server.config["fetch"] = {"retries": 0}
    site.server.start()
    assert get(site)[0].status == 502 and len(site.asked("/x")) == 1


def test_what_has_begun_is_not_begun_again(site):
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    first_ill(site, [early], answer(body=b"it"))
    first_ill(site, [answer("Content-Length: 10", length=False) + b"half"], answer(body=b"it"), "/y")
    site.server.start()
    with site.server.connect() as c:
        assert c.ask("/x").status == 103
        assert c.reply().status == 502
    with site.server.connect() as c:
        with pytest.raises(wire.Cut):
            c.ask("/y").body()
    assert len(site.asked("/x")) == 1 and len(site.asked("/y")) == 1


def test_those_who_wait_together_are_tried_again_together(site):
    gate = threading.Event()
    seen = []

    def reply(asked):
        seen.append(asked)
        if len(seen) == 1:
            gate.wait(20)
            return None
        return answer("Cache-Control: max-age=60", body=b"one")
    site.answers["/x"] = reply
    site.server.config["fetch"] = dict(QUICK)
    site.server.start()
    connections = [site.server.connect() for _ in range(20)]
    for c in connections:
        c.begin("/x")
    until(lambda: seen, "the origin is asked")
    gate.set()
    assert [c.reply().body() for c in connections] == [b"one"] * 20
    assert len(seen) == 2
    for c in connections:
        c.close()


def test_stale_comes_after_the_last_try(site):
    site.server.config["fetch"] = {**QUICK, "retries": 1}
    site.server.config["cache"] = {"staleIfError": "1h"}
    replies = [answer("Cache-Control: max-age=60", "Age: 100", body=b"old"), None, answer("Cache-Control: max-age=60", "Age: 100", body=b"new"), None, None]
    site.answers["/x"] = lambda _: replies.pop(0)
    site.server.start()
    assert get(site)[1] == b"old"
    assert get(site)[1] == b"new", "the second try succeeds"
    reply, body = get(site)
    assert (body, reply["X-Cache-Status"]) == (b"new", "STALE") and not replies
