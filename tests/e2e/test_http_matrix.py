"""HTTP semantics are the same on every path to an answer (cache contract §9, RFC 9110 §13-14).

One table: every way an answer can come about x every kind of body x every kind of request. What each cell must look like is said by
one model (`Model`), written from the RFC and not from our code. A failure names its cell: test_cell[kv-original-suffix-GET].
"""
import dataclasses
import email.utils
import re
import time

import pytest

from kit import media
from kit.origin import HttpOrigin
from kit.server import Server
from kit.wait import until

TTL = 86400
PATHS = ("cold", "joined", "edge", "kv", "stale", "stale-kv", "debug")
MADE = ("cold", "joined", "debug")  # the answer comes from a production
METHODS = ("GET", "HEAD")

LONG_AGO = "Thu, 01 Jan 1970 00:00:01 GMT"
TOMORROW = email.utils.formatdate(time.time() + 86400, usegmt=True)


@dataclasses.dataclass(frozen=True)
class Body:
    """A kind of body. `whole_form`: what is sent while it is made is byte for byte what is stored."""
    target: str
    key: str
    content_type: str
    format: str
    whole_form: bool          # else: while it is made a video is sent in its streamable form
    known_at_once: bool = False  # length and validator follow from the source, before anything is made


BODIES = {
    "frame": Body("/remote/small.mp4?mode=frame&width=160", "frame:remote/small.mp4:w=160", "image/jpeg", "jpg", True),
    "original": Body("/remote/medium.mp4", "video:remote/medium.mp4", "video/mp4", None, True, True),
    "video": Body("/remote/small.mp4?width=96&duration=1", "video:remote/small.mp4:w=96:d=1s", "video/mp4", "mp4", False),
}


@dataclasses.dataclass
class Reference:
    """What the stored form is, learnt once from a plain hit."""
    bytes: bytes
    etag: str
    modified: str   # None: not known before the answer


CASES = {
    "full": lambda r: {},
    "prefix": lambda r: {"Range": "bytes=0-99"},
    "first-byte": lambda r: {"Range": "bytes=0-0"},
    "middle": lambda r: {"Range": "bytes=100-299"},
    "open-ended": lambda r: {"Range": "bytes=100-"},
    "from-start": lambda r: {"Range": "bytes=0-"},
    "suffix": lambda r: {"Range": "bytes=-100"},
    "suffix-beyond": lambda r: {"Range": "bytes=-99999999999"},
    "clamped": lambda r: {"Range": "bytes=5-99999999999"},
    "multi": lambda r: {"Range": "bytes=0-9, 100-119,-20"},
    "multi-touching": lambda r: {"Range": "bytes=0-49,50-99"},
    "multi-partly-there": lambda r: {"Range": "bytes=0-9,99999999999-"},
    "unsatisfiable": lambda r: {"Range": "bytes=99999999999-"},
    "unsatisfiable-suffix": lambda r: {"Range": "bytes=-0"},
    "malformed": lambda r: {"Range": "bytes=9-2"},
    "other-unit": lambda r: {"Range": "items=0-5"},
    "if-range-match": lambda r: {"Range": "bytes=10-19", "If-Range": r.etag},
    "if-range-mismatch": lambda r: {"Range": "bytes=10-19", "If-Range": '"other"'},
    "if-range-weak": lambda r: {"Range": "bytes=10-19", "If-Range": "W/" + r.etag},
    "if-range-date": lambda r: {"Range": "bytes=10-19", "If-Range": r.modified or LONG_AGO},
    "if-range-other-date": lambda r: {"Range": "bytes=10-19", "If-Range": LONG_AGO},
    "if-none-match": lambda r: {"If-None-Match": r.etag},
    "if-none-match-list": lambda r: {"If-None-Match": '"a", W/' + r.etag},
    "if-none-match-star": lambda r: {"If-None-Match": "*"},
    "if-none-match-other": lambda r: {"If-None-Match": '"other"'},
    "if-none-match-and-range": lambda r: {"If-None-Match": r.etag, "Range": "bytes=0-9"},
    "if-modified-since": lambda r: {"If-Modified-Since": r.modified or TOMORROW},
    "if-modified-since-older": lambda r: {"If-Modified-Since": LONG_AGO},
    "if-modified-since-hidden": lambda r: {"If-None-Match": '"other"', "If-Modified-Since": TOMORROW},
    "if-unmodified-since": lambda r: {"If-Unmodified-Since": r.modified or TOMORROW},
    "if-unmodified-since-older": lambda r: {"If-Unmodified-Since": LONG_AGO},
    "if-match": lambda r: {"If-Match": r.etag},
    "if-match-star": lambda r: {"If-Match": "*"},
    "if-match-other": lambda r: {"If-Match": '"other"'},
    "if-match-weak": lambda r: {"If-Match": "W/" + r.etag},
    "if-match-and-range": lambda r: {"If-Match": r.etag, "Range": "bytes=10-19"},
}


# -- the model

class Model:
    """What RFC 9110 makes of a request, given the representation. Knows nothing of caches."""

    @staticmethod
    def ranges(value, size):
        """None: no range applies, send everything. []: nothing satisfiable. Else [(first, last)], joined when they touch."""
        m = re.fullmatch(r"bytes=(.*)", value or "")
        if not m:
            return None
        found = []
        for item in (i.strip() for i in m.group(1).split(",")):
            spec = re.fullmatch(r"(\d*)-(\d*)", item)
            if not spec or spec.group(0) == "-":
                return None
            first, last = spec.groups()
            if first and last and int(first) > int(last):
                return None
            if not first:
                begin, end = max(0, size - int(last)), size - 1
            else:
                begin, end = int(first), min(int(last or size), size - 1)
            if begin <= end:
                found.append((begin, end))
        ordered = sorted(found)
        if len(ordered) > 1 and any(b <= a_end + 1 for (_, a_end), (b, _) in zip(ordered, ordered[1:])):
            merged = [ordered[0]]
            for begin, end in ordered[1:]:
                if begin <= merged[-1][1] + 1:
                    merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
                else:
                    merged.append((begin, end))
            found = merged
        return found

    @staticmethod
    def tags(value):
        return re.findall(r'(?:W/)?"[^"]*"', value)

    @staticmethod
    def date(text):
        return email.utils.parsedate_to_datetime(text).timestamp()

    @classmethod
    def judge(cls, method, headers, size, etag, modified):
        """@return (status, ranges or None) by §13.2.2, steps 1 to 6"""
        if "If-Match" in headers:
            value = headers["If-Match"]
            if value != "*" and etag not in [t for t in cls.tags(value) if not t.startswith("W/")]:
                return 412, None
        elif "If-Unmodified-Since" in headers and cls.date(modified) > cls.date(headers["If-Unmodified-Since"]):
            return 412, None
        if "If-None-Match" in headers:
            value = headers["If-None-Match"]
            if value == "*" or etag in [t.removeprefix("W/") for t in cls.tags(value)]:
                return 304, None
        elif "If-Modified-Since" in headers and cls.date(modified) <= cls.date(headers["If-Modified-Since"]):
            return 304, None
        if method != "GET" or "Range" not in headers:  # §14.2: Range is defined for GET only
            return 200, None
        if "If-Range" in headers:
            value = headers["If-Range"]
            if value != etag if '"' in value else cls.date(value) != cls.date(modified):
                return 200, None
        ranges = cls.ranges(headers["Range"], size)
        if ranges is None:
            return 200, None
        return (206, ranges) if ranges else (416, None)


def needs_stored_form(headers):
    """Whether the answer depends on the finished form (docs/http.md, "Bodies")."""
    if "If-Match" in headers or "If-Unmodified-Since" in headers:
        return True
    return headers.get("Range") != "bytes=0-" and Model.ranges(headers.get("Range"), 1 << 40) is not None


def form_of(path, body, method, headers):
    """stored: the representation with its validators. streamed: a video while it is made. described: HEAD of what nobody has made."""
    if path not in MADE or body.known_at_once:
        return "stored"
    if method == "HEAD":
        return "described"
    return "stored" if body.whole_form or needs_stored_form(headers) else "streamed"


# -- the paths

class Layers:
    """The servers in which each path is the natural one, and how a path is set up."""

    def __init__(self, folder):
        self.folder = folder
        self.servers = {}
        self.references = {}

    def close(self):
        for server, origin in self.servers.values():
            server.stop(expect=None)
            origin.close()

    def server(self, kind):
        if kind not in self.servers:
            origin = HttpOrigin()
            for name in ("small.mp4", "medium.mp4"):
                origin.files["/" + name] = media.clip(name)
            server = Server(self.folder / kind)
            server.config["origins"] = [server.http_origin(origin)]
            server.config["fetch"] = {"spoolKeep": 0}
            cache = server.config["cache"] = {"kvTtl": {"ok": TTL}, "sourceCheckInterval": 0}
            cache["edge"] = {"maxBytes": 0 if kind.endswith("kv") else "256MiB", "maxObjectInMemory": "256KiB" if not kind.endswith("kv") else 0}
            if kind.startswith("stale"):
                cache["kvTtl"]["serverError"] = 3600  # so long is a failing origin not asked again
            server.allow_loopback_origins()
            server.open_admin()
            server.start()
            self.servers[kind] = (server, origin)
        return self.servers[kind]

    def reference(self, kind, body):
        """The stored form of the body, present in that server's layers."""
        if (kind, body.key) not in self.references:
            server, origin = self.server(kind)
            origin.status = None
            server.get(body.target)
            reply, data = until(lambda: self._hit(server, body), "a hit")
            assert len(data) > 1000
            if kind.startswith("stale"):
                origin.status = 503
                assert server.purge(key=body.key, mode="soft")["KV"] == 1
                if kind == "stale":  # from the KV once; then its origin has just failed, and it stays in the edge
                    until(lambda: server.get(body.target)[0]["X-Cache-Source"] == "edge", "the stale entry is in the edge")
            self.references[kind, body.key] = Reference(data, reply["ETag"], reply["Last-Modified"])
        return self.references[kind, body.key]

    def _hit(self, server, body):
        reply, data = server.get(body.target)
        return (reply, data) if (reply.status, reply["X-Cache-Status"]) == (200, "HIT") else None


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    found = Layers(tmp_path_factory.mktemp("matrix"))
    yield found
    found.close()


def kind_of(path):
    return "plain" if path in MADE else path


def ask(layers, path, body, method, headers):
    """One request on that path. @return (reply, bytes)"""
    server, origin = layers.server(kind_of(path))
    if path in ("cold", "joined"):
        server.purge(key=body.key)
    if path != "joined":
        mark = "" if path != "debug" else ("&" if "?" in body.target else "?") + "debug=true"
        return server.get(body.target + mark, method, headers)
    origin.gate.clear()
    try:
        with server.connect() as leader, server.connect() as joiner:
            joins = server.metric("video_resizer_joins_total")
            leader.begin(body.target)
            until(lambda: server.metric("video_resizer_productions_in_flight") == 1, "a production is under way")
            joiner.begin(body.target, method, headers)
            if method == "GET":
                until(lambda: server.metric("video_resizer_joins_total") == joins + 1, "the second request joined")
            else:  # a HEAD describes what is being made and waits for nothing
                reply = joiner.reply(method)
            origin.gate.set()
            if method == "GET":
                reply = joiner.reply(method)
            data = reply.body()
            leader.reply().skip()
            return reply, data
    finally:
        origin.gate.set()


# -- the checks

STATUS_OF = {"cold": "MISS", "joined": "MISS", "edge": "HIT", "kv": "HIT", "stale": "STALE", "stale-kv": "STALE", "debug": "BYPASS"}
SOURCE_OF = {"cold": "transform", "joined": "transform", "edge": "edge", "kv": "KV", "stale": "edge", "stale-kv": "KV", "debug": "transform"}
CACHE_STATUS_OF = {
    "cold": r"KV; fwd=miss(; stored)?, edge; fwd=miss(; stored)?",
    "joined": r"KV; fwd=miss; collapsed, edge; fwd=miss; collapsed",
    "debug": r"KV; fwd=bypass, edge; fwd=bypass",
    "edge": r"edge; hit; ttl=\d+",
    "kv": r"KV; hit; ttl=\d+, edge; fwd=bypass",
    "stale": r"edge; hit; ttl=(0|-\d+)",
    "stale-kv": r"KV; hit; ttl=(0|-\d+), edge; fwd=bypass",
}
DIAGNOSTIC = ("X-Cache-Status", "X-Cache-Source", "X-KV-Cache-Key", "Cache-Status", "Cache-Tag", "Age", "X-Request-ID", "Server-Timing", "Via",
              "X-Content-Type-Options", "X-Origin", "X-Source-Type", "Cache-Control", "Date")


def check_diagnostics(reply, path, body, method):
    """R-124: every answer carries the same set, whatever its layer and status."""
    for name in DIAGNOSTIC:
        values = [v for n, v in reply.fields if n.lower() == name.lower()]
        assert len(values) == 1, f"{name}: {values} in {reply.fields}"
    assert reply["X-Cache-Status"] == STATUS_OF[path]
    assert reply["X-Cache-Source"] == SOURCE_OF[path]
    assert reply["X-KV-Cache-Key"] == body.key
    status_path = "cold" if path == "joined" and method == "HEAD" else path
    assert re.fullmatch(CACHE_STATUS_OF[status_path], reply["Cache-Status"]), reply["Cache-Status"]
    tags = reply["Cache-Tag"].split(",")
    assert f"video-mode-{'frame' if body.key.startswith('frame') else 'video'}" in tags
    if body.format:
        assert f"video-format-{body.format}" in tags
    assert (reply["X-Origin"], reply["X-Source-Type"]) == ("remote", "http")
    assert reply["Age"] == "0", "Cache-Control says what remains"
    if path not in MADE:
        assert 0 <= int(reply["X-KV-Cache-Age"]) < 600
        assert (int(reply["X-KV-Cache-TTL"]) == 0) == path.startswith("stale")


def check_stored(reply, data, path, body, method, headers, reference):
    size = len(reference.bytes)
    modified = reference.modified or reply["Last-Modified"]
    assert modified, reply.fields
    status, ranges = Model.judge(method, headers, size, reference.etag, modified)
    assert reply.status == status, (reply.status, reply.fields, data[:200])
    assert reply["ETag"] == reference.etag
    assert reply["Accept-Ranges"] == "bytes"
    assert reply["Last-Modified"] == modified
    assert reference.modified or abs(Model.date(modified) - time.time()) < 60
    if status in (412, 416):
        assert reply["Cache-Control"] == "no-store" and reply["Content-Type"] == "application/json"
        if method == "GET":
            assert int(reply["Content-Length"]) == len(data) and b'"code"' in data
        assert reply["Content-Range"] == (f"bytes */{size}" if status == 416 else None)
        return
    m = re.fullmatch(r"public, max-age=(\d+)", reply["Cache-Control"])
    if path == "debug":
        assert reply["Cache-Control"] == "no-store"
    else:
        assert m, reply.fields
        assert int(m.group(1)) <= max(0, TTL - int(reply["X-KV-Cache-Age"] or 0))
        assert (int(m.group(1)) == 0) == path.startswith("stale")
    if status == 304:
        assert data == b""
        assert "Content-Range" not in reply and "Content-Type" not in reply
        assert reply["Content-Length"] in (None, str(size))
        return
    if status == 200:
        assert reply["Content-Length"] == str(size) and "Content-Range" not in reply
        assert reply["Content-Type"] == body.content_type
        assert data == (reference.bytes if method == "GET" else b"")
        return
    if len(ranges) == 1:
        first, last = ranges[0]
        assert reply["Content-Range"] == f"bytes {first}-{last}/{size}"
        assert reply["Content-Type"] == body.content_type
        assert reply["Content-Length"] == str(last - first + 1)
        assert data == reference.bytes[first:last + 1]
        return
    check_parts(reply, data, body, reference, ranges)


def check_parts(reply, data, body, reference, ranges):
    assert "Content-Range" not in reply
    assert reply["Content-Length"] == str(len(data))
    boundary = re.fullmatch(r'multipart/byteranges; boundary="?([^"]+)"?', reply["Content-Type"]).group(1).encode()
    parts = data.split(b"--" + boundary)
    assert parts[0].strip() == b"" and parts[-1].strip() == b"--"
    assert len(parts) - 2 == len(ranges)
    for part, (first, last) in zip(parts[1:-1], ranges):
        head, _, rest = part.partition(b"\r\n\r\n")
        assert rest == reference.bytes[first:last + 1] + b"\r\n"
        fields = dict(line.split(": ", 1) for line in head.decode().strip().split("\r\n"))
        assert fields == {"Content-Type": body.content_type, "Content-Range": f"bytes {first}-{last}/{len(reference.bytes)}"}


def check_unfinished(reply, data, body, form):
    """No validator, no length, nothing a cache could keep or splice."""
    assert reply.status == 200, (reply.fields, data[:200])
    for name in ("ETag", "Last-Modified", "Content-Length", "Accept-Ranges", "Content-Range"):
        assert name not in reply, reply.fields
    assert reply["Cache-Control"] == "no-store"
    assert reply["Content-Type"] == body.content_type
    if form == "streamed":
        assert media.boxes(data)[:3] == ["ftyp", "moov", "moof"] and reply.complete
    else:
        assert data == b""


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("path", PATHS)
def test_cell(layers, request, path, kind, case, method):
    body = BODIES[kind]
    reference = layers.reference(kind_of(path), body)
    request.node._vr_server = layers.server(kind_of(path))[0]
    if path in MADE and not body.known_at_once:
        reference = dataclasses.replace(reference, modified=None)  # made anew: its date is not known before
    headers = CASES[case](reference)
    reply, data = ask(layers, path, body, method, headers)
    form = form_of(path, body, method, headers)
    if form == "stored":
        check_stored(reply, data, path, body, method, headers, reference)
    else:
        check_unfinished(reply, data, body, form)
    check_diagnostics(reply, path, body, method)
