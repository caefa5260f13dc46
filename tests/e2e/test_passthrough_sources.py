"""Origins of mode "passthrough" and their sources: circuits."""
import json
import signal
import socket
import threading

import pytest

from kit import expect
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
