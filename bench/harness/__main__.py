"""Side by side, in one run: us, nginx, Varnish, Traffic Server and a bare loop, serving the same bytes.

    tools/bench --bin build/release/bin [--quick] [--only SECTION ...] [--cases 1k 64k ...] [--out FILE]

Servers run on core 0, load on core 1, contestants take turns within every round. Everything runs in a network namespace of its own when we may
make one (root): ports are free there and congestion control is the same for all. Each section's figures are kept as JSON beside the build;
the report is made of all that were measured today, so sections can be run one at a time.
"""
import argparse
import datetime
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from . import concurrency, growth, hits, machine, passthrough, plot, profile, store, targets
from .bodies import prepare
from .load import Client

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECTIONS = {"hits": hits, "passthrough": passthrough, "concurrency": concurrency, "store": store, "growth": growth, "profile": profile}
INSIDE = "VR_BENCH_NAMESPACE"


class Setup:
    """What sections need: the programs, the bodies, a folder."""

    def __init__(self, arguments, work):
        tools = arguments.bin.parent / "bench"
        self.program, self.limit = arguments.bin / "video-resizer", tools / "bench_limit"
        self.client = Client(tools / "bench_client")
        for needed in (self.program, self.limit, self.client.program):
            if not needed.exists():
                sys.exit(f"{needed} is missing: cmake --build --preset release --target bench_tools")
        self.work = work
        self.bodies = None

    @staticmethod
    def say(text):
        print(text, file=sys.stderr, flush=True)


def own_namespace():
    """Goes on inside a new network namespace, with its own loopback. Without the right to one: where we are."""
    if os.environ.get(INSIDE) or os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        return
    if subprocess.run(["unshare", "--net", "true"], stderr=subprocess.DEVNULL).returncode == 0:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$0" "$@"', sys.executable, "-m", "harness", *sys.argv[1:]])


def measure(arguments):
    """Runs the wanted sections. @return {section: {"day", "machine", "data"}} of all that were measured today with the same binary"""
    arguments.state.mkdir(parents=True, exist_ok=True)
    today = datetime.date.today().isoformat()
    facts = machine.describe(arguments.bin / "video-resizer")
    with tempfile.TemporaryDirectory(prefix="vr-bench-") as folder:
        pathlib.Path(folder).chmod(0o711)  # servers that give up root have to get to their own folders below
        setup = Setup(arguments, pathlib.Path(folder))
        setup.say("making the bodies")
        setup.bodies = prepare(setup.program, setup.work / "bodies")
        for name in arguments.only or [s for s in SECTIONS if s != "profile" or shutil.which("perf")]:
            setup.work = pathlib.Path(folder) / name
            setup.work.mkdir()
            before = kept(arguments.state, today, facts).get(name)

            def keep(data, name=name, before=before):
                if before and before["quick"] == arguments.quick and hasattr(SECTIONS[name], "merge"):
                    data = SECTIONS[name].merge(before["data"], data)
                (arguments.state / f"{name}.json").write_text(json.dumps({"day": today, "quick": arguments.quick, "machine": facts, "data": data}))

            setup.keep = keep  # for sections that are long: what they have so far is not lost when they fail
            keep(SECTIONS[name].run(arguments, setup))
    return kept(arguments.state, today, facts)


def kept(state, day, facts):
    """Figures of that day and of the same program: others have no place beside them."""
    found = {}
    for name in SECTIONS:
        path = state / f"{name}.json"
        if path.exists():
            section = json.loads(path.read_text())
            if section["day"] == day and section["machine"]["its binary"] == facts["its binary"]:
                found[name] = section
    return found


def report(sections, out, day):
    """Writes the report and its plots."""
    text = [f"# Benchmark, {day}", ""]
    facts = next(iter(sections.values()))["machine"]
    text += [*(f"- {what}: {value}" for what, value in facts.items()), "- server on core 0, load on core 1; `make bench`, docs/performance.md says how", ""]
    if any(s["quick"] for s in sections.values()):
        text += ["**A quick run**: few short rounds, good to see that all works, not to quote.", ""]
    if "hits" in sections:
        text += [targets.render(sections["hits"]["data"])]
    for name, section in sections.items():
        module = SECTIONS[name]
        pictures = [(file, title, plot.bars(title, groups)) for file, title, groups in module.plots(section["data"])]
        for file, title, svg in pictures + (module.graphs(section["data"]) if hasattr(module, "graphs") else []):
            picture = out.with_name(f"{out.stem}-{file}.svg")
            picture.write_text(svg)
            text += [f"![{title}]({picture.name})", ""]
        text += [module.render(section["data"])]
    out.write_text("\n".join(text))


def main():
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin", help="where video-resizer is")
    parser.add_argument("--quick", action="store_true", help="few short rounds, about two minutes")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="these sections only")
    parser.add_argument("--cases", nargs="+", choices=[c.key for c in hits.CASES], help="of the hit path, these bodies only")
    parser.add_argument("--congestion", default="cubic", help="congestion control of everybody, when we have a namespace of our own (default: cubic, Linux' own)")
    parser.add_argument("--state", type=pathlib.Path, default=ROOT / "build/bench-figures", help="where figures are kept")
    parser.add_argument("--out", type=pathlib.Path, help="default: bench/results/<date>.md")
    arguments = parser.parse_args()
    if (os.cpu_count() or 1) < 2:
        sys.exit("server and load need a core each; this machine has one")
    arguments.bin = arguments.bin.resolve()
    own_namespace()
    if os.environ.get(INSIDE):
        machine.set_congestion(arguments.congestion)
    os.sched_setaffinity(0, {1})
    day = datetime.date.today().isoformat()
    out = arguments.out or ROOT / "bench/results" / f"{day}.md"
    report(measure(arguments), out, day)
    print(out)


if __name__ == "__main__":
    main()
