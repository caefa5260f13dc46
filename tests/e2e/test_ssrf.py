"""Where a source may send us: nowhere inside, whatever it is called and however it is written."""
import ipaddress
import json
import socket
import urllib.parse

import pytest

from kit import expect, media
from kit.raw_origin import RawOrigin, answer

FRAME = "?mode=frame&width=160"


@pytest.fixture
def inner():
    """What nobody outside may reach."""
    origin = RawOrigin()
    yield origin
    origin.close()


@pytest.fixture
def outer():
    """The configured origin. It is on loopback itself, as a configured host may be."""
    origin = RawOrigin()
    yield origin
    origin.close()


@pytest.fixture
def remote(server, outer):
    server.config["origins"] = [{"name": "remote", "matcher": "^/remote/(.+)$", "captureGroups": ["path"], "sources": [
        {"type": "http", "url": outer.url, "path": "${path}", "auth": {"type": "bearer", "token": "${TOKEN}"},
         "headers": {"X-Key": "s3cr3t-too"}}]}]
    server.config["fetch"] = {"retries": 0, "breakerFailures": 0}
    server.config["cache"] = {"kvTtl": {"clientError": 0, "serverError": 0}}
    server.environment["TOKEN"] = "s3cr3t-token"
    return server


def moved(location, status="302 Found"):
    return answer("Location: " + location, status=status)


def refused(server, target="/remote/a.mp4"):
    reply, body = server.get(target + FRAME)
    expect.error(reply, body, "ALL_SOURCES_FAILED")
    assert json.loads(body)["error"]["details"]["attempts"] == "http: redirect refused", body
    return reply["X-Request-ID"]


PLACES = [
    "http://127.0.0.1:{port}/a.mp4", "http://localhost:{port}/a.mp4", "http://LOCALHOST:{port}/", "http://127.1:{port}/",
    "http://2130706433:{port}/", "http://0x7f000001:{port}/", "http://017700000001:{port}/", "http://0:{port}/",
    "http://0.0.0.0:{port}/", "http://[::1]:{port}/", "http://[::]:{port}/", "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/", "http://[::127.0.0.1]:{port}/", "http://user:pw@127.0.0.1:{port}/", "//127.0.0.1:{port}/a.mp4",
    "http://127.0.0.1:{port}#@example.com/", "http://%31%32%37.0.0.1:{port}/",
    "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://[::ffff:169.254.169.254]/", "http://10.0.0.1/",
    "http://172.16.0.1/", "http://192.168.0.1/", "http://100.64.0.1/", "http://[fe80::1]/", "http://[fc00::1]/",
    "http://[64:ff9b::7f00:1]/", "http://[64:ff9b:1::7f00:1]/", "http://[2002:7f00:1::]/", "http://224.0.0.1/", "http://255.255.255.255/",
    "http://[ff02::1]/", "http://198.18.0.1/", "http://240.0.0.1/", "http://192.0.0.192/", "http://[2001:db8::1]/",
    "file:///etc/passwd", "file://127.0.0.1/etc/passwd", "gopher://127.0.0.1:{port}/_GET%20/", "ftp://127.0.0.1:{port}/a", "dict://127.0.0.1:{port}/",
    "ldap://127.0.0.1:{port}/", "tftp://127.0.0.1:{port}/a", "smb://127.0.0.1/a", "data:video/mp4,x", "javascript:alert(1)", "http://",
    "http://127.0.0.1:99999/", "http://127.0.0.1:{port}/" + "x" * 9000,
]


# What the log says of a refusal; none of it comes from a name service.
WHY = ("(redirect to a private address)", "(redirect is no http(s) URL)", "(redirect is too long)")


def is_address(host):
    """Whether libcurl takes `host` for an address, or has one for it (localhost), and looks nothing up."""
    try:
        ipaddress.IPv6Address(host)
        return True
    except ValueError:
        pass
    try:
        socket.inet_aton(host)  # also 127.1, 0x7f000001, 0
        return True
    except OSError:
        return host == "localhost"


def test_the_places_are_the_same_on_every_machine():
    """A name would be looked up first, and what is said of it depends on the resolver of the machine ("unknown host", or where it leads):
    `https:///a`, to libcurl and to browsers a host called "a", once stood among them."""
    for place in PLACES:
        url = urllib.parse.urlsplit(place.replace(":{port}", "").replace(":99999", ""))
        if url.scheme in ("http", "https", "") and url.netloc:
            assert is_address(urllib.parse.unquote(url.hostname)), place
    assert not is_address("a") and not is_address("metadata.google.internal")


def test_no_redirect_leads_inside(remote, outer, inner):
    remote.start()
    assert len(PLACES) >= 50
    for place in PLACES:
        location = place.replace("{port}", inner.address.split(":")[1])
        outer.answers["/a.mp4"] = moved(location)
        before = len(outer.requests)
        asked = refused(remote)
        assert len(outer.requests) == before + 1, location
        line = remote.wait_log(lambda e: e.get("request_id") == asked, "the refusal")
        assert line["detail"].endswith(WHY), (location, line["detail"])
    assert inner.requests == []


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 Other", "307 Temporary", "308 Permanent"])
def test_later_hops_are_checked_like_the_first(remote, outer, inner, status):
    outer.answers["/a.mp4"] = moved("/b.mp4", status)
    outer.answers["/b.mp4"] = moved(outer.url + "/c.mp4", status)
    outer.answers["/c.mp4"] = moved(inner.url + "/d.mp4", status)
    remote.start()
    refused(remote)
    assert [r.target for r in outer.requests] == ["/a.mp4", "/b.mp4", "/c.mp4"]
    assert inner.requests == []
    assert all(r.one("Authorization") == "Bearer s3cr3t-token" for r in outer.requests), "the same host is still trusted"


def test_where_it_is_allowed_it_works_and_keeps_our_secrets(remote, outer, inner):
    clip = media.clip("small.mp4").read_bytes()
    seen = []

    def reply(asked):
        seen.append(asked)
        return answer("Content-Type: video/mp4", 'ETag: "v1"', body=clip)
    inner.answers["/a.mp4"] = reply
    outer.answers["/a.mp4"] = moved(inner.url.replace("http://", "http://user:pw@") + "/a.mp4")
    remote.allow_loopback_origins()
    remote.start()
    got, body = remote.get("/remote/a.mp4" + FRAME)
    assert got.status == 200, body[:300]
    for asked in seen:
        for name in ("Authorization", "X-Key", "Cookie", "Referer"):
            assert asked.one(name) is None, "another host is told nothing"
    # Back home again after a stranger: it may be the stranger's doing, so no secrets either.
    outer.answers["/b.mp4"] = moved(inner.url + "/b.mp4")
    inner.answers["/b.mp4"] = moved(outer.url + "/c.mp4")
    remote.get("/remote/b.mp4" + FRAME)
    back = outer.asked("/c.mp4")
    assert back and all(r.one("Authorization") is None and r.one("X-Key") is None for r in back)


def test_redirect_loops_end(remote, outer):
    outer.answers["/a.mp4"] = moved("/b.mp4")
    outer.answers["/b.mp4"] = moved("/a.mp4")
    remote.start()
    reply, body = remote.get("/remote/a.mp4" + FRAME)
    expect.error(reply, body, "ALL_SOURCES_FAILED")
    assert json.loads(body)["error"]["details"]["attempts"] == "http: redirect limit"
    assert len(outer.requests) == 6


def test_the_environments_proxy_is_not_used(remote, outer, inner):
    for name in ("http_proxy", "https_proxy", "all_proxy", "ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"):
        remote.environment[name] = inner.url
    remote.environment["no_proxy"] = remote.environment["NO_PROXY"] = ""
    outer.answers["/a.mp4"] = answer("Content-Type: video/mp4", 'ETag: "v1"', body=media.clip("small.mp4").read_bytes())
    remote.start()
    reply, body = remote.get("/remote/a.mp4" + FRAME)
    assert reply.status == 200, body[:300]
    assert inner.requests == []


def test_a_configured_name_may_mean_loopback(remote, outer):
    outer.answers["/a.mp4"] = answer("Content-Type: video/mp4", 'ETag: "v1"', body=media.clip("small.mp4").read_bytes())
    remote.config["origins"][0]["sources"][0]["url"] = outer.url.replace("127.0.0.1", "localhost")
    remote.start()
    reply, body = remote.get("/remote/a.mp4" + FRAME)
    assert reply.status == 200, body[:300]
