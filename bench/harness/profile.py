"""Where a hit's time goes: our server under load, sampled by perf. A flame graph for each body, and a table of what was running."""
import subprocess
import threading

from . import contestants, flame, numbers
from .bodies import KIB

EDGE_OFF = {"edge": {"maxBytes": 0, "maxObjectInMemory": 0}}
HITS = (("1 KiB, edge", KIB, None), ("64 KiB, edge", 64 * KIB, None), ("1 KiB, KV", KIB, EDGE_OFF), ("64 KiB, KV", 64 * KIB, EDGE_OFF))
# Parts of a hit by the names of frames, each with all that is below it. None is below another.
PARTS = (("sending, the kernel's TCP and the client's side of the loopback in it", r"^(__libc_sendmsg|__libc_sendto|__libc_send|writev|sendfile(64)?)$"),
         ("receiving", r"^(__libc_recv|__libc_recvmsg|__libc_recvfrom|__libc_read)$"),
         ("waiting for events", r"^epoll_(wait|pwait2?|ctl)$"),
         ("deciding the answer: policy, parameters, key, edge, head", r"^vr::delivery::Router::TryNow$"),
         ("the access log's line, on the loop", r"^vr::delivery::RequestLog::Finished$"),
         ("the log's own thread", r"^spdlog::details::thread_pool::worker_loop_$|^vr::.*LogWriter"),
         ("the store's threads", r"^vr::io::BlockingPool::|^vr::io::Blocking"))


def record(setup, server, body, seconds, out):
    """perf while the load runs. @return folded stacks"""
    problem = []

    def load():
        try:
            setup.client.sample(server, server.target(body), length=body.length, seconds=seconds + 1)
        except Exception as e:  # reported by the thread that waits
            problem.append(e)
    running = threading.Thread(target=load)
    running.start()
    subprocess.run(["perf", "record", "-q", "-F", "997", "--call-graph", "dwarf,8192", "-p", str(server.pid), "-o", str(out), "sleep", str(seconds)],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    running.join()
    if problem:
        raise problem[0]
    script = subprocess.run(["perf", "script", "-i", str(out), "-F", "comm,ip,sym"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return flame.fold(script.stdout)


def run(arguments, setup):
    data = {"bodies": []}
    for number, (label, size, cache) in enumerate(HITS):
        setup.say(f"profile: {label}")
        server = contestants.Ours(setup.program, setup.work / f"ours-{number}", setup.bodies.media, setup.bodies.store, cache)
        try:
            body = setup.bodies.by_size[size]
            for _ in range(3):
                contestants.fetch(server.port, server.target(body))
            folded = record(setup, server, body, 1 if arguments.quick else 3, setup.work / f"perf-{number}")
            data["bodies"].append({"label": label, "folded": [[list(stack), count] for stack, count in folded.items()]})
        finally:
            server.stop()
    return data


def stacks(found):
    return {tuple(stack): count for stack, count in found["folded"]}


def parts(folded):
    shares = [(name, flame.share_below(folded, pattern)) for name, pattern in PARTS]
    shares.append(("the rest: connection, loop, scheduling", 1 - sum(share for _, share in shares)))
    return [[name, f"{share:.1%}"] for name, share in shares if share]


def render(data):
    out = ["## Where a hit's time goes", "", "Samples of the server's CPU time at 16 connections (`perf record`, cpu-clock). Shares are of all of it.", ""]
    for found in data["bodies"]:
        folded = stacks(found)
        if not folded:
            continue
        out += [f"### Profile, {found['label']}", "", numbers.table(["part", "share"], parts(folded)), "",
                numbers.table(["running itself", "share"], [[f"`{symbol}`", f"{share:.1%}"] for symbol, share in flame.own_time(folded)[:15]]), ""]
    return "\n".join(out)


def plots(data):
    return []


def graphs(data):
    """[(file name, title, SVG)]"""
    return [(f"flame-{found['label'].replace(',', '').replace(' ', '-').lower()}", f"A hit of {found['label']}", flame.graph(f"CPU time of a hit of {found['label']}", stacks(found)))
            for found in data["bodies"] if found["folded"]]
