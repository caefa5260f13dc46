"""What processes cost: CPU time and memory of a server with all its children, from /proc."""
import os
import pathlib
import re
import subprocess

TICK = os.sysconf("SC_CLK_TCK")


def parse_stat(text):
    """@param text /proc/PID/stat @return (parent, CPU seconds of the process and of the children it has waited for)"""
    fields = text[text.rindex(")") + 2:].split()
    return int(fields[1]), sum(int(f) for f in fields[11:15]) / TICK


def tree(root):
    """{pid: CPU seconds} of a process and everything below it."""
    found, children = {}, {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parent, cpu = parse_stat(pathlib.Path(f"/proc/{entry}/stat").read_text())
            except OSError:
                continue
            found[int(entry)] = cpu
            children.setdefault(parent, []).append(int(entry))
    wanted, queue = {}, [root]
    while queue:
        pid = queue.pop()
        if pid in found:
            wanted[pid] = found[pid]
            queue += children.get(pid, [])
    return wanted


def cpu_seconds(root):
    """User and system time of the whole tree, children that have ended included. In steps of 10 ms for each process."""
    return sum(tree(root).values())


def parse_pss(text):
    return int(re.search(r"^Pss:\s+(\d+) kB", text, re.M).group(1)) / 1024


def pss_mib(root):
    """Proportional set size of the whole tree in MiB: memory that several of its processes share counts once."""
    total = 0.0
    for pid in tree(root):
        try:
            total += parse_pss(pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text())
        except (OSError, AttributeError):  # ended meanwhile, or not ours to see
            continue
    return total


def parse_core(text, core):
    """@param text /proc/stat @return busy seconds of the core, by all processes and interrupts"""
    fields = [int(f) for f in re.search(rf"^cpu{core} (.+)$", text, re.M).group(1).split()]
    return (sum(fields[:3]) + sum(fields[5:8])) / TICK


def core_seconds(core):
    return parse_core(pathlib.Path("/proc/stat").read_text(), core)


def end(process, seconds=30):
    """SIGTERM to that one process, and its end."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
