"""The servers that are compared. Each runs on core 0, on a free port of 127.0.0.1, in a folder of its own with its own configuration, and is
ended by its pid. `target(body)` is where it has that body."""
import http.client
import json
import os
import pathlib
import pwd
import resource
import shutil
import socket
import subprocess
import time

from . import processes

SERVER_CORE = "0"
MAX_CONNECTIONS = 30000


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def fetch(port, target, headers=None):
    """@return (status, header fields, body)"""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        c.request("GET", target, headers={"Host": "bench.example", **(headers or {})})  # as bench_client: Varnish keeps answers by host
        r = c.getresponse()
        return r.status, r.headers, r.read()
    finally:
        c.close()


def descriptors():
    """As many open files as we may have, for whoever is started with this."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Contestant:
    """@param name as it stands in tables @param folder its own, made here"""

    def __init__(self, name, folder):
        self.name = name
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.port = 0
        self.process = None

    def launch(self, *command, environment=None, pinned=True, **streams):
        log = open(self.folder / "out.log", "a")
        streams = {"stdout": log, "stderr": log, **streams}
        cores = SERVER_CORE if pinned else f"0-{os.cpu_count() - 1}"  # we ourselves are on the load's core
        self.process = subprocess.Popen(["taskset", "-c", cores, *map(str, command)], stdin=subprocess.DEVNULL,
                                        env={**os.environ, **(environment or {})}, preexec_fn=descriptors, **streams)
        log.close()

    def wait_until_up(self, seconds=30, target="/"):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                if fetch(self.port, target)[0] < 500:
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"{self.name} did not come up:\n" + (self.folder / "out.log").read_text()[-2000:])

    @property
    def pid(self):
        return self.process.pid

    def target(self, body):
        return "/" + body.name

    def stop(self):
        processes.end(self.process)


class Ours(Contestant):
    """As its users run it: default configuration, access log into a file, metrics and policy on.

    @param media folder of the sources @param store a store to begin with, copied; @param cache what is not default below `cache`
    @param pages an HTTP origin that `/pages/` is passed through from
    """

    def __init__(self, program, folder, media, store=None, cache=None, name="video-resizer", pinned=True, pages=None):
        super().__init__(name, folder)
        data = self.folder / "data"
        if store:
            shutil.copytree(store, data)
        config = {"listen": "127.0.0.1:0", "admin": {"listen": "127.0.0.1:0"}, "data": str(data),
                  "origins": [{"name": "videos", "matcher": "^/videos/(.+)$", "captureGroups": ["path"],
                               "sources": [{"type": "file", "root": str(media), "path": "${path}"}]}]}
        if pages:
            config["origins"].insert(0, {"name": "pages", "matcher": "^/pages/(.+)$", "captureGroups": ["path"], "mode": "passthrough",
                                         "sources": [{"type": "http", "url": f"http://127.0.0.1:{pages.port}", "path": "${path}"}]})
        if cache:
            config["cache"] = cache
        path = self.folder / "config.jsonc"
        path.write_text(json.dumps(config, indent=1))
        self.launch(program, "serve", "--config", path, pinned=pinned)
        self.port = self._port("listening")
        self.wait_until_up(target="/readyz")

    def _port(self, event):
        end = time.monotonic() + 30
        while time.monotonic() < end and self.process.poll() is None:
            for line in (self.folder / "out.log").read_text().splitlines():
                if f'"event":"{event}"' in line:
                    return int(json.loads(line)["address"].rpartition(":")[2])
            time.sleep(0.02)
        self.stop()
        raise RuntimeError("video-resizer did not come up:\n" + (self.folder / "out.log").read_text()[-2000:])

    def target(self, body):
        return body.variant


class OursPassthrough(Ours):
    """The same, as a shared cache in front of an HTTP origin."""

    def target(self, body):
        return "/pages/" + body.name


class Nginx(Contestant):
    """@param nopush tcp_nopush @param server what stands in its server block @param http what stands before that"""

    def __init__(self, name, folder, nopush, server, http="", log="combined buffer=64k flush=1s"):
        super().__init__(f"{name}, tcp_nopush {'on' if nopush else 'off'}" if nopush is not None else name, folder)
        self.port = free_port()
        d = self.folder
        (d / "nginx.conf").write_text(f"""
worker_processes 1; daemon off; pid {d}/pid; error_log {d}/error.log; {"user root;" if os.geteuid() == 0 else ""}
worker_rlimit_nofile {min(MAX_CONNECTIONS + 2000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])};
events {{ worker_connections {MAX_CONNECTIONS}; }}
http {{
  access_log {d}/access.log {log}; sendfile on; tcp_nopush {'on' if nopush else 'off'}; keepalive_requests 1000000000;
  open_file_cache max=1000 inactive=1h; open_file_cache_valid 1h; types {{ video/mp4 mp4; image/jpeg jpg; }}
  client_body_temp_path {d}/b; proxy_temp_path {d}/p; fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; scgi_temp_path {d}/s;
  {http.replace("DIR", str(d))}
  server {{ listen 127.0.0.1:{self.port} backlog=4096; {server} }}
}}""")
        self.launch("nginx", "-p", d, "-c", d / "nginx.conf")
        self.wait_until_up()

    def requests(self):
        """The log's lines of requests so far (with an unbuffered log). A line is written after its answer: one more request is the sign that all others are there."""
        self.marks = getattr(self, "marks", 0) + 1
        fetch(self.port, f"/mark-{self.marks}")
        end = time.monotonic() + 10
        while time.monotonic() < end:
            lines = (self.folder / "access.log").read_text().splitlines()
            if any(f"/mark-{self.marks} " in line for line in lines):
                return [line for line in lines if "/mark-" not in line]
            time.sleep(0.02)
        raise RuntimeError(f"{self.name} does not log")


def origin(folder, files):
    """What the caches have their bodies from; its log tells what they asked for."""
    return Nginx("origin", folder, None, f'root {files}; add_header Cache-Control "public, max-age=86400";', log="combined")


def static(folder, files, nopush):
    return Nginx("nginx static", folder, nopush, f'root {files}; add_header Cache-Control "public, max-age=86400";')


def proxy_cache(folder, origin, nopush):
    return Nginx("nginx proxy_cache", folder, nopush, f"location / {{ proxy_pass http://127.0.0.1:{origin.port}; proxy_cache bodies; }}",
                 "proxy_cache_path DIR/cache keys_zone=bodies:10m max_size=4g inactive=1d;")


class Varnish(Contestant):
    def __init__(self, folder, origin):
        super().__init__("Varnish malloc", folder)
        self.port = free_port()
        vcl = self.folder / "bench.vcl"
        vcl.write_text(f'vcl 4.1;\nbackend default {{ .host = "127.0.0.1"; .port = "{origin.port}"; }}\n')
        self.launch("varnishd", "-F", "-j", "none", "-a", f"127.0.0.1:{self.port}", "-f", vcl, "-s", "malloc,1g", "-n", self.folder / "work", "-T", "none",
                    "-p", "listen_depth=4096")
        self.wait_until_up()


class TrafficServer(Contestant):
    """One network thread for its one core, everything in its memory cache, access log as text."""

    def __init__(self, folder, origin):
        super().__init__("Traffic Server", folder)
        self.port = free_port()
        d = self.folder
        for name in ("etc", "run", "log", "cache", "data"):
            (d / name).mkdir()
        user = self._user()
        names = {"prefix": "/usr", "exec_prefix": "/usr", "bindir": "/usr/bin", "sbindir": "/usr/sbin", "includedir": "/usr/include",
                 "libdir": "/usr/lib/trafficserver", "libexecdir": "/usr/lib/trafficserver/modules", "sysconfdir": d / "etc", "datadir": d / "data",
                 "localstatedir": d, "runtimedir": d / "run", "logdir": d / "log", "cachedir": d / "cache"}
        (d / "runroot.yaml").write_text("".join(f"{k}: {v}\n" for k, v in names.items()))
        records = {"exec_thread.autoconfig": 0, "exec_thread.limit": 1, "exec_thread.affinity": 0, "accept_threads": 0, "task_threads": 1,
                   "http.server_ports": f"{self.port}:ip-in=127.0.0.1", "url_remap.remap_required": 1, "reverse_proxy.enabled": 1,
                   "cache.ram_cache.size": 1 << 30, "cache.ram_cache_cutoff": 64 << 20, "cache.min_average_object_size": 8000,
                   "net.connections_throttle": MAX_CONNECTIONS, "net.max_connections_in": MAX_CONNECTIONS, "log.logging_enabled": 3,
                   "http.insert_response_via_str": 0, "admin.user_id": user}
        (d / "etc/records.config").write_text("".join(f"CONFIG proxy.config.{k} {'INT' if isinstance(v, int) else 'STRING'} {v}\n" for k, v in records.items()))
        (d / "etc/remap.config").write_text(f"map / http://127.0.0.1:{origin.port}/\n")
        (d / "etc/storage.config").write_text(f"{d}/cache 512M\n")
        (d / "etc/logging.yaml").write_text("logging:\n  formats:\n    - name: line\n      format: '%<cqtq> %<ttms> %<chi> %<crc>/%<pssc> %<psql> %<cqhm> %<cquc>'\n"
                                            "  logs:\n    - filename: access\n      format: line\n      mode: ascii\n")
        for name in ("plugin", "hosting", "volume", "cache", "parent", "socks", "splitdns", "ssl_multicert"):
            (d / f"etc/{name}.config").touch()
        for name in ("sni.yaml", "strategies.yaml"):
            (d / f"etc/{name}").touch()
        shutil.copy("/etc/trafficserver/ip_allow.yaml", d / "etc")
        shutil.copytree("/etc/trafficserver/body_factory", d / "etc/body_factory")
        if os.geteuid() == 0:  # it refuses to serve as root
            for path in [d, *d.rglob("*")]:
                shutil.chown(path, user)
        self.launch("traffic_server", environment={"TS_RUNROOT": str(d / "runroot.yaml")})
        self.wait_until_up()

    @staticmethod
    def _user():
        if os.geteuid() != 0:
            return "#-1"
        try:
            return pwd.getpwnam("trafficserver").pw_name
        except KeyError:
            return "nobody"


class Limit(Contestant):
    """What the kernel allows: bench/native/bare_server.cc."""

    def __init__(self, program, folder, files, sendfile):
        super().__init__(f"bare loop, {'sendfile' if sendfile else 'writev'}", folder)
        self.launch(program, "--files", files, "--sendfile-from", 0 if sendfile else 1 << 62, stdout=subprocess.PIPE)
        self.port = json.loads(self.process.stdout.readline())["port"]
