"""The store: start with 100,000 entries, commits and ranges against plain files, a purge of 10,000, entries that expire. Eviction in memory is
in the section `growth`. Its folder is build/bench-store: on the disk that the build is on, 3 GB free."""
import contextlib
import importlib
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import time
import urllib.parse

from . import numbers

ROOT = pathlib.Path(__file__).resolve().parents[2]
BODY, REAL, RANGE = 500_000, 50, 64 << 10
CONTESTANTS = ("plain file", "none", "plain file, fsync", "body", "full")
COMMITS = (("10 KB", 10_000, 200), ("20 MB", 20_000_000, 5))
READS = (("64 KiB of 1 MB", 1_000_000), ("64 KiB of 20 MB", 20_000_000))


def spread(values, digits=2):
    return f"**{statistics.median(values):.{digits}f}** [{min(values):.{digits}f}-{max(values):.{digits}f}]"


def file_system(path):
    out = subprocess.run(["df", "--output=fstype,source", str(path)], capture_output=True, text=True).stdout
    return " on ".join(out.splitlines()[1].split())


def forget_page_cache():
    try:
        os.sync()
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
        return True
    except OSError:
        return False


@contextlib.contextmanager
def all_cores():
    """The harness itself is pinned to the load's core: here nobody is a load, and the server has the machine."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count()))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def peak_memory(command):
    """@return (exit code, KiB at most) of a program that is run to its end"""
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
    _, status, used = os.wait4(pid, 0)
    return os.waitstatus_to_exitcode(status), used.ru_maxrss


class Bench:
    def __init__(self, bin_dir, folder, entries, say):
        os.environ["VR_BIN_DIR"] = str(bin_dir)
        if str(ROOT / "tests/e2e") not in sys.path:
            sys.path.insert(0, str(ROOT / "tests/e2e"))
        self.server_type = importlib.import_module("kit.server").Server
        self.bin, self.folder, self.entries, self.say = bin_dir, folder, entries, say

    def tool(self, *arguments):
        done = subprocess.run([str(self.bin / "vr_store_bench"), *map(str, arguments)], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"vr_store_bench {arguments}: {done.stderr}")
        return json.loads(done.stdout)

    def server(self, data):
        server = self.server_type(self.folder / "server")
        server.data = self.folder / data
        server.open_admin()
        server.config["data"] = str(server.data)
        server.config["cache"] = {"kv": {"maxBytes": "1TiB"}, "staleIfError": "7d"}
        server.config["origins"] = [server.file_origin(cacheTags=[f"tenth-{i}" for i in range(10)])]
        return server

    def starts(self, rounds):
        filled = self.tool("fill", self.folder / "full", self.entries, BODY)
        cases = {}
        memory = []
        can_forget = forget_page_cache()
        for _ in range(rounds):
            for what, data, cold, kill in (("empty", "empty", False, False),
                                           ("full, after a clean stop", "full", False, False),
                                           ("full, after a clean stop, nothing in the page cache", "full", True, True),
                                           ("full, after kill -9", "full", False, True),
                                           ("full, after kill -9, nothing in the page cache", "full", True, False)):
                # `kill` is how this run ends, which decides how the next one begins.
                if cold and not (can_forget and forget_page_cache()):
                    continue
                server = self.server(data)
                cases.setdefault(what, []).append(server.start())
                opened = server.events("kv.opened")[-1]
                assert opened["clean"] == ("kill" not in what), (what, opened)
                assert opened["entries"] == (self.entries if data == "full" else 0), opened
                if data == "full":
                    memory.append(server.status_kib("VmRSS") / 1024)
                server.kill9() if kill else server.stop()
        begin = time.monotonic()
        done = subprocess.run([str(self.bin / "video-resizer"), "fsck", "--quick", "--json", "--data", str(self.folder / "full")],
                              capture_output=True, text=True)
        report = json.loads(done.stdout)
        assert done.returncode == 0 and report["entries"] == self.entries, done.stdout
        quick = time.monotonic() - begin
        begin = time.monotonic()
        code, peak = peak_memory([str(self.bin / "video-resizer"), "fsck", "--data", str(self.folder / "full")])
        assert code == 0, code
        return {"entries": self.entries, "fill_seconds": filled["seconds"], "cases": cases, "memory": memory,
                "fsck": {"quick": quick, "whole": time.monotonic() - begin, "memory": peak / 1024}}

    def commits(self, rounds):
        found = {}
        for label, size, each in COMMITS:
            found[label] = self.tool("commit", self.folder / f"commit-{size}", size, each, rounds)
            shutil.rmtree(self.folder / f"commit-{size}")
        return found

    def reads(self, rounds):
        found = {}
        for label, size in READS:
            found[label] = self.tool("read", self.folder / f"read-{size}", size, RANGE, 500, rounds)
            shutil.rmtree(self.folder / f"read-{size}")
        return found

    def reaped(self):
        found = self.tool("reap", self.folder / "reap", self.entries // 10, BODY)
        shutil.rmtree(self.folder / "reap")
        return found

    def purges(self, rounds):
        """A tenth of the entries goes in each round, so there are at most ten with the soft one."""
        choice = random.Random(1)
        server = self.server("full")
        for i in range(REAL):
            (server.media / f"real{i}.mp4").write_bytes(b"%05d" % i * 600)
        real = [f"/videos/real{i}.mp4" for i in range(REAL)]
        server.start()
        expected, tenth = self.entries, self.entries // 10
        times = []

        def store_real():
            for target in real:
                assert server.get(target)[0].status == 200
            server.wait_stored(expected + REAL)

        def check_gone(tag, name):
            assert server.purge(tag=name, dryRun=True) == {"KV": 0, "edge": 0, "productions": 0}
            assert server.metric("video_resizer_kv_entries") == expected, server.metric("video_resizer_kv_entries")
            for _ in range(100):
                i = choice.randrange(tenth) * 10 + tag
                key = f"video:bench/{i // 10}.mp4:w={100 + i % 10}"
                assert server.admin_call("GET", "/admin/entry?" + urllib.parse.urlencode({"key": key}))[0] == 404, key
            for target in real:
                reply, _ = server.get(target)
                assert reply["X-Cache-Status"] == "MISS", (target, reply.fields)

        for tag in range(rounds):
            name = f"tenth-{tag}"
            store_real()
            begin = time.monotonic()
            purged = server.purge(tag=name)
            times.append(time.monotonic() - begin)
            assert purged == {"KV": tenth + REAL, "edge": REAL, "productions": 0}, purged
            expected -= tenth
            if tag % 2:  # right behind the answer
                server.kill9()
                server.resume()
            check_gone(tag, name)
        store_real()
        begin = time.monotonic()
        assert server.purge(tag=f"tenth-{rounds}", mode="soft")["KV"] == tenth + REAL
        soft = time.monotonic() - begin
        server.stop()
        return {"entries": tenth, "hard": times, "soft": soft}


def measure(bin_dir, folder, entries, rounds, say):
    """@param folder emptied before and after @return the figures"""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    bench = Bench(bin_dir, folder, entries, say)
    data = {"file_system": file_system(folder), "load": [os.getloadavg()[0]], "rounds": rounds}
    try:
        for name, run in (("starts", lambda: bench.starts(rounds)), ("commits", lambda: bench.commits(rounds)), ("reads", lambda: bench.reads(rounds)),
                          ("reaped", bench.reaped), ("purges", lambda: bench.purges(min(rounds, 5)))):
            say(f"store: {name}")
            data[name] = run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    data["load"].append(os.getloadavg()[0])
    return data


def run(arguments, setup):
    with all_cores():
        return measure(arguments.bin, ROOT / "build/bench-store", 10_000 if arguments.quick else 100_000, 2 if arguments.quick else 5, setup.say)


def commit_rows(commits):
    """@return [[body, contestant, n, p50, p99, MB/s, of the plain file that is synced as it is]]"""
    rows = []
    for label, found in commits.items():
        base = None
        for name in CONTESTANTS:
            r = found[name]
            if name.startswith("plain"):
                base = r["mb_per_s"]
            rows.append([label, name if name.startswith("plain") else f"durability {name}", r["n"], f"{r['p50_ms']:.2f}", f"{r['p99_ms']:.2f}",
                         f"{r['mb_per_s']:.1f}", "" if name.startswith("plain") else f"{r['mb_per_s'] / base:.2f}"])
    return rows


def render(data):
    starts, purges, reaped = data["starts"], data["purges"], data["reaped"]
    entries, fsck = starts["entries"], starts["fsck"]
    gigabytes = entries * BODY / 1e9
    out = ["## Store", "", f"{data['file_system']}; load {data['load'][0]:.1f} when it began, {data['load'][1]:.1f} at the end. Medians [smallest-largest] of "
           f"{data['rounds']} rounds in which contestants alternate; with other work on the machine differences below a third are noise.", "",
           "### Start to ready", "", f"{entries:,} entries of {BODY:,} bytes ({gigabytes:.0f} GB, sparse files) with metadata and four tags each, filled in "
           f"{starts['fill_seconds']:.0f} s. From the start of the process until `/readyz` says 200; the empty store is what workers, listeners and RocksDB cost by "
           "themselves.", "", numbers.table(["store", "s"], [[what, spread(seconds)] for what, seconds in starts["cases"].items()]), "",
           f"Memory of the server after the start: {spread(starts['memory'], 0)} MiB. `fsck` of it: {fsck['quick']:.1f} s with `--quick`, {fsck['whole']:.0f} s with all "
           f"bodies read ({gigabytes / fsck['whole']:.1f} GB/s, holes are cheap), {fsck['memory']:.0f} MiB of memory at most.", "",
           "### Commit", "", "A body is created, its bytes written and hashed, and committed with 1.5 KB of metadata; from the 33rd on commits replace entries. Plain file: "
           "a new file, write (and fsync), close, on the same disk. `none` is compared with the plain file that is not synced, the others with the one that is.", "",
           numbers.table(["body", "contestant", "commits", "p50 ms", "p99 ms", "MB/s", "of the plain file"], commit_rows(data["commits"]), left=2), "",
           "### Range read", "", "64 KiB at a random place of one of eight bodies: lookup, descriptor and read by the store, hop to its thread and back included, against "
           "open, read and close of a plain file. All in the page cache.", "",
           numbers.table(["range", "contestant", "reads", "p50 ms", "p99 ms", "MB/s"],
                         [[label, name, found[name]["n"], f"{found[name]['p50_ms']:.3f}", f"{found[name]['p99_ms']:.3f}", f"{found[name]['mb_per_s']:.0f}"]
                          for label, found in data["reads"].items() for name in ("plain file", "store")], left=2), "",
           "### Purge by tag, and expiry", "", f"{purges['entries']:,} of {entries:,} entries (and {REAL} real ones that edge and KV hold) by `POST /admin/purge`, journal "
           "included, from the request to its answer. Afterwards a dry run finds nothing on any layer, entries picked at random are gone, and the real ones are made again. "
           f"Hard: {spread(purges['hard'])} s ({statistics.median(purges['hard']) / purges['entries'] * 1e6:.0f} µs per entry), {len(purges['hard'])} rounds, every second one "
           f"followed by `kill -9` right behind the answer and a start: the same checks hold. Soft: {purges['soft']:.2f} s.", "",
           f"{reaped['entries']:,} entries that have expired are removed with their files in {reaped['seconds']:.2f} s "
           f"({reaped['seconds'] / reaped['entries'] * 1e6:.0f} µs each, {reaped['cpu_seconds'] / reaped['entries'] * 1e6:.0f} µs of CPU).", ""]
    return "\n".join(out)


def plots(data):
    ratios = {label: {f"durability {n}": found[n]["mb_per_s"] / found["plain file" if n == "none" else "plain file, fsync"]["mb_per_s"]
                      for n in ("none", "body", "full")} for label, found in data["commits"].items()}
    return [("store-commit", "Commits, MB/s of a plain file synced the same way = 1", ratios),
            ("store-start", "Start to ready, seconds", {what: {"video-resizer": statistics.median(s)} for what, s in data["starts"]["cases"].items()})]
