"""A real HTTP origin that misbehaves on purpose: the right variant or a documented error, in time, with few requests, and nothing
wrong is left behind: no entry, no copy, no descriptor, no dead worker. One server for all; every case has a URL of its own."""
import json
import os
import socket
import threading

import pytest

from kit import bad_origin as bad
from kit import expect, media, wire
from kit.bad_origin import Blurter, chunked, dripping, first_then, held, honest, part, whole
from kit.raw_origin import RawOrigin, answer
from kit.serving import serving
from kit.wait import until

GOOD = media.clip("small.mp4").read_bytes()
OTHER = media.clip("silent.mp4").read_bytes()
SIZE = len(GOOD)
LIMIT = 1 << 20
BLOCK = 16 << 10
GATE = threading.Event()  # opened at the end: whoever stalls may go

QUERIES = {"frame": "?mode=frame&width=96&time=1s&format=png", "video": "?width=96&duration=1s", "original": ""}
OK, CUT = "OK", "CUT"
FAILED, TIMEOUT, GONE, LARGE = "ALL_SOURCES_FAILED", "ORIGIN_TIMEOUT", "NOT_FOUND", "SOURCE_TOO_LARGE"
NO_VIDEO = ("SOURCE_UNSUPPORTED", "SOURCE_CORRUPT")


class Site:
    """The server, its origins and what good answers look like."""

    def __init__(self, server, origin, others):
        self.server, self.origin, self.others = server, origin, others
        self.good = {}

    def outcome(self, target, **more):
        """@return (OK, CUT or an error's code, body)"""
        with self.server.connect(timeout=12) as c:
            reply = c.ask(target, **more)
            assert reply.status in (200, 202) or reply.status >= 400, reply.status
            try:
                body = reply.body()
            except wire.Cut:
                return CUT, b""
            if reply.status >= 400:
                code = expect.error(reply, body)
                for secret in (b"127.0.0.1", b"localhost", str(self.server.folder).encode(), b"${", b"curl"):
                    assert secret not in body, body
                return code, body
            assert reply.status == 200
            return OK, body

    def sockets(self):
        found = 0
        for fd in os.listdir(f"/proc/{self.server.pid}/fd"):
            try:
                found += os.readlink(f"/proc/{self.server.pid}/fd/{fd}").startswith("socket:")
            except OSError:
                pass
        return found

    def spools(self):
        """Copies of sources that are still open; they have no name."""
        found = []
        for fd in os.listdir(f"/proc/{self.server.pid}/fd"):
            try:
                link = os.readlink(f"/proc/{self.server.pid}/fd/{fd}")
            except OSError:
                continue
            if "/spool/" in link or "vr-spool" in link:
                found.append(link)
        return found

    def is_clean(self):
        """Nothing of a request is left."""
        files = [p for top in ("staging", "spool") for p in (self.server.data / top).rglob("*") if p.is_file()]
        return not files and not self.spools() and self.server.metric("video_resizer_spool_bytes") == 0


def tls_garbage():
    return b"\x15\x03\x03\x00\x02\x02\x28" * 20


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    origin = RawOrigin()
    others = {"canary": Blurter(answer(body=GOOD)), "garbage": Blurter(tls_garbage(), listens=True), "mute": Blurter(b"", listens=True)}
    with socket.create_server(("127.0.0.1", 0)) as s:
        refused = s.getsockname()[1]

    def http_origin(name, url):
        return {"name": name, "matcher": f"^/{name}/(.+)$", "captureGroups": ["path"], "sources": [{"type": "http", "url": url, "path": "${path}"}]}

    def configure(server):
        server.config["origins"] = [http_origin("bad", origin.url), http_origin("tls", others["garbage"].url.replace("http:", "https:")),
                                    http_origin("garbage", others["garbage"].url), http_origin("mute", others["mute"].url),
                                    http_origin("refused", f"http://127.0.0.1:{refused}"),
                                    {"name": "pages", "matcher": "^/pages/", "mode": "passthrough", "sources": [{"type": "http", "url": origin.url}]}]
        server.config["fetch"] = {"connectTimeout": "800ms", "firstByteTimeout": "800ms", "idleTimeout": "800ms", "totalTimeout": "2s", "maxRedirects": 5,
                                  "spoolKeep": 0, "blockBytes": BLOCK, "readAheadBytes": 4 * BLOCK}
        server.config["transform"] = {"maxSourceBytes": LIMIT}
        server.config["cache"] = {"kvTtl": {"clientError": 0, "serverError": 0}, "productionTimeout": 3, "staleWhileRevalidate": 0, "staleIfError": 0}
    with serving(tmp_path_factory.mktemp("bad"), configure) as server:
        made = Site(server, origin, others)
        origin.answers["/good.mp4"] = honest(GOOD)
        for kind, query in QUERIES.items():
            made.outcome("/bad/good.mp4" + query)
            code, made.good[kind] = made.outcome("/bad/good.mp4" + query)  # the stored form
            assert code == OK
        assert made.good["original"] == GOOD
        until(made.is_clean, "the first requests left nothing")
        made.sockets_before = made.sockets()
        made.fds_before = len(os.listdir(f"/proc/{server.pid}/fd"))
        yield made
        GATE.set()
        until(made.is_clean, "all cases together left nothing")
        fds = len(os.listdir(f"/proc/{server.pid}/fd"))
        assert fds <= made.fds_before + 3 * len(CASES) + 40, "stored bodies, tables of the index, kept connections; nothing that grows with failures"
        deaths = {labels["cause"]: n for name, labels, n in server.series() if name == "video_resizer_worker_deaths_total" and n}
        assert set(deaths) <= {"deadline", "cancelled"}, f"by our own hand only, when the time was up: {deaths}"
        assert server.metric("video_resizer_zygote_starts_total") <= 1
    origin.close()
    for other in others.values():
        other.close()


def lying(**lies):
    return lambda asked: part(asked, GOOD, 'ETag: "v1"', **lies)


def after_first(then, first=None):
    """The first answer is honest, what follows is not."""
    return lambda: first_then(first or honest(GOOD), then)


def to(location, status="302 Found"):
    return lambda: answer(f"Location: {location}", status=status, body=b"over there")


def other_version(asked):
    """Another file of the same name."""
    return part(asked, OTHER, 'ETag: "v2"')


def once_more(asked):
    """Ranges of something else that has the same length and says nothing about itself."""
    return part(asked, bytes(SIZE), 'ETag: "v1"')


def shortened(asked):
    first, last = bad.wanted(asked, SIZE) or (0, SIZE - 1)
    return part(asked, GOOD, 'ETag: "v1"', span=(first, last), body=GOOD[first:last + 1][:-5])


def one_byte(asked):
    first = (bad.wanted(asked, SIZE) or (0, 0))[0]
    return part(asked, GOOD, 'ETag: "v1"', span=(first, first), body=GOOD[first:first + 1])


def coded(asked):
    """As many bytes as were asked for, and others."""
    first, last = bad.wanted(asked, SIZE) or (0, SIZE - 1)
    return part(asked, GOOD, 'ETag: "v1"', "Content-Encoding: gzip", body=os.urandom(last - first + 1))


def cut(asked):
    """Says a length and breaks off before it."""
    return iter([answer("Content-Type: video/mp4", f"Content-Length: {SIZE}", length=False) + GOOD[:SIZE // 2]])


def not_head(asked):
    return answer(status="405 No") if asked.method == "HEAD" else honest(GOOD)(asked)


def no_head_at_all(asked):
    return answer(status="404 Not Found") if asked.method == "HEAD" else honest(GOOD)(asked)


def chain(hops):
    """Redirects to itself with one hop less."""
    left = [hops]

    def reply(asked):
        left[0] -= 1
        if left[0] >= 0:
            return answer(f"Location: {asked.target}", status="302 Found")
        return honest(GOOD)(asked)
    return reply


def with_etags(*etags):
    """Another ETag with every request."""
    left = list(etags)
    return lambda asked: honest(GOOD, etag=left.pop(0) if len(left) > 1 else left[0])(asked)


FRAMES = ("frame",)
STILL = ("frame", "original")
ALL = ("frame", "video", "original")

# name: (maker of the reply (a new one per kind of request), what may come out, most requests, kinds of request)
CASES = {
    # ranges
    "no-ranges": (lambda: lambda a: whole(GOOD, 'ETag: "v1"'), {OK}, 1, ALL),
    "honest": (lambda: honest(GOOD), {OK}, 10, ALL),
    "no-validators": (lambda: honest(GOOD, etag=None), {OK}, 10, ALL),
    "weak-etag": (lambda: honest(GOOD, etag='W/"v1"'), {OK}, 10, ALL),
    "last-modified-only": (lambda: lambda a: part(a, GOOD, bad.MODIFIED), {OK}, 10, ALL),
    "date-that-is-none": (lambda: lambda a: part(a, GOOD, "Last-Modified: yesterday", "ETag: unquoted"), {OK}, 10, ALL),
    "total-unknown": (lambda: lying(total="*"), {FAILED}, 1, ALL),
    "total-unknown-later": (after_first(lying(total="*")), {OK}, 10, ALL),
    "total-too-small": (lambda: lying(total=10), {FAILED}, 1, ALL),
    "total-too-large": (lambda: lying(total=SIZE + 1000), {FAILED, CUT, *NO_VIDEO, OK}, 12, ALL),
    "total-enormous": (lambda: lying(total=1 << 62), {LARGE}, 1, ALL),
    "total-beyond-64-bit": (lambda: lying(total=1 << 70), {FAILED}, 1, ALL),
    "total-negative": (lambda: lying(total=-1), {FAILED}, 1, ALL),
    "total-changes": (after_first(lying(total=SIZE + 7)), {FAILED, CUT}, 8, ALL),
    "start-is-another": (lambda: lying(span=(1, BLOCK)), {FAILED}, 1, ALL),
    "start-is-another-later": (after_first(lying(span=(1, BLOCK))), {FAILED, CUT}, 8, ALL),
    "range-backwards": (lambda: lying(span=(100, 1)), {FAILED}, 1, ALL),
    "range-of-nothing": (lambda: lambda a: answer("Content-Range: bytes", body=GOOD[:BLOCK], status="206 P"), {FAILED}, 1, ALL),
    "206-without-range": (lambda: lambda a: answer(body=GOOD[:BLOCK], status="206 P"), {FAILED}, 1, ALL),
    "206-of-other-units": (lambda: lambda a: answer("Content-Range: lines 0-9/10", body=GOOD[:BLOCK], status="206 P"), {FAILED}, 1, ALL),
    "206-twice": (lambda: lambda a: part(a, GOOD, "Content-Range: bytes 0-9/10"), {FAILED, OK}, 10, ALL),
    "206-multipart": (lambda: lambda a: answer("Content-Type: multipart/byteranges; boundary=x", body=b"--x\r\n\r\nabc\r\n--x--", status="206 P"), {FAILED}, 1, ALL),
    "206-shorter-than-said": (lambda: shortened, {FAILED, CUT}, 6, ALL),
    "206-longer-than-asked": (lambda: lambda a: part(a, GOOD, span=(0, SIZE - 1), body=GOOD), {FAILED}, 1, ALL),
    "206-longer-than-said": (lambda: lambda a: part(a, GOOD, span=(0, 99), body=GOOD[:BLOCK]), {FAILED}, 4, ALL),
    "206-byte-by-byte": (lambda: one_byte,
                         {TIMEOUT, "TRANSFORM_TIMEOUT"}, 100000, FRAMES),
    "416-with-a-length": (lambda: lambda a: answer(f"Content-Range: bytes */{SIZE}", status="416 R"), {FAILED}, 1, ALL),
    "416-later": (after_first(answer(f"Content-Range: bytes */{SIZE}", status="416 R")), {FAILED, CUT}, 8, ALL),
    "200-later": (after_first(lambda a: whole(GOOD, 'ETag: "v1"', bad.MODIFIED)), {FAILED, CUT}, 16, ALL),
    "304-unasked": (lambda: lambda a: answer('ETag: "v1"', status="304 N", length=False), {FAILED}, 1, ALL),
    "304-later": (after_first(answer('ETag: "v1"', status="304 N", length=False)), {FAILED, CUT}, 12, ALL),
    "404-later": (after_first(answer(status="404 N")), {FAILED, CUT}, 8, ALL),
    "other-version-later": (after_first(other_version), {FAILED, CUT}, 8, ALL),
    "etag-each-time": (lambda: with_etags('"a"', '"b"', '"c"', '"d"'), {FAILED, CUT}, 8, ALL),
    "etag-gone-later": (after_first(lambda a: part(a, GOOD)), {OK}, 10, ALL),
    "etag-weak-later": (after_first(lambda a: part(a, GOOD, 'ETag: W/"v1"')), {FAILED, CUT}, 8, ALL),
    "other-date-later": (after_first(lambda a: part(a, GOOD, "Last-Modified: Tue, 02 Jan 2024 00:00:00 GMT"), lambda a: part(a, GOOD, bad.MODIFIED)), {FAILED, CUT}, 8, ALL),
    "gzip-later": (after_first(coded),
                   {FAILED, CUT}, 8, ALL),
    # bodies
    "chunked": (lambda: lambda a: chunked(GOOD), {OK}, 1, ALL),
    "chunked-cut": (lambda: lambda a: chunked(GOOD[:SIZE // 2], last=b""), {FAILED, CUT}, 6, ALL),
    "chunked-nonsense": (lambda: lambda a: chunked(GOOD[:SIZE // 2], last=b"zz\r\n"), {FAILED, CUT}, 6, ALL),
    "chunked-enormous": (lambda: lambda a: chunked(b"", last=b"FFFFFFFFFFFFFFFFFF\r\n" + GOOD), {FAILED, CUT}, 6, ALL),
    "chunked-without-end": (lambda: lambda a: held(GATE, b"".join(chunked(GOOD, last=b""))), {TIMEOUT, CUT, OK}, 6, STILL),
    "closed-at-the-end": (lambda: lambda a: iter([answer("Content-Type: video/mp4", length=False) + GOOD]), {OK}, 1, ALL),
    "http-1.0": (lambda: lambda a: iter([b"HTTP/1.0 200 OK\r\nContent-Type: video/mp4\r\n\r\n" + GOOD]), {OK}, 1, ALL),
    "http-0.9": (lambda: lambda a: iter([GOOD]), {FAILED}, 3, ALL),
    "http-0.9-text": (lambda: lambda a: iter([b"<html>welcome</html>\r\n\r\n"]), {FAILED}, 3, ALL),
    "http-7": (lambda: lambda a: b"HTTP/7.3 200 OK\r\nContent-Length: 4\r\n\r\nabcd", {FAILED}, 3, ALL),
    "status-nonsense": (lambda: lambda a: b"HTTP/1.1 abc OK\r\nContent-Length: 4\r\n\r\nabcd", {FAILED}, 3, ALL),
    "status-of-four-digits": (lambda: lambda a: b"HTTP/1.1 2000 OK\r\nContent-Length: 4\r\n\r\nabcd", {FAILED}, 3, ALL),
    "status-999": (lambda: lambda a: answer(status="999 What"), {FAILED}, 3, ALL),
    "cut-in-the-middle": (lambda: cut, {FAILED, CUT}, 6, ALL),
    "cut-in-the-head": (lambda: lambda a: iter([b"HTTP/1.1 200 OK\r\nContent-Le"]), {FAILED}, 3, ALL),
    "no-answer": (lambda: lambda a: None, {FAILED}, 6, ALL),
    "says-more-than-comes": (lambda: lambda a: iter([answer("Content-Type: video/mp4", f"Content-Length: {SIZE + 5000}", length=False) + GOOD]), {FAILED, CUT, OK}, 6, ALL),
    "says-less-than-comes": (lambda: lambda a: iter([answer("Content-Type: video/mp4", 'ETag: "short"', f"Content-Length: {SIZE // 2}", length=False) + GOOD]), None, 6, ALL),
    "two-lengths": (lambda: lambda a: answer(f"Content-Length: {SIZE - 5}", f"Content-Length: {SIZE}", length=False) + GOOD, {FAILED}, 3, ALL),
    "the-same-length-twice": (lambda: lambda a: answer(f"Content-Length: {SIZE}", f"Content-Length: {SIZE}", length=False) + GOOD, {OK, FAILED}, 3, ALL),
    "length-negative": (lambda: lambda a: answer("Content-Length: -1", length=False) + GOOD, {FAILED}, 3, ALL),
    "length-in-words": (lambda: lambda a: answer("Content-Length: many", length=False) + GOOD, {FAILED}, 3, ALL),
    "length-beyond-64-bit": (lambda: lambda a: answer(f"Content-Length: {1 << 70}", length=False) + GOOD, {FAILED, LARGE}, 3, ALL),
    "length-and-chunks": (lambda: lambda a: chunked(GOOD, lines=("Content-Length: 10",)), {OK, FAILED}, 3, ALL),
    "unknown-coding": (lambda: lambda a: answer("Transfer-Encoding: snappy", body=GOOD), {FAILED}, 3, ALL),
    "trailing-garbage": (lambda: lambda a: iter([whole(GOOD) + b"HTTP/1.1 200 OK\r\nX: garbage\r\n" + os.urandom(500)]), {OK}, 1, ALL),
    "empty": (lambda: whole(b""), {*NO_VIDEO}, 1, FRAMES),
    "204": (lambda: answer(status="204 No Content", length=False), {FAILED}, 1, ALL),
    "205": (lambda: answer(status="205 Reset Content"), {FAILED}, 1, ALL),
    "too-long": (lambda: lambda a: whole(bytes(LIMIT + 1)), {LARGE}, 1, ALL),
    "too-long-in-chunks": (lambda: lambda a: chunked(GOOD + bytes(LIMIT), size=65536), {LARGE, CUT}, 6, ALL),
    "too-long-without-length": (lambda: lambda a: iter([answer("Content-Type: video/mp4", length=False) + GOOD + bytes(LIMIT)]), {LARGE, CUT}, 6, ALL),
    "gzip-unasked": (lambda: whole(bad.zipped(GOOD), "Content-Encoding: gzip"), {FAILED}, 1, ALL),
    "brotli-claimed": (lambda: whole(GOOD, "Content-Encoding: br"), {FAILED}, 1, ALL),
    "identity-claimed": (lambda: whole(GOOD, "Content-Encoding: identity"), {OK}, 1, ALL),
    "html": (lambda: answer("Content-Type: text/html; charset=utf-8", body=b"<html>log in please</html>" * 50), {"SOURCE_UNSUPPORTED"}, 1, ALL),
    "json": (lambda: answer("Content-Type: application/json", body=b'{"error":"no"}'), {"SOURCE_UNSUPPORTED"}, 1, ALL),
    "html-in-disguise": (lambda: whole(b"<html>log in please</html>" * 50), {*NO_VIDEO}, 1, FRAMES),
    "json-in-disguise": (lambda: whole(b'{"error":"no"}'), {*NO_VIDEO}, 1, FRAMES),
    # heads
    "interim-100": (lambda: lambda a: b"HTTP/1.1 100 Continue\r\n\r\n" + honest(GOOD)(a), {OK}, 10, ALL),
    "interim-103": (lambda: lambda a: b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3 + honest(GOOD)(a), {OK}, 10, ALL),
    "interim-101": (lambda: lambda a: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n" + honest(GOOD)(a), {FAILED, OK}, 10, FRAMES),
    "interim-without-end": (lambda: lambda a: iter([b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 20000]), {FAILED, TIMEOUT}, 3, FRAMES),
    "huge-field": (lambda: whole(GOOD, "X-Big: " + "b" * 200_000), {FAILED}, 3, ALL),
    "many-fields": (lambda: whole(GOOD, *[f"X-{i}: v" for i in range(20_000)]), {FAILED}, 3, ALL),
    "endless-line": (lambda: lambda a: iter([b"HTTP/1.1 200 OK\r\nX: "] + [b"y" * 65536] * 40), {FAILED}, 3, FRAMES),
    "fields-with-nonsense": (lambda: whole(GOOD, "no colon here", ": no name", "X\x01Y: z", "Set-Cookie: a=b", "ETag: \"a\r\n b\""), {OK, FAILED}, 10, ALL),
    "nul-in-the-head": (lambda: lambda a: whole(GOOD, "X: a\0b"), {OK, FAILED}, 3, ALL),
    "mark-for-a-etag": (lambda: lambda a: part(a, GOOD, "ETag: " + "x" * 40_000), {OK, FAILED}, 10, FRAMES),
    # time
    "slow-head": (lambda: lambda a: held(GATE), {TIMEOUT}, 3, STILL),
    "slow-head-later": (after_first(lambda a: held(GATE)), {TIMEOUT, CUT}, 16, FRAMES),
    "dripping-head": (lambda: lambda a: dripping(GATE, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: " + b"y" * 400), {TIMEOUT}, 3, FRAMES),
    "stalled": (lambda: lambda a: held(GATE, whole(GOOD)[:-SIZE // 2]), {TIMEOUT, CUT}, 8, STILL),
    "stalled-range": (lambda: lambda a: held(GATE, part(a, GOOD, 'ETag: "v1"')[:-100]), {TIMEOUT, CUT}, 16, FRAMES),
    "trickle": (lambda: lambda a: dripping(GATE, whole(GOOD), 0.2, 9000), {TIMEOUT, "TRANSFORM_TIMEOUT", CUT}, 16, FRAMES),
    "trickling-range": (lambda: lambda a: dripping(GATE, part(a, GOOD, 'ETag: "v1"'), 0.2, 9000), {TIMEOUT, "TRANSFORM_TIMEOUT", CUT}, 16, FRAMES),
    # statuses
    "500": (lambda: answer(status="500 E"), {FAILED}, 4, ALL),
    "503-then-fine": (lambda: first_then(answer("Retry-After: 1", status="503 E"), honest(GOOD)), {FAILED, OK}, 10, ALL),
    "503-in-between": (lambda: lambda a, n=[0]: (n.__setitem__(0, n[0] + 1), answer(status="503 E") if n[0] == 2 else honest(GOOD)(a))[1], {OK}, 12, ALL),
    "429": (lambda: answer("Retry-After: 3600", status="429 Slow"), {FAILED}, 4, ALL),
    "429-later": (after_first(answer("Retry-After: 3600", status="429 Slow")), {FAILED, CUT}, 16, ALL),
    "401": (lambda: answer('WWW-Authenticate: Basic realm="x"', status="401 U"), {FAILED}, 2, ALL),
    "407": (lambda: answer('Proxy-Authenticate: Basic realm="x"', status="407 P"), {FAILED}, 2, ALL),
    "404": (lambda: answer(status="404 N"), {GONE}, 1, ALL),
    "410": (lambda: answer(status="410 G"), {GONE}, 1, ALL),
    "head-405": (lambda: not_head, {OK}, 10, ALL),
    "head-404": (lambda: no_head_at_all, {OK}, 10, ALL),
    # redirects
    "redirect-loop": (lambda: chain(1000), {FAILED}, 7, ALL),
    "redirect-chain-that-ends": (lambda: chain(5), {OK}, 60, STILL),
    "redirect-chain-too-long": (lambda: chain(6), {FAILED}, 7, STILL),
    "redirect-relative": (to("good.mp4"), {OK}, 12, ALL),
    "redirect-dots": (to("x/../../good.mp4"), {OK}, 12, ALL),
    "redirect-absolute-path": (to("/good.mp4#fragment", "308 P"), {OK}, 12, ALL),
    "redirect-without-place": (lambda: answer(status="302 Found"), {FAILED}, 1, ALL),
    "redirect-to-nothing": (to(""), {FAILED, GONE}, 7, FRAMES),
    "redirect-300": (to("/good.mp4", "300 M"), {FAILED}, 1, FRAMES),
    "redirect-305": (to("/good.mp4", "305 U"), {FAILED}, 1, FRAMES),
    "redirect-with-a-body": (lambda: lambda a: answer("Location: /good.mp4", status="301 M", body=bytes(200_000)), {OK, FAILED}, 12, FRAMES),
    "redirect-that-stalls": (lambda: lambda a: held(GATE, answer("Location: /good.mp4", "Content-Length: 99", status="301 M", length=False)), {OK, TIMEOUT}, 12, FRAMES),
    "redirect-two-places": (to("/good.mp4\r\nLocation: /other.mp4"), {OK, FAILED}, 12, FRAMES),
}


def asked(site, path):
    return len(site.origin.asked(path))


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("name", CASES)
def test_case(site, name, kind):
    make, outcomes, most, kinds = CASES[name]
    if kind not in kinds:
        pytest.skip("the other kinds of request say it")
    path = f"/{name}-{kind}.mp4"
    site.origin.answers[path] = make()
    outcome, body = site.outcome("/bad" + path + QUERIES[kind])
    if outcomes is not None:
        assert outcome in outcomes, body[:400]
    if outcome == OK and outcomes is not None and kind != "video":
        assert body == site.good[kind], "other bytes than a good origin's"
    assert asked(site, path) <= most
    until(site.is_clean, "nothing is left of it")
    assert site.sockets() <= site.sockets_before + 20
    # The origin is healed: what follows must be as if nothing had been.
    site.origin.answers[path] = honest(GOOD, etag='"healed"')
    query = QUERIES[kind]
    if outcomes is None:  # what was wrong cannot be seen from here
        query += ("&" if query else "?") + "nocache=1"
    for _ in range(2):
        outcome, body = site.outcome("/bad" + path + query)
        assert outcome == OK, body[:400]
    if kind != "video" or outcomes is not None:
        assert body == site.good[kind], "something wrong was kept"


@pytest.mark.parametrize("name", CASES)
def test_passed_through(site, name):
    """A mere cache in front of such an origin: what it says is passed on or 502, 504; nothing ends but the one answer."""
    path = f"/pages/{name}.bin"
    site.origin.answers[path] = CASES[name][0]()
    with site.server.connect(timeout=12) as c:
        reply = c.ask(path)
        try:  # a trickle is passed on for as long as it lasts: who has seen enough leaves
            body = reply.some() if name.startswith("trickl") else reply.body()
        except wire.Cut:
            body = None
        if reply["X-Cache-Source"] != "origin" and reply.status >= 400:
            assert expect.error(reply, body) in (FAILED, TIMEOUT)
    site.origin.answers[path] = lambda a: whole(GOOD, 'ETag: "healed"', "Cache-Control: max-age=60")
    healed, body = site.server.get(path, headers=[("Cache-Control", "no-cache")], timeout=12)
    assert (healed.status, body == GOOD) == (200, True)
    again, body = site.server.get(path)
    assert (again.status, again["X-Cache-Status"], body == GOOD) == (200, "HIT", True)


@pytest.mark.parametrize("late", [False, True])
def test_what_follows_an_answer_is_not_the_next_answer(site, late):
    """The origin puts a whole second answer behind the first: whoever asks next on that connection must not get it."""
    target, said = "/behind-%d.mp4" % late, threading.Event()
    evil = whole(OTHER, 'ETag: "evil"')
    data = GOOD + bytes(300_000)

    class Kept:
        closes = False

        def __iter__(self):
            if late:
                yield whole(data)
                said.wait(5)
                yield evil
            else:
                yield whole(data) + evil
    site.origin.answers[target] = lambda a: Kept()
    assert site.outcome("/bad" + target) == (OK, data)
    said.set()
    before = site.origin.sent
    if late:
        until(lambda: site.origin.sent >= before + len(evil), "the second answer is on its way")
    for i in range(5):
        path = f"/victim-{late}-{i}.mp4"
        site.origin.answers[path] = honest(GOOD)
        assert site.outcome("/bad" + path + QUERIES["frame"]) == (OK, site.good["frame"])
        assert asked(site, path)


@pytest.mark.parametrize("place", ["refused", "tls", "garbage", "mute"])
def test_what_is_no_http_server(site, place):
    for kind in ALL:
        outcome, _ = site.outcome(f"/{place}/a.mp4{QUERIES[kind]}")
        assert outcome in (FAILED, TIMEOUT)
    until(site.is_clean, "nothing is left of it")


@pytest.mark.parametrize("form", ["http://127.0.0.1:{}/a.mp4", "//127.0.0.1:{}/a.mp4", "http://localhost:{}/a.mp4", "http://localhost.:{}/a.mp4", "http://[::1]:{}/a.mp4",
                                  "http://[::ffff:127.0.0.1]:{}/a.mp4", "http://0:{}/a.mp4", "http://0.0.0.0:{}/a.mp4", "http://2130706433:{}/a.mp4",
                                  "http://0x7f000001:{}/a.mp4", "http://0177.0.0.1:{}/a.mp4", "http://127.1:{}/a.mp4", "http://example.com@127.0.0.1:{}/a.mp4",
                                  "http://127.0.0.1:{}\\@example.com/a.mp4", "http://127.0.0.2:{}/a.mp4", "HTTP://127.0.0.1:{}/a.mp4", "http:/\\127.0.0.1:{}/a.mp4",
                                  "http://%31%32%37.0.0.1:{}/a.mp4", "http://１２７.0.0.1:{}/a.mp4", "ftp://127.0.0.1:{}/a.mp4", "gopher://127.0.0.1:{}/_GET%20/",
                                  "file:///etc/passwd", "dict://127.0.0.1:{}/x", "data:video/mp4;base64,AAAA", "javascript:alert(1)", "http://", "http://:{}/", "http://a b/",
                                  "http://127.0.0.1:99999/", "http://[::1/", "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://metadata.google.internal/"])
def test_redirects_to_places_inside_are_refused_without_a_connection(site, form):
    canary = site.others["canary"]
    before, name = canary.connections, "/away-%d.mp4" % len(site.origin.answers)
    location = form.format(canary.port).encode("utf-8").decode("latin-1")
    site.origin.answers[name] = answer(f"Location: {location}", status="302 Found")
    outcome, body = site.outcome("/bad" + name + QUERIES["frame"])
    assert outcome in (FAILED, TIMEOUT), (outcome, body[:200])
    assert canary.connections == before and asked(site, name) == 1
    site.origin.answers[name] = honest(GOOD)
    assert site.outcome("/bad" + name + QUERIES["frame"]) == (OK, site.good["frame"])


def test_a_crowd_at_a_bad_origin_asks_it_once_or_few_times(site):
    for name, make in (("crowd-500", lambda: answer(status="500 E")), ("crowd-cut", lambda: cut), ("crowd-html", CASES["html"][0])):
        path = f"/{name}.mp4"
        site.origin.answers[path] = make()
        connections = [site.server.connect(timeout=15) for _ in range(20)]
        for c in connections:
            c.begin("/bad" + path + QUERIES["frame"])
        codes = set()
        for c in connections:
            reply = c.reply()
            codes.add(expect.error(reply, reply.body()))
            c.close()
        assert codes <= {FAILED, "SOURCE_UNSUPPORTED", "SOURCE_CORRUPT"}, codes
        assert asked(site, path) <= 20
        until(site.is_clean, "nothing is left of it")


def test_details_name_every_attempt_and_no_place(site):
    site.origin.answers["/details.mp4"] = answer(status="503 E")
    _, body = site.outcome("/bad/details.mp4" + QUERIES["frame"])
    details = json.loads(body)["error"]["details"]
    assert "503" in details["attempts"], details
