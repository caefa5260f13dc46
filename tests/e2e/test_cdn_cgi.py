"""/cdn-cgi/media/<options>/<source>: the scheme of Cloudflare Media Transformations (http contract §1, §4; R-31, R-33, R-36, R-80, R-82, R-83, R-111)."""
import json

import pytest

from kit import expect, media, serving

KEY = "frame:videos/small.mp4:w=100:t=1s"
OPTIONS = "mode=frame,width=100,time=1s"


def code(reply):
    return (reply["Cf-Resized"] or "").removeprefix("err=")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    def configure(server):
        server.add(media.clip("small.mp4"), "small.mp4")
        server.config["publicUrl"] = "https://media.example.com/"
    with serving.serving(tmp_path_factory.mktemp("cdn-cgi"), configure) as server:
        yield server


# -- our own paths

def test_is_the_same_entry_as_the_plain_url(shared):
    plain, picture = shared.get("/videos/small.mp4?mode=frame&w=100&t=1&time=1")
    expect.media_headers(plain, key=KEY)
    host = shared.address
    for target in (f"/cdn-cgi/media/{OPTIONS}/videos/small.mp4",
                   f"/cdn-cgi/media/{OPTIONS}//videos//small.mp4",
                   f"/cdn-cgi/media/{OPTIONS}/videos/small.mp4?utm_source=x&width=3",
                   f"/cdn-cgi/media/mode%3Dframe%2Cw%3D100%2Cstart%3D1000ms/videos/sm%61ll.mp4",
                   f"/cdn-cgi/media/{OPTIONS}/http://{host}/videos/small.mp4",
                   f"/cdn-cgi/media/{OPTIONS}/http:/{host}/videos/small.mp4",
                   f"/cdn-cgi/media/{OPTIONS}/http%3A%2F%2F{host.replace(':', '%3A')}%2Fvideos%2Fsmall.mp4",
                   f"/cdn-cgi/media/{OPTIONS}/https://media.example.com/videos/small.mp4?x=1"):
        reply, body = shared.get(target)
        expect.media_headers(reply, source="edge", key=KEY)
        assert body == picture and reply["ETag"] == plain["ETag"]
        assert "Cf-Resized" not in reply and "Vary" not in reply


def test_conditions_ranges_head_and_flags_as_everywhere(shared):
    target = f"/cdn-cgi/media/{OPTIONS}/videos/small.mp4"
    whole, body = shared.get(target)
    head, _ = shared.get(target, "HEAD")
    assert (head.status, head["ETag"], head["Content-Length"]) == (200, whole["ETag"], str(len(body)))
    part, some = shared.get(target, headers={"Range": "bytes=2-9"})
    assert (part.status, some) == (206, body[2:10])
    assert shared.get(target, headers={"If-None-Match": whole["ETag"]})[0].status == 304
    beyond, text = shared.get(target, headers={"Range": f"bytes={len(body)}-"})
    expect.error(beyond, text, "RANGE_NOT_SATISFIABLE")
    assert "Cf-Resized" not in beyond, "no failure of a transformation"
    for flagged in (target + "?nocache", target.replace(OPTIONS, OPTIONS + ",nocache"), target + "?debug=true"):
        assert shared.get(flagged)[0]["X-Cache-Status"] == "BYPASS"
    view = json.loads(shared.get(target.replace(OPTIONS, OPTIONS + ",debug=view"))[1])
    assert view["key"] == KEY
    reply, text = shared.get(target, "POST")
    expect.error(reply, text, "METHOD_NOT_ALLOWED")


def test_every_mode(shared):
    for options, kind, key in (("mode=info", "application/json", "info:videos/small.mp4"),
                               ("mode=spritesheet,imageCount=4,width=64", "image/jpeg", "spritesheet:videos/small.mp4:w=64:count=4"),
                               ("mode=audio,format=m4a", "audio/mp4", None),
                               ("mode=video,time=1s,duration=1s,width=100,height=100,fit=crop,audio=false", "video/mp4", None),
                               ("derivative=thumbnail", "image/png", "video:videos/small.mp4:derivative=thumbnail"),
                               ("imwidth=100,mode=frame", "image/jpeg", "frame:videos/small.mp4:derivative=mobile")):
        reply, body = shared.get(f"/cdn-cgi/media/{options}/videos/small.mp4")
        assert reply.status == 200 and body, (options, reply.fields)
        assert reply["Content-Type"].startswith(kind), options
        if key and "thumbnail" not in options:
            assert reply["X-KV-Cache-Key"] == key


def test_a_long_one_is_a_job_here_too(shared):
    reply, body = shared.get("/cdn-cgi/media/width=96,mode=video/videos/small.mp4", headers={"Prefer": "respond-async, wait=0"})
    assert reply.status == 202, reply.fields
    job = json.loads(body)
    assert job["path"] == "/cdn-cgi/media/width=96,mode=video/videos/small.mp4" and "Cf-Resized" not in reply


def test_invalid_values_are_dropped_with_a_warning(shared):
    reply, _ = shared.get("/cdn-cgi/media/mode=frame,width=5,height=99/videos/small.mp4")
    assert reply.status == 200 and reply["X-Param-Warnings"].startswith("width: must be a whole number 10-")


@pytest.mark.parametrize("target, error, number", [
    ("/cdn-cgi/media", "NOT_FOUND", "9404"),
    ("/cdn-cgi/media/", "NOT_FOUND", "9404"),
    ("/cdn-cgi/media/width=100", "NOT_FOUND", "9404"),
    ("/cdn-cgi/media/width=100/", "INVALID_URL", "9406"),
    ("/cdn-cgi/media/videos/small.mp4", "INVALID_PARAMETER", "9401"),
    ("/cdn-cgi/media/width=100/videos/nosuch.mp4", "NOT_FOUND", "9404"),
    ("/cdn-cgi/media/width=100/nowhere/a.mp4", "NO_MATCHING_ORIGIN", "9404"),
    ("/cdn-cgi/media/width=100/videos/page.html", "NOT_FOUND", "9404"),
    ("/cdn-cgi/media/mode=frame,time=1h/videos/small.mp4", "TIME_OUT_OF_RANGE", "9401"),
    ("/cdn-cgi/media/width=100/videos/%2e%2e/small.mp4", "INVALID_URL", "9406"),
    ("/cdn-cgi/media/width=100/cdn-cgi/media/width=50/videos/small.mp4", "INVALID_URL", "9403"),
    ("/cdn-cgi/media/width=100/%63dn-cgi/media/width=50/videos/small.mp4", "INVALID_URL", "9403"),
    ("/cdn-cgi/media/width=100/https://media.example.com/cdn-cgi/media/width=50/videos/small.mp4", "INVALID_URL", "9403"),
    ("/cdn-cgi/media/width=100/https://elsewhere.example/a.mp4", "SOURCE_NOT_ALLOWED", "9406"),
    ("/cdn-cgi/media/width=100/http://169.254.169.254/latest/meta-data/a.mp4", "SOURCE_NOT_ALLOWED", "9406"),
    ("/cdn-cgi/media/width=100/ftp://elsewhere.example/a.mp4", "INVALID_URL", "9406"),
    ("/cdn-cgi/media/width=100/https://u:p@media.example.com/a.mp4", "INVALID_URL", "9406"),
    ("/cdn-cgi/media/width=100/https://media.example.com@evil.example/a.mp4", "INVALID_URL", "9406"),
])
def test_what_cannot_be_says_so_with_the_documented_number(shared, target, error, number):
    for _ in range(2):  # also what is remembered
        reply, body = shared.get(target)
        expect.error(reply, body, error)
        assert code(reply) == number, reply.fields
    assert code(shared.get(target, "HEAD")[0]) == number


@pytest.mark.parametrize("target", ["/cdn-cgi/", "/cdn-cgi/trace", "/cdn-cgi/image/width=1/a.jpg", "/cdn-cgi/media%2Fwidth=1/videos/small.mp4",
                                    "/%63dn-cgi/media/width=100/videos/small.mp4", "//cdn-cgi/media/width=100/videos/small.mp4"])
def test_nonsense_is_not_found(shared, target):
    reply, body = shared.get(target)
    assert expect.error(reply, body) in ("NOT_FOUND", "NO_MATCHING_ORIGIN")


def test_a_host_field_makes_nothing_ours(shared):
    reply, body = shared.get("/cdn-cgi/media/width=100/https://evil.example/small.mp4", headers={"Host": "evil.example"})
    expect.error(reply, body, "NO_MATCHING_ORIGIN")  # a path of ours, never fetched from there


def test_limits_and_strictness_and_the_switch(tmp_path):
    def configure(server):
        server.add(media.clip("small.mp4"), "small.mp4")
        server.config["validation"] = "strict"
        server.config["cdnCgi"] = {"maxDimension": 200, "maxTime": "2s", "maxDuration": "1s"}
    with serving.serving(tmp_path, configure) as server:
        for option in ("width=201", "time=3s", "duration=2s", "fit=round"):
            reply, body = server.get(f"/cdn-cgi/media/{option}/videos/small.mp4")
            expect.error(reply, body, "INVALID_PARAMETER")
            assert code(reply) == "9401" and option.split("=")[0] in json.loads(body)["error"]["details"]
        assert server.get("/videos/small.mp4?mode=frame&width=201")[0].status == 200
        server.config["cdnCgi"]["enabled"] = False
        server.write_config()
        server.signal(1)
        server.wait_event("config_reloaded")
        reply, body = server.get(f"/cdn-cgi/media/{OPTIONS}/videos/small.mp4")
        assert expect.error(reply, body) == "NO_MATCHING_ORIGIN" and "Cf-Resized" not in reply


# -- other hosts

@pytest.fixture
def open_to(server, origin):
    """Sources at `origin` may be named, below /v."""
    server.config["access"] = {"allowedSources": [f"http://{origin.address}/v"], "allowPrivateAddresses": True}
    origin.files["/v/a.mp4"] = media.clip("small.mp4")
    server.open_admin()
    server.start()
    return server


def test_an_allowed_host_is_fetched_without_anything_of_the_clients(open_to, origin):
    url = f"{origin.url}/v/a.mp4?sig=a%2Fb&x=1"
    target = f"/cdn-cgi/media/{OPTIONS}/{url}"
    key = "frame:http%3A//" + origin.address.replace(":", "%3A") + "/v/a.mp4%3Fsig%3Da%252Fb%26x%3D1:w=100:t=1s"
    client = {"Cookie": "a=b", "Authorization": "Bearer x", "Range": "bytes=0-3"}
    for source in ("transform", "edge"):
        reply, body = open_to.get(target, headers=client)
        assert reply.status == 206 and body == b"\xff\xd8\xff\xe0"[:len(body)]
        expect.media_headers(reply, source=source, key=key)
    assert set(origin.targets) == {"/v/a.mp4?sig=a%2Fb&x=1"}
    assert all(not {"cookie", "authorization"} & set(fields) for *_, fields in origin.requests)
    merged, _ = open_to.get(target.replace("http://", "http:/"))
    expect.media_headers(merged, source="edge", key=key)
    other, _ = open_to.get(target.replace("x=1", "x=2"))
    expect.media_headers(other, source="transform")
    assert other["X-Source-Type"] == "http" and other["X-Origin"] == "cdn-cgi/media"


def test_the_original_passes_only_under_a_videos_name(open_to, origin):
    reply, body = open_to.get(f"/cdn-cgi/media//{origin.url}/v/a.mp4?t=1")
    assert (reply.status, reply["Content-Type"]) == (200, "video/mp4") and body == media.clip("small.mp4").read_bytes()
    origin.files["/v/a"] = media.clip("small.mp4")
    reply, body = open_to.get(f"/cdn-cgi/media//{origin.url}/v/a")
    expect.error(reply, body, "NOT_FOUND")
    assert open_to.get(f"/cdn-cgi/media/mode=frame/{origin.url}/v/a")[0].status == 200, "what is made of it is a picture in any case"


@pytest.mark.parametrize("path", ["/w/a.mp4", "/va/a.mp4", "/a.mp4", "/v/%2e%2e/a.mp4", "/v/../a.mp4", "/v/%252e%252e/a.mp4"])
def test_below_the_prefix_only(open_to, origin, path):
    reply, body = open_to.get(f"/cdn-cgi/media/width=100/{origin.url}{path}")
    assert expect.error(reply, body) in ("SOURCE_NOT_ALLOWED", "INVALID_URL")
    assert not origin.requests


def test_redirects_lead_to_allowed_places_only(open_to, origin):
    other = origin.url.replace("127.0.0.1", "localhost")
    origin.files["/secret.mp4"] = media.clip("small.mp4")
    origin.redirects.update({"/v/in.mp4": "/v/a.mp4", "/v/out.mp4": "/secret.mp4", "/v/host.mp4": other + "/v/a.mp4"})
    assert open_to.get(f"/cdn-cgi/media/{OPTIONS}/{origin.url}/v/in.mp4")[0].status == 200
    for name in ("out", "host"):
        reply, body = open_to.get(f"/cdn-cgi/media/{OPTIONS}/{origin.url}/v/{name}.mp4")
        expect.error(reply, body, "SOURCE_NOT_ALLOWED")
        assert code(reply) == "9406" and other.encode() not in body
    assert not origin.gets("/secret.mp4")


def test_a_name_that_is_allowed_but_leads_inside_is_refused(server, origin):
    port = origin.address.rpartition(":")[2]
    server.config["access"] = {"allowedSources": [f"http://localhost:{port}", f"http://127.0.0.1:{port}"]}
    origin.files["/a.mp4"] = media.clip("small.mp4")
    # A configured origin at the very place, whose connections and spools must be of no help.
    server.config["origins"].append(server.http_origin(origin))
    server.start()
    assert server.get("/remote/a.mp4?mode=frame")[0].status == 200
    asked = len(origin.requests)
    for host in ("localhost", "127.0.0.1"):
        reply, body = server.get(f"/cdn-cgi/media/{OPTIONS}/http://{host}:{port}/a.mp4")
        expect.error(reply, body, "SOURCE_NOT_ALLOWED")
        assert code(reply) == "9406"
    assert len(origin.requests) == asked


@pytest.mark.parametrize("status, number", [(403, "9408"), (404, "9404"), (410, "9404"), (500, "9509"), (503, "9509")])
def test_what_the_origin_says_has_its_number(open_to, origin, status, number):
    origin.status = status
    target = f"/cdn-cgi/media/{OPTIONS}/{origin.url}/v/a.mp4"
    for source in ("transform", "edge"):
        reply, body = open_to.get(target)
        assert expect.error(reply, body) in ("NOT_FOUND", "ALL_SOURCES_FAILED")
        assert (code(reply), reply["X-Cache-Source"]) == (number, source)


def test_documents_unreachable_and_unknown_hosts(server, origin):
    server.config["access"] = {"allowedSources": [f"http://{origin.address}", "http://127.0.0.1:1", "*.invalid"], "allowPrivateAddresses": True}
    origin.body, origin.content_type = b"<html>", "text/html"
    server.start()
    for url, error, number in ((origin.url + "/page.mp4", "SOURCE_UNSUPPORTED", "9412"), ("http://127.0.0.1:1/a.mp4", "ALL_SOURCES_FAILED", "9504"),
                               ("https://" + "a" * 64 + ".invalid/a.mp4", "ALL_SOURCES_FAILED", "9407")):
        reply, body = server.get(f"/cdn-cgi/media/{OPTIONS}/{url}")
        expect.error(reply, body, error)
        assert code(reply) == number, reply.fields


def test_a_passed_redirect_keeps_the_options(server, origin):
    remote = server.http_origin(origin)
    remote["sources"][0]["redirects"] = "pass"
    server.config["origins"] = [remote]
    origin.redirects["/old.mp4"] = "/new.mp4"
    server.start()
    reply, _ = server.get(f"/cdn-cgi/media/{OPTIONS}/remote/old.mp4")
    assert (reply.status, reply["Location"]) == (302, f"/cdn-cgi/media/{OPTIONS}/remote/new.mp4")


def test_a_purge_by_source_finds_all_of_a_url(open_to, origin):
    url = origin.url + "/v/a.mp4"
    for width in (100, 110):
        open_to.get(f"/cdn-cgi/media/mode=frame,width={width}/{url}")
    assert open_to.get(f"/cdn-cgi/media/mode=frame,width=100/{url}")[0]["X-Cache-Status"] == "HIT"
    reply, _ = open_to.get(f"/cdn-cgi/media/mode=frame,width=100/{url}")
    open_to.wait_stored(2)
    assert open_to.purge(source=url)["KV"] == 2
    assert open_to.get(f"/cdn-cgi/media/mode=frame,width=110/{url}")[0]["X-Cache-Status"] == "MISS"
    assert ("video-http%3A//" + origin.address.replace(":", "%3A") + "/v/a.mp4") in reply["Cache-Tag"].split(",")
