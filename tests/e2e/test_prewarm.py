"""Prewarming: what is made before anybody asks, and never before what somebody asks for (docs/prewarm.md)."""
import json
import os
import signal
import threading

import pytest

from kit import media
from kit.wait import until

SMALL = {"low": {"width": 160}, "lower": {"width": 120}, "still": {"mode": "frame", "width": 80}, "sound": {"mode": "audio"}}


@pytest.fixture
def ready(server):
    """A server with three derivatives of its own, two clips and an open admin API."""
    server.config["derivatives"] = dict(SMALL)
    server.add(media.clip("small.mp4"), "small.mp4")
    server.add(media.clip("silent.mp4"), "silent.mp4")
    server.open_admin()
    return server


def order(server, document, status=202, path="/admin/prewarm"):
    got, answer = server.admin_call("POST", path, document)
    assert got == status, (got, answer)
    return answer


def ended(server, id, seconds=90):
    """The order's last word."""
    def look():
        status, answer = server.admin_call("GET", "/admin/prewarm/" + id)
        assert status == 200, answer
        return answer if answer["state"] == "ended" else None
    found = []
    until(lambda: found.append(look()) or found[-1], f"order {id} has ended", seconds)
    return found[-1]


def counts(answer):
    return {name: answer[name] for name in ("total", "queued", "running", "made", "held", "joined", "failed", "cancelled")
            if answer[name]}


def is_hit(server, target):
    made = server.metric("video_resizer_productions_total")
    reply, body = server.get(target)
    assert reply.status == 200 and body, (reply.status, body)
    return server.metric("video_resizer_productions_total") == made


def test_sources_by_derivatives(ready):
    ready.start()
    answer = order(ready, {"sources": ["/videos/small.mp4", "videos/silent.mp4"], "derivatives": ["low", "still"]})
    assert answer["total"] == 4 and answer["cause"] == "order", answer
    last = ended(ready, answer["id"])
    assert counts(last) == {"total": 4, "made": 4}, last
    assert ready.metric("video_resizer_prewarm_total", result="made") == 4
    assert ready.metric("video_resizer_kv_entries") == 4, "stored when the order says so"
    for name in ("small.mp4", "silent.mp4"):
        for derivative in ("low", "still"):
            assert is_hit(ready, f"/videos/{name}?derivative={derivative}")
    assert ready.metric("video_resizer_edge_evictions") == 0


def test_targets_and_what_is_there_already(ready):
    ready.start()
    target = "/videos/small.mp4?width=100&mode=frame"
    assert not is_hit(ready, target)
    ready.wait_stored(1)
    answer = order(ready, {"targets": [target, target, "/videos/silent.mp4?mode=frame&width=60"]})
    assert answer["total"] == 2, "the same twice counts once"
    assert counts(ended(ready, answer["id"])) == {"total": 2, "made": 1, "held": 1}
    again = order(ready, {"targets": [target]})
    assert counts(ended(ready, again["id"])) == {"total": 1, "held": 1}
    status, listed = ready.admin_call("GET", "/admin/prewarm")
    assert status == 200 and [o["id"] for o in listed["orders"]] == [again["id"], answer["id"]], "the newest first"


def test_the_answer_is_what_a_request_would_have_got(ready):
    ready.start()
    targets = [f"/videos/small.mp4?derivative={name}" for name in SMALL]
    asked = {}
    for target in targets:
        assert ready.get(target)[0].status == 200
    ready.wait_stored(len(targets))
    for target in targets:
        reply, body = ready.get(target)
        asked[target] = (body, reply["ETag"], reply["X-KV-Cache-Key"], reply["Content-Type"], reply["Cache-Tag"])
    assert sum(ready.purge(everything=True).values()) > 0
    answer = order(ready, {"targets": targets})
    assert counts(ended(ready, answer["id"])) == {"total": len(targets), "made": len(targets)}
    for target in targets:
        reply, body = ready.get(target)
        assert (body, reply["ETag"], reply["X-KV-Cache-Key"], reply["Content-Type"], reply["Cache-Tag"]) == asked[target], target


@pytest.mark.parametrize("document, words", [
    ({}, "nothing to do"),
    ([], "JSON object"),
    ({"sources": ["/videos/small.mp4"]}, "go together"),
    ({"derivatives": ["low"]}, "go together"),
    ({"sources": "/videos/small.mp4", "derivatives": ["low"]}, "list"),
    ({"targets": [7]}, "list"),
    ({"targets": ["videos/small.mp4?width=100"]}, "begins with /"),
    ({"everything": True}, "unknown"),
    ({"targets": ["/nowhere/small.mp4?width=100"]}, "no origin"),
    ({"targets": ["/videos/readme.txt?width=100"]}, "not a video"),
    ({"targets": ["/videos/small.mp4?width=99999"]}, "width"),
    ({"sources": ["/videos/small.mp4"], "derivatives": ["low", "nosuch"]}, "derivative"),
    ({"targets": ["/videos/small.mp4?width=100&debug=view"]}, "nothing would keep"),
    ({"sources": ["/videos/small.mp4?width=1"], "derivatives": ["low"]}, "%3F"),
])
def test_bad_orders_are_refused_whole(ready, document, words):
    ready.start()
    answer = order(ready, document, 400)
    assert words in answer["error"]["message"], answer
    assert ready.admin_call("GET", "/admin/prewarm")[1] == {"orders": []}


def test_the_routes_are_the_operators(ready):
    ready.start()
    for path in ("/admin/prewarm", "/admin/prewarm/webhook"):
        body = json.dumps({"targets": ["/videos/small.mp4?width=100"]}).encode()
        reply, _ = ready.ask_admin(path, body, token="wrong")
        assert reply.status == 401
    assert ready.admin_call("PUT", "/admin/prewarm")[0] == 405
    assert ready.admin_call("GET", "/admin/prewarm/webhook")[0] == 405
    assert ready.admin_call("GET", "/admin/prewarm/0123")[0] == 404
    assert ready.admin_call("DELETE", "/admin/prewarm/0123")[0] == 404
    assert ready.get("/admin/prewarm")[0].status == 404


def test_a_failure_is_told_and_stops_nothing(ready):
    ready.start()
    answer = order(ready, {"sources": ["/videos/gone.mp4", "/videos/small.mp4"], "derivatives": ["still"]})
    last = ended(ready, answer["id"])
    assert counts(last) == {"total": 2, "made": 1, "failed": 1}, last
    assert last["failures"][0]["target"] == "/videos/gone.mp4?derivative=still"
    assert last["failures"][0]["code"], last
    assert ready.metric("video_resizer_prewarm_total", result="failed") == 1


def test_too_many_are_refused_and_none_of_them_taken(ready):
    ready.config["prewarm"] = {"queue": 3}
    ready.start()
    answer = order(ready, {"targets": [f"/videos/small.mp4?mode=frame&width={w}" for w in range(100, 104)]}, 503)
    assert answer["error"]["code"] == "OVERLOADED" and "prewarm.queue" in answer["error"]["message"], answer
    assert ready.metric("video_resizer_prewarm_total", result="refused") == 4
    assert ready.metric("video_resizer_productions_total") == 0


@pytest.fixture
def held_up(server, origin):
    """One place for transforms; /remote/a.mp4 waits for origin.heads, /videos/small.mp4 does not."""
    server.config["transform"] = {"workers": 1}
    server.config["derivatives"] = dict(SMALL)
    server.config["origins"] = [server.http_origin(origin), server.file_origin()]
    server.allow_loopback_origins()
    server.open_admin()
    server.add(media.clip("small.mp4"), "small.mp4")
    server.add(media.clip("long.mp4"), "long.mp4")
    origin.files["/a.mp4"] = media.clip("small.mp4")
    return server


def running(server):
    return server.metric("video_resizer_workers", state="busy")


def test_a_user_does_not_wait_for_what_nobody_asked_for(held_up):
    held_up.start()
    answer = order(held_up, {"targets": ["/videos/long.mp4?width=640"]})
    until(lambda: running(held_up) == 1, "it is being made")
    # The only place is taken, and by no user.
    reply, body = held_up.get("/videos/small.mp4?mode=frame&width=100")
    assert reply.status == 200 and body
    status, now = held_up.admin_call("GET", "/admin/prewarm/" + answer["id"])
    assert now["state"] == "running", "the frame did not wait for its end"
    assert counts(ended(held_up, answer["id"])) == {"total": 1, "made": 1}


def test_nothing_begins_while_users_have_all_places(held_up):
    held_up.start()
    with held_up.connect() as c:
        reply = c.ask("/videos/long.mp4?width=640")  # streamed while it is made
        assert reply.status == 200
        reply.some()
        assert running(held_up) == 1
        answer = order(held_up, {"targets": ["/videos/small.mp4?mode=frame&width=100"]})
        # A user's frame that comes later is made earlier: as long as it waits, nothing else begins.
        jobs = []
        asked = threading.Thread(target=lambda: jobs.append(held_up.get("/videos/small.mp4?mode=frame&width=90")))
        asked.start()
        until(lambda: held_up.metric("video_resizer_queue_depth") == 1, "the frame waits for its turn")
        status, now = held_up.admin_call("GET", "/admin/prewarm/" + answer["id"])
        assert counts(now) == {"total": 1, "queued": 1}, now
        while reply.some():
            pass
        asked.join()
    assert jobs[0][0].status == 200
    assert counts(ended(held_up, answer["id"])) == {"total": 1, "made": 1}
    rows = {row["path"]: row for row in held_up.admin_call("GET", "/admin/jobs")[1]["jobs"]}
    users, prewarmed = rows["/videos/small.mp4?mode=frame&width=90"], rows["/videos/small.mp4?mode=frame&width=100"]
    assert users["startedAt"] <= prewarmed["startedAt"]


def niceness(pid):
    return {os.getpriority(os.PRIO_PROCESS, int(task)) for task in os.listdir(f"/proc/{pid}/task")}


@pytest.mark.skipif(os.geteuid() != 0, reason="raising a process's priority is the superuser's")
def test_who_asks_for_it_joins_and_makes_it_urgent(held_up):
    held_up.start()
    answer = order(held_up, {"targets": ["/videos/long.mp4?width=640"]})
    until(lambda: any(19 in niceness(pid) for pid in held_up.workers()), "a worker gives way to all others")
    worker = next(pid for pid in held_up.workers() if 19 in niceness(pid))
    with held_up.connect() as c:
        c.begin("/videos/long.mp4?width=640")
        until(lambda: held_up.metric("video_resizer_joins_total") == 1, "the request has joined")
        row = next(r for r in held_up.admin_call("GET", "/admin/jobs")[1]["jobs"] if "endedAt" not in r)
        assert row["priority"] == "waiting" and row["waiters"] == 1, row
        until(lambda: niceness(worker) == {10}, "all of its threads are a user's")
        reply = c.reply()
        assert reply.status == 200
        while reply.some():
            pass
    assert counts(ended(held_up, answer["id"])) == {"total": 1, "made": 1}
    assert held_up.metric("video_resizer_productions_total") == 1, "made once"


def test_what_is_being_made_for_a_user_is_joined(held_up, origin):
    origin.heads.clear()
    held_up.start()
    target = "/remote/a.mp4?mode=frame&width=160"
    with held_up.connect() as c:
        c.begin(target)
        until(lambda: held_up.metric("video_resizer_productions_total") == 1, "it is being made")
        answer = order(held_up, {"targets": [target]})
        until(lambda: held_up.admin_call("GET", "/admin/prewarm/" + answer["id"])[1]["running"] == 1, "it has joined")
        origin.heads.set()
        reply = c.reply()
        assert reply.status == 200
        reply.body()
    assert counts(ended(held_up, answer["id"])) == {"total": 1, "joined": 1}
    assert held_up.metric("video_resizer_productions_total") == 1


def test_an_order_can_be_called_off(held_up):
    held_up.start()
    with held_up.connect() as c:
        reply = c.ask("/videos/long.mp4?width=640")
        assert reply.status == 200
        answer = order(held_up, {"targets": [f"/videos/small.mp4?mode=frame&width={w}" for w in (100, 101)]})
        status, now = held_up.admin_call("DELETE", "/admin/prewarm/" + answer["id"])
        assert status == 200 and counts(now) == {"total": 2, "cancelled": 2} and now["state"] == "ended", now
    assert held_up.metric("video_resizer_prewarm_queue") == 0


# -- over restarts

THREE = ["/videos/long.mp4?width=640", "/remote/a.mp4?mode=frame&width=160", "/videos/small.mp4?mode=frame&width=100"]


@pytest.fixture
def under_way(held_up):
    """(server, order): the first of three is being made, and takes long."""
    held_up.start()
    answer = order(held_up, {"targets": THREE})
    until(lambda: running(held_up) == 1, "the first is being made")
    return held_up, answer


def kept(server):
    file = server.data / "prewarm.orders"
    return file.read_bytes() if file.exists() else b""


def gone_on(server, answer):
    until(lambda: server.admin_call("GET", "/admin/prewarm/" + answer["id"])[0] == 200, "the order is known again")
    last = ended(server, answer["id"])
    assert (last["createdAt"], last["cause"]) == (answer["createdAt"], answer["cause"])
    until(lambda: b"small.mp4" not in kept(server), "nothing is kept any more", 20)
    for target in THREE:
        assert is_hit(server, target)
    return counts(last)


def test_orders_outlive_a_restart(under_way):
    server, answer = under_way
    server.stop()
    assert all(target.encode() in kept(server) for target in THREE)
    server.resume()
    assert gone_on(server, answer) == {"total": 3, "made": 3}


def test_orders_outlive_a_crash(under_way):
    server, answer = under_way
    until(lambda: all(target.encode() in kept(server) for target in THREE), "the order is kept")
    server.kill9()
    server.resume()
    assert gone_on(server, answer) == {"total": 3, "made": 3}


def test_what_is_no_variant_after_a_restart_has_failed(under_way):
    server, answer = under_way
    server.stop()
    server.config["origins"] = [server.file_origin()]
    server.start()
    until(lambda: server.admin_call("GET", "/admin/prewarm/" + answer["id"])[0] == 200, "the order is known again")
    last = ended(server, answer["id"])
    assert counts(last) == {"total": 3, "made": 2, "failed": 1}
    assert [(f["target"], f["code"]) for f in last["failures"]] == [(THREE[1], "NO_MATCHING_ORIGIN")]


def test_damaged_orders_are_a_line_in_the_log(ready):
    ready.data.mkdir(parents=True)
    (ready.data / "prewarm.orders").write_bytes(b"video-resizer prewarm 1\nnonsense")
    ready.start()
    assert ready.events("prewarm_orders_not_loaded")
    assert counts(ended(ready, order(ready, {"targets": THREE[2:]})["id"])) == {"total": 1, "made": 1}


# -- one decode for several

FOUR = {"a": {"width": 240}, "b": {"width": 200, "audio": False}, "c": {"width": 160, "compression": "low"}, "d": {"width": 120}}
FOUR_TARGETS = [f"/videos/small.mp4?derivative={name}" for name in FOUR]


def answers(server, targets):
    found = {}
    for target in targets:
        reply, body = server.get(target)
        assert reply.status == 200 and "ETag" in reply, (target, reply.status)
        stored = server.entry(reply["X-KV-Cache-Key"])["metadata"]
        for name in ("createdAt", "expiresAt"):
            stored.pop(name, None)
        stored["customData"] = stored["customData"]["planDigest"]  # not what it cost
        found[target] = (body, reply["ETag"], reply["Content-Type"], reply["Cache-Tag"], stored)
    return found


def jobs_done(server):
    return server.metric("video_resizer_job_seconds_count")


@pytest.fixture
def four(ready):
    ready.config["derivatives"] = {**FOUR, "still": SMALL["still"]}
    return ready


def test_four_videos_are_one_job_and_the_same_bytes(four):
    four.config["prewarm"] = {"together": 1}
    four.start()
    assert counts(ended(four, order(four, {"targets": FOUR_TARGETS})["id"])) == {"total": 4, "made": 4}
    assert jobs_done(four) == 4
    alone = answers(four, FOUR_TARGETS)
    four.purge(everything=True)
    four.config["prewarm"]["together"] = 6
    after = len(four.log)
    four.write_config()
    four.signal(signal.SIGHUP)
    four.wait_event("config_reloaded", after=after)
    last = ended(four, order(four, {"targets": FOUR_TARGETS + ["/videos/small.mp4?derivative=still"]})["id"])
    assert counts(last) == {"total": 5, "made": 5}
    assert jobs_done(four) == 4 + 2, "one for the videos, one for the frame"
    assert not four.events("prewarm_not_together")
    assert answers(four, FOUR_TARGETS) == alone


def test_what_is_held_is_left_out(four):
    four.start()
    assert four.get(FOUR_TARGETS[1])[0].status == 200
    four.wait_stored(1)
    last = ended(four, order(four, {"targets": FOUR_TARGETS})["id"])
    assert counts(last) == {"total": 4, "made": 3, "held": 1}
    assert jobs_done(four) == 2


def test_a_source_that_is_gone_fails_each(four):
    four.start()
    last = ended(four, order(four, {"sources": ["/videos/gone.mp4"], "derivatives": list(FOUR)})["id"])
    assert counts(last) == {"total": 4, "failed": 4}
    assert jobs_done(four) == 0


def test_one_that_cannot_be_made_does_not_take_the_others_along(four):
    four.start()
    last = ended(four, order(four, {"targets": FOUR_TARGETS[:2] + ["/videos/small.mp4?width=100&time=50s"]})["id"])
    assert counts(last) == {"total": 3, "made": 2, "failed": 1}, last
    assert last["failures"][0]["code"] == "TIME_OUT_OF_RANGE"
    assert four.events("prewarm_not_together")


def test_who_joins_one_of_several_does_not_wait_for_all(held_up):
    held_up.start()
    targets = [f"/videos/long.mp4?width={w}" for w in (640, 480)]
    answer = order(held_up, {"targets": targets})
    until(lambda: running(held_up) == 1, "both are being made")
    with held_up.connect() as c:
        reply = c.ask(targets[1])
        assert reply.status == 200
        assert "Content-Length" not in reply, "streamed while it is made"
        while reply.some():
            pass
    assert counts(ended(held_up, answer["id"])) == {"total": 2, "made": 2}
    assert held_up.metric("video_resizer_productions_total") == 2, "the same productions, begun anew"
    for target in targets:
        path = held_up.folder / "made.mp4"
        path.write_bytes(held_up.get(target)[1])
        assert not media.decode_errors(path)


# -- uploads

def notification(*keys, event="ObjectCreated:Put", bucket="media"):
    return {"Records": [{"eventName": event, "s3": {"bucket": {"name": bucket}, "object": {"key": key}}} for key in keys]}


def test_an_upload_has_its_derivatives_made(ready):
    ready.config["prewarm"] = {"onUpload": ["low", "still"], "uploadPath": "/videos/${key}"}
    ready.add(media.clip("small.mp4"), "my clip+1.mp4")
    ready.start()
    answer = order(ready, notification("my+clip%2B1.mp4", "notes.txt"), path="/admin/prewarm/webhook")
    assert answer["ignored"] == 1 and len(answer["orders"]) == 1, answer
    assert answer["orders"][0]["cause"] == "upload"
    assert counts(ended(ready, answer["orders"][0]["id"])) == {"total": 2, "made": 2}
    for name in ("low", "still"):
        assert is_hit(ready, "/videos/my%20clip%2B1.mp4?derivative=" + name)


def test_other_notifications_are_taken_and_ignored(ready):
    ready.config["prewarm"] = {"onUpload": ["still"], "uploadPath": "/videos/${key}"}
    ready.start()
    for document in (notification("small.mp4", event="ObjectRemoved:Delete"), {"Service": "Amazon S3", "Event": "s3:TestEvent"}):
        assert order(ready, document, path="/admin/prewarm/webhook") == {"orders": [], "ignored": 1}
    assert order(ready, notification(), path="/admin/prewarm/webhook") == {"orders": [], "ignored": 0}
    for document in ({}, {"Records": 7}, {"Records": [{}]}, {"Records": [7]}, notification("%zz")):
        answer = order(ready, document, 400, path="/admin/prewarm/webhook")
        assert answer["error"]["code"] == "INVALID_PARAMETER"
    assert ready.metric("video_resizer_productions_total") == 0


def test_an_upload_over_an_old_source_is_made_again(ready):
    ready.config["prewarm"] = {"onUpload": ["still"], "uploadPath": "/${bucket}/${key}"}
    ready.start()
    target = "/videos/silent.mp4?derivative=still"
    assert not is_hit(ready, target)
    ready.wait_stored(1)
    old = ready.get(target)[0]["ETag"]
    told = notification("silent.mp4", bucket="videos", event="s3:ObjectCreated:CompleteMultipartUpload")
    same = order(ready, told, path="/admin/prewarm/webhook")["orders"][0]
    assert counts(ended(ready, same["id"])) == {"total": 1, "held": 1}
    path = ready.media / "silent.mp4"
    path.unlink()
    path.write_bytes(media.clip("small.mp4").read_bytes())
    new = order(ready, told, path="/admin/prewarm/webhook")["orders"][0]
    assert counts(ended(ready, new["id"])) == {"total": 1, "made": 1}
    assert is_hit(ready, target)
    assert ready.get(target)[0]["ETag"] != old, "the edge has let go of the old one too"


# -- hot sources

def test_a_hot_source_gets_its_other_derivatives(ready):
    ready.config["prewarm"] = {"hotRequests": 5, "hotWindow": "1h", "derivatives": ["still", "sound"]}
    ready.start()
    for _ in range(4):
        assert ready.get("/videos/small.mp4?mode=frame&width=70")[0].status == 200
        assert ready.get("/videos/silent.mp4?mode=frame&width=70")[0].status == 200
    assert ready.admin_call("GET", "/admin/prewarm")[1] == {"orders": []}, "warm, not hot"
    assert ready.get("/videos/small.mp4?mode=frame&width=70")[0].status == 200
    until(lambda: ready.admin_call("GET", "/admin/prewarm")[1]["orders"], "there is an order")
    orders = ready.admin_call("GET", "/admin/prewarm")[1]["orders"]
    assert [o["cause"] for o in orders] == ["hot"]
    assert counts(ended(ready, orders[0]["id"])) == {"total": 2, "made": 2}
    for _ in range(12):
        ready.get("/videos/small.mp4?mode=frame&width=70")
    assert len(ready.admin_call("GET", "/admin/prewarm")[1]["orders"]) == 1, "it has been looked after"
    assert is_hit(ready, "/videos/small.mp4?derivative=sound")


def test_hot_sources_are_off_by_default_and_a_reload_can_switch_them_on(ready):
    ready.config["prewarm"] = {"derivatives": ["still"]}
    ready.start()
    for _ in range(20):
        ready.get("/videos/small.mp4?mode=frame&width=70")
    assert ready.admin_call("GET", "/admin/prewarm")[1] == {"orders": []}
    ready.config["prewarm"]["hotRequests"] = 2
    after = len(ready.log)
    ready.write_config()
    ready.signal(signal.SIGHUP)
    ready.wait_log(lambda e: "reload" in e.get("event", ""), "the reload", after=after)
    for _ in range(2):
        ready.get("/videos/small.mp4?mode=frame&width=70")
    until(lambda: ready.admin_call("GET", "/admin/prewarm")[1]["orders"], "there is an order")
