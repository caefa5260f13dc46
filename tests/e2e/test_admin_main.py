"""The admin routes on the main listener: only when configured, only with the token."""
import json

import pytest

from kit import media, wire


def ask(server, target, method="GET", token=None, body=b""):
    headers = [("Authorization", "Bearer " + token)] if token else []
    if body:
        headers.append(("Content-Length", str(len(body))))
    with wire.Connection(server.address) as c:
        reply = c.ask(target, method, headers, body)
        return reply.status, reply.body()


@pytest.fixture
def both(server):
    server.add(media.clip("small.mp4"), "small.mp4")
    server.config["admin"]["onMainListener"] = True
    return server


def test_with_a_token_they_work(both):
    both.open_admin()
    both.start()
    assert both.get("/videos/small.mp4?mode=frame&width=64")[0].status == 200
    both.wait_stored(1)
    status, body = ask(both, "/admin/variants?source=videos/small.mp4", token=both.TOKEN)
    assert status == 200 and len(json.loads(body)["variants"]) == 1
    status, body = ask(both, "/admin/purge", "POST", both.TOKEN, b'{"source":"videos/small.mp4"}')
    assert status == 200 and json.loads(body)["purged"]["KV"] == 1
    assert ask(both, "/admin/jobs", token=both.TOKEN)[0] == 200
    both.wait_event("admin_request")


def test_without_it_nothing_is_told(both):
    both.open_admin()
    both.start()
    for target in ("/admin/variants?source=a", "/admin/entry?key=a", "/admin/jobs"):
        for token in (None, "wrong", both.TOKEN + "x", both.TOKEN[:-1]):
            status, body = ask(both, target, token=token)
            assert status == 401 and json.loads(body)["error"]["code"] == "UNAUTHORIZED", (target, token)
    assert ask(both, "/admin/purge", "POST", None, b'{"everything":true}')[0] == 401
    for target in ("/admin", "/admin/nosuch", "/client/v4", "/client/v4/accounts"):
        assert ask(both, target, token=both.TOKEN)[0] == 404, target
    assert ask(both, "/metrics")[0] == 404, "counts stay on the admin listener"
    assert ask(both, "/healthz")[0] == 200


def test_an_empty_token_closes_them(both):
    both.start()
    for token in (None, "", "x"):
        status, body = ask(both, "/admin/jobs", token=token)
        assert status == 403 and json.loads(body)["error"]["code"] == "ADMIN_CLOSED"


def test_off_by_default(running):
    status, body = ask(running, "/admin/jobs", token="x")
    assert status == 404 and json.loads(body)["error"]["code"] in ("NO_MATCHING_ORIGIN", "NOT_FOUND")


def test_signatures_are_not_asked_of_the_admin(both):
    both.environment["K"] = "0123456789abcdef"
    both.config["access"] = {"signing": {"required": True, "keys": {"k": "${K}"}}}
    both.open_admin()
    both.start()
    assert ask(both, "/admin/jobs", token=both.TOKEN)[0] == 200
    assert ask(both, "/admin/jobs")[0] == 401
