#!/usr/bin/env python3
"""kill -9 of the real server at random moments under load, again and again: nothing it vouched for is lost, nothing purged comes back.

    make torture                           50 rounds; ROUNDS=200 SEED=7 DURABILITY=none make torture
    tests/torture/kill9.py --rounds 3      on build/release/bin, or $VR_BIN_DIR

Each round: threads ask for frames and originals, list what is stored, and purge; after a random time the server is killed (now and then
while it starts, too). Then
 * fsck finds nothing in what is left but bodies that nobody had committed yet,
 * the server is up again in time, and a purge that was cut off is all done or not begun,
 * every entry that a listing had named, and that was not purged since, is listed; none is that a purge had taken,
 * clients get the very bytes they got before, and nothing is made again for that,
 * bodies and staging hold no file without an entry.
At the end the server is stopped and fsck says clean.
"""
import argparse
import hashlib
import http.client
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from kit import media  # noqa: E402
from kit.server import Server  # noqa: E402
from kit.wait import until  # noqa: E402

INLINE = 4096
GONE = (OSError, http.client.HTTPException, ValueError)  # what a client of a killed server sees


class Violation(AssertionError):
    pass


class Target:
    """One variant. `is_listed`: a listing has named it since it was last purged. `is_purged`: nobody has asked for it since."""

    def __init__(self, path, source):
        self.path = path
        self.source = source
        self.key = None
        self.digest = None
        self.size = None
        self.is_listed = False
        self.is_purged = False


class Group:
    """Targets that one purge takes. Whoever asks and lists shares it, whoever purges has it alone."""

    def __init__(self, targets, scopes):
        self.targets = targets
        self.scopes = scopes
        self.sources = sorted({t.source for t in targets})
        self.purging = None  # the mode of a purge under way
        self._users = 0
        self._idle = threading.Condition()

    def enter(self):
        with self._idle:
            if self.purging:
                return False
            self._users += 1
            return True

    def leave(self):
        with self._idle:
            self._users -= 1
            self._idle.notify_all()

    def close(self, mode, stop):
        with self._idle:
            if self.purging:
                return False
            self.purging = mode
            while self._users and not stop.is_set():
                self._idle.wait(0.05)
            if not self._users:
                return True
            self.purging = None
            return False

    def open(self):
        with self._idle:
            self.purging = None


class Torture:
    def __init__(self, folder, seed, durability="body", say=print):
        self.random = random.Random(seed)
        self.say = say
        self.server = Server(folder)
        self.server.open_admin()
        # Short lives, so that use means touches; nothing expires for good.
        self.server.config["cache"] = {"kv": {"inlineThreshold": INLINE, "durability": durability}, "kvTtl": {"ok": "2s"}}
        self.groups = []
        for g in range(6):
            folder = self.server.media / f"g{g}"
            folder.mkdir()
            os.link(media.clip("small.mp4"), folder / "clip.mp4") if same_device(folder) else \
                (folder / "clip.mp4").write_bytes(media.clip("small.mp4").read_bytes())
            source = f"videos/g{g}/clip.mp4"
            targets = [Target(f"/{source}?mode=frame&width={w}&format=png", source) for w in range(20, 300, 7)]
            self.groups.append(Group(targets, [{"source": source}, {"prefix": f"frame:{source}"}]))
        for g in range(4):
            folder = self.server.media / f"o{g}"
            folder.mkdir()
            targets = []
            for i in range(8):
                (folder / f"{i}.mp4").write_bytes(self.random.randbytes(self.random.choice([300, 3000, 30_000, 300_000])))
                targets.append(Target(f"/videos/o{g}/{i}.mp4", f"videos/o{g}/{i}.mp4"))
            self.groups.append(Group(targets, [{"prefix": f"video:videos/o{g}/"}]))
        self.failures = []
        self.starts = []
        self.figures = dict.fromkeys(("requests", "listings", "purges", "purges cut off", "of these finished at the start",
                                      "entries checked", "bodies compared", "orphans swept", "killed while starting"), 0)
        self._count = threading.Lock()

    def count(self, what, n=1):
        with self._count:
            self.figures[what] += n

    # -- what goes on until the server is killed

    def guarded(self, work):
        """Runs work() again and again until the server is gone; what it finds wrong is kept."""
        def run():
            try:
                while not self.stop.is_set():
                    work()
            except GONE:
                pass
            except Exception as e:  # noqa: BLE001: a thread's failure is the round's failure
                self.failures.append(repr(e))
        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def check_body(self, target, status, headers, body):
        if status != 200:
            raise Violation(f"{target.path}: status {status}")
        digest = hashlib.sha256(body).hexdigest()
        if target.digest is None:
            target.digest, target.size, target.key = digest, len(body), headers["X-KV-Cache-Key"]
        elif target.digest != digest:
            raise Violation(f"{target.path}: other bytes than before, {headers['X-Cache-Status']} from {headers['X-Cache-Source']}")

    def asker(self, seed):
        choice = random.Random(seed)
        connection = http.client.HTTPConnection(self.server.address, timeout=20)

        def ask():
            group = choice.choice(self.groups)
            if not group.enter():
                return
            try:
                target = choice.choice(group.targets)
                target.is_purged = False
                connection.request("GET", target.path)
                reply = connection.getresponse()
                body = reply.read()
                self.check_body(target, reply.status, reply.headers, body)
                self.count("requests")
            finally:
                group.leave()
        return ask

    def listed(self, group):
        """What the admin API says is stored of a group: {key: size}."""
        found = {}
        for source in group.sources:
            cursor = ""
            while True:
                status, page = self.server.admin_call(
                    "GET", "/admin/variants?" + urllib.parse.urlencode({"source": source, "limit": 25, "cursor": cursor}))
                if status != 200:
                    raise Violation(f"listing {source}: {status} {page}")
                for variant in page["variants"]:
                    found[variant["key"]] = variant["metadata"]["contentLength"]
                cursor = page.get("cursor", "")
                if not cursor:
                    break
        return found

    def lister(self, seed):
        choice = random.Random(seed)

        def look():
            group = choice.choice(self.groups)
            if not group.enter():
                return
            try:
                before = [(t, t.is_listed, t.is_purged) for t in group.targets]
                found = self.listed(group)
                for target, was_listed, was_purged in before:
                    if target.key in found:
                        if was_purged and target.is_purged:
                            raise Violation(f"{target.key} is listed after its purge")
                        target.is_listed = True
                    elif was_listed:
                        raise Violation(f"{target.key} has vanished from the listing")
                self.count("listings")
            finally:
                group.leave()
        return look

    def purger(self, seed):
        choice = random.Random(seed)

        def purge():
            self.stop.wait(choice.uniform(0.0, 0.3))
            group = choice.choice(self.groups)
            mode = choice.choice(["hard", "hard", "soft"])
            if self.stop.is_set() or not group.close(mode, self.stop):
                return
            self.purge_begins.set()
            status, answer = self.server.admin_call("POST", "/admin/purge", {**choice.choice(group.scopes), "mode": mode})
            if status != 200:
                raise Violation(f"purge: {status} {answer}")
            if mode == "hard":
                for target in group.targets:
                    target.is_listed, target.is_purged = False, True
            group.open()
            self.count("purges")
        return purge

    # -- rounds

    def kill_under_load(self):
        self.stop = threading.Event()
        self.purge_begins = threading.Event()
        works = [self.asker(self.random.random()) for _ in range(4)] + [self.lister(self.random.random())]
        works += [self.purger(self.random.random()) for _ in range(2)]
        threads = [self.guarded(work) for work in works]
        self.stop.wait(self.random.uniform(0.05, 1.2))
        if self.random.random() < 0.5:  # in the middle of a purge
            self.purge_begins.clear()
            self.purge_begins.wait(1.0)
            self.stop.wait(self.random.uniform(0.0, 0.006))
        self.server.process.kill()
        self.stop.set()
        for thread in threads:
            thread.join()
        self.server.kill9()
        self.check_nothing_failed()

    def check_nothing_failed(self):
        if self.failures:
            raise Violation("; ".join(self.failures[:5]))

    def fsck(self):
        done = subprocess.run([str(media.BIN / "video-resizer"), "fsck", "--config", str(self.server.config_path), "--json"],
                              capture_output=True, text=True, timeout=120)
        if done.returncode not in (0, 1):
            raise Violation(f"fsck: {done.returncode} {done.stderr}")
        return json.loads(done.stdout)

    def start(self, slowest):
        if self.random.random() < 0.15:
            self.server.launch()
            self.stop.clear()
            self.stop.wait(self.random.uniform(0.0, 0.15))
            self.server.kill9()
            self.count("killed while starting")
        seconds = self.server.resume()
        self.starts.append(seconds)
        if seconds > slowest:
            raise Violation(f"the start took {seconds:.2f} s")
        for entry in self.server.events("kv.opened"):
            self.count("orphans swept", entry["orphans"])

    def check(self):
        files = 0
        present = []
        finished = len(self.server.events("purge_finished"))
        for group in self.groups:
            found = self.listed(group)
            files += sum(size > INLINE for size in found.values())
            if group.purging:
                self.count("purges cut off")
                if group.purging == "hard":
                    left = [t for t in group.targets if t.is_listed and t.key in found]
                    gone = [t for t in group.targets if t.is_listed and t.key not in found]
                    if left and gone:
                        raise Violation(f"half of a purge came true: {left[0].key} is there, {gone[0].key} is not")
                    for target in gone:
                        target.is_listed, target.is_purged = False, True
                group.open()
            for target in group.targets:
                if target.is_listed and target.key not in found:
                    raise Violation(f"{target.key} was stored and is lost")
                if target.is_purged and target.key in found:
                    raise Violation(f"{target.key} was purged and is back")
                if target.key in found:
                    if target.size is not None and found[target.key] != target.size:
                        raise Violation(f"{target.key} has {found[target.key]} of {target.size} bytes")
                    target.is_listed = True
                    present.append(target)
            self.count("entries checked", len(found))
        self.count("of these finished at the start", finished)
        made = self.server.metric("video_resizer_productions_total")
        for target in self.random.sample(present, min(len(present), 120)):
            reply, body = self.server.get(target.path)
            self.check_body(target, reply.status, reply, body)
            self.count("bodies compared")
        again = self.server.metric("video_resizer_productions_total") - made
        if again:
            raise Violation(f"{again:g} variants that were stored were made again")
        until(lambda: len(list((self.server.data / "bodies").glob("*/*"))) == files, f"{files} body files and no orphan")
        leftovers = list((self.server.data / "staging").iterdir())
        if leftovers:
            raise Violation(f"staging files are left: {leftovers}")

    def run(self, rounds, slowest=10.0):
        self.server.start()
        for n in range(1, rounds + 1):
            self.kill_under_load()
            flaws = set(self.fsck()["counts"]) - {"orphan-file"}
            if flaws:
                raise Violation(f"round {n}: fsck of what the kill left finds {flaws}")
            self.start(slowest)
            self.check()
            self.say(f"round {n}: {self.figures['entries checked']} entries checked so far, start {self.starts[-1]:.2f} s", flush=True)
        self.server.stop()
        report = self.fsck()
        if not report["clean"] or not report["cleanStop"]:
            raise Violation(f"fsck at the end: {report}")
        self.figures["entries at the end"] = report["entries"]
        return self.figures


def same_device(folder):
    return folder.stat().st_dev == media.clip("small.mp4").stat().st_dev


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("ROUNDS", "50")))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED", "0")) or random.SystemRandom().getrandbits(32))
    parser.add_argument("--durability", default=os.environ.get("DURABILITY", "body"), choices=["none", "body", "full"])
    parser.add_argument("--slowest-start", type=float, default=10.0, help="seconds a start may take")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.rounds} rounds, durability {options.durability}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vr-torture-") as folder:
        torture = Torture(folder, options.seed, options.durability)
        try:
            figures = torture.run(options.rounds, options.slowest_start)
        except BaseException:
            if torture.server.process is not None:
                torture.server.kill9()
            print(torture.server.log_tail(20), file=sys.stderr)
            raise
    for what, n in figures.items():
        print(f"{n:>9} {what}")
    print(f"starts after a kill: median {statistics.median(torture.starts):.2f} s, longest {max(torture.starts):.2f} s; "
          f"{time.monotonic() - began:.0f} s in all; every check held")


if __name__ == "__main__":
    main()
