"""The server under test: a real process with its own folder, its log and its metrics."""
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import urllib.parse

from . import wire
from .media import BIN
from .wait import until

START_SECONDS = 60.0 if os.environ.get("VR_SANITIZE") else 20.0


class Server:
    """Everything lives under `folder`: config.jsonc, media/ (served as /videos/...), store/.

    `config` is changed before start() or with write_config() + SIGHUP.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.media = self.folder / "media"
        self.data = self.folder / "store"
        self.media.mkdir(parents=True, exist_ok=True)
        self.config_path = self.folder / "config.jsonc"
        self.environment = {}
        self.arguments = []
        self.launcher = []            # what runs the program: valgrind and its options
        self.start_seconds = START_SECONDS
        self.process = None
        self.admin_token = ""
        self.address = self.admin = None
        self.log = []
        self.raw_log = []
        self._changed = threading.Condition()
        self._reader = None
        self.config = {
            "listen": "127.0.0.1:0",
            "admin": {"listen": "127.0.0.1:0"},
            "data": str(self.data),
            "origins": [self.file_origin()],
        }

    # -- configuration

    def file_origin(self, **more):
        return {"name": "videos", "matcher": "^/videos/(.+)$", "captureGroups": ["path"],
                "sources": [{"type": "file", "root": str(self.media), "path": "${path}"}], **more}

    def http_origin(self, origin, **more):
        return {"name": "remote", "matcher": "^/remote/(.+)$", "captureGroups": ["path"],
                "sources": [{"type": "http", "url": origin.url, "path": "${path}"}], **more}

    def allow_loopback_origins(self):
        self.config.setdefault("access", {})["allowPrivateAddresses"] = True

    def write_config(self, text=None):
        self.config_path.write_text(text if text is not None else json.dumps(self.config, indent=2))

    def add(self, path, name=None):
        """Makes a file servable as /videos/<name>."""
        target = self.media / (name or pathlib.Path(path).name)
        if not target.exists():
            try:
                os.link(path, target)
            except OSError:
                target.write_bytes(pathlib.Path(path).read_bytes())
        return "/videos/" + target.name

    # -- life

    def launch(self):
        """Starts the process and does not wait."""
        if not self.config_path.exists():
            self.write_config()
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("VIDEO_RESIZER_", "CACHE_"))}
        environment.update(self.environment)
        with self._changed:
            self.log, self.raw_log = [], []
        self.process = subprocess.Popen(
            self.launcher + [str(BIN / "video-resizer"), "serve", "--config", str(self.config_path)] + self.arguments,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, cwd=self.folder)
        self._reader = threading.Thread(target=self._read_log, args=(self.process.stderr,), daemon=True)
        self._reader.start()

    def start(self):
        self.config_path.unlink(missing_ok=True)
        self.write_config()
        return self.resume()

    def resume(self):
        """Starts with the configuration file as it is. @return seconds until it was ready"""
        begin = time.monotonic()
        self.launch()
        self.address = self.wait_event("listening", self.start_seconds)["address"]
        self.admin = self.wait_event("admin_listening", self.start_seconds)["address"]
        until(lambda: self.ready(), "GET /readyz says 200", self.start_seconds)
        return time.monotonic() - begin

    def ready(self):
        try:
            return wire.fetch(self.address, "/readyz")[0].status == 200
        except (OSError, wire.Cut):
            return False

    def stop(self, expect=0):
        """SIGTERM, then the clean end. @return seconds it took"""
        if self.process is None:
            return 0.0
        begin = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("SIGTERM did not end the server within 60 s; log:\n" + self.log_tail())
        self._finish()
        if expect is not None:
            assert code == expect, f"the server ended with {code}; log:\n{self.log_tail()}"
        return time.monotonic() - begin

    def kill9(self):
        self.process.kill()
        self.process.wait()
        self._finish()

    def _finish(self):
        self._reader.join(10)
        self.process = None

    def restart(self):
        self.stop()
        return self.resume()

    def signal(self, number):
        self.process.send_signal(number)

    @property
    def pid(self):
        return self.process.pid

    # -- log

    def _read_log(self, stream):
        for raw in stream:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            with self._changed:
                self.raw_log.append(line)
                if isinstance(entry, dict):
                    self.log.append(entry)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()
        stream.close()

    def log_tail(self, lines=40):
        with self._changed:
            return "\n".join(self.raw_log[-lines:])

    def events(self, name, after=0):
        with self._changed:
            return [e for e in self.log[after:] if e.get("event") == name]

    def wait_log(self, match, what, seconds=20.0, after=0):
        """The first log entry from index `after` on for which match(entry) is true."""
        end = time.monotonic() + seconds
        with self._changed:
            while True:
                for entry in self.log[after:]:
                    if match(entry):
                        return entry
                left = end - time.monotonic()
                dead = self.process is not None and self.process.poll() is not None and not self._reader.is_alive()
                if left <= 0 or dead:
                    raise AssertionError(f"no log entry: {what}; the log ends with:\n" + "\n".join(self.raw_log[-40:]))
                self._changed.wait(min(left, 0.2))

    def wait_event(self, name, seconds=20.0, after=0):
        return self.wait_log(lambda e: e.get("event") == name, f"event {name}", seconds, after)

    # -- admin API

    TOKEN = "t0ken"

    def open_admin(self, token=TOKEN):
        """Configures the bearer token; before start()."""
        self.admin_token = token
        self.config["admin"]["token"] = token

    def ask_admin(self, target, body=None, token=None):
        """GET, or POST of a JSON body. @return (reply, document)"""
        token = self.admin_token if token is None else token
        headers = [("Authorization", "Bearer " + token)] if token else []
        text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if body is not None:
            headers += [("Content-Type", "application/json"), ("Content-Length", str(len(text)))]
        with wire.Connection(self.admin) as c:
            reply = c.ask(target, "GET" if body is None else "POST", headers, text)
            return reply, json.loads(reply.body())

    def admin_call(self, method, target, document=None, timeout=60.0):
        """@return (status, document)"""
        c = http.client.HTTPConnection(self.admin, timeout=timeout)
        try:
            c.request(method, target, body=None if document is None else json.dumps(document),
                      headers={"Authorization": "Bearer " + self.admin_token})
            reply = c.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            c.close()

    def purge(self, **scope):
        """@return what the purge hit, by layer: {"KV": n, "edge": n, "productions": n}"""
        reply, document = self.ask_admin("/admin/purge", scope)
        assert reply.status == 200, document
        return document["purged"]

    def entry(self, key):
        """What is stored under the key; None when no layer holds it."""
        reply, document = self.ask_admin("/admin/entry?key=" + urllib.parse.quote(key, safe=""))
        assert reply.status in (200, 404), document
        return document if reply.status == 200 else None

    # -- what it did

    def get(self, target, method="GET", headers=(), timeout=60.0):
        return wire.fetch(self.address, target, method, headers, timeout)

    def connect(self, **options):
        return wire.Connection(self.address, **options)

    def metrics_text(self):
        reply, body = wire.fetch(self.admin, "/metrics")
        assert reply.status == 200
        return body.decode()

    def metric(self, name, **labels):
        """Sum of all series of that name whose labels agree; 0 when there is none."""
        return sum(v for n, l, v in self.series() if n == name and all(l.get(k) == w for k, w in labels.items()))

    def series(self):
        found = []
        for line in self.metrics_text().splitlines():
            m = re.fullmatch(r'([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: \d+)?', line)
            if m and not line.startswith("#"):
                labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', m.group(2) or ""))
                found.append((m.group(1), labels, float(m.group(3))))
        return found

    def transforms(self, **labels):
        return self.metric("video_resizer_transforms_total", **labels)

    def wait_stored(self, entries, seconds=60.0):
        """Waits until that many variants are in the KV."""
        until(lambda: self.metric("video_resizer_kv_entries") >= entries, f"{entries} entries in the KV", seconds)

    # -- processes and files

    def descendants(self):
        """[(pid, parent pid, name)] of all live processes below the server."""
        children = {}
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    stat = (entry / "stat").read_text()
                except OSError:
                    continue
                name = stat[stat.index("(") + 1:stat.rindex(")")]
                state, parent = stat[stat.rindex(")") + 2:].split()[:2]
                if state != "Z":
                    children.setdefault(int(parent), []).append((int(entry.name), int(parent), name))
        found, queue = [], [self.pid]
        while queue:
            for child in children.get(queue.pop(), []):
                found.append(child)
                queue.append(child[0])
        return found

    def zygote(self):
        return next((pid for pid, parent, _ in self.descendants() if parent == self.pid), None)

    def workers(self):
        """Pids of the one-shot workers (grandchildren)."""
        zygote = self.zygote()
        return [pid for pid, _, _ in self.descendants() if pid != zygote]

    def status_kib(self, field, pid=None):
        """A kB value of /proc/<pid>/status, such as VmRSS or VmHWM."""
        text = pathlib.Path(f"/proc/{pid or self.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+) kB", text, re.M).group(1))

    def files(self):
        """Every regular file that holds media: bodies, staging, spools."""
        return sorted(p for top in ("bodies", "staging", "spool") for p in (self.data / top).rglob("*") if p.is_file())


def cpu_seconds(pid):
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    fields = stat[stat.rindex(")") + 2:].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
