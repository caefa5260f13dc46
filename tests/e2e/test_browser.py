"""The distribution's Chromium plays a variant while it is made, then plays and seeks what was stored."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from kit import media

HERE = pathlib.Path(__file__).parent / "browser"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")


@pytest.fixture
def play():
    if not CHROMIUM:
        pytest.skip("no chromium (tools/install_deps test)")
    if not shutil.which("node") or not (HERE / "node_modules/playwright-core").exists():
        pytest.skip("no node, or no playwright-core (make e2e-deps)")

    def run(url, *actions):
        done = subprocess.run(["node", str(HERE / "play.mjs"), CHROMIUM, url, *actions], capture_output=True, text=True, timeout=150)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    return run


def test_cold_variant_plays_while_it_is_made_then_seeks(server, play):
    server.add(media.clip("long.mp4"), "long.mp4")
    server.start()
    url = f"http://{server.address}/videos/long.mp4?width=640"
    cold = play(url, "play:1.0")
    assert cold["error"] is None, cold
    assert (cold["width"], cold["height"]) == (640, 360)
    assert cold["played"] >= 1.0 and cold["audio"]
    server.get("/videos/long.mp4?width=640", timeout=120)
    server.wait_stored(1)
    hit, _ = server.get("/videos/long.mp4?width=640")
    assert hit["X-Cache-Status"] == "HIT"
    made = server.transforms()

    warm = play(url, "play:0.5", "seek:26", "seek:4", "seek:15", "play:0.5")
    assert warm["error"] is None, warm
    assert abs(warm["duration"] - 30) < 0.5
    assert warm["seekableEnd"] > 29
    assert [round(s["at"]) for s in warm["seeks"]] == [26, 4, 15]
    assert all(s["shown"] for s in warm["seeks"]), warm
    assert server.transforms() == made, "seeking in what is stored starts no work"


@pytest.mark.parametrize("name, size", [("night-1080p20-frag-noaudio.mp4", (640, 360)), ("birds-720p30-aac-moovend.mp4", (640, 360)),
                                        ("iphone-hevc-hlg-dv84-10bit-rot90-vfr.mov", (640, 1138)), ("bbb-720p-30s-vp8-vorbis.webm", (640, 360))])
def test_real_clips_play_cold_and_seek_warm(server, play, corpus, name, size):
    if media.corpus(name) is None:
        pytest.skip(f"no {name}")
    server.config["origins"][0]["sources"][0]["root"] = str(corpus)
    server.start()
    url = f"http://{server.address}/videos/{name}?width=640"
    cold = play(url, "play:0.5")
    assert cold["error"] is None and cold["width"] == size[0] and abs(cold["height"] - size[1]) <= 2, cold
    server.get(f"/videos/{name}?width=640", timeout=120)
    duration = media.duration_of(media.probe(media.corpus(name)))
    warm = play(url, f"seek:{duration * 0.7:.2f}", f"seek:{duration * 0.2:.2f}", "play:0.3")
    assert warm["error"] is None and all(s["shown"] for s in warm["seeks"]), warm
