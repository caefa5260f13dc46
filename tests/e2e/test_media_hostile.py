"""What attackers, broken disks and careless people send: the server answers each with its own code, soon, and nothing else happens.
VR_MUTATIONS (500) and VR_SEED (1) choose the mutations; a failure names its seed."""
import collections
import concurrent.futures
import os
import re
import subprocess
import time
import warnings

import pytest

from kit import expect, hostile, media, serving, wire
from kit.origin import HttpOrigin
from kit.wait import until

MUTATIONS = int(os.environ.get("VR_MUTATIONS", "500"))
SEED = int(os.environ.get("VR_SEED", "1"))
SOON = 2.0       # seconds in which a refusal should come: told, as machines differ
BOUND = 30.0     # seconds in which it has to come: failed
MODES = ["width=64", "mode=frame&width=64", "mode=spritesheet&columns=2&rows=2&width=64", "mode=audio", "mode=frame&format=png&width=64", "width=64&format=webm",
         "width=64&format=gif", "mode=info", "width=64&format=av1", "width=64&format=h265", "mode=frame&format=webp&width=64", "width=64&format=webp",
         "mode=audio&format=mp3", "mode=audio&format=opus", "width=64&speed=2", "width=64&fps=5&rotate=90&crop=32:32:8:8", "width=64&time=300ms&duration=300ms",
         "mode=spritesheet&columns=2&rows=2&width=64&format=vtt"]
# What damaged media may be answered with.
DOCUMENTED = {"SOURCE_CORRUPT", "SOURCE_UNSUPPORTED", "SOURCE_TOO_LARGE", "TIME_OUT_OF_RANGE", "TRANSFORM_TIMEOUT", "TRANSFORM_FAILED"}
LANDED = {}


@pytest.fixture(scope="module")
def canary(tmp_path_factory):
    """A listener that must not be asked and a file that must not be read. The file is outside of what is served, and a good video."""
    origin = HttpOrigin()
    path = tmp_path_factory.mktemp("canary") / "canary.mp4"
    path.write_bytes(media.clip("h-mp4.mp4").read_bytes())
    origin.files = {f"/{n}": path for n in ("segment.ts", "a.mp4", "b.mp4", "reference.mp4", "x", "i.png")}
    watch = hostile.Watch(path)
    yield origin, path, watch
    watch.close()
    origin.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory, canary):
    folder = tmp_path_factory.mktemp("hostile")
    bombs = hostile.bombs(folder)

    def configure(s):
        s.config["transform"] = {"timeout": "10s"}
        for name, (data, _) in bombs.items():
            (s.media / name).write_bytes(data)
        for name, data in hostile.dressed(canary[0].url, canary[1]).items():
            (s.media / ("dressed-" + name)).write_bytes(data)
        for name in hostile.VALID:
            s.add(media.clip(name), name)
    with serving.serving(folder, configure) as s:
        s.bombs = bombs
        yield s


@pytest.fixture(autouse=True)
def log_of(request):
    if "server" in request.fixturenames:
        request.node._vr_server = request.getfixturevalue("server")


def landed(server, query):
    """Whether this version makes that, asked once with a good file."""
    if query not in LANDED:
        try:
            serving.ask(server, f"/videos/h-mp4.mp4?{query}")
            LANDED[query] = True
        except serving.NotYet:
            LANDED[query] = False
    return LANDED[query]


def look(server, target, folder, name):
    """@return (code or "media" or "cut" or a complaint that begins with "!", seconds)"""
    begin = time.monotonic()
    try:
        answer = serving.ask(server, target, folder, name, timeout=120)
    except wire.Cut:
        return "cut", time.monotonic() - begin
    except serving.NotYet:
        return "not yet", 0.0
    except Exception as e:
        return f"! {type(e).__name__}: {e}", time.monotonic() - begin
    seconds = time.monotonic() - begin
    if answer.code:
        return answer.code, seconds
    if not answer.body or not hostile.still_media(answer.path):
        return f"! 200 with {len(answer.body)} bytes that nobody can read", seconds
    answer.path.unlink()
    return "media", seconds


def slow(seconds, what):
    assert seconds < BOUND, f"{what} took {seconds:.1f} s"
    if seconds > SOON:
        warnings.warn(f"{what} took {seconds:.1f} s")


BOMBS = ["width=64", "mode=frame&width=64", "mode=spritesheet&columns=2&rows=2&width=64", "mode=info"]


@pytest.mark.parametrize("query", BOMBS)
def test_bombs_get_their_own_code(server, tmp_path, query):
    """Each in 2 s (told when not), with the code that says what is wrong."""
    if not landed(server, query):
        pytest.skip(f"not made yet: {query}")
    wrong = []
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = {name: pool.submit(look, server, f"/videos/{name}?{query}", tmp_path, name) for name in server.bombs}
        for name, job in jobs.items():
            found, seconds = job.result()
            allowed = server.bombs[name][1]
            if query == "mode=info":  # facts can be told of more than can be shown
                allowed = allowed | {None}
            if found not in {"media" if code is None else code for code in allowed}:
                wrong.append(f"{name}: {found} ({seconds:.2f} s), expected {sorted(str(c) for c in allowed)}")
            slow(seconds, f"{name}?{query}")
    if wrong and "spritesheet" in query and all("TIME_OUT_OF_RANGE" in w for w in wrong):
        pytest.xfail("a sheet of a source without a picture says TIME_OUT_OF_RANGE: " + wrong[0])
    assert not wrong, "\n".join(wrong)
    assert server.process.poll() is None


@pytest.mark.parametrize("query", BOMBS + ["mode=audio"])
def test_disguised_playlists_lead_nowhere(server, canary, tmp_path, query):
    if not landed(server, query):
        pytest.skip(f"not made yet: {query}")
    origin, path, watch = canary
    wrong = []
    names = sorted(p.name for p in server.media.iterdir() if p.name.startswith("dressed-"))
    assert len(names) > 10
    for name in names:
        found, seconds = look(server, f"/videos/{name}?{query}", tmp_path, name)
        # A data reference that is not the file itself: what it hides is not looked for elsewhere; the rest may be played.
        allowed = {"SOURCE_UNSUPPORTED", "SOURCE_CORRUPT"} | ({"media"} if name in ("dressed-elsewhere.mp4", "dressed-location-box.mp4") else set())
        if query == "mode=info" and name == "dressed-reference-movie.mov":
            allowed.add("media")  # an index without tracks: facts of nothing, and nobody was asked
        if found not in allowed:
            wrong.append(f"{name}: {found}")
        slow(seconds, f"{name}?{query}")
        assert not origin.requests, f"{name} made the server ask {origin.requests}"
        assert not watch.touched(), f"{name} made the server read the canary file"
    assert not wrong, "\n".join(wrong)


def test_the_canary_sings(canary):
    """The trap works: it tells of a request and of a read. Runs last on its own objects."""
    origin = HttpOrigin()
    origin.files["/x"] = canary[1]
    wire.fetch(origin.address, "/x")
    assert origin.requests
    origin.close()
    watch = hostile.Watch(canary[1])
    canary[1].read_bytes()
    assert watch.touched() and canary[2].touched()
    watch.close()


def test_damage_that_players_play_is_transformed_with_a_warning(server, tmp_path):
    """Ten bytes in the middle of the pictures: the answer is there, and says so."""
    data = bytearray(media.clip("medium.mp4").read_bytes())
    for at in range(len(data) // 2, len(data) // 2 + 4000, 50):
        data[at] ^= 0xFF
    (server.media / "scratched.mp4").write_bytes(data)
    for _ in range(2):
        answer = serving.ask(server, "/videos/scratched.mp4?width=128", tmp_path, "scratched")
        assert answer.status == 200, answer
    assert "damaged" in (answer.reply["X-Transform-Warnings"] or ""), answer.reply.fields
    assert abs(media.duration_of(media.probe(answer.path)) - 8) < 0.3


def test_a_jumping_clock_is_no_hours_of_silence(server, tmp_path):
    """One flipped bit in a time stamp of a transport stream says "99 minutes later" and then "back again"."""
    data = bytearray(media.clip("h-ts.ts").read_bytes())
    at, seen = 0, 0
    while at + 188 <= len(data):  # the third packet of sound with a time stamp: PID 0x101, start of a PES with a PTS
        if data[at + 1] & 0x40 and (data[at + 1] & 0x1F) << 8 | data[at + 2] == 0x101:
            pes = at + 4 + (data[at + 4] + 1 if data[at + 3] & 0x20 else 0)
            if data[pes:pes + 3] == b"\0\0\1" and data[pes + 7] & 0x80:
                seen += 1
                if seen == 2:
                    data[pes + 9] ^= 0x04  # bit 31 of 33: 2^29 / 90000 s
                    break
        at += 188
    assert seen == 2, "no such packet"
    (server.media / "jump.ts").write_bytes(data)
    found, seconds = look(server, "/videos/jump.ts?width=64", tmp_path, "jump")
    if found in ("cut", "TRANSFORM_TIMEOUT") and seconds > 5:
        pytest.xfail(f"gaps are filled with silence without a limit: the worker ran until its deadline ({seconds:.0f} s)")
    assert found in {"media", "SOURCE_CORRUPT", "SOURCE_TOO_LARGE"}, found
    assert seconds < BOUND / 2


def crashes(server):
    return {l["cause"]: v for n, l, v in server.series() if n == "video_resizer_worker_deaths_total" and v}


def test_mutations(server, tmp_path):
    modes = [m for m in MODES if landed(server, m)]
    assert modes
    valid = {name: media.clip(name).read_bytes() for name in hostile.VALID}
    names = sorted(valid)
    before, log_before = crashes(server), len(server.log)
    pid = server.pid

    def one(number):
        seed = SEED * 100_000 + number
        origin = names[number % len(names)]
        kind, data = hostile.mutate(valid[origin], seed)
        stem, dot, suffix = origin.rpartition(".")
        path = server.media / f"m{seed}-{stem}.{suffix}"
        path.write_bytes(data)
        query = modes[number // len(names) % len(modes)]
        found, seconds = look(server, f"/videos/{path.name}?{query}", tmp_path, f"m{seed}")
        again = None
        if found == "cut":  # a stream that could not be finished: who asks again learns why
            again, more = look(server, f"/videos/{path.name}?{query}", tmp_path, f"m{seed}")
            seconds = max(seconds, more)
        path.unlink()
        return seed, origin, kind, query, found, again, seconds

    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        results = list(pool.map(one, range(MUTATIONS)))
    wall = time.monotonic() - begin
    counts = collections.Counter(r[4] for r in results)
    bad = [f"seed {s} ({o}, {k}) {q}: {f}" for s, o, k, q, f, a, _ in results
           if f.startswith("!") or f not in DOCUMENTED | {"media", "cut", "not yet"} or (f == "cut" and a not in DOCUMENTED | {"media", "cut"})]
    hung = [f"seed {s} ({o}, {k}) {q}: {t:.1f} s" for s, o, k, q, f, a, t in results if t > BOUND]
    assert server.process.poll() is None and server.pid == pid, f"the server died; {results[-3:]}"
    assert not bad, "\n".join(bad)
    assert not hung, "\n".join(hung)
    assert counts["media"] > MUTATIONS // 10 and sum(counts[c] for c in DOCUMENTED) > MUTATIONS // 10, f"these mutations prove nothing: {counts}"

    # Workers' deaths: each is counted, each was answered as an error, none was taken for the file's fault.
    died = {k: v - before.get(k, 0) for k, v in crashes(server).items() if v != before.get(k, 0) and k != "cancelled"}
    logged = [e for e in server.log[log_before:] if e.get("event") == "production_failed" and "worker ended:" in e.get("error", "")]
    assert sum(died.values()) == len(logged), f"{died}, but {len(logged)} failures are in the log"
    failed = [r for r in results if r[4] in ("TRANSFORM_FAILED", "TRANSFORM_TIMEOUT") or r[5] in ("TRANSFORM_FAILED", "TRANSFORM_TIMEOUT")]
    causes = collections.Counter(m.group(1) for e in logged if (m := re.search(r"worker ended: (\w+)", e["error"])))
    assert dict(causes) == {k: int(v) for k, v in died.items()}, (causes, died)
    engine = [e["error"] for e in server.log[log_before:] if e.get("event") == "production_failed" and "TRANSFORM_FAILED" in e.get("error", "")]
    slowest = max(results, key=lambda r: r[6])
    print(f"{MUTATIONS} mutations over {len(modes)} modes in {wall:.0f} s: {dict(counts)}; deaths {died}; slowest {slowest[6]:.2f} s (seed {slowest[0]})")
    if failed:
        warnings.warn(f"{len(failed)} mutations were answered with TRANSFORM_*: " +
                      "; ".join(f"seed {s} {o} {q}" for s, o, _, q, *_ in failed[:8]) + " | " + " | ".join(sorted(set(engine))[:6]))


def test_nothing_is_left_behind(server):
    """After all of it: no file but those of stored entries, no worker but idle ones, and the store is sound."""
    until(lambda: server.metric("video_resizer_productions_in_flight") == 0 and server.metric("video_resizer_kv_stores_under_way") == 0, "everything is stored")
    until(lambda: server.metric("video_resizer_workers", state="busy") == 0, "no worker is busy")
    assert not [p for p in server.files() if "staging" in p.parts or "spool" in p.parts]
    assert len(server.files()) <= server.metric("video_resizer_kv_entries")
    # The server still does its work.
    assert serving.ask(server, "/videos/h-mp4.mp4?width=100").status == 200
    server.wait_stored(1)
    server.stop()
    done = subprocess.run([str(media.BIN / "video-resizer"), "fsck", "--config", str(server.config_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    server.resume()


def test_every_mode_of_a_good_file_still_works(server, tmp_path):
    for query in MODES:
        if landed(server, query):
            answer = serving.ask(server, f"/videos/h-mp4.mp4?{query}&nocache=1", tmp_path, "good")
            assert answer.status == 200 and hostile.still_media(answer.path), answer
    reply, body = server.get("/videos/none.mp4?width=64")
    expect.error(reply, body, "NOT_FOUND")
