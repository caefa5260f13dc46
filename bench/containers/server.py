"""A small HTTP/1.1 file server that records what it sends, and hands measuring jobs to a page (page.html).

Addresses: /f/NAME?options. Options: `link=RTT_MS,MBIT` a slow link (one for all connections), `pace=BYTES_PER_S` chunked without
Content-Length as a variant that is still being made, `cut=BYTES` the first answer ends in a reset after so many bytes, `etag=TEXT`,
`ranges=1` announces Accept-Ranges in a paced answer, `next=NAME` later requests are answered from this file, with a length
and the validator `tag2=TEXT`; `whole=1` those are answered 200, whatever range they ask for; `fail=STATUS` or with that status.
"""
import collections
import json
import pathlib
import queue
import re
import socket
import socketserver
import struct
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler

PAGE = pathlib.Path(__file__).with_name("page.html")
TYPES = {".mp4": "video/mp4", ".webm": "video/webm"}
BLOCK = 16384


class Link:
    """A shared slow line. Blocks are sent in the order in which they are asked for."""
    def __init__(self, rtt_ms, megabits):
        self.rtt, self.rate = rtt_ms / 1000, megabits * 125000
        self.lock, self.free_at = threading.Lock(), 0.0

    def wait(self, size):
        with self.lock:
            start = max(time.monotonic(), self.free_at)
            self.free_at = start + size / self.rate
        time.sleep(max(0, start - time.monotonic()))


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = pathlib.Path(folder)
        self.jobs, self.results = queue.Queue(), queue.Queue()
        self.lock = threading.Lock()
        self.requests = collections.defaultdict(list)   # run -> [(time, {range, ...})]
        self.sent = collections.defaultdict(list)       # run -> [(time, bytes)]
        self.links = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # browsers break off connections as they please

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def link(self, run, text):
        with self.lock:
            return self.links.setdefault(run, Link(*map(float, text.split(","))))

    def between(self, run, start, end):
        """(requests, bytes) of the run in [start, end), wall clock seconds."""
        with self.lock:
            return (sum(start <= at < end for at, _ in self.requests[run]),
                    sum(size for at, size in self.sent[run] if start <= at < end))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        super().setup()
        self.fresh = True

    def log_message(self, *_):
        pass

    def plain(self, body, kind="application/json"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.results.put(json.loads(body))
        try:
            self.plain(b"{}")
        except ConnectionError:  # the browser was ended at once
            self.close_connection = True

    def do_GET(self):
        try:
            url = urllib.parse.urlsplit(self.path)
            if url.path == "/page":
                self.plain(PAGE.read_bytes(), "text/html")
            elif url.path == "/job":
                try:
                    self.plain(json.dumps(self.server.jobs.get(timeout=20)).encode())
                except queue.Empty:
                    self.plain(b"null")
            elif url.path.startswith("/f/"):
                self.file(url.path[3:], dict(urllib.parse.parse_qsl(url.query)))
            else:
                self.plain(b"")
        except (ConnectionError, TimeoutError, ValueError):  # the browser had enough
            self.close_connection = True

    def file(self, name, options):
        run = options.get("run", "")
        asked = {k: self.headers[k] for k in ("Range", "If-Range", "If-None-Match") if self.headers[k]}
        with self.server.lock:
            number = len(self.server.requests[run])
            self.server.requests[run].append((time.time(), asked))
        link = self.server.link(run, options["link"]) if "link" in options else None
        if link:
            time.sleep(link.rtt * (2 if self.fresh else 1))
        self.fresh = False
        later = "next" in options and number > 0
        path = self.server.folder / (options["next"] if later else name)
        size = path.stat().st_size
        etag = options.get("tag2" if later else "etag")
        if later and "fail" in options:
            self.send_response(int(options["fail"]))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        paced = "pace" in options and not later
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.get("Range", ""))
        start, end = 0, size
        if etag and asked.get("If-None-Match") == f'"{etag}"':
            self.send_response(304)
            self.send_header("ETag", f'"{etag}"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if match and not paced and not (later and "whole" in options) and asked.get("If-Range", f'"{etag}"') == f'"{etag}"':
            start = int(match[1])
            end = min(size, int(match[2]) + 1) if match[2] else size
            if start >= size:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        else:
            self.send_response(200)
        self.send_header("Content-Type", TYPES[path.suffix])
        if etag:
            self.send_header("ETag", f'"{etag}"')
        if paced:
            self.send_header("Transfer-Encoding", "chunked")
            if options.get("ranges"):
                self.send_header("Accept-Ranges", "bytes")
            if not etag:
                self.send_header("Cache-Control", "no-store")
        else:
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(end - start))
        self.end_headers()
        self.body(path, start, end, run, link, paced, options, number)

    def body(self, path, start, end, run, link, paced, options, number):
        cut = int(options["cut"]) if "cut" in options and number == 0 else None
        began, done, pace = time.monotonic(), 0, float(options.get("pace", 0))
        with open(path, "rb") as file:
            file.seek(start)
            while start + done < end:
                block = file.read(min(BLOCK, end - start - done))
                if link:
                    link.wait(len(block))
                if paced and pace:
                    time.sleep(max(0, began + done / pace - time.monotonic()))
                self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block) if paced else block)
                done += len(block)
                with self.server.lock:
                    self.server.sent[run].append((time.time(), len(block)))
                if cut is not None and done >= cut:
                    self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.request.close()
                    raise ConnectionError
        if paced:
            self.wfile.write(b"0\r\n\r\n")
