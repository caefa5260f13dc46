"""Signed URLs, as another program would make them, and as `video-resizer sign` does."""
import base64
import hashlib
import hmac
import json
import os
import subprocess
import time
import urllib.parse

import pytest

from kit import media, wire

K1 = "0123456789abcdef-one"
K2 = "0123456789abcdef-two"


def sign(target, key_id="k1", secret=K1, expires=None):
    """Written from docs/access.md alone; shares no code with the server."""
    path, _, query = target.partition("?")
    pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
    pairs.append(("vr-key", key_id))
    if expires is not None:
        pairs.append(("vr-exp", str(int(expires))))
    quote = lambda s: urllib.parse.quote(s, safe="-._~")  # noqa: E731
    canonical = "&".join(f"{quote(n)}={quote(v)}" for n, v in sorted(pairs))
    text = f"video-resizer-url-1\n{path}\n{canonical}".encode()
    mac = hmac.new(secret.encode(), text, hashlib.sha256).digest()
    return f"{path}?{canonical}&vr-sig=" + base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def code_of(server, target, headers=()):
    reply, body = server.get(target, headers=headers)
    return reply.status, json.loads(body)["error"]["code"] if reply.status >= 400 else ""


@pytest.fixture
def closed(server):
    """A server that wants signatures, with two keys, and /videos/small.mp4."""
    server.add(media.clip("small.mp4"), "small.mp4")
    server.environment.update(K1=K1, K2=K2)
    server.config["access"] = {"signing": {"required": True, "keys": {"k1": "${K1}", "k2": "${K2}"}}}
    return server


def test_only_what_is_signed_is_answered(closed):
    closed.start()
    target = "/videos/small.mp4?mode=frame&width=64&time=1"
    assert code_of(closed, target) == (403, "SIGNATURE_REQUIRED")
    in_an_hour = time.time() + 3600
    for made in (sign(target), sign(target, "k2", K2), sign(target, expires=in_an_hour)):
        reply, body = closed.get(made)
        assert reply.status == 200 and body[:2] == b"\xff\xd8", made
    assert code_of(closed, sign(target, expires=time.time() - 5)) == (403, "SIGNATURE_EXPIRED")
    assert code_of(closed, sign(target, "k1", K2)) == (403, "SIGNATURE_INVALID")
    assert code_of(closed, sign(target, "k3", K1)) == (403, "SIGNATURE_INVALID")
    good = sign(target, expires=in_an_hour)
    for changed in (good.replace("width=64", "width=65"), good + "&height=9", good.replace("small", "smalL"),
                    good.replace("vr-exp=1", "vr-exp=2"), good[:-1], good.replace("vr-key=k1", "vr-key=k2"),
                    good.replace("/videos/", "//videos/"), good.replace("/videos", "/%76ideos")):
        assert changed != good
        assert code_of(closed, changed) == (403, "SIGNATURE_INVALID"), changed
    reply, body = closed.get("/videos/small.mp4", method="HEAD")
    assert reply.status == 403 and reply["Cache-Control"] == "no-store" and reply["X-Content-Type-Options"] == "nosniff"
    for open_path in ("/healthz", "/readyz", "/sse/job/nosuch"):
        assert closed.get(open_path)[0].status == 200, open_path
    assert closed.transforms() == 1, "every signature of one variant means the same variant"


def test_refusals_of_media_urls_carry_their_number(closed):
    closed.start()
    target = "/cdn-cgi/media/mode=frame,width=64/videos/small.mp4"
    for made, error in ((target, "SIGNATURE_REQUIRED"), (sign(target, expires=time.time() - 5), "SIGNATURE_EXPIRED"),
                        (sign(target) + "x", "SIGNATURE_INVALID"), (sign(target, "k9"), "SIGNATURE_INVALID")):
        assert code_of(closed, made) == (403, error)
        for method in ("GET", "HEAD"):
            reply, _ = closed.get(made, method=method)
            assert reply["Cf-Resized"] == "err=9406", (made, method, reply.fields)
    reply, body = closed.get(sign(target))
    assert reply.status == 200 and body[:2] == b"\xff\xd8" and "Cf-Resized" not in reply
    assert "Cf-Resized" not in closed.get("/videos/small.mp4")[0]


def test_the_order_of_parameters_and_their_spelling_do_not_matter(closed):
    closed.start()
    made = sign("/videos/small.mp4?time=1&mode=frame&width=64", expires=time.time() + 3600)
    path, _, query = made.partition("?")
    turned = "&".join(reversed(query.split("&"))).replace("mode", "%6dode")
    assert closed.get(path + "?" + turned)[0].status == 200
    # Repeated names are evaluated in the order that was signed, whatever the order they come in.
    made = sign("/videos/small.mp4?mode=frame&width=64&width=80")
    path, _, query = made.partition("?")
    swapped = query.replace("width=64&width=80", "width=80&width=64")
    assert swapped != query
    keys = {closed.get(path + "?" + q)[0]["X-KV-Cache-Key"] for q in (query, swapped)}
    assert keys == {closed.get(sign("/videos/small.mp4?mode=frame&width=80"))[0]["X-KV-Cache-Key"]}


def test_the_signature_is_in_no_key_and_no_log(closed):
    closed.open_admin()
    closed.start()
    made = [sign("/videos/small.mp4?mode=frame&width=64", *k, expires=time.time() + 3600) for k in (("k1", K1), ("k2", K2))]
    replies = [closed.get(m)[0] for m in made]
    assert replies[0]["X-KV-Cache-Key"] == replies[1]["X-KV-Cache-Key"] == "frame:videos/small.mp4:w=64"
    closed.get(made[0] + "x")
    refused = closed.wait_log(lambda e: e.get("reason") == "SIGNATURE_INVALID", "the refusal")
    assert "vr-sig=***" in refused["target"] and "vr-key=k1" in refused["target"]
    closed.stop()
    for m in made:
        assert m.rpartition("=")[2] not in "\n".join(closed.raw_log)
    assert K1 not in "\n".join(closed.raw_log)


def test_no_cache_in_front_is_told_to_keep_it_for_longer_than_the_signature(closed):
    closed.start()
    target = "/videos/small.mp4?mode=frame&width=64"
    forever = closed.get(sign(target))[0]["Cache-Control"]
    assert "max-age=86" in forever

    def max_age(made, headers=()):
        reply, _ = closed.get(made, headers=headers)
        age = int(reply["Age"] or 0)
        directives = dict(d.strip().partition("=")[::2] for d in reply["Cache-Control"].split(","))
        assert "must-revalidate" in directives and "stale-while-revalidate" not in directives
        return reply, int(directives["max-age"]) - age

    made = sign(target, expires=time.time() + 100)
    for headers, status in ((), 200), ([("Range", "bytes=0-9")], 206), ([("If-None-Match", "*")], 304):
        reply, fresh = max_age(made, headers)
        assert reply.status == status and 0 < fresh <= 100, (status, reply.fields)
    reply, fresh = max_age(sign("/videos/missing.mp4", expires=time.time() + 5))
    assert reply.status == 404 and fresh <= 5


def test_signatures_may_be_optional_and_must_hold_then_too(closed):
    closed.config["access"]["signing"]["required"] = False
    closed.start()
    target = "/videos/small.mp4?mode=frame&width=64"
    assert closed.get(target)[0].status == 200
    assert closed.get(sign(target))[0].status == 200
    assert code_of(closed, target + "&vr-sig=x&vr-key=k1") == (403, "SIGNATURE_INVALID")
    assert code_of(closed, target + "&%76r-sig=x") == (403, "SIGNATURE_INVALID")


def test_rotation_by_reload(closed):
    import signal
    closed.start()
    old, new = sign("/videos/small.mp4?mode=frame&width=64"), sign("/videos/small.mp4?mode=frame&width=64", "k2", K2)
    assert closed.get(old)[0].status == closed.get(new)[0].status == 200
    del closed.config["access"]["signing"]["keys"]["k1"]
    closed.write_config()
    closed.signal(signal.SIGHUP)
    closed.wait_event("config_reloaded")
    assert code_of(closed, old) == (403, "SIGNATURE_INVALID")
    assert closed.get(new)[0].status == 200


def test_passthrough_origins_never_see_a_signature(closed, origin):
    origin.body = b"<p>hello</p>"
    closed.config["origins"].append({"name": "site", "matcher": "^/", "mode": "passthrough",
                                     "sources": [{"type": "http", "url": origin.url}]})
    closed.start()
    assert code_of(closed, "/page.html?b=2&a=1") == (403, "SIGNATURE_REQUIRED")
    for _ in range(2):
        reply, body = closed.get(sign("/page.html?b=2&a=1", expires=time.time() + 50))
        assert reply.status == 200 and body == b"<p>hello</p>"
        assert "max-age" in reply["Cache-Control"] or "no-cache" in reply["Cache-Control"]
    assert origin.requests and {r[1] for r in origin.requests} == {"/page.html"}
    assert {t for t in origin.targets} == {"/page.html?a=1&b=2"}
    assert not any("vr-" in str(r) for r in origin.requests)


@pytest.fixture
def moving(closed, origin):
    """/remote/... is at an HTTP origin whose redirects are passed on; what is at /remote/inner/... another origin has."""
    remote = closed.http_origin(origin)
    remote["sources"][0]["redirects"] = "pass"
    inner = {"name": "inner", "matcher": "^/remote/inner/(.+)$", "captureGroups": ["path"], "sources": [{"type": "file", "root": str(closed.media), "path": "${path}"}]}
    both = {"name": "both", "matcher": "^/both/(.+)$", "captureGroups": ["path"], "sources": [dict(remote["sources"][0]), {"type": "file", "root": str(closed.media), "path": "${path}"}]}
    closed.config["origins"] += [inner, both, remote]
    origin.files["/new.mp4"] = media.clip("small.mp4")
    origin.redirects.update({"/old.mp4": "/new.mp4", "/peek.mp4": "/inner/small.mp4", "/away.mp4": "https://cdn.example.com/b.mp4",
                             "/page.mp4": "/page.html"})
    return closed


def test_a_redirect_that_stays_with_its_source_keeps_the_signature(moving):
    moving.start()
    soon = int(time.time()) + 100
    query = "?height=36&mode=frame&width=64"
    for status in ("MISS", "HIT"):  # each asker gets a signature of its own, also of what is remembered
        for key, expires in ((("k1", K1), soon), (("k2", K2), soon + 50), (("k1", K1), None)):
            reply, _ = moving.get(sign("/remote/old.mp4" + query, *key, expires=expires))
            assert reply.status == 302
            assert reply["Location"] == sign("/remote/new.mp4" + query, *key, expires=expires), "the same key, the same end, the same variant"
            if expires:
                lifetime = int(reply["Cache-Control"].partition("max-age=")[2].split(",")[0]) - int(reply["Age"])
                assert 0 < lifetime <= expires - time.time() + 1 and "must-revalidate" in reply["Cache-Control"]
            there, body = moving.get(reply["Location"])
            assert there.status == 200 and body[:2] == b"\xff\xd8"
    head, _ = moving.get(sign("/remote/old.mp4" + query), method="HEAD")
    assert head["Location"] == sign("/remote/new.mp4" + query)
    target = "/cdn-cgi/media/mode=frame,width=64/remote/old.mp4"
    reply, _ = moving.get(sign(target, expires=soon))
    assert reply["Location"] == sign(target.replace("old", "new"), expires=soon)
    assert moving.get(reply["Location"])[0].status == 200


def test_no_other_redirect_gets_a_signature(moving, origin):
    """An origin may say where its own things are. It may not open what another source or another origin has."""
    moving.add(media.clip("small.mp4"), "new.mp4")
    moving.config["origins"].append({"name": "site", "matcher": "^/", "mode": "passthrough", "sources": [{"type": "http", "url": origin.url}]})
    moving.start()
    frame = "?mode=frame&width=64"
    for path, location in (("/remote/peek.mp4", "/remote/inner/small.mp4" + frame), ("/both/old.mp4", "/both/new.mp4" + frame), ("/remote/page.mp4", "/remote/page.html" + frame)):
        reply, _ = moving.get(sign(path + frame, expires=time.time() + 100))
        assert (reply.status, reply["Location"].replace("?width=64&mode=frame", frame)) == (302, location), reply.fields
        assert code_of(moving, reply["Location"]) == (403, "SIGNATURE_REQUIRED"), "who follows is told so"
    reply, _ = moving.get(sign("/remote/away.mp4" + frame))
    assert (reply.status, reply["Location"]) == (302, "https://cdn.example.com/b.mp4")
    origin.redirects["/slashes.mp4"] = origin.url + "//evil.example/x.mp4"
    moving.config["origins"][0:0] = [{"name": "top", "matcher": "^/(slashes.mp4|evil.example/.*)$", "captureGroups": ["path"],
                                      "sources": [{"type": "http", "url": origin.url, "path": "${path}", "redirects": "pass"}]}]
    moving.write_config()
    moving.signal(1)
    moving.wait_event("config_reloaded")
    reply, body = moving.get(sign("/slashes.mp4" + frame))
    assert not (reply["Location"] or "").startswith("//"), reply.fields
    assert "vr-sig" not in str(reply.fields)


def test_without_a_signature_a_redirect_gets_none(moving):
    moving.config["access"]["signing"]["required"] = False
    moving.start()
    target = "/remote/old.mp4?mode=frame&width=64"
    assert moving.get(sign(target))[0]["Location"] == sign(target.replace("old", "new"))
    reply, _ = moving.get(target)
    assert reply["X-Cache-Status"] == "HIT" and reply["Location"] == target.replace("old", "new"), "nothing of the one before"
    assert moving.get(reply["Location"])[0].status == 200


def test_a_202_gives_the_signed_path_back(closed):
    closed.add(media.clip("medium.mp4"), "medium.mp4")
    closed.start()
    made = sign("/videos/medium.mp4?width=300", expires=time.time() + 3600)
    reply, body = closed.get(made, headers=[("Prefer", "respond-async")])
    assert reply.status == 202
    document = json.loads(body)
    assert document["path"] == made
    path = "/" + document["sse"].partition("://")[2].partition("/")[2] if "://" in document["sse"] else document["sse"]
    with wire.Connection(closed.address) as c:
        events = c.ask(path).body().decode()
    assert "vr-sig" not in events, "others may follow the job: its events hold no signature"
    assert "complete" in events
    assert closed.get(made)[0].status == 200


def test_the_command_signs_what_the_server_takes(closed):
    closed.start()

    def run(*arguments, environment=None):
        return subprocess.run([str(media.BIN / "video-resizer"), "sign", *arguments], capture_output=True, text=True, cwd=closed.folder,
                              env={**os.environ, "K1": K1, "K2": K2, **(environment or {})})

    config = ["-c", str(closed.config_path)]
    made = run("/videos/small.mp4?width=64&mode=frame", "--key-id", "k2", "--expires", "1h", *config)
    assert made.returncode == 0, made.stderr
    assert closed.get(made.stdout.strip())[0].status == 200
    assert made.stdout.strip() == sign("/videos/small.mp4?width=64&mode=frame", "k2", K2, made.stdout.partition("vr-exp=")[2].partition("&")[0])
    until = int(time.time()) + 60
    made = run(f"https://media.example/videos/small.mp4?q=90&x=%26+y", "--key-id", "k9", "--expires", f"@{until}", "--secret-env", "SECRET",
               environment={"SECRET": "from outside"})
    assert made.stdout.strip() == "https://media.example" + sign("/videos/small.mp4?q=90&x=%26+y", "k9", "from outside", until)
    assert run("/a.mp4", *config).returncode == 1, "two keys: which one?"
    assert run("/a.mp4", "--key-id", "k7", *config).returncode == 1
    assert run("/a.mp4", "--key-id", "k1", "--expires", "soon", *config).returncode == 1
    assert run("a.mp4", "--key-id", "k1", *config).returncode == 1
    assert run("/a.mp4", "--key-id", "k", "--secret-env", "UNSET_VARIABLE").returncode == 1
    assert run("/a.mp4#t=1", "--key-id", "k1", *config).returncode == 1


def test_required_without_keys_does_not_start(closed):
    closed.config["access"]["signing"]["keys"] = {}
    closed.config_path.unlink(missing_ok=True)
    closed.write_config()
    done = subprocess.run([str(media.BIN / "video-resizer"), "serve", "--config", str(closed.config_path)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "/access/signing/keys" in done.stderr


def test_presets_only(server):
    server.add(media.clip("small.mp4"), "small.mp4")
    server.config["access"] = {"presetsOnly": True, "allowOriginal": False}
    server.config["derivatives"] = {"still": {"mode": "frame", "width": 64, "format": "jpg"}}
    server.start()
    assert server.get("/videos/small.mp4?derivative=still&filename=a.jpg&loop=true")[0].status == 200
    for query in ("width=100", "derivative=still&quality=5", "mode=frame", "derivative=nosuch", "dpr=2&derivative=still"):
        reply, body = server.get("/videos/small.mp4?" + query)
        assert (reply.status, json.loads(body)["error"]["code"]) == (400, "INVALID_PARAMETER"), query
        assert json.loads(body)["error"]["details"]
    assert code_of(server, "/videos/small.mp4") == (403, "SOURCE_NOT_ALLOWED")
    for options, status, number in (("derivative=still", 200, None), ("width=100", 400, "err=9401"), ("derivative=nosuch", 400, "err=9401"), ("", 403, "err=9406")):
        reply, _ = server.get(f"/cdn-cgi/media/{options}/videos/small.mp4")
        assert (reply.status, reply["Cf-Resized"]) == (status, number), (options, reply.fields)
    assert server.transforms() == 1


def test_allowed_parameters(server):
    server.add(media.clip("small.mp4"), "small.mp4")
    server.config["access"] = {"allowedParameters": ["mode", "width"]}
    server.start()
    reply, _ = server.get("/videos/small.mp4?mode=frame&w=64&quality=3")
    assert reply.status == 200
    assert reply["X-KV-Cache-Key"] == "frame:videos/small.mp4:w=64"
    assert reply["X-Param-Warnings"] == "quality: is not allowed here"
    reply, body = server.get("/videos/small.mp4?" + "&".join("x" for _ in range(101)))
    assert (reply.status, json.loads(body)["error"]["code"]) == (400, "INVALID_PARAMETER")
    reply, _ = server.get("/cdn-cgi/media/mode=frame,w=64,quality=3/videos/small.mp4")
    assert (reply.status, reply["X-Param-Warnings"], reply["Cf-Resized"]) == (200, "quality: is not allowed here", None)
    reply, body = server.get("/cdn-cgi/media/" + ",".join(["w=64"] * 101) + "/videos/small.mp4")
    assert (reply.status, reply["Cf-Resized"]) == (400, "err=9401"), body
