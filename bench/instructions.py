"""How many instructions of ours one hit costs: the real server under callgrind, and a client that asks over one connection. Kernel work is not in it; that does not change with our code.

    tools/bench_instructions --bin build/release/bin            prints the counts beside bench/baseline.json
    tools/bench_instructions --bin ... --check                  fails when one grew by more than 5 % (ctest bench.HitInstructions)
    tools/bench_instructions --bin ... --write                  renews bench/baseline.json (`make bench-baseline`)

What makes counts repeat: one connection, which stays on one loop; one request at a time, the client waits for each answer; the counters are set to zero and
read while nothing is under way, three times, and the least of three counts; valgrind's own processor model, with glibc's string functions pinned to their SSE2 forms; no address
space randomisation under valgrind; the same file name, sizes and headers each time. Another compiler or glibc gives other counts:
the baseline says which ones it is of, and with others the check only tells.
"""
import argparse
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
BASELINE = ROOT / "bench/baseline.json"
ALLOWED = 0.05
REQUESTS, COUNTS = 400, 3
# glibc chooses string functions by the processor; the plainest forms are the same on each.
TUNABLES = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX2,-AVX2_Usable,-AVX,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM,-SSSE3,-Fast_Unaligned_Copy,-SSE4_1,-SSE4_2"
BROWSER = [("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"), ("Accept", "*/*"),
           ("Accept-Encoding", "identity;q=1, *;q=0"), ("Accept-Language", "en-GB,en;q=0.9"), ("Referer", "https://www.example.com/watch/episode-07"), ("X-Request-ID", "0123456789abcdef")]


def tools():
    """What the counts depend on beside our code."""
    compiler = subprocess.run(["g++", "-dumpfullversion"], capture_output=True, text=True).stdout.strip() or "?"
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True).stdout.strip()
    return {"compiler": "g++ " + compiler, "libc": " ".join(platform.libc_ver()), "valgrind": valgrind, "machine": platform.machine()}


class Counted:
    """A server whose instructions can be counted between two moments."""

    def __init__(self, kit, folder):
        self.kit, self.folder, self.dumps = kit, pathlib.Path(folder), 0
        self.server = server = kit.Server(folder / "server")
        server.environment["GLIBC_TUNABLES"] = TUNABLES
        server.start_seconds = 120
        server.launcher = ["valgrind", "--tool=callgrind", "--trace-children=no", f"--callgrind-out-file={folder}/callgrind.out", "-q"]

    def count(self, ask, requests):
        """Instructions of all threads of the process while `ask` is called so many times."""
        control = ["callgrind_control", str(self.server.pid)]
        subprocess.run(control[:1] + ["-z"] + control[1:], check=True, capture_output=True)
        for _ in range(requests):
            ask()
        self.dumps += 1
        subprocess.run(control[:1] + [f"--dump=n{self.dumps}"] + control[1:], check=True, capture_output=True)
        found = 0
        for path in self.folder.glob(f"callgrind.out.{self.dumps}*"):
            totals = re.findall(r"^(?:summary|totals): (\d+)", path.read_text(), re.M)
            found += int(totals[0]) if totals else 0
        return found


def measure(bin_dir, requests=REQUESTS):
    """@return {case: instructions per request}"""
    os.environ["VR_BIN_DIR"] = str(pathlib.Path(bin_dir).resolve())
    sys.path.insert(0, str(ROOT / "tests/e2e"))
    from kit import media, server as kit
    with tempfile.TemporaryDirectory(prefix="vr-instructions-") as folder:
        counted = Counted(kit, pathlib.Path(folder))
        server = counted.server
        path = server.add(media.clip("small.mp4"), "episode-07.mp4")
        server.start()
        try:
            target = path + "?width=160&height=90&fit=contain&quality=high"
            reply, whole = server.get(target, timeout=120)
            assert reply.status == 200, reply.status
            server.wait_stored(1)
            etag = None
            with server.connect(timeout=120) as connection:
                def hit(expect, more=()):
                    answer = connection.ask(target, headers=BROWSER + list(more))
                    answer.skip()
                    assert answer.status == expect and (answer["X-Cache-Source"] or "").lower() == "edge", (answer.status, answer.fields)
                    return answer
                reply = connection.ask(target, headers=BROWSER)
                reply.skip()
                etag = reply["ETag"]
                cases = {"edge_hit": lambda: hit(200), "edge_range": lambda: hit(206, [("Range", "bytes=100-4195")]), "not_modified": lambda: hit(304, [("If-None-Match", etag)])}
                found = {}
                for name, ask in cases.items():
                    for _ in range(50):
                        ask()
                    found[name] = min(counted.count(ask, requests) for _ in range(COUNTS)) / requests
                return found
        finally:
            server.stop(expect=None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=str(ROOT / "build/release/bin"))
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    now, with_tools = measure(args.bin, args.requests), tools()
    if args.write:
        BASELINE.write_text(json.dumps({"what": "instructions per request, counted by callgrind; renew with `make bench-baseline`", "tools": with_tools,
                                        "instructions": {name: round(n) for name, n in now.items()}}, indent=2) + "\n")
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else {"tools": {}, "instructions": {}}
    grown = []
    for name, count in now.items():
        before = baseline["instructions"].get(name)
        change = count / before - 1 if before else 0
        print(f"{name}: {count:,.0f} instructions, baseline {before or 0:,} ({100 * change:+.1f} %)")
        if change > ALLOWED:
            grown.append(name)
        elif change < -ALLOWED:
            print(f"  {name} became cheaper: keep it so with `make bench-baseline`")
    if with_tools != baseline["tools"]:
        print(f"the baseline is of other tools: {baseline['tools']}, these are {with_tools}; nothing is concluded")
        return 77 if args.check else 0
    if args.check and grown:
        print(f"a hit costs over {100 * ALLOWED:.0f} % more instructions than the baseline: {', '.join(grown)}. If that is meant: `make bench-baseline`, and say why in the commit.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
