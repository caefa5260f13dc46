"""An HTTP origin in a thread: ranges, counting, and switches for everything an origin can do wrong."""
import email.utils
import pathlib
import re
import threading

from .listening import Listening


class HttpOrigin:
    """`files`: URL path -> path of a file. All switches may be turned while it runs.

    Counts: `requests` is a list of (method, path, range or None, cookie-like fields seen); `sent` maps a URL path to
    the list of (first, last) byte intervals handed out.
    """

    def __init__(self):
        self.files = {}
        self.requests = []
        self.targets = []             # the same requests' targets, with their queries
        self.sent = {}
        self.status = None            # answer everything with this status
        self.no_ranges = False        # ignore Range, answer 200 with everything
        self.no_length = False        # chunked answers
        self.no_head = False          # HEAD gets 405
        self.cut_after = None         # close the connection after that many body bytes
        self.content_type = "video/mp4"
        self.etag = True
        self.last_modified = True
        self.redirects = {}           # URL path -> Location
        self.redirect_status = 302
        self.fields = []              # more fields of good answers: (name, value)
        self.body = None              # answer everything with 200 and these bytes
        self.waiting = 0              # requests held by `heads`
        self.heads = threading.Event()  # cleared: even the head of an answer waits
        self.heads.set()
        self.gate = threading.Event()  # cleared: bodies wait
        self.gate.set()
        self._lock = threading.Lock()
        self._listening = Listening(self._answer, ("GET", "HEAD"))
        self.address = "127.0.0.1:%d" % self._listening.port
        self.url = "http://" + self.address

    def close(self):
        self.gate.set()
        self.heads.set()
        self._listening.close()

    def gets(self, path=None):
        with self._lock:
            return [r for r in self.requests if r[0] == "GET" and (path is None or r[1] == path)]

    def intervals(self, path):
        with self._lock:
            return sorted(self.sent.get(path, []))

    def bytes_sent(self, path):
        return sum(last - first + 1 for first, last in self.intervals(path))

    def bytes_sent_twice(self, path):
        twice, end = 0, -1
        for first, last in self.intervals(path):
            if first <= end:
                twice += min(last, end) - first + 1
            end = max(end, last)
        return twice

    def _answer(self, h, method):
        path = h.path.split("?")[0]
        asked = h.headers.get("Range")
        with self._lock:
            self.targets.append(h.path)
            self.requests.append((method, path, asked, {k.lower(): v for k, v in h.headers.items()}))
        if not self.heads.is_set():
            with self._lock:
                self.waiting += 1
            self.heads.wait(60)
            with self._lock:
                self.waiting -= 1
        if self.body is not None:
            h.send_response(200)
            h.send_header("Content-Type", self.content_type)
            h.send_header("Content-Length", str(len(self.body)))
            h.end_headers()
            if method != "HEAD":
                h.wfile.write(self.body)
            return
        if path in self.redirects:
            self._plain(h, self.redirect_status, [("Location", self.redirects[path])])
            return
        if self.status is not None:
            self._plain(h, self.status)
            return
        if method == "HEAD" and self.no_head:
            self._plain(h, 405)
            return
        if path not in self.files:
            self._plain(h, 404)
            return
        data = pathlib.Path(self.files[path])
        size = data.stat().st_size
        first, last, status = 0, size - 1, 200
        if asked and not self.no_ranges:
            m = re.fullmatch(r"bytes=(\d*)-(\d*)", asked)
            if m and (m.group(1) or m.group(2)):
                if not m.group(1):
                    first = max(0, size - int(m.group(2)))
                else:
                    first = int(m.group(1))
                    last = min(size - 1, int(m.group(2))) if m.group(2) else size - 1
                if first > last:
                    self._plain(h, 416, [("Content-Range", f"bytes */{size}")])
                    return
                status = 206
        h.send_response(status)
        h.send_header("Content-Type", self.content_type)
        if not self.no_ranges:
            h.send_header("Accept-Ranges", "bytes")
        if self.etag:
            h.send_header("ETag", '"%x-%x"' % (size, data.stat().st_mtime_ns))
        for name, value in self.fields:
            h.send_header(name, value)
        if self.last_modified:
            h.send_header("Last-Modified", email.utils.formatdate(int(data.stat().st_mtime), usegmt=True))
        if status == 206:
            h.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        if self.no_length:
            h.send_header("Transfer-Encoding", "chunked")
        else:
            h.send_header("Content-Length", str(last - first + 1))
        h.end_headers()
        if method == "HEAD":
            return
        left, begun = last - first + 1, first
        try:
            with open(data, "rb") as f:
                f.seek(first)
                while left:
                    self.gate.wait(60)
                    piece = f.read(min(left, 65536))
                    if self.cut_after is not None:
                        allowed = self.cut_after - (first - begun)
                        if allowed < len(piece):
                            h.wfile.write(piece[:max(0, allowed)])
                            h.close_connection = True
                            h.connection.close()
                            return
                    h.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if self.no_length else piece)
                    first += len(piece)
                    left -= len(piece)
                if self.no_length:
                    h.wfile.write(b"0\r\n\r\n")
        except OSError:
            h.close_connection = True
        finally:
            if first > begun:
                with self._lock:
                    self.sent.setdefault(path, []).append((begun, first - 1))

    def _plain(self, h, status, headers=()):
        body = b"" if status in (204, 304) else b"origin says %d\n" % status
        h.send_response(status)
        for name, value in headers:
            h.send_header(name, value)
        h.send_header("Content-Type", "text/plain")
        h.send_header("Content-Length", str(len(body)))
        h.end_headers()
        if h.command != "HEAD":
            h.wfile.write(body)
