"""Long productions: 202, jobs, server-sent events, and the operator's list (docs/jobs.md)."""
import concurrent.futures
import json
import os
import pathlib
import re
import signal

import pytest

from kit import expect, media, wire
from kit.wait import until

ASYNC = {"Prefer": "respond-async"}
TARGET = "/videos/long.mp4?width=640"
REMOTE = "/remote/a.mp4?mode=frame&width=160"
KEY = "frame:remote/a.mp4:w=160"


@pytest.fixture
def long(server):
    """The server with a clip that takes seconds to transcode, and an open admin API."""
    server.add(media.clip("long.mp4"), "long.mp4")
    server.open_admin()
    server.start()
    return server


@pytest.fixture
def gated(server, origin):
    """A server whose only source does not answer before origin.heads.set()."""
    server.config["origins"] = [server.http_origin(origin)]
    server.allow_loopback_origins()
    server.open_admin()
    origin.files["/a.mp4"] = media.clip("small.mp4")
    origin.heads.clear()
    return server


def accepted(server, target, headers=(("Prefer", "respond-async"),)):
    """Asks, expects 202. @return (reply, document)"""
    reply, body = server.get(target, headers=headers)
    assert reply.status == 202, (reply.status, body)
    return reply, json.loads(body)


class Events:
    """Server-sent events of one job as they come."""

    def __init__(self, connection, job):
        self.reply = connection.ask("/sse/job/" + job)
        self._text = b""

    def next(self):
        """The next event's document; None at the complete end. Comments are passed over."""
        while True:
            while b"\n\n" not in self._text:
                data = self.reply.some()
                if not data:
                    assert self._text == b"", "ends inside an event"
                    return None
                self._text += data
            block, _, self._text = self._text.partition(b"\n\n")
            data = [line[6:] for line in block.decode().split("\n") if line.startswith("data: ")]
            if data:
                return json.loads("\n".join(data))

    def rest(self):
        found = []
        while (event := self.next()) is not None:
            found.append(event)
        return found


def follow(server, job):
    with server.connect() as c:
        events = Events(c, job)
        return events.reply, events.rest()


def jobs(server):
    reply, document = server.ask_admin("/admin/jobs")
    assert reply.status == 200 and reply["Cache-Control"] == "no-store"
    return document["jobs"]


def job_of(server, job):
    return next(j for j in jobs(server) if j["id"] == job)


def test_who_prefers_it_gets_202_follows_the_work_and_finds_the_result(long):
    reply, told = accepted(long, TARGET)
    assert reply["Preference-Applied"] == "respond-async"
    assert reply["Cache-Control"] == "no-store" and 1 <= int(reply["Retry-After"]) <= 5
    assert reply["Content-Type"] == "application/json" and "ETag" not in reply
    assert reply["X-KV-Cache-Key"] == "video:videos/long.mp4:w=640"
    assert set(told) == {"status", "jobId", "message", "path", "sse"}
    assert told["status"] in ("queued", "transcoding") and told["path"] == TARGET
    assert re.fullmatch("[0-9a-f]{32}", told["jobId"])
    assert told["sse"] == f"http://{long.address}/sse/job/{told['jobId']}"
    head, events = follow(long, told["jobId"])
    assert head.status == 200 and head["Content-Type"] == "text/event-stream" and head["Cache-Control"] == "no-store"
    percents = [e["percent"] for e in events]
    assert percents == sorted(percents) and 0 <= percents[0] and percents[-1] == 100
    order = ["queued", "transcoding", "storing", "complete"]
    ranks = [order.index(e["status"]) for e in events]
    assert ranks == sorted(ranks) and events[-1] == {"status": "complete", "percent": 100, "path": TARGET}
    assert len(set(percents)) > 3, "progress was told while it was made"
    assert "complete" not in [e["status"] for e in events[:-1]]
    hit, body = long.get(events[-1]["path"], headers=ASYNC)
    assert hit.status == 200 and hit["X-Cache-Status"] == "HIT" and body
    assert "Preference-Applied" not in hit
    assert long.transforms() == long.transforms(result="ok") == 1
    assert follow(long, told["jobId"])[1] == [events[-1]], "and is still told afterwards"
    assert long.metric("video_resizer_requests_total", status="202") == 1


def test_one_job_per_variant_however_many_ask(long):
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: accepted(long, TARGET)[1], range(20)))
    assert len({a["jobId"] for a in answers}) == 1
    assert len(jobs(long)) == 1
    _, events = follow(long, answers[0]["jobId"])
    assert events[-1]["status"] == "complete"
    assert long.transforms() == 1
    _, other = accepted(long, TARGET + "&audio=false")
    assert other["jobId"] != answers[0]["jobId"]


def test_others_join_the_stream_of_what_somebody_was_promised(long):
    _, told = accepted(long, TARGET)
    with long.connect() as c:
        reply = c.ask(TARGET)
        assert reply.status == 200 and reply.some()
        again, same = accepted(long, TARGET)
        assert same["jobId"] == told["jobId"]
        reply.skip()
        assert reply.complete
    assert long.transforms() == 1


def test_it_goes_on_although_everybody_has_left(server):
    server.add(media.clip("long.mp4"), "long.mp4")
    server.config["cache"] = {"abandonAfter": 1, "keepFromPercent": 100}
    server.open_admin()
    server.start()
    _, told = accepted(server, "/videos/long.mp4?width=1280&compression=high")
    assert job_of(server, told["jobId"])["priority"] == "unattended"
    until(lambda: job_of(server, told["jobId"])["state"] == "complete", "it is made", 120)
    assert server.metric("video_resizer_abandoned_total") == 0


def test_an_unknown_id_is_answered_and_over(running):
    for job in ("0" * 32, "nonsense", "", "%00", "a/b"):
        reply, events = follow(running, job)
        assert reply.status == 200 and events == [{"status": "not_found"}] and reply.complete
    reply, body = running.get("/sse/job/0", "POST")
    assert reply.status == 405 and reply["Allow"] == "GET, HEAD"
    reply, body = running.get("/sse/job/0", "HEAD")
    assert reply.status == 200 and body == b""


def test_a_failing_source_is_a_failed_job_and_then_the_error(gated, origin):
    gated.start()
    del origin.files["/a.mp4"]
    _, told = accepted(gated, REMOTE)
    with gated.connect() as c:
        events = Events(c, told["jobId"])
        assert events.next()["status"] == "queued"
        origin.heads.set()
        last = events.rest()[-1]
    assert last["status"] == "failed" and last["error"]["code"] == "NOT_FOUND"
    reply, body = gated.get(REMOTE, headers=ASYNC)
    assert reply.status == 404 and reply["X-Cache-Status"] == "HIT"
    expect.error(reply, body, "NOT_FOUND")
    assert job_of(gated, told["jobId"])["error"]["code"] == "NOT_FOUND"


def test_a_failure_of_ours_is_terminal_for_who_polls(long):
    """R-118: nothing remembers it for a plain request, so a poller would wait for ever."""
    _, told = accepted(long, TARGET)
    with long.connect() as c:
        events = Events(c, told["jobId"])
        while events.next()["percent"] == 0:
            pass
        for pid in long.workers():
            os.kill(pid, signal.SIGKILL)
        last = events.rest()[-1]
    assert last["status"] == "failed" and last["error"]["code"] == "TRANSFORM_FAILED"
    for headers in (ASYNC, {}):
        reply, body = long.get(TARGET, headers=headers)
        assert reply.status == 500 and reply["Cache-Control"] == "no-store"
        expect.error(reply, body, "TRANSFORM_FAILED")
    assert long.transforms() == 1
    long.purge(key="video:videos/long.mp4:w=640")
    with long.connect() as c:
        reply = c.ask(TARGET)
        assert reply.status == 200 and reply.some(), "a purge forgets it"


def test_a_worker_that_dies_before_it_read_the_job_costs_nothing(server):
    """One that was killed from outside while it stood ready (the out-of-memory killer takes whom it likes)."""
    server.add(media.clip("small.mp4"), "small.mp4")
    server.config["transform"] = {"workers": 1}
    server.start()
    only, = until(lambda: server.workers(), "the worker stands ready")
    os.kill(only, signal.SIGSTOP)
    with server.connect() as c:
        c.begin("/videos/small.mp4?mode=frame&width=64")
        until(lambda: server.metric("video_resizer_workers", state="busy") == 1, "the stopped worker has the job")
        os.kill(only, signal.SIGKILL)
        reply = c.reply()
        assert reply.status == 200 and reply.body()
    assert server.metric("video_resizer_job_second_tries_total") == 1


def test_an_operator_sees_and_cancels_jobs(gated, origin):
    gated.start()
    with gated.connect() as waiter, gated.connect() as follower:
        waiter.begin(REMOTE)
        until(lambda: len(jobs(gated)) == 1, "the production has a job")
        row = jobs(gated)[0]
        assert (row["key"], row["state"], row["percent"]) == (KEY, "queued", 0)
        assert (row["origin"], row["priority"], row["waiters"], row["path"]) == ("remote", "waiting", 1, REMOTE)
        assert row["seconds"] >= 0 and row["createdAt"] > 1_600_000_000_000
        events = Events(follower, row["id"])
        assert events.next() == {"status": "queued", "percent": 0}
        assert gated.admin_call("DELETE", "/admin/jobs/" + row["id"]) == (200, {"id": row["id"], "state": "cancelled"})
        assert events.rest()[-1]["status"] == "cancelled"
        reply = waiter.reply()
        assert reply.status == 503 and reply["Retry-After"] and reply["Cache-Control"] == "no-store"
        expect.error(reply, reply.body(), "CANCELLED")
    assert gated.admin_call("DELETE", "/admin/jobs/" + row["id"])[0] == 409
    assert gated.admin_call("DELETE", "/admin/jobs/" + "0" * 32)[0] == 404
    assert gated.metric("video_resizer_negative_stored_total") == 0
    origin.heads.set()
    assert gated.get(REMOTE)[0].status == 200, "whoever comes next starts afresh"
    until(lambda: {j["state"] for j in jobs(gated)} == {"cancelled", "complete"}, "both are listed")


def test_a_running_transform_is_cancelled_with_its_worker(long):
    _, told = accepted(long, TARGET)
    until(lambda: job_of(long, told["jobId"])["percent"] > 0, "it runs")
    assert long.admin_call("DELETE", "/admin/jobs/" + told["jobId"])[0] == 200
    until(lambda: long.transforms(result="cancelled") == 1, "the transform ends")
    assert long.metric("video_resizer_worker_deaths_total", cause="cancelled") == 1
    assert long.metric("video_resizer_kv_entries") == 0


def test_the_jobs_api_needs_the_token(long):
    assert long.ask_admin("/admin/jobs", token="wrong")[0].status == 401
    long.admin_token = "wrong"
    assert long.admin_call("DELETE", "/admin/jobs/1")[0] == 401
    long.admin_token = long.TOKEN
    assert long.admin_call("POST", "/admin/jobs/1", {})[0] == 405


def test_a_client_that_goes_away_leaves_nothing_behind(gated, origin):
    gated.start()
    _, told = accepted(gated, REMOTE)
    descriptors = lambda: len(list(pathlib.Path(f"/proc/{gated.pid}/fd").iterdir()))  # noqa: E731
    before = descriptors()
    clients = [gated.connect() for _ in range(20)]
    for i, c in enumerate(clients):
        assert Events(c, told["jobId"]).next()["status"] == "queued"
        assert gated.metric("video_resizer_event_streams") == i + 1
    for c in clients:
        c.reset()
    until(lambda: gated.metric("video_resizer_event_streams") == 0, "the streams are gone")
    until(lambda: descriptors() <= before + 2, "and their descriptors")
    origin.heads.set()
    assert follow(gated, told["jobId"])[1][-1]["status"] == "complete", "and the job is not impressed"


def test_only_so_many_may_follow(gated, origin):
    gated.config["transform"] = {"maxEventStreams": 1}
    gated.start()
    _, told = accepted(gated, REMOTE)
    with gated.connect() as one:
        assert Events(one, told["jobId"]).next()
        reply, body = gated.get("/sse/job/" + told["jobId"])
        assert reply.status == 503 and reply["Retry-After"]
        expect.error(reply, body, "OVERLOADED")
        assert follow(gated, "unknown")[1] == [{"status": "not_found"}]
    until(lambda: gated.metric("video_resizer_event_streams") == 0, "there is room again")
    origin.heads.set()
    assert follow(gated, told["jobId"])[1][-1]["status"] == "complete"


def test_a_drain_ends_the_streams(gated, origin):
    gated.config["http"] = {"drainTimeout": 1}
    gated.start()
    _, told = accepted(gated, REMOTE)
    with gated.connect() as c:
        events = Events(c, told["jobId"])
        assert events.next()["status"] == "queued"
        gated.signal(signal.SIGTERM)
        assert events.rest() == [] and events.reply.complete, "a clean end, not a cut"


def test_a_drain_does_not_wait_for_what_nobody_waits_for(server):
    server.add(media.clip("long.mp4"), "long.mp4")
    server.config["cache"] = {"keepFromPercent": 0, "abandonAfter": 600}
    server.start()
    c = server.connect()
    assert c.ask("/videos/long.mp4?width=1280&compression=high").some()
    c.reset()
    until(lambda: server.metric("video_resizer_http_connections") <= 1, "the client is gone")
    server.stop()
    assert server.events("productions_given_up")[0]["count"] == 1


def test_a_head_begins_nothing(long):
    assert long.get(TARGET, "HEAD", ASYNC)[0].status == 200
    assert jobs(long) == [] and long.transforms() == 0


@pytest.mark.parametrize("query, headers", [("&nocache=1", {}), ("&debug=true", {}), ("&no-kv-cache=1", {}), ("", {"X-Debug": "true"})])
def test_what_is_made_for_one_client_only_is_waited_for(running, query, headers):
    reply, body = running.get("/videos/small.mp4?mode=frame&width=64" + query, headers={**headers, **ASYNC})
    assert reply.status == 200 and body and "Preference-Applied" not in reply


def test_what_nothing_keeps_is_waited_for(server):
    """A 202 would be the answer for ever."""
    server.add(media.clip("small.mp4"), "small.mp4")
    server.config["cache"] = {"kvTtl": {"ok": 0}}
    server.start()
    assert server.get("/videos/small.mp4?mode=frame&width=64", headers=ASYNC)[0].status == 200


def test_a_client_may_say_how_long_it_waits(gated, origin):
    gated.start()
    accepted(gated, REMOTE, {"Prefer": "respond-async, wait=0"})
    with gated.connect() as c:
        c.begin(REMOTE, headers={"Prefer": "respond-async, wait=60"})
        origin.heads.set()
        assert c.reply().status == 200


def test_a_range_is_not_waited_for_either(gated):
    gated.start()
    accepted(gated, REMOTE, {"Range": "bytes=10-20", **ASYNC})


def test_the_link_is_what_is_configured(server):
    server.add(media.clip("long.mp4"), "long.mp4")
    server.config["publicUrl"] = "https://media.example.com/v/"
    server.start()
    _, told = accepted(server, TARGET)
    assert told["sse"] == "https://media.example.com/v/sse/job/" + told["jobId"]


@pytest.mark.parametrize("fields, start", [([("Host", "cdn.example.com")], "http://cdn.example.com"), ([("Host", 'a"b')], None),
                                           ([("Host", "x.example"), ("X-Forwarded-Proto", "https")], "https://x.example")])
def test_or_what_the_client_used(long, fields, start):
    reply, body = long.get(TARGET, headers=fields + list(ASYNC.items()))
    if start is None and reply.status == 400:
        return  # refused before anybody could make a link of it
    told = json.loads(body)
    assert told["sse"] == (start or "") + "/sse/job/" + told["jobId"]


def test_who_waits_longer_than_the_threshold_is_sent_away(gated, origin):
    gated.config["transform"] = {"asyncThreshold": 1}
    gated.start()
    reply, told = accepted(gated, REMOTE, {})
    assert "Preference-Applied" not in reply
    assert accepted(gated, REMOTE, {})[1]["jobId"] == told["jobId"], "at once now"
    origin.heads.set()
    assert follow(gated, told["jobId"])[1][-1]["status"] == "complete"
    assert gated.get(REMOTE)[0]["X-Cache-Status"] == "HIT"


def test_an_estimate_over_the_threshold_sends_everybody_away(server):
    server.add(media.clip("long.mp4"), "long.mp4")
    server.config["transform"] = {"asyncThreshold": 1}
    server.open_admin()
    server.start()
    target = "/videos/long.mp4?width=1280&compression=high"
    _, told = accepted(server, target, {})
    row = job_of(server, told["jobId"])
    assert row["estimatedSeconds"] > 1 and row["state"] == "transcoding"
    until(lambda: job_of(server, told["jobId"])["percent"] > 5, "there are bytes to stream")
    for headers in ({}, {"Range": "bytes=0-"}, {"Range": "bytes=100-200"}):
        assert accepted(server, target, headers)[1]["jobId"] == told["jobId"], "whenever one comes"
    _, events = follow(server, told["jobId"])
    assert events[-1]["status"] == "complete"
    assert server.get(target)[0]["X-Cache-Status"] == "HIT" and server.transforms() == 1
    reply, body = server.get("/videos/long.mp4?width=160&duration=1")
    assert reply.status == 200 and body, "what is quick streams"


def test_a_threshold_of_zero_sends_nobody_away(gated, origin):
    gated.config["transform"] = {"asyncThreshold": 0}
    gated.start()
    with gated.connect() as c:
        c.begin(REMOTE)
        until(lambda: len(jobs(gated)) == 1 and jobs(gated)[0]["seconds"] > 1.2, "it takes its time")
        origin.heads.set()
        assert c.reply().status == 200


def test_a_restart_forgets_jobs_and_the_request_makes_another(gated, origin):
    gated.config["http"] = {"drainTimeout": 1}
    gated.start()
    _, told = accepted(gated, REMOTE)
    gated.kill9()
    gated.resume()
    assert follow(gated, told["jobId"])[1] == [{"status": "not_found"}]
    _, again = accepted(gated, REMOTE)
    assert again["jobId"] != told["jobId"]
    origin.heads.set()
    assert follow(gated, again["jobId"])[1][-1]["status"] == "complete"


@pytest.mark.parametrize("section, field, value, said", [
    ("transform", "asyncThreshold", "soon", "/transform/asyncThreshold"), ("transform", "asyncThreshold", -1, "0..86400"),
    ("transform", "maxEventStreams", -1, "/transform/maxEventStreams"), ("transform", "maxEventStreams", "many", "0..100000")])
def test_a_wrong_setting_is_named(server, section, field, value, said):
    server.config[section] = {field: value}
    server.launch()
    assert server.process.wait(20) != 0
    server._reader.join(10)
    assert said in "\n".join(server.raw_log)
    server.process = None
