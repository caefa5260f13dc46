"""One sample: the load client against one contestant, and what it cost the server."""
import json
import subprocess

from . import processes


class LoadError(Exception):
    pass


class Client:
    """@param program build/release/bench/bench_client; runs on `core`"""

    def __init__(self, program, core=1, server_core=0):
        self.program, self.core, self.server_core = program, core, server_core

    def start(self, mode, *arguments):
        return subprocess.Popen(["taskset", "-c", str(self.core), str(self.program), mode, *map(str, arguments)], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def sample(self, server, target, *, targets=None, headers=(), status=200, length=None, connections=16, seconds=1.0):
        """@param targets a file of targets, one on each line: any of them instead of `target`, each asked for once before the clock starts
        @return a dict: requests/s, requests per second of server CPU, latencies in microseconds, ...; see sample_of()"""
        arguments = ["--port", server.port, *(["--targets", targets] if targets else ["--target", target]), "--connections", connections, "--seconds", seconds, "--status", status]
        for header in headers:
            arguments += ["--header", header]
        if length is not None:
            arguments += ["--length", length]
        client = self.start("load", *arguments)
        try:
            if client.stdout.readline() != "ready\n":
                raise LoadError(f"{server.name} {target}: {client.stderr.read().strip()}")
            busy, cpu = processes.core_seconds(self.server_core), processes.cpu_seconds(server.pid)
            client.stdin.write("\n")
            client.stdin.flush()
            line = client.stdout.readline()
            cpu, busy = processes.cpu_seconds(server.pid) - cpu, processes.core_seconds(self.server_core) - busy
            if not line:
                raise LoadError(f"{server.name} {target}: {client.stderr.read().strip()}")
            return sample_of(json.loads(line), cpu, busy, length)
        finally:
            processes.end(client)
            for stream in (client.stdin, client.stdout, client.stderr):
                stream.close()


def sample_of(counted, cpu, busy, length):
    """@param counted what bench_client printed @param cpu, busy seconds of the server and of its core @param length of a body, None: none

    Answers that were under way when time was up count by their bytes: the server has worked for them.
    """
    requests = counted["body_bytes"] / length if length else counted["requests"]
    return {"rps": requests / counted["seconds"], "per_cpu": requests / cpu if cpu else None, "cpu_us": 1e6 * cpu / requests if requests else None,
            "p50": counted["p50_us"], "p99": counted["p99_us"], "whole": counted["requests"],
            "server_busy": cpu / counted["seconds"], "client_busy": counted["client_cpu_seconds"] / counted["seconds"],
            "foreign": max(0.0, busy - cpu) / counted["seconds"]}
