"""Which derivative a screen gets when neither size nor derivative was asked for (http contract §2; R-33, R-34, R-35, R-55, R-94, R-95)."""
import pytest

from kit import expect, media, serving

PATH = "/videos/small.mp4"
PLAIN = "Sec-CH-Viewport-Width, Width, CF-Device-Type"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    def configure(server):
        server.add(media.clip("small.mp4"), "small.mp4")
        # Small boxes: nothing here is about pixels.
        server.config["derivatives"] = {"mobile": {"width": 64, "height": 48}, "tablet": {"width": 80, "height": 60}, "desktop": {"width": 96, "height": 72}}
        server.config["responsive"] = {"breakpoints": [{"maxWidth": 854, "derivative": "mobile"}, {"maxWidth": 1280, "derivative": "tablet"}]}
    with serving.serving(tmp_path_factory.mktemp("responsive"), configure) as server:
        yield server


def chosen(server, query="", headers=()):
    """@return (derivative, key, Vary) of a HEAD, which makes nothing"""
    reply, _ = server.get(PATH + query, "HEAD", headers=headers)
    assert reply.status == 200, reply.fields
    return reply["X-Derivative"], reply["X-KV-Cache-Key"], reply["Vary"]


def test_breakpoints_are_exact(shared):
    for width, name in ((1, "mobile"), (854, "mobile"), (855, "tablet"), (1280, "tablet"), (1281, "desktop"), (100000, "desktop")):
        key = f"video:videos/small.mp4:derivative={name}"
        assert chosen(shared, f"?imwidth={width}") == (name, key, None)
        assert chosen(shared, f"?im-viewwidth={width}") == (name, key, None)
        for field in ("Sec-CH-Viewport-Width", "Width", "width"):
            assert chosen(shared, headers={field: str(width)})[:2] == (name, key)


def test_a_plain_request_is_the_original_and_says_what_could_have_changed_that(shared):
    assert chosen(shared) == (None, "video:videos/small.mp4", PLAIN)
    reply, body = shared.get(PATH, headers={"User-Agent": "Mozilla/5.0 (iPhone) Mobile", "Save-Data": "on", "DPR": "3"})
    assert reply["X-KV-Cache-Key"] == "video:videos/small.mp4"
    assert body == media.clip("small.mp4").read_bytes()
    assert (reply["Vary"], reply["Accept-CH"]) == (PLAIN, "Sec-CH-Viewport-Width, Sec-CH-DPR, Width, DPR")


@pytest.mark.parametrize("headers, name, vary", [
    ({"Sec-CH-Viewport-Width": "427", "Sec-CH-DPR": "2", "Width": "5000"}, "mobile", "Sec-CH-Viewport-Width, Sec-CH-DPR"),
    ({"Sec-CH-Viewport-Width": "428", "DPR": "2"}, "tablet", "Sec-CH-Viewport-Width, Sec-CH-DPR, DPR, Save-Data"),
    ({"Width": "2000", "CF-Device-Type": "mobile"}, "desktop", "Sec-CH-Viewport-Width, Width, Sec-CH-DPR, DPR, Save-Data"),
    ({"CF-Device-Type": "tablet", "Save-Data": "on"}, "mobile", PLAIN + ", Save-Data"),
    ({"CF-Device-Type": "desktop"}, "desktop", PLAIN + ", Save-Data"),
    ({"Sec-CH-Viewport-Width": "wide", "Width": "-1", "CF-Device-Type": "toaster"}, None, PLAIN),
])
def test_what_the_client_tells_chooses_and_vary_names_it(shared, headers, name, vary):
    got, key, said = chosen(shared, headers=headers)
    assert (got, said) == (name, vary)
    assert key == "video:videos/small.mp4" + (f":derivative={name}" if name else "")


@pytest.mark.parametrize("query", ["?w=100", "?height=100&imwidth=5", "?derivative=desktop", "?impolicy=desktop&imwidth=5", "?mode=audio"])
def test_who_asks_for_something_gets_that(shared, query):
    name, _, vary = chosen(shared, query, headers={"Sec-CH-Viewport-Width": "400", "CF-Device-Type": "mobile"})
    assert name in (None, "desktop") and vary is None


def test_vary_of_format_and_screen_together(shared):
    reply, _ = shared.get(PATH + "?format=auto", "HEAD", headers={"Width": "100", "Accept": "video/webm"})
    assert reply["Vary"] == "Accept, Sec-CH-Viewport-Width, Width, Sec-CH-DPR, DPR"
    assert reply["X-KV-Cache-Key"] == "video:videos/small.mp4:derivative=mobile:f=webm"


def test_every_way_to_a_derivative_is_one_entry_and_every_layer_says_the_same(tmp_path):
    def configure(server):
        server.add(media.clip("small.mp4"), "small.mp4")
        server.config["derivatives"] = {"mobile": {"width": 64, "height": 48}}
    with serving.serving(tmp_path, configure) as server:
        hint = {"Sec-CH-Viewport-Width": "400"}
        target = PATH + "?mode=frame&loop=true&preload=none&filename=x.jpg&w=abc"
        seen = []
        for source in ("transform", "edge", "KV"):
            if source == "KV":
                server.wait_stored(1)
                server.restart()
            reply, body = server.get(target, headers=hint)
            expect.media_headers(reply, source=source, key="frame:videos/small.mp4:derivative=mobile")
            seen.append([reply[n] for n in ("X-Derivative", "X-Resolved-Width", "X-Resolved-Height", "X-Playback-Loop", "X-Playback-Preload", "Content-Disposition",
                                            "X-Param-Warnings", "Vary", "Accept-CH", "X-Origin", "X-Source-Type", "ETag")] + [body])
        assert seen[0] == seen[1] == seen[2]
        assert seen[0][:5] == ["mobile", "64", "36", "true", "none"]
        assert seen[0][6].startswith("w: must be a whole number") and seen[0][7] == "Sec-CH-Viewport-Width, Sec-CH-DPR, DPR"
        for query in ("imwidth=854", "im-viewwidth=100&im-density=2", "imheight=9", "derivative=mobile", "impolicy=mobile", "utm_source=x&imwidth=1"):
            reply, _ = server.get(PATH + "?mode=frame&" + query)
            expect.media_headers(reply, source="edge", key="frame:videos/small.mp4:derivative=mobile")
        reply, _ = server.get(PATH + "?mode=frame&debug=view", headers=hint)
        assert server.transforms() == 0, "after the restart nothing was made"


def test_device_classes_and_the_default_when_configured(tmp_path):
    def configure(server):
        server.add(media.clip("small.mp4"), "small.mp4")
        server.config["responsive"] = {"headers": "all", "saveData": False}
    with serving.serving(tmp_path, configure) as server:
        for agent, name in (("Mozilla/5.0 (iPhone; x) Mobile/15E148", "mobile"), ("Mozilla/5.0 (iPad; x) Mobile/15E148", "tablet"), ("curl/8", "desktop")):
            assert chosen(server, headers={"User-Agent": agent}) == (name, f"video:videos/small.mp4:derivative={name}", PLAIN + ", User-Agent")
        assert chosen(server)[0] == "desktop"
        assert chosen(server, headers={"CF-Device-Type": "tablet", "User-Agent": "iPhone"})[0] == "tablet"


def test_switched_off_the_url_alone_chooses(tmp_path):
    def configure(server):
        server.add(media.clip("small.mp4"), "small.mp4")
        server.config["responsive"] = {"headers": "off"}
    with serving.serving(tmp_path, configure) as server:
        assert chosen(server, headers={"Sec-CH-Viewport-Width": "400", "CF-Device-Type": "mobile"}) == (None, "video:videos/small.mp4", None)
        assert chosen(server, "?imwidth=400")[0] == "mobile"


def test_a_list_of_parameters_leaves_what_the_server_chose(tmp_path):
    """The list is about what clients send; `derivative` is not in it, and hints, imwidth and the User-Agent choose all the same."""
    def configure(server):
        server.add(media.clip("small.mp4"), "small.mp4")
        server.config["derivatives"] = {"mobile": {"width": 64, "height": 48}, "tablet": {"width": 80, "height": 60}, "desktop": {"width": 96, "height": 72}}
        server.config["responsive"] = {"headers": "all"}
        server.config["access"] = {"allowedParameters": ["mode", "imwidth"]}
    with serving.serving(tmp_path, configure) as server:
        for query, headers, name in (("", {"Sec-CH-Viewport-Width": "400"}, "mobile"), ("?mode=frame", {"CF-Device-Type": "tablet"}, "tablet"),
                                     ("", {"User-Agent": "Mozilla/5.0 (iPhone) Mobile"}, "mobile"), ("", {}, "desktop"), ("?imwidth=900", {}, "tablet")):
            got, key, _ = chosen(server, query, headers)
            assert got == name and key.endswith(f":videos/small.mp4:derivative={name}"), (query, headers, got, key)
        # What a client names itself is ignored, as the list says; the choice is still the server's.
        reply, _ = server.get(PATH + "?derivative=desktop", "HEAD", headers={"Width": "400"})
        assert (reply["X-Derivative"], reply["X-Param-Warnings"]) == ("mobile", "derivative: is not allowed here")
        reply, _ = server.get("/cdn-cgi/media/imwidth=100,mode=frame/videos/small.mp4")
        assert (reply.status, reply["X-KV-Cache-Key"]) == (200, "frame:videos/small.mp4:derivative=mobile")
        reply, body = server.get(PATH + "?mode=frame", headers={"CF-Device-Type": "tablet"})
        assert reply.status == 200 and reply["X-Resolved-Width"] == "80", reply.fields
