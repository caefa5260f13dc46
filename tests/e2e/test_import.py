"""A configuration of the public video-resizer is imported, and what comes out is served by the real server."""
import json
import os
import pathlib
import re
import subprocess

import pytest

from kit import media
from kit.media import BIN

DATA = pathlib.Path(__file__).resolve().parents[1] / "data" / "import"
HOSTS = ("videos", "fallback", "shorts", "secure", "www", "assets")


def run(*arguments):
    return subprocess.run([str(BIN / "video-resizer"), *map(str, arguments)], capture_output=True, text=True, timeout=60)


class Moved:
    """The result of an import as the server's configuration, with our origin in place of *.example.com."""

    def __init__(self, server, origin, *arguments):
        self.server, self.origin = server, origin
        self.bucket = server.folder / "bucket"
        self.bucket.mkdir()
        self.out = server.folder / "imported.jsonc"
        self.report = server.folder / "report.txt"
        bucket = ["--bucket-root", f"VIDEOS={self.bucket}"] if '"r2"' in pathlib.Path(arguments[0]).read_text() else []
        done = run("config", "import", *arguments, *bucket, "--out", self.out, "--report", self.report)
        assert done.returncode == 0, done.stderr
        text = self.out.read_text()
        for host in HOSTS:
            text = text.replace(f"https://{host}.example.com", f"{origin.url}/{host}")
        # The signed bucket's host too: nothing here leaves the machine.
        text = text.replace('"https://example.com"', f'"{origin.url}/signed"').replace('"addressing": "virtual"', '"addressing": "path"')
        assert "example.com" not in text.replace("https://www.example.com/", "")
        server.config_path.write_text(text)
        server.arguments = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data", str(server.data), "--log-level", "info",
                            "--set", "log.format=json"]
        server.environment = {"SECURE_TOKEN": "s3cure", "SHORTS_TOKEN": "sh0rts", "AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"}

    def put(self, key, name="small.mp4"):
        path = self.bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(media.clip(name), path) if not path.exists() else None

    def remote(self, path, name="small.mp4"):
        self.origin.files[path] = media.clip(name)

    def asked(self):
        return [r[1] for r in self.origin.requests]


def responsive_works():
    """Whether this build acts on `responsive` at all."""
    done = run("config", "check", DATA.parents[2] / "config" / "example.jsonc", "--set", "responsive.defaultDerivative=mobile")
    return "/responsive" not in done.stderr


def facts(moved, target, headers=()):
    """@return (reply, ffprobe's view of the video stream)"""
    reply, body = moved.server.get(target, headers=headers)
    assert reply.status == 200, (target, reply.status, body[:300])
    path = moved.server.folder / "answer"
    path.write_bytes(body)
    return reply, media.video_of(media.probe(path))


def original(moved, target):
    reply, body = moved.server.get(target)
    assert reply.status == 200, (target, reply.status, body[:300])
    return body == media.clip("small.mp4").read_bytes(), reply


@pytest.fixture
def v1(server, origin):
    return Moved(server, origin, DATA / "v1-worker-config.json", "--wrangler", DATA / "v1-wrangler.jsonc", "--env", "production")


@pytest.fixture
def v2(server, origin):
    return Moved(server, origin, DATA / "v2-worker-config.json", "--wrangler", DATA / "v2-wrangler.jsonc")


def derivatives_and_breakpoints(moved, target):
    reply, video = facts(moved, target + "?derivative=thumbnail")
    assert reply["X-Derivative"] == "thumbnail"
    assert (video["codec_name"], video["height"]) == ("png", 360)
    reply, video = facts(moved, target + "?derivative=mobile")
    assert (video["width"], video["height"]) == (854, 480), "16:9 in a box of 854x640"
    reply, video = facts(moved, target + "?width=160")
    assert (video["width"], video["height"]) == (160, 90)
    if not responsive_works():
        return
    for width, derivative in ((854, "mobile"), (855, "tablet"), (1280, "tablet"), (1281, "desktop"), (5000, "desktop")):
        reply, _ = moved.server.get(f"{target}?imwidth={width}&mode=video", method="HEAD")
        assert (reply.status, reply["X-Derivative"]) == (200, derivative), width


def test_v1_is_imported_and_served(v1):
    v1.put("videos/a.mp4")
    v1.put("popular-videos/b.mp4")
    v1.put("shorts/c.mp4")
    v1.put("top.mp4")
    v1.remote("/videos/standard/d.mp4")
    v1.remote("/signed/videos/videos/s.mp4")
    v1.remote("/assets/m/77/original/e.mp4")
    v1.remote("/shorts/shorts/f.mp4")
    v1.remote("/secure/protected/g.mp4")
    v1.server.resume()

    assert original(v1, "/videos/a.mp4")[0]
    assert original(v1, "/videos/s.mp4")[0], "not in the bucket: from the signed one"
    assert original(v1, "/popular/b.mp4")[0]
    assert original(v1, "/shorts/c.mp4")[0], "not there: its bucket is asked second"
    assert "/shorts/shorts/c.mp4" in v1.asked()
    assert original(v1, "/shorts/f.mp4")[0]
    assert original(v1, "/d.mp4")[0], "standard, from its first source"
    assert original(v1, "/top.mp4")[0], "standard, from its bucket"
    assert original(v1, "/m/77/original/e.mp4")[0]
    derivatives_and_breakpoints(v1, "/videos/a.mp4")
    # Lifetimes: the origin's own.
    reply, _ = v1.server.get("/popular/b.mp4")
    assert re.search(r"max-age=6047\d\d|max-age=604800", reply["Cache-Control"])
    assert v1.server.get("/videos/none.mp4")[0].status == 404
    # Presets say how a page's player is to behave, in what was just made and in what is kept.
    for _ in range(2):
        reply, _ = v1.server.get("/videos/a.mp4?derivative=preview&loop=false&preload=none")
        assert reply.status == 200
        hints = [reply[f"X-Playback-{name}"] for name in ("Loop", "Autoplay", "Muted", "Preload")]
        assert hints == ["true", "true", "true", "none"], "the preset's first, then the URL's"
        assert {"video-prod-videos/a.mp4", "video-prod-derivative-preview", "video-prod-mode-video"} <= set(re.split(", ?", reply["Cache-Tag"]))
    # The shadowed origin stays out of reach, as there; the report has said so. The last, for what is no video, is in reach.
    report = v1.report.read_text()
    assert re.search(r"items/8/matcher.*out of reach", report) and not re.search(r"items/9/matcher.*out of reach", report)
    v1.remote("/www/about/page.html")
    assert original(v1, "/about/page.html")[0]
    assert v1.server.get("/secure/g.mp4")[0].status == 404

    listening = v1.server.events("listening")[-1]
    assert listening["kv_namespace"] == "22222222222222222222222222222222"
    assert (v1.server.data / "kv" / "22222222222222222222222222222222" / "index").is_dir()


def test_v2_is_imported_and_served(v2):
    v2.put("videos/a.mp4")
    v2.remote("/videos/videos/b.mp4")
    v2.remote("/fallback/videos/c.mp4")
    v2.remote("/videos/hot/d.mp4")
    v2.remote("/shorts/shorts/e.mp4")
    v2.put("f.mp4")
    v2.remote("/www/page.html")
    v2.server.resume()
    for target in ("/videos/a.mp4", "/videos/b.mp4", "/videos/c.mp4", "/popular/d.mp4", "/shorts/e.mp4", "/f.mp4"):
        assert original(v2, target)[0], target
    assert ["/videos/videos/c.mp4", "/fallback/videos/c.mp4"] == list(dict.fromkeys(p for p in v2.asked() if p.endswith("c.mp4")))
    derivatives_and_breakpoints(v2, "/videos/a.mp4")
    # What is no video passes through, by the twin of the origin that takes everything.
    reply, body = v2.server.get("/page.html")
    assert (reply.status, reply["X-Cache-Source"]) == (200, "origin") and body == media.clip("small.mp4").read_bytes()


def test_several_query_credentials_of_a_source_are_sent(server, origin, tmp_path):
    source = tmp_path / "worker-config.json"
    sources = {"type": "remote", "url": "https://videos.example.com/?account=7", "path": "${request_path}",
               "auth": {"enabled": True, "type": "query", "params": {"key id": "${KEY_ID}", "sig": "${SIG}"}}}
    source.write_text(json.dumps({"passthrough": {"enabled": True, "formats": ["mp4"]}, "origins": [{"name": "o", "matcher": ".*", "sources": [sources]}]}))
    moved = Moved(server, origin, source)
    server.environment |= {"KEY_ID": "k 1", "SIG": "a+b&c"}
    moved.remote("/videos/a.mp4")
    moved.remote("/videos/page.html")
    server.resume()
    assert original(moved, "/a.mp4")[0]
    assert original(moved, "/page.html?page=2")[0]
    sent = "account=7&key%20id=k%201&sig=a%2Bb%26c"
    assert set(origin.targets) == {"/videos/a.mp4?" + sent, "/videos/page.html?page=2&" + sent}
    assert not [line for line in server.raw_log if "a+b&c" in str(line) or "a%2Bb" in str(line)]


def test_the_report_and_the_result_hold_together(v2):
    report = v2.report.read_text()
    assert re.search(r"^result:\n  6 origins, 1 bucket, 4 derivatives\n  config check: OK", report, re.M)
    assert "SHORTS_TOKEN (not set now)" in report
    done = run("config", "check", v2.out)
    assert "SHORTS_TOKEN" in done.stderr and done.returncode == 1, "the check of a start without the variable"


def test_what_cannot_be_understood_writes_nothing(tmp_path):
    source = tmp_path / "worker-config.json"
    source.write_text('{"origins": [\n  {"name": "a", "matcher": "^/(", "sources": [{"type": "remote", "url": 5}]}]}')
    done = run("config", "import", source, "--out", tmp_path / "o.jsonc", "--report", tmp_path / "r.txt")
    assert done.returncode == 1
    assert re.search(r"worker-config\.json:2:\d+: /origins/0/sources/0/url: found a number, allowed: a string", done.stderr)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["worker-config.json"]


def test_standard_output_is_the_configuration_and_standard_error_the_report():
    done = run("config", "import", DATA / "v2-worker-config.json", "--bucket-root", "VIDEOS=/srv")
    assert done.returncode == 0
    assert done.stdout.startswith("// Made by") and done.stdout.endswith("}\n")
    assert done.stderr.startswith("video-resizer config import\n")


# --- the namespace that an import brings ---

FRAME = "/videos/small.mp4?mode=frame&width=200"


def in_namespace(server, **name):
    server.config["cache"] = {"kvNamespace": name} if name else {}
    server.start()


def test_entries_of_another_kv_namespace_are_out_of_reach(server):
    server.add(media.clip("small.mp4"), "small.mp4")
    server.open_admin()

    def source():
        reply, _ = server.get(FRAME)
        assert reply.status == 200
        return reply["X-Cache-Source"]

    in_namespace(server)
    assert source() == "transform"
    server.wait_stored(1)
    assert server.metric("video_resizer_kv_namespace_info", id="", binding="") == 1
    server.stop()

    in_namespace(server, id="0a1b", binding="VIDEO_TRANSFORMATIONS_CACHE")
    assert server.events("listening")[-1]["kv_namespace"] == "0a1b"
    assert server.metric("video_resizer_kv_namespace_info", id="0a1b", binding="VIDEO_TRANSFORMATIONS_CACHE") == 1
    assert server.metric("video_resizer_kv_entries") == 0
    assert source() == "transform", "the unnamed one's entry is not ours"
    server.wait_stored(1)
    # Purging everything here takes nothing from there.
    assert server.purge(everything=True)
    assert source() == "transform"
    server.wait_stored(1)

    # Whoever else wants the directory is refused, whatever its namespace.
    other = run("serve", "--config", server.config_path, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
                "--set", "cache.kvNamespace.id=other")
    assert other.returncode == 1 and "in use by another process" in other.stderr
    server.stop()

    in_namespace(server)
    assert source() == "KV", "its own entry is still there"
    server.stop()
    in_namespace(server, binding="0a1b")
    assert source() == "KV", "a binding without id is a name too"
    server.stop()

    done = run("fsck", "--config", server.config_path)
    assert done.returncode == 0 and "/kv/0a1b: 1 entries" in done.stdout, done.stdout
    done = run("fsck", "--data", server.data)
    assert done.returncode == 0 and "1 entries" in done.stdout


def test_fsck_points_at_the_namespaces(server):
    in_namespace(server, id="0a1b")
    server.stop()
    done = run("fsck", "--data", server.data)
    assert done.returncode == 2 and "--set cache.kvNamespace.id=0a1b" in done.stderr
    assert run("fsck", "--data", server.data, "--set", "cache.kvNamespace.id=0a1b").returncode == 0
