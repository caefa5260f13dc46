"""The machine and the programs of a run, for the head of a report."""
import hashlib
import os
import pathlib
import platform
import re
import socket
import subprocess


def parse_cpu(text):
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
    return found.group(1).strip() if found else platform.machine()


def congestion():
    """What a server here gets for the connections it accepts, unless it says otherwise."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        accepted = listener.accept()[0]
        with accepted:
            return accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).split(b"\0")[0].decode()


def set_congestion(name):
    """For all of 127.0.0.0/8, by the route: the namespace's own default may only be one that init_net allows. In our own namespace only."""
    for place in ("127.0.0.0/8", "127.0.0.1"):
        output("ip", "route", "replace", "local", place, "dev", "lo", "proto", "kernel", "scope", "host", "src", "127.0.0.1", "table", "local", "congctl", name)


def output(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def version(program, *arguments):
    found = re.search(r"\d+\.\d+(\.\d+)*", output(program, *arguments))
    return found.group(0) if found else "absent"


def describe(own):
    """@param own path of our program @return {what: value}, in the order to print"""
    root = pathlib.Path(__file__).parent
    return {
        "CPU": f"{os.cpu_count()} x {parse_cpu(pathlib.Path('/proc/cpuinfo').read_text())}",
        "kernel": platform.release(),
        "congestion control": f"{congestion()}, of every contestant",
        "load of the machine at the start": f"{os.getloadavg()[0]:.1f}",
        "video-resizer": output("git", "-C", str(root), "describe", "--always", "--dirty").strip() or version(str(own), "version"),
        "its binary": hashlib.sha256(own.read_bytes()).hexdigest()[:12],
        "nginx": version("nginx", "-v"),
        "Varnish": version("varnishd", "-V"),
        "Traffic Server": version("traffic_server", "-V"),
    }
