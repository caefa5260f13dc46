"""Configuration from outside: errors that stop the start, reload, environment and flags, drain."""
import json
import re
import signal
import subprocess

import pytest

from kit import media
from kit.media import BIN
from kit.wait import until

BAD = """{
  // several mistakes at once
  "listen": "127.0.0.1:0",
  "lissten": "x",
  "data": 5,
  "origins": [
    { "name": "videos", "matcher": "^/videos/(.+$", "sources": [ { "type": "file", "root": "/tmp", "path": "${path}" } ] },
  ],
  "cache": { "kvTtl": { "ok": "soon" }, "edge": { "maxBytes": "12 bananas" } },
  "transform": { "queue": -4 },
}
"""
MISTAKES = [(4, "lissten"), (5, "data"), (7, "matcher"), (9, "ok"), (9, "maxBytes"), (10, "queue")]


def run(*arguments, environment=None):
    return subprocess.run([str(BIN / "video-resizer"), *map(str, arguments)], capture_output=True, text=True, timeout=30, env=environment)


@pytest.mark.parametrize("command", ["check", "serve"])
def test_all_mistakes_are_told_at_once_and_stop_the_start(tmp_path, command):
    path = tmp_path / "bad.jsonc"
    path.write_text(BAD)
    done = run("config", "check", path) if command == "check" else run("serve", "--config", path)
    assert done.returncode != 0
    text = done.stdout + done.stderr
    for line, field in MISTAKES:
        assert re.search(rf"bad\.jsonc:{line}\b.*{field}", text), f"line {line}, {field}: not in\n{text}"
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("text, says", [
    ("{ \"listen\": ", "1"), ("", "bad.jsonc"), ("[]", "object"), ('{"listen": "127.0.0.1:0", "listen": "127.0.0.1:1"}', "listen"),
    ('{"admin": {"token": "${NO_SUCH_VARIABLE_HERE}"}}', "NO_SUCH_VARIABLE_HERE"),
])
def test_files_that_cannot_be_right(tmp_path, text, says):
    path = tmp_path / "bad.jsonc"
    path.write_text(text)
    done = run("config", "check", path)
    assert done.returncode != 0 and says in done.stdout + done.stderr


def test_a_missing_file_is_an_error(tmp_path):
    done = run("serve", "--config", tmp_path / "gone.jsonc")
    assert done.returncode != 0 and "gone.jsonc" in done.stdout + done.stderr


def test_a_good_file_passes_the_check(server):
    server.config["derivatives"] = {"tiny": {"width": 160}}
    server.write_config("// comment\n" + json.dumps(server.config)[:-1] + ", }")
    done = run("config", "check", server.config_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_config_print_masks_secrets(server):
    server.config["admin"]["token"] = "hunter2secret"
    server.write_config()
    done = run("config", "print", "--config", server.config_path)
    if done.returncode != 0:
        done = run("config", "print", server.config_path)
    assert done.returncode == 0, done.stderr
    assert "hunter2secret" not in done.stdout and "origins" in done.stdout


def test_the_environment_beats_the_file(server):
    server.add(media.clip("small.mp4"), "small.mp4")
    server.config["validation"] = "lenient"
    server.environment["VIDEO_RESIZER_VALIDATION"] = "strict"
    server.start()
    assert server.get("/videos/small.mp4?width=abc")[0].status == 400


def test_version_and_help():
    assert re.search(r"\d+\.\d+", run("version").stdout)
    assert "serve" in run("--help").stdout


def resolved(server):
    reply, body = server.get("/videos/small.mp4?mode=frame&derivative=tiny&format=png&debug=true")
    return int.from_bytes(body[16:20], "big") if reply.status == 200 and body[:4] == b"\x89PNG" else None


def test_sighup_reloads_and_a_bad_file_keeps_the_old_one(server):
    server.add(media.clip("small.mp4"), "small.mp4")
    server.config["derivatives"] = {"tiny": {"width": 160}}
    server.start()
    assert resolved(server) == 160

    server.config["derivatives"] = {"tiny": {"width": 100}}
    server.write_config()
    server.signal(signal.SIGHUP)
    until(lambda: resolved(server) == 100, "the new preset is in force", 15, every=0.1)

    seen = len(server.log)
    server.write_config('{ "derivatives": { "tiny": { "width": "wide" } }, "nonsense": 1 }')
    server.signal(signal.SIGHUP)
    server.wait_event("config_reload_refused", after=seen)
    told = " ".join(e["problem"] for e in server.events("config_reload_problem", after=seen))
    assert "nonsense" in told and "width" in told and "config.jsonc:1" in told
    assert resolved(server) == 100, "the old one stays"

    server.config["derivatives"] = {"tiny": {"width": 120}}
    server.write_config()
    server.signal(signal.SIGHUP)
    until(lambda: resolved(server) == 120, "a good file works again", 15, every=0.1)


def test_reload_under_load_loses_no_request(server):
    server.add(media.clip("small.mp4"), "small.mp4")
    server.start()
    target = "/videos/small.mp4?mode=frame&width=160"
    server.get(target)
    with server.connect() as c:
        for n in range(60):
            if n % 10 == 0:
                server.signal(signal.SIGHUP)
            reply = c.ask(target)
            assert reply.status == 200 and reply.body()


def test_drain_lets_running_responses_end(server):
    server.add(media.clip("long.mp4"), "long.mp4")
    server.start()
    original = media.clip("long.mp4").read_bytes()
    server.get("/videos/long.mp4")
    with server.connect(receive_buffer=4096) as c, server.connect() as idle:
        reply = c.ask("/videos/long.mp4")
        first = reply.some(1000)
        assert idle.ask("/healthz").body() is not None
        server.signal(signal.SIGTERM)
        assert idle.at_end(), "idle connections are closed"
        body = first + reply.body()
    assert body == original
    assert server.process.wait(30) == 0
    server._finish()


def test_drain_lets_a_streamed_variant_end(server, tmp_path):
    server.add(media.clip("medium.mp4"), "medium.mp4")
    server.start()
    with server.connect() as c:
        reply = c.ask("/videos/medium.mp4?width=640")
        first = reply.some()
        server.signal(signal.SIGTERM)
        body = first + reply.body()
    path = tmp_path / "a.mp4"
    path.write_bytes(body)
    assert media.decode_errors(path) == ""
    assert server.process.wait(30) == 0
    server._finish()


def test_a_drain_ends_in_time_although_work_is_left(server):
    """A production nobody waits for any more may go on to be stored, but not for longer than the drain may take."""
    server.config["http"] = {"drainTimeout": "1s"}
    server.add(media.clip("long.mp4"), "long.mp4")
    server.start()
    c = server.connect()
    assert c.ask("/videos/long.mp4?width=1280&quality=high&compression=high").some()
    c.reset()
    assert server.stop(expect=None) < 10
    server.resume()
    assert server.metric("video_resizer_kv_entries") == 0 and not server.files()


def test_sigterm_ends_an_idle_server_quickly(server):
    server.start()
    below = server.descendants()
    assert server.stop() < 5
    import pathlib
    until(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid, _, _ in below), "no process is left", 10)


def test_a_taken_port_is_a_clear_error(server, tmp_path):
    server.start()
    path = tmp_path / "second.jsonc"
    path.write_text(json.dumps({**server.config, "listen": server.address, "data": str(tmp_path / "other")}))
    done = run("serve", "--config", path)
    assert done.returncode != 0 and server.address in done.stderr


def test_two_servers_do_not_share_a_store(server, tmp_path):
    server.start()
    path = tmp_path / "second.jsonc"
    path.write_text(json.dumps(server.config))
    done = run("serve", "--config", path)
    assert done.returncode != 0
    assert server.ready()
