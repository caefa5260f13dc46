"""A URL becomes the right video: size, codec, length, sound; stills; originals."""
import pytest

from kit import expect, media


def save(tmp_path, body, name="out.mp4"):
    path = tmp_path / name
    path.write_bytes(body)
    return path


def ask_twice(server, target):
    """The streamed answer and the stored one."""
    first, streamed = server.get(target)
    assert first.status == 200, streamed[:500]
    server_key = first["X-KV-Cache-Key"]
    second, stored = server.get(target)
    assert second.status == 200 and second["X-Cache-Status"] == "HIT" and second["X-KV-Cache-Key"] == server_key
    return streamed, stored


@pytest.mark.parametrize("query, size", [
    ("width=160", (160, 90)),
    ("w=160&h=160", (160, 90)),                       # contain
    ("height=90", (160, 90)),
    ("w=100&h=100&fit=cover", (100, 100)),
    ("w=640&h=640&fit=scale-down", (320, 180)),       # never larger than the source
    ("w=640", (640, 360)),                            # contain may enlarge
    ("w=200&h=100&fit=cover", (200, 100)),
])
def test_video_has_the_size_asked_for(running, tmp_path, query, size):
    streamed, stored = ask_twice(running, "/videos/small.mp4?" + query)
    for body in (streamed, stored):
        path = save(tmp_path, body)
        facts = media.probe(path)
        video = media.video_of(facts)
        assert (video["width"], video["height"]) == size
        assert (video["codec_name"], video["profile"], video["pix_fmt"]) == ("h264", "High", "yuv420p")
        assert video.get("sample_aspect_ratio", "1:1") in ("1:1", "0:1", "N/A")
        assert media.audio_of(facts)["codec_name"] == "aac"
        assert abs(media.duration_of(facts) - 3) < 0.15
        assert media.decode_errors(path) == ""
    assert media.boxes(stored)[:2] == ["ftyp", "moov"], "the stored form has its index in front"
    assert "moof" in media.boxes(streamed) or streamed == stored


@pytest.mark.parametrize("query, seconds", [("time=1s", 2.0), ("duration=1s", 1.0), ("time=500ms&duration=1.5s", 1.5), ("time=2&duration=1m", 1.0)])
def test_time_and_duration_cut_the_clip(running, tmp_path, query, seconds):
    _, stored = ask_twice(running, "/videos/small.mp4?width=160&" + query)
    path = save(tmp_path, stored)
    assert abs(media.duration_of(media.probe(path)) - seconds) < 0.15
    assert abs(len(media.frame_hashes(path)) - 25 * seconds) <= 2


def test_time_past_the_end_is_the_clients_error(running):
    for mode in ("video", "frame"):
        reply, body = running.get(f"/videos/small.mp4?mode={mode}&width=160&time=90")
        expect.error(reply, body, "TIME_OUT_OF_RANGE")


def test_audio_can_be_left_out(running, tmp_path):
    for query in ("width=160&audio=false", "width=160&mute=true"):
        _, body = running.get("/videos/small.mp4?" + query)
        assert media.audio_of(media.probe(save(tmp_path, body))) is None


def test_a_source_without_sound_works(running, tmp_path):
    path = running.add(media.clip("silent.mp4"), "silent.mp4")
    streamed, stored = ask_twice(running, path + "?width=160")
    for body in (streamed, stored):
        facts = media.probe(save(tmp_path, body))
        assert media.audio_of(facts) is None and media.video_of(facts)["width"] == 160


def test_rotation_is_applied(running, tmp_path):
    path = running.add(media.clip("portrait.mp4"), "portrait.mp4")
    _, stored = ask_twice(running, path + "?width=90")
    video = media.video_of(media.probe(save(tmp_path, stored)))
    assert (video["width"], video["height"]) == (90, 160)
    assert not any("rotation" in side for side in video.get("side_data_list", []))


def test_quality_changes_the_size_of_the_result(running):
    sizes = [len(ask_twice(running, f"/videos/small.mp4?width=320&quality={q}")[1]) for q in ("low", "medium", "high")]
    assert sizes[0] < sizes[1] < sizes[2]


def test_vp8_sources_become_h264(running, tmp_path):
    path = running.add(media.clip("small.webm"), "small.webm")
    reply, _ = running.get(path + "?width=160")
    assert reply["Content-Type"] == "video/mp4"
    _, stored = running.get(path + "?width=160")
    assert media.video_of(media.probe(save(tmp_path, stored)))["codec_name"] == "h264"


@pytest.mark.parametrize("query, codec, kind", [
    ("mode=frame&width=160&time=1s", "mjpeg", "image/jpeg"),
    ("mode=frame&width=160&time=1s&format=jpg", "mjpeg", "image/jpeg"),
    ("mode=frame&width=160&format=png", "png", "image/png"),
])
def test_frames(running, tmp_path, query, codec, kind):
    target = "/videos/small.mp4?" + query
    first, made = running.get(target)
    assert (first.status, first["Content-Type"]) == (200, kind), made[:300]
    second, stored = running.get(target)
    assert made == stored and second["X-Cache-Status"] == "HIT"
    assert first["ETag"] == second["ETag"], "a still has one form and one validator from the start"
    facts = media.video_of(media.probe(save(tmp_path, made, "frame")))
    assert (facts["codec_name"], facts["width"], facts["height"]) == (codec, 160, 90)


def test_frames_at_different_times_differ(running):
    bodies = {running.get(f"/videos/small.mp4?mode=frame&width=160&format=png&time={t}")[1] for t in ("0", "1s", "2s")}
    assert len(bodies) == 3


def test_frame_is_the_one_of_that_time(running, tmp_path):
    """The exact frame: compared with what ffmpeg takes out at that place, at full size."""
    import subprocess
    _, made = running.get("/videos/small.mp4?mode=frame&format=png&time=1.2s")
    ours = save(tmp_path, made, "ours.png")
    best = None
    for n in range(28, 33):
        path = tmp_path / f"f{n}.png"
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(media.clip("small.mp4")), "-vf",
                        # The scaler's quick way to RGB repeats chroma samples where a viewer interpolates them.
                        f"select=eq(n\\,{n}),scale=flags=bicubic+accurate_rnd+full_chroma_int", "-frames:v", "1", str(path)], check=True)
        done = subprocess.run(["ffmpeg", "-nostdin", "-v", "info", "-i", str(ours), "-i", str(path), "-lavfi", "psnr", "-f", "null", "-"],
                              capture_output=True, text=True)
        value = done.stderr.rsplit("average:", 1)[1].split()[0]
        value = 1000.0 if value == "inf" else float(value)
        best = max(best or (0, 0), (value, n))
    assert best[1] == 30, f"1.2 s at 25 fps is frame 30, the answer looks like frame {best[1]} ({best[0]} dB)"
    assert best[0] > 40


def test_no_options_give_the_original_bytes(running):
    original = media.clip("small.mp4").read_bytes()
    for _ in range(2):
        reply, body = running.get("/videos/small.mp4")
        assert (reply.status, reply["Content-Type"], reply["Content-Length"]) == (200, "video/mp4", str(len(original)))
        assert body == original
        assert reply["X-KV-Cache-Key"] == "video:videos/small.mp4"
    assert running.transforms(result="ok") == 0 or running.metric("video_resizer_encode_seconds_total") == 0


def test_derivatives_and_keys(running, tmp_path):
    cases = {
        "width=320&height=180&quality=high&format=mp4": "video:videos/small.mp4:w=320:h=180:f=mp4:q=high",
        "derivative=mobile": "video:videos/small.mp4:derivative=mobile",
        "mode=frame&width=160&time=0h1s&format=jpg": "frame:videos/small.mp4:w=160:t=1s:f=jpg",
        "h=90&w=160&utm_source=x&loop=true&filename=a.mp4": "video:videos/small.mp4:w=160:h=90",
    }
    import json
    for query, key in cases.items():
        reply, body = running.get("/videos/small.mp4?debug=view&" + query)
        assert reply.status == 200, body[:300]
        assert key in json.dumps(json.loads(body)), f"{query}: {body[:600]}"
    _, stored = ask_twice(running, "/videos/small.mp4?derivative=mobile")
    video = media.video_of(media.probe(save(tmp_path, stored)))
    assert (video["width"], video["height"]) in ((854, 480), (854, 482), (852, 480))


def test_aliases_share_one_entry(running):
    running.get("/videos/small.mp4?width=160&height=90&fit=cover")
    made = running.transforms()
    for query in ("h=90&w=160&fit=cover", "width=160&h=90&obj-fit=crop", "w=0160&height=90&fit=COVER", "w=999&w=160&h=90&fit=cover"):
        reply, _ = running.get("/videos/small.mp4?" + query)
        assert reply["X-Cache-Status"] == "HIT", (query, reply.fields)
    assert running.transforms() == made


def test_invalid_values_are_dropped_with_a_warning(running):
    reply, _ = running.get("/videos/small.mp4?mode=frame&width=160&height=abc&fit=stretch")
    assert reply.status == 200
    warnings = reply["X-Param-Warnings"]
    assert "height" in warnings and "fit" in warnings


def test_strict_validation_refuses_them(server):
    server.config["validation"] = "strict"
    server.add(media.clip("small.mp4"), "small.mp4")
    server.start()
    reply, body = server.get("/videos/small.mp4?width=abc")
    expect.error(reply, body, "INVALID_PARAMETER")
    assert b"width" in body


def test_filename_becomes_content_disposition(running):
    reply, _ = running.get("/videos/small.mp4?mode=frame&width=160&filename=shot.jpg")
    assert "shot.jpg" in reply["Content-Disposition"] and reply["Content-Disposition"].startswith("inline")
    reply, _ = running.get("/videos/small.mp4?mode=frame&width=160&filename=a%0d%0aX-Evil:1")
    assert reply.status == 200 and "X-Evil" not in reply


def test_the_same_request_gives_the_same_bytes_again(running):
    target = "/videos/small.mp4?width=200&nocache=1"
    a = running.get("/videos/small.mp4?width=200")[1]
    b = running.get(target)[1]
    assert a == b
