"""Sources in buckets: signing, ranges, refusals, failover, secrets. With VR_S3_ENDPOINT set the same against a real server
(`make e2e-s3`); what needs a server that can be told to misbehave is skipped there."""
import hashlib
import json
import os
import signal
import subprocess
import time
import urllib.parse

import pytest

from kit import expect, media, wire
from kit.origin import HttpOrigin
from kit.s3 import RealS3, S3Server, is_real
from kit.wait import until

scripted = pytest.mark.skipif(is_real(), reason="needs the test's own S3 server")
FRAME = "?mode=frame&width=160&time=1s&format=jpg"

ODD_KEYS = ["a b+c.mp4", "100%.mp4", "%2541.mp4", "~tilde-_.mp4", "k=v:w&x,y;z@!$'()*.mp4", "q?#[].mp4", "é€🎬.mp4", "\"<>\\^`{|}.mp4",
            "deep/er/..../x.mp4", "video:videos/s.mp4:w=640:h=360:q=high.mp4"]


@pytest.fixture
def s3():
    s = RealS3() if is_real() else S3Server()
    yield s
    s.close()


def use(server, s3, entry=None, sources=(), start=True):
    """A server whose /s3/... is the bucket."""
    server.config["buckets"] = {"VIDEOS": entry or s3.settings()}
    server.config["origins"] = [{"name": "bucket", "matcher": "^/s3/(.+)$", "captureGroups": ["path"],
                                 "sources": list(sources) or [{"type": "s3", "bucket": "VIDEOS", "path": "${path}"}]}]
    server.environment.update(s3.environment())
    if start:
        server.start()
    return server


def attempts(body):
    return json.loads(body)["error"]["details"]["attempts"]


# Ceph with STS enabled tries one way of authentication after the other and reports how the last one ended.
WRONG_SECRET, UNKNOWN_KEY = ("AccessDenied", "AccessDenied") if is_real() else ("SignatureDoesNotMatch", "InvalidAccessKeyId")


def frame(server, key="a.mp4", more=""):
    reply, body = server.get("/s3/" + urllib.parse.quote(key) + FRAME + more)
    return reply, body


def check_frame(reply, body):
    assert reply.status == 200, body[:300]
    assert reply["Content-Type"] == "image/jpeg" and reply["X-Source-Type"] == "s3"


def test_a_variant_of_an_object(server, s3, tmp_path):
    s3.put("a.mp4", media.clip("small.mp4"))
    use(server, s3)
    reply, body = server.get("/s3/a.mp4?width=160")
    assert reply.status == 200, body[:300]
    expect.media_headers(reply, key="video:s3/a.mp4:w=160")
    assert reply["X-Source-Type"] == "s3" and reply["X-Origin"] == "bucket"
    path = tmp_path / "a.mp4"
    path.write_bytes(body)
    assert media.video_of(media.probe(path))["width"] == 160
    server.wait_stored(1)
    again, _ = server.get("/s3/a.mp4?width=160")
    assert again["X-Cache-Status"] == "HIT" and again["X-Source-Type"] == "s3"
    if not is_real():
        for method, target, fields in s3.requests:
            assert method == "GET" and target == "/videos/a.mp4"
            assert fields["authorization"].startswith("AWS4-HMAC-SHA256 Credential=" + s3.access)


@pytest.mark.parametrize("addressing", ["path", "virtual"])
@pytest.mark.parametrize("signing", ["header", "presigned"])
def test_signed_in_both_forms_and_addressings(server, s3, signing, addressing):
    s3.put("dir/a.mp4", media.clip("small.mp4"))
    entry = s3.settings(signing=signing)
    if addressing == "virtual":
        if is_real() and not os.environ.get("VR_S3_VIRTUAL"):
            pytest.skip("the real server has no host names")
        port = urllib.parse.urlsplit(s3.endpoint).port
        entry.update(addressing="virtual", endpoint=f"http://localhost:{port}")
    use(server, s3, entry)
    check_frame(*frame(server, "dir/a.mp4"))
    if not is_real():
        for _, target, fields in s3.requests:
            assert target.startswith("/dir/a.mp4" if addressing == "virtual" else "/videos/dir/a.mp4")
            assert ("X-Amz-Signature" in target, "authorization" in fields) == (signing == "presigned", signing == "header")


@pytest.mark.parametrize("signing", ["header", "presigned"])
def test_a_bucket_is_passed_through(server, s3, signing):
    text = b"WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n"
    s3.put("dir/a b.vtt", text, "text/vtt")
    use(server, s3, s3.settings(signing=signing), start=False)
    server.config["origins"][0]["mode"] = "passthrough"
    server.start()
    target = "/s3/dir/a%20b.vtt"
    reply, body = server.get(target, headers={"Authorization": "Bearer not-for-the-bucket", "Cookie": "a=b"})
    assert reply.status == 200 and body == text and reply["Content-Type"] == "text/vtt", (reply.fields, body)
    assert reply["ETag"] and reply["Last-Modified"]
    head, nothing = server.get(target, "HEAD")
    assert head.status == 200 and head["Content-Length"] == str(len(text)) and nothing == b""
    part, body = server.get(target, headers={"Range": "bytes=0-5"})
    assert part.status == 206 and body == b"WEBVTT" and part["Content-Range"] == f"bytes 0-5/{len(text)}"
    same, body = server.get(target, headers={"If-None-Match": reply["ETag"]})
    assert same.status == 304 and body == b""
    for target, status in (("/s3/dir/none.vtt", 404), ("/s3/dir/", 404)):
        reply, body = server.get(target)
        assert reply.status == status and json.loads(body)["error"]["code"] == "NOT_FOUND", body
        assert b"<?xml" not in body
    refused, _ = server.get("/s3/dir/a%20b.vtt", "DELETE")
    assert refused.status == 405
    assert server.get("/s3/dir/a%20b.vtt")[0].status == 200, "it is still there"


@pytest.mark.parametrize("signing", ["header", "presigned"])
def test_session_tokens(server, s3, signing):
    s3.put("a.mp4", media.clip("small.mp4"))
    entry = s3.settings(signing=signing)
    if is_real():
        session = s3.session()
        if session is None:
            pytest.skip("no temporary credentials")
        access, secret, token = session
        entry["accessKey"] = access
    else:
        secret, token = s3.secret, "tok/en+with=odd%characters"
        s3.token = token
    entry["sessionToken"] = "${S3_TOKEN}"
    server.environment["S3_TOKEN"] = token
    use(server, s3, entry, start=False)
    server.environment["S3_SECRET"] = secret
    server.start()
    check_frame(*frame(server))
    # Without it, and without what we hold of the source already.
    del server.config["buckets"]["VIDEOS"]["sessionToken"]
    server.stop()
    server.start()
    reply, body = frame(server, more="&nocache=1")
    expect.error(reply, body, "ALL_SOURCES_FAILED")
    assert token not in body.decode() and attempts(body).startswith("s3: 403 ")


@scripted
def test_a_public_bucket_is_asked_unsigned(server, s3):
    s3.put("a.mp4", media.clip("small.mp4"))
    s3.public = True
    use(server, s3, s3.settings(signing="none", accessKey=None, secretKey=None))
    check_frame(*frame(server))
    for _, target, fields in s3.requests:
        assert "?" not in target and not any(n == "authorization" or n.startswith("x-amz-") for n in fields)


@pytest.mark.parametrize("signing", ["header", "presigned"])
def test_keys_with_odd_characters(server, s3, signing):
    clip = media.clip("small.mp4").read_bytes()
    for i, key in enumerate(ODD_KEYS):
        s3.put(key, clip + b"\0" * i)
    use(server, s3, s3.settings(signing=signing))
    for i, key in enumerate(ODD_KEYS):
        reply, body = server.get("/s3/" + urllib.parse.quote(key, safe="/"))
        assert reply.status == 200, (key, body[:300])
        assert body == clip + b"\0" * i, key


@pytest.mark.parametrize("size", [0.5, 1, 5, 20])
def test_objects_of_many_sizes_arrive_whole(server, s3, size):
    clip = media.clip("small.mp4").read_bytes()
    data = clip + hashlib.shake_256(b"x").digest(int(size * (1 << 20)) - len(clip))
    s3.put("big.mp4", data)
    use(server, s3)
    begin = time.monotonic()
    reply, body = server.get("/s3/big.mp4")
    print(f"{size} MiB in {time.monotonic() - begin:.3f} s")
    assert reply.status == 200 and body == data
    if not is_real():
        assert s3.bytes_sent("big.mp4") == len(data), "every byte once"


@scripted
def test_a_frame_needs_a_small_part_of_a_big_object(server, s3):
    clip = media.clip("long.mp4")
    s3.put("long.mp4", clip)
    use(server, s3)
    check_frame(*frame(server, "long.mp4", "&x=1"))
    reply, body = server.get("/s3/long.mp4?mode=frame&width=160&time=25s")
    assert reply.status == 200, body[:300]
    assert s3.bytes_sent("long.mp4") < clip.stat().st_size / 2
    assert all("range" in fields for _, _, fields in s3.requests)


@pytest.mark.parametrize("content_type", ["binary/octet-stream", "application/octet-stream", "text/html", "application/xml", "application/json"])
def test_objects_stored_with_any_type_are_read(server, s3, content_type):
    s3.put("a.mp4", media.clip("small.mp4"), content_type)
    use(server, s3)
    check_frame(*frame(server))


def test_a_document_in_a_bucket_is_no_video(server, s3):
    s3.put("a.mp4", b"<html>hello</html>" * 100, "video/mp4")
    use(server, s3)
    reply, body = frame(server)
    assert expect.error(reply, body) in ("SOURCE_UNSUPPORTED", "SOURCE_CORRUPT")


def test_an_empty_object_is_no_video(server, s3):
    s3.put("empty.mp4", b"")
    use(server, s3)
    reply, body = frame(server, "empty.mp4")
    assert expect.error(reply, body) in ("SOURCE_UNSUPPORTED", "SOURCE_CORRUPT")


def test_a_new_version_is_found(server, s3):
    s3.put("a.mp4", media.clip("small.mp4"))
    use(server, s3)
    first = server.get("/s3/a.mp4")[1]
    s3.put("a.mp4", media.clip("silent.mp4"))
    second = server.get("/s3/a.mp4?nocache=1")[1]
    assert first == media.clip("small.mp4").read_bytes() and second == media.clip("silent.mp4").read_bytes()


# -- refusals

def test_a_missing_key_is_not_found(server, s3):
    use(server, s3)
    reply, body = frame(server, "missing.mp4")
    expect.error(reply, body, "NOT_FOUND")
    assert attempts(body) == "s3: 404 NoSuchKey"


def test_a_missing_bucket_is_a_failure_and_not_a_missing_file(server, s3):
    use(server, s3, s3.settings(bucket="no-such-bucket"))
    reply, body = frame(server)
    expect.error(reply, body, "ALL_SOURCES_FAILED")
    assert attempts(body) == "s3: 404 NoSuchBucket"


def test_a_wrong_secret(server, s3):
    s3.put("a.mp4", media.clip("small.mp4"))
    use(server, s3, start=False)
    server.environment["S3_SECRET"] = "wr0ng/" + s3.secret
    server.start()
    reply, body = frame(server)
    expect.error(reply, body, "ALL_SOURCES_FAILED")
    assert attempts(body) == "s3: 403 " + WRONG_SECRET
    assert s3.secret not in body.decode() and s3.access not in body.decode()
    server.wait_log(lambda e: "secretKey or region are wrong" in json.dumps(e) or "wrong keys" in json.dumps(e), "what may be wrong")


def test_an_unknown_access_key(server, s3):
    use(server, s3, s3.settings(accessKey="AKIANOBODY0000000000"))
    reply, body = frame(server)
    expect.error(reply, body, "ALL_SOURCES_FAILED")
    assert attempts(body) == "s3: 403 " + UNKNOWN_KEY


@scripted
@pytest.mark.parametrize("offset", [-3600, 3600])
def test_a_skewed_clock_is_named(server, s3, offset):
    s3.clock_offset = offset
    s3.put("a.mp4", media.clip("small.mp4"))
    use(server, s3)
    reply, body = frame(server)
    expect.error(reply, body, "ALL_SOURCES_FAILED")
    assert attempts(body) == "s3: 403 RequestTimeTooSkewed"
    server.wait_log(lambda e: "clock" in json.dumps(e), "the clock is named")


@scripted
def test_an_expired_presigned_url_is_refused(server, s3):
    s3.clock_offset = 120
    s3.put("a.mp4", media.clip("small.mp4"))
    use(server, s3, s3.settings(signing="presigned", presignExpires=60))
    reply, body = frame(server)
    expect.error(reply, body, "ALL_SOURCES_FAILED")
    assert attempts(body) == "s3: 403 AccessDenied"


@scripted
def test_a_wrong_region_is_named(server, s3):
    use(server, s3, s3.settings(region="eu-west-1"))
    reply, body = frame(server)
    expect.error(reply, body, "ALL_SOURCES_FAILED")
    assert attempts(body) == "s3: 400 AuthorizationHeaderMalformed"
    server.wait_log(lambda e: "region us-east-1" in json.dumps(e), "the right region is named")


@scripted
def test_redirects_are_never_followed(server, s3):
    other = S3Server()
    try:
        other.put("a.mp4", media.clip("small.mp4"))
        s3.redirect = other.endpoint + "/videos/a.mp4"
        server.allow_loopback_origins()
        use(server, s3)
        reply, body = frame(server)
        expect.error(reply, body, "ALL_SOURCES_FAILED")
        assert attempts(body) == "s3: 307 TemporaryRedirect"
        assert other.requests == []
        server.wait_log(lambda e: "region eu-north-1" in json.dumps(e), "the region that the server names")
    finally:
        other.close()


@scripted
def test_a_busy_server_in_the_middle_is_asked_again(server, s3):
    s3.put("long.mp4", media.clip("long.mp4"))
    use(server, s3)
    s3.refuse = [None, (503, "SlowDown"), (500, "InternalError")]
    reply, body = server.get("/s3/long.mp4")
    assert reply.status == 200 and body == media.clip("long.mp4").read_bytes()
    assert s3.refuse == []


# -- failover

def failing_over(server, s3, origin, root):
    origin.files["/videos/last.mp4"] = media.clip("silent.mp4")
    return use(server, s3, sources=[
        {"type": "http", "url": origin.url, "path": "videos/${path}", "priority": 3},
        {"type": "file", "root": str(root), "path": "${path}", "priority": 1},
        {"type": "s3", "bucket": "VIDEOS", "path": "${path}", "priority": 2}])


def test_file_then_bucket_then_http(server, s3, origin, tmp_path):
    root = tmp_path / "files"
    root.mkdir()
    (root / "here.mp4").write_bytes(media.clip("small.mp4").read_bytes())
    s3.put("there.mp4", media.clip("small.mp4"))
    failing_over(server, s3, origin, root)
    for key, kind in (("here.mp4", "file"), ("there.mp4", "s3"), ("last.mp4", "http")):
        reply, body = frame(server, key)
        assert (reply.status, reply["X-Source-Type"]) == (200, kind), body[:300]
    reply, body = frame(server, "nowhere.mp4")
    expect.error(reply, body, "NOT_FOUND")
    assert attempts(body) == "file: not found, s3: 404 NoSuchKey, http: 404"


@scripted
@pytest.mark.parametrize("refusal", [(403, "AccessDenied"), (503, "SlowDown"), (404, "NoSuchBucket"), (403, "RequestTimeTooSkewed"),
                                     (400, "ExpiredToken"), (301, "PermanentRedirect")])
def test_the_next_source_takes_over(server, s3, origin, tmp_path, refusal):
    failing_over(server, s3, origin, tmp_path)
    s3.refuse = [refusal] * 20
    reply, body = frame(server, "last.mp4")
    assert (reply.status, reply["X-Source-Type"]) == (200, "http"), body[:300]
    origin.files.clear()
    reply, body = frame(server, "last.mp4", "&nocache=1")
    expect.error(reply, body, "ALL_SOURCES_FAILED")
    tries = " (3 tries)" if refusal[0] == 503 else ""  # busy: asked again
    assert attempts(body) == f"file: not found, s3: {refusal[0]} {refusal[1]}{tries}, http: 404"


@scripted
def test_without_permission_to_list_a_missing_key_is_a_denial(server, s3):
    s3.may_list = False
    use(server, s3)
    reply, body = frame(server)
    expect.error(reply, body, "ALL_SOURCES_FAILED")
    assert attempts(body) == "s3: 403 AccessDenied"


# -- directories, secrets, reload

def test_a_bucket_can_be_a_directory(server, s3):
    clip = media.clip("small.mp4")
    server.add(clip, "a.mp4")
    use(server, s3, {"root": str(server.media)})
    reply, body = frame(server)
    assert reply.status == 200 and reply["X-Source-Type"] == "file", body[:300]
    expect.error(*frame(server, "b.mp4"), "NOT_FOUND")


def secrets_of(s3):
    found = [s3.secret, s3.access, urllib.parse.urlsplit(s3.endpoint).netloc]
    return [t.encode() for s in found for t in {s, urllib.parse.quote(s, safe=""), s.replace("/", "\\/")}]


@pytest.mark.parametrize("signing", ["header", "presigned"])
def test_secrets_are_nowhere_to_be_seen(server, s3, signing):
    s3.put("a.mp4", media.clip("small.mp4"))
    server.open_admin()
    server.config["log"] = {"level": "debug"}
    use(server, s3, s3.settings(signing=signing))
    seen = []

    def look(target, headers=()):
        reply, body = wire.fetch(server.address, target, "GET", headers)
        seen.append(repr(reply.fields).encode() + body)

    for more in (FRAME, "?width=160", "", "?debug=view", FRAME + "&debug=true"):
        look("/s3/a.mp4" + more)
        look("/s3/missing.mp4" + more)
    look("/s3/a.mp4?debug=view", [("debug", "true")])
    server.wait_stored(1)
    seen.append(json.dumps(server.ask_admin("/admin/variants?source=s3/a.mp4")[1]).encode())
    for entry in ("video:s3/a.mp4:w=160",):
        found = server.entry(entry)
        assert found is not None
        seen.append(json.dumps(found).encode())
    seen.append(server.metrics_text().encode())
    printed = subprocess.run([str(media.BIN / "video-resizer"), "config", "print", "-c", str(server.config_path)],
                             env={**os.environ, **server.environment}, capture_output=True, check=True).stdout
    assert s3.secret.encode() not in printed
    # A failure with everything that the server can say of it.
    server.environment["S3_SECRET"] = s3.secret + "/wr0ng"
    server.restart()
    look("/s3/a.mp4" + FRAME + "&nocache=1&width=99")
    assert WRONG_SECRET.encode() in seen[-1]
    server.stop()
    seen.append("\n".join(server.raw_log).encode())
    for path in sorted(server.data.rglob("*")):
        if path.is_file():
            seen.append(path.read_bytes())
    for text in seen:
        for secret in secrets_of(s3):
            assert secret not in text, (secret, text[max(0, text.find(secret) - 200):][:400])
        assert b"X-Amz-Signature" not in text and b"AWS4-HMAC" not in text


@scripted
def test_new_credentials_come_with_a_reload(server, s3):
    s3.put("a.mp4", media.clip("small.mp4"))
    s3.secret = "another/secret"
    server.environment["S3_SECRET"] = "old"
    server.environment["S3_NEXT"] = s3.secret
    use(server, s3, start=False)
    server.environment["S3_SECRET"] = "old"
    server.start()
    expect.error(*frame(server), "ALL_SOURCES_FAILED")
    server.config["buckets"]["VIDEOS"]["secretKey"] = "${S3_NEXT}"
    server.write_config()
    server.signal(signal.SIGHUP)
    until(lambda: frame(server, more="&nocache=1")[0].status == 200, "the new secret is used")
