"""Health, metrics and the log, as an operator's tools see them."""
import pytest

from kit import media, wire
from kit.wait import until

NAMES = ["video_resizer_requests_total", "video_resizer_transforms_total", "video_resizer_origin_requests_total", "video_resizer_kv_stores_total",
         "video_resizer_encode_seconds_total", "video_resizer_encode_seconds_saved_total", "video_resizer_kv_bytes", "video_resizer_kv_entries",
         "video_resizer_edge_bytes", "video_resizer_queue_depth", "video_resizer_request_seconds"]


@pytest.fixture
def used(running):
    running.get("/videos/small.mp4?width=160")
    running.wait_stored(1)
    running.get("/videos/small.mp4?width=160")
    running.get("/nowhere")
    return running


def test_metric_names_of_the_contract(used):
    types = {line.split()[2]: line.split()[3] for line in used.metrics_text().splitlines() if line.startswith("# TYPE")}
    missing = [name for name in NAMES if name not in types]
    assert not missing
    for name, kind in types.items():
        if name.endswith("_total"):
            assert kind == "counter", name
    assert types["video_resizer_request_seconds"] == "histogram"
    labels = {n: set(l) for n, l, _ in used.series()}
    assert {"layer", "status"} <= labels["video_resizer_requests_total"]
    assert {"mode", "format", "result"} <= labels["video_resizer_transforms_total"]
    assert {"origin", "result"} <= labels["video_resizer_origin_requests_total"]
    assert {"layer"} <= labels["video_resizer_request_seconds_count"]


def test_values_make_sense(used):
    assert used.metric("video_resizer_transforms_total", mode="video", format="mp4", result="ok") == 1
    assert used.metric("video_resizer_kv_entries") == 1
    assert used.metric("video_resizer_kv_bytes") > 1000
    assert used.metric("video_resizer_edge_bytes") > 1000
    until(lambda: used.metric("video_resizer_encode_seconds_total") > 0, "the worker's CPU time, known at its end, is counted")
    until(lambda: used.metric("video_resizer_encode_seconds_saved_total") > 0, "the hit saved an encode")
    assert used.metric("video_resizer_queue_depth") == 0


def test_health_on_both_listeners(running):
    for address in (running.address, running.admin):
        for path in ("/healthz", "/readyz"):
            assert wire.fetch(address, path)[0].status == 200, (address, path)
    assert wire.fetch(running.address, "/metrics")[0].status == 404, "metrics are not public"


def test_one_access_line_per_request(used):
    def lines():
        return [e for e in used.log if e.get("event") in ("access", "request")]
    until(lambda: len(lines()) >= 3, "three access lines")
    entries = lines()
    text = str(entries)
    assert "/videos/small.mp4" in text and "edge" in text and "transform" in text
    reply, _ = used.get("/videos/small.mp4?width=160", headers={"X-Request-ID": "find-me-1"})
    until(lambda: any("find-me-1" in str(e) for e in lines()), "the request id is in the log")
    assert reply.status == 200


def test_every_log_line_is_json(used):
    used.stop()
    assert used.raw_log and len(used.log) == len(used.raw_log), used.log_tail()


def test_a_client_that_leaves_is_not_an_error(running):
    running.add(media.clip("medium.mp4"), "medium.mp4")
    c = running.connect(receive_buffer=4096)
    c.ask("/videos/medium.mp4").some(10)
    c.reset()
    assert running.ready()
    assert not [e for e in running.log if e.get("level") == "error"], running.log_tail()
