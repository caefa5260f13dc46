"""URLs and requests that mean harm, byte for byte as a client would never send them: traversal, SSRF, injection, smuggling, nonsense.
One row each: what must be answered. Never 5xx, never a byte from outside the root, never a connection to where a stranger says, no forged field."""
import os
import re
import socket

import pytest

from kit import expect, media, wire
from kit.bad_origin import Blurter
from kit.raw_origin import RawOrigin, answer
from kit.serving import serving

SECRET = b"TOPSECRET"
CANARY_PORT = b"@PORT@"  # replaced by the port of a listener that nobody may reach


class Place:
    def __init__(self, server, origin, canary):
        self.server, self.origin, self.canary = server, origin, canary

    def send(self, raw):
        """@return (reply, body) of the first answer to these bytes"""
        with self.server.connect(timeout=15) as c:
            try:
                c.send(raw.replace(CANARY_PORT, b"%d" % self.canary.port))
            except ConnectionError:
                pass  # refused before its end
            reply = c.reply()
            return reply, reply.body()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    origin, canary = RawOrigin(), Blurter(answer(body=SECRET))
    folder = tmp_path_factory.mktemp("attacks")
    beside = socket.socket(socket.AF_UNIX)

    def configure(server):
        server.add(media.clip("small.mp4"), "small.mp4")
        (server.media / "sub").mkdir()
        server.add(media.clip("small.mp4"), "sub/inner.mp4")
        for outside in ("secret.mp4", "media-secret.mp4", "secret"):
            (server.folder / outside).write_bytes(SECRET * 100)
        (server.folder / "media-secret").mkdir()
        (server.folder / "media-secret" / "x.mp4").write_bytes(SECRET * 100)
        for name, target in (("link.mp4", server.folder / "secret.mp4"), ("up", server.folder), ("dots.mp4", "../secret.mp4"), ("root", "/"), ("zero.mp4", "/dev/zero"),
                             ("null.mp4", "/dev/null"), ("environ.mp4", "/proc/self/environ"), ("self", "/proc/self"), ("loop.mp4", "loop.mp4"), ("fd0.mp4", "/proc/self/fd/0"),
                             ("chain.mp4", "sub/../link.mp4")):
            os.symlink(target, server.media / name)
        os.mkfifo(server.media / "pipe.mp4")
        os.mkdir(server.media / "folder.mp4")
        here = os.getcwd()
        os.chdir(server.media)  # the path of a socket is short
        beside.bind("socket.mp4")
        os.chdir(here)
        two = {"name": "two", "matcher": "^/two/([^/]*)/([^/]*)$", "captureGroups": ["a", "b"], "sources": [{"type": "file", "root": str(server.media), "path": "$1/${b}"}]}
        glued = {"name": "glued", "matcher": "^/glued/(.*)-(.*)$", "captureGroups": ["a", "b"], "sources": [{"type": "file", "root": str(server.media), "path": "${a}${b}"}]}
        pages = {"name": "pages", "matcher": "^/pages/", "mode": "passthrough", "sources": [{"type": "http", "url": origin.url + "/base"}]}
        server.config["origins"] = [server.file_origin(), two, glued, server.http_origin(origin), pages]
        server.config["fetch"] = {"firstByteTimeout": "2s", "connectTimeout": "2s"}
        server.environment["SECRET_TOKEN"] = SECRET.decode()
    origin.answers = {}
    with serving(folder, configure) as server:
        made = Place(server, origin, canary)
        yield made
        assert canary.connections == 0, "a stranger chose where we connect to"
        climbing = [a.target for a in origin.requests if re.search(r"(^|/|%2f|\\|%5c)(\.|%2e){1,2}(/|%2f|\\|%5c|;|$)", a.target.split("?")[0], re.I)]
        assert not climbing, "the origin was asked for dot segments"
        assert all(a.target.startswith(("/base/", "/")) and "\r" not in a.target for a in origin.requests)
        assert server.metric("video_resizer_worker_deaths_total") == 0
        reply, body = server.get("/videos/small.mp4?mode=frame&width=96")
        assert reply.status == 200 and body[:3] == b"\xff\xd8\xff", "and it still does its work"
    beside.close()
    origin.close()
    canary.close()


BAD = (400, "INVALID_URL")

# -- paths: (target, what may be answered)
CLIMBS = [
    b"/videos/../secret.mp4", b"/videos/./../secret.mp4", b"/videos/sub/../../secret.mp4", b"/videos/sub/../small.mp4", b"/videos/..", b"/videos/.", b"/..", b"/../../../../etc/passwd",
    b"//videos/../secret.mp4", b"/videos//../secret.mp4", b"/videos/%2e%2e/secret.mp4", b"/videos/%2E%2e/secret.mp4", b"/videos/.%2e/secret.mp4", b"/videos/%2e./secret.mp4",
    b"/videos/..%2fsecret.mp4", b"/videos/..%2Fsecret.mp4", b"/videos/%2e%2e%2fsecret.mp4", b"/videos/%2e%2e%5csecret.mp4", b"/videos/..%5csecret.mp4", b"/videos/..\\secret.mp4",
    b"/videos/..%5Csecret.mp4", b"/videos\\..\\secret.mp4", b"/videos/%252e%252e/secret.mp4", b"/videos/%252e%252e%252fsecret.mp4", b"/videos/..%252fsecret.mp4", b"/videos/..%255csecret.mp4",
    b"/videos/%25252e%25252e/secret.mp4", b"/videos/%25252e%25252e%25252fsecret.mp4", b"/videos/%2525252525252e%2525252525252e/secret.mp4", b"/videos/%25%32%65%25%32%65/secret.mp4",
    b"/videos/%%32%65%%32%65/secret.mp4", b"/videos/%c0%ae%c0%ae/secret.mp4", b"/videos/%C0%AE%c0%AE%c0%afsecret.mp4", b"/videos/..%c0%afsecret.mp4", b"/videos/..%c1%9csecret.mp4",
    b"/videos/%e0%80%ae%e0%80%ae/secret.mp4", b"/videos/%f0%80%80%ae%f0%80%80%ae/secret.mp4", b"/videos/%c0%2e%c0%2e/secret.mp4", b"/videos/..;/secret.mp4", b"/videos/..;a=b/secret.mp4",
    b"/videos/sub;x/..;y/..;z/secret.mp4", b"/videos/%2e%2e;/secret.mp4", b"/videos/%2e%2e%3b/secret.mp4", b"/videos/.;/..;/secret.mp4", b"/videos/..%00/secret.mp4", b"/videos/%00../secret.mp4",
    b"/videos/small.mp4%00.png", b"/videos/small.mp4%00", b"/videos/%00", b"/videos/small%0a.mp4", b"/videos/small.mp4%0d%0aX-Injected:%201", b"/videos/%7f.mp4", b"/videos/%1b[2J.mp4",
    b"/videos/%", b"/videos/%2", b"/videos/%zz.mp4", b"/videos/%u002e%u002e/secret.mp4", b"/videos/%uff0e%uff0e/secret.mp4", b"/videos/a%2.mp4", b"/videos/%2%65.mp4",
    b"/two/../secret.mp4", b"/two/%2e%2e/secret.mp4", b"/two/..%2f/secret.mp4", b"/two/up/..%2fsecret.mp4", b"/two/%252e%252e/secret.mp4", b"/glued/../secret-.mp4",
]
STAYS = [  # nothing there, and nothing else is
    b"/videos/.../secret.mp4", b"/videos/....//secret.mp4", b"/videos/.. /secret.mp4", b"/videos/..%20/secret.mp4", b"/videos/%20../secret.mp4", b"/videos/..%e2%80%8b/secret.mp4",
    b"/videos/%ef%bc%8e%ef%bc%8e/secret.mp4", b"/videos/%ef%bc%8e%ef%bc%8e%ef%bc%8fsecret.mp4", b"/videos/%e2%80%a5/secret.mp4", b"/videos/%e2%80%a4%e2%80%a4/secret.mp4",
    b"/videos/..%e2%81%84secret.mp4", b"/videos/..%e2%88%95secret.mp4", b"/videos//etc/passwd.mp4", b"/videos/%2fetc%2fpasswd.mp4", b"/videos/%2f%2f%2fetc/hosts.mp4", b"/videos/~root/x.mp4",
    b"/videos/C:/secret.mp4", b"/videos/C:%5csecret.mp4", b"/videos/%5c%5chost%5cshare%5cx.mp4", b"/videos/link.mp4", b"/videos/dots.mp4", b"/videos/chain.mp4", b"/videos/up/secret.mp4",
    b"/videos/up/media/small.mp4", b"/videos/root/etc/passwd.mp4", b"/videos/loop.mp4", b"/videos/zero.mp4", b"/videos/null.mp4", b"/videos/environ.mp4", b"/videos/fd0.mp4",
    b"/videos/self/environ.mp4", b"/videos/self/root/etc/hosts.mp4", b"/videos/self/cwd/secret.mp4", b"/videos/self/fd/3.mp4", b"/videos/pipe.mp4", b"/videos/socket.mp4", b"/videos/folder.mp4",
    b"/videos/proc/self/environ.mp4", b"/videos/small.mp4/x.mp4", b"/videos/small.mp4%3Fw=640.mp4", b"/videos/small.mp4%23.mp4", b"/videos/small.mp4:w=640.mp4", b"/videos/small.mp4%3Aw=640.mp4",
    b"/videos/:derivative=mobile.mp4", b"/videos/${request_path}.mp4", b"/videos/$%7BSECRET_TOKEN%7D.mp4", b"/videos/%24%7bSECRET_TOKEN%7d.mp4", b"/videos/$1.mp4", b"/videos/$0$$.mp4",
    b"/videos/{{7*7}}.mp4", b"/videos/%7b%7b7*7%7d%7d.mp4", b"/videos/`id`.mp4", b"/videos/$(id).mp4", b"/videos/%7cid.mp4", b"/videos/%27%20OR%201=1--.mp4", b"/videos/%3Cscript%3E.mp4",
    b"/videos/file:%2f%2f%2fetc%2fpasswd.mp4", b"/videos/http:%2f%2f127.0.0.1:@PORT@%2fa.mp4", b"/videos/concat:a%7cb.mp4", b"/videos/subfile,,start,0,end,9,,:small.mp4",
    b"/videos/movie=%2fetc%2fpasswd.mp4", b"/two/up/secret.mp4", b"/two/link.mp4/x.mp4", b"/two/media-secret/x.mp4", b"/glued/-link.mp4", b"/glued/.-./secret.mp4", b"/glued/../-secret.mp4",
    b"/videos/" + b"a" * 300 + b".mp4", b"/videos/" + b"a/" * 1500 + b"x.mp4",
]
ELSEWHERE = [  # no origin of ours
    b"/@127.0.0.1:@PORT@/a.mp4", b"//127.0.0.1:@PORT@/a.mp4", b"///127.0.0.1:@PORT@/a.mp4", b"/http://127.0.0.1:@PORT@/a.mp4", b"/https%3A%2F%2F127.0.0.1%3A@PORT@%2Fa.mp4",
    b"/;@127.0.0.1:@PORT@/a.mp4", b"/%5c%5c127.0.0.1:@PORT@/a.mp4", b"/?url=http://127.0.0.1:@PORT@/a.mp4", b"/a.mp4?source=http://127.0.0.1:@PORT@/a.mp4&origin=x", b"/",
    b"/videosx/small.mp4", b"/VIDEOS/small.mp4", b"/media/small.mp4", b"/store/kv.mp4", b"/metrics", b"/metrics.mp4", b"/admin/", b"/admin/purge", b"/admin/variants?x=1", b"/admin/entry?key=x",
    b"/client/v4/accounts/x/storage/kv/namespaces", b"/.env", b"/.git/config", b"/config.jsonc", b"/healthz/../metrics.mp4", b"/healthz%00", b"/%68ealthz/x", b"/debug/pprof",
]
REMOTE = [  # the HTTP origin may be asked, for what lies below its base only
    b"/remote/%2e%2e/x.mp4", b"/remote/x%3Fa=b.mp4", b"/remote/x%23f.mp4", b"/remote/x%20HTTP%2f1.1%0d%0aX-Injected:1.mp4", b"/remote/@127.0.0.1:@PORT@/a.mp4", b"/remote/:@PORT@/a.mp4",
    b"/remote//127.0.0.1:@PORT@/a.mp4", b"/remote/http://127.0.0.1:@PORT@/a.mp4", b"/remote/%252e%252e%252fx.mp4", b"/remote/..;/x.mp4", b"/remote/%09x.mp4", b"/remote/x\\y.mp4",
    b"/remote/$%7bSECRET_TOKEN%7d.mp4", b"/pages/../admin", b"/pages/%2e%2e/admin", b"/pages/..%2fadmin", b"/pages/..%5cadmin", b"/pages/..;/admin", b"/pages/%c0%ae%c0%ae/admin", b"/pages/x/..%3bv=1/admin", b"/pages/%252e%252e/admin", b"/pages/a%00b",
    b"/pages/a%0d%0aX-Injected:%201", b"/pages//127.0.0.1:@PORT@/", b"/pages/@127.0.0.1:@PORT@/", b"/pages/a#b", b"/pages/./a", b"/pages/a/../../../etc",
]
SERVICE = [f"http://{host}" for host in (
    "127.0.0.1:@PORT@", "localhost:@PORT@", "localhost.:@PORT@", "LOCALHOST:@PORT@", "2130706433:@PORT@", "0x7f000001:@PORT@", "0x7f.1:@PORT@", "0177.0.0.1:@PORT@", "017700000001:@PORT@",
    "127.1:@PORT@", "0:@PORT@", "0.0.0.0:@PORT@", "[::1]:@PORT@", "[::]:@PORT@", "[::ffff:127.0.0.1]:@PORT@", "[::ffff:7f00:1]:@PORT@", "[0:0:0:0:0:ffff:127.0.0.1]:@PORT@", "[64:ff9b::7f00:1]:@PORT@",
    "example.com@127.0.0.1:@PORT@", "user:password@127.0.0.1:@PORT@", "127.0.0.1:@PORT@#@example.com", "127.0.0.1:@PORT@%23@example.com", "127.0.0.1%00.example.com:@PORT@", "127.0.0.1%2eexample.com:@PORT@",
    "%31%32%37.0.0.1:@PORT@", "127。0。0。1:@PORT@", "①②⑦.0.0.1:@PORT@", "127.0.0.1.:@PORT@", "127.0.0.1:@PORT@\\@example.com", "169.254.169.254", "169.254.169.254.", "2852039166", "0xa9fea9fe",
    "0251.0376.0251.0376", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "metadata.google.internal", "100.100.100.200", "192.0.0.192", "10.0.0.1:22", "127.0.0.1:99999", "127.0.0.1:-1", "[::1", "")]
SERVICE += ["ftp://127.0.0.1:@PORT@", "gopher://127.0.0.1:@PORT@", "file://", "file:///etc", "dict://127.0.0.1:@PORT@", "data:video/mp4;base64,AAAA", "javascript:alert(1)", "//127.0.0.1:@PORT@",
            "http:/127.0.0.1:@PORT@", "http:\\\\127.0.0.1:@PORT@", "hTTp://127.0.0.1:@PORT@", "http%3a%2f%2f127.0.0.1%3a@PORT@", "http://http://127.0.0.1:@PORT@", "../../http://127.0.0.1:@PORT@"]
CDN_CGI = [b"/cdn-cgi/media/mode=frame,width=96/" + url.encode() + b"/a.mp4" for url in SERVICE] + [
    b"/cdn-cgi/media/mode=frame,width=96/videos/../secret.mp4", b"/cdn-cgi/media/mode=frame,width=96/%2e%2e/secret.mp4", b"/cdn-cgi/media//videos/link.mp4", b"/cdn-cgi/media/", b"/cdn-cgi/media",
    b"/cdn-cgi/media/width=96", b"/cdn-cgi/../metrics.mp4", b"/cdn-cgi/media/width=96/cdn-cgi/media/width=96/videos/link.mp4", b"/cdn-cgi/media/mode=frame,mode=frame/videos/up/secret.mp4",
    b"/cdn-cgi/media/width=96%0d%0aX-Injected:1/videos/link.mp4", b"/cdn-cgi/trace", b"/cdn-cgi/image/width=96/videos/link.mp4",
]


def request(target, *lines):
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"Host: x", b"Connection: close", *lines]) + b"\r\n\r\n"


def check(place, raw, statuses):
    """Sends it; what every answer here has to be. @return (reply, body)"""
    reply, body = place.send(raw)
    assert 200 <= reply.status < 500 or reply.status in (501, 505), (reply.status, body[:300])
    assert SECRET not in body and b"root:" not in body, "a file from outside"
    assert "X-Injected" not in reply and all("\r" not in v and "\n" not in v for _, v in reply.fields), reply.fields
    is_ours = reply.status >= 400 and reply["X-Cache-Source"] != "origin"  # what an origin says is passed through
    code = expect.error(reply, body) if is_ours else None
    assert any(s in (reply.status, code, (reply.status, code)) for s in statuses), (reply.status, body[:300])
    return reply, body


def ids(rows):
    return [re.sub(rb"[^\x21-\x7e]|[\[\]]", b"_", row[:60]).decode() + (f"~{len(row)}" if len(row) > 60 else "") for row in rows]


@pytest.mark.parametrize("target", CLIMBS, ids=ids(CLIMBS))
def test_climbing(place, target):
    for query in (b"", b"?mode=frame&width=96"):
        check(place, request(target + query), {BAD, (400, "BAD_REQUEST")})


@pytest.mark.parametrize("target", STAYS, ids=ids(STAYS))
def test_staying_inside(place, target):
    for query in (b"", b"?mode=frame&width=96"):
        check(place, request(target + query), {400, 403, 404, "SOURCE_UNSUPPORTED", "SOURCE_CORRUPT"})


@pytest.mark.parametrize("target", ELSEWHERE, ids=ids(ELSEWHERE))
def test_nowhere(place, target):
    check(place, request(target), {400, 404})


@pytest.mark.parametrize("target", REMOTE, ids=ids(REMOTE))
def test_behind_an_origin(place, target):
    check(place, request(target), {400, 404})


@pytest.mark.parametrize("target", CDN_CGI, ids=ids(CDN_CGI))
def test_sources_that_strangers_name(place, target):
    check(place, request(target), set(range(400, 500)))


# -- whole requests: (bytes, statuses)
HOST = b"Host: x\r\n"
REQUESTS = {
    "absolute form of another host": (b"GET http://127.0.0.1:@PORT@/a.mp4 HTTP/1.1\r\n" + HOST + b"\r\n", {400, 404}),
    "absolute form, climbing": (b"GET http://x/videos/../secret.mp4 HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "absolute form with a user": (b"GET http://a:b@127.0.0.1:@PORT@/a.mp4 HTTP/1.1\r\n" + HOST + b"\r\n", {400, 404}),
    "absolute form of a file": (b"GET file:///etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "absolute form without a path": (b"GET http://127.0.0.1:@PORT@ HTTP/1.1\r\n" + HOST + b"\r\n", {400, 404}),
    "authority form": (b"GET 127.0.0.1:@PORT@ HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "connect": (b"CONNECT 127.0.0.1:@PORT@ HTTP/1.1\r\n" + HOST + b"\r\n", {400, 405, 501}),
    "target without a slash": (b"GET videos/small.mp4 HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "target with a raw space": (b"GET /videos/small.mp4 x HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "target with a tab": (b"GET\t/videos/small.mp4\tHTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "target with a raw CR": (b"GET /videos/a\rX-Injected: 1.mp4 HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "target with a raw NUL": (b"GET /videos/a\0.mp4 HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "target of raw UTF-8": ("GET /videos/größe．mp4 HTTP/1.1\r\n".encode() + HOST + b"\r\n", {400, 404}),
    "empty target": (b"GET  HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "star": (b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", {400, 404}),
    "HTTP/0.9": (b"GET /videos/small.mp4\r\n\r\n", {400}),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}),
    "TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x41" * 64 + b"\r\n\r\n", {400}),
    "lower-case method": (b"get /videos/small.mp4 HTTP/1.1\r\n" + HOST + b"\r\n", {400, 405, 501}),
    "TRACE": (b"TRACE /videos/small.mp4 HTTP/1.1\r\n" + HOST + b"X-Secret: TOPSECRET\r\n\r\n", {400, 405, 501}),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", {200, 204, 400, 404, 405}),
    "PROPFIND": (b"PROPFIND /videos/ HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n", {404, 405, 501}),
    "PURGE": (b"PURGE /videos/small.mp4 HTTP/1.1\r\n" + HOST + b"\r\n", {405, 501}),
    "DELETE": (b"DELETE /videos/small.mp4 HTTP/1.1\r\n" + HOST + b"\r\n", {405}),
    "a method of a kilobyte": (b"M" * 1024 + b" / HTTP/1.1\r\n" + HOST + b"\r\n", {400, 404, 405, 501}),
    "content-length and chunked": (b"POST /videos/small.mp4 HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n", {400}),
    "chunked twice": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400, 501}),
    "chunked, identity": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", {400, 501}),
    "xchunked": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", {400, 501}),
    "chunked with a vertical tab": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", {400, 501}),
    "chunked in HTTP/1.0": (b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400, 501}),
    "space before the colon": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", {400}),
    "two lengths": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", {400}),
    "a list of lengths": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1, 2\r\n\r\nab", {400}),
    "a signed length": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\na", {400}),
    "a negative length": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n", {400}),
    "a length in hex": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0x1\r\n\r\na", {400}),
    "a length beyond 64 bit": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 18446744073709551617\r\n\r\n", {400, 413}),
    "a chunk beyond 64 bit": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\na\r\n0\r\n\r\n", {400, 413}),
    "a chunk with a sign": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n", {400}),
    "a chunk ended by LF": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n", {400}),
    "obs-fold": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n", {400}),
    "fold behind the request line": (b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", {400}),
    "bare CR in a field": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rX-Injected: 1\r\n\r\n", {400}),
    "bare LF as line end": (b"GET /videos/small.mp4 HTTP/1.1\nHost: x\n\n", {400}),
    "NUL in a field": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n", {400}),
    "field without a name": (b"GET / HTTP/1.1\r\n" + HOST + b": v\r\n\r\n", {400}),
    "field without a colon": (b"GET / HTTP/1.1\r\n" + HOST + b"nonsense\r\n\r\n", {400}),
    "field name with a space": (b"GET / HTTP/1.1\r\n" + HOST + b"X Y: v\r\n\r\n", {400}),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", {400}),
    "two hosts": (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", {400}),
    "host with a path": (b"GET / HTTP/1.1\r\nHost: x/../y\r\n\r\n", {400}),
    "host with a user": (b"GET / HTTP/1.1\r\nHost: a@127.0.0.1:@PORT@\r\n\r\n", {400}),
    "host with a space": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", {400}),
    "host that is the canary": (b"GET /a.mp4 HTTP/1.1\r\nHost: 127.0.0.1:@PORT@\r\nX-Forwarded-Host: 127.0.0.1:@PORT@\r\nForwarded: host=127.0.0.1:@PORT@\r\n\r\n", {404}),
    "http/3": (b"GET / HTTP/3.0\r\n" + HOST + b"\r\n", {400, 505}),
    "two spaces before the version": (b"GET /  HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "a target of 20 KB": (b"GET /videos/" + b"a" * 20_000 + b".mp4 HTTP/1.1\r\n" + HOST + b"\r\n", {414}),
    "a query of 15 KB": (b"GET /videos/none.mp4?" + b"q" * 15_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", {404}),
    "10,000 parameters": (b"GET /videos/none.mp4?" + b"&" * 10_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", {404}),
    "5,000 times width": (b"GET /videos/none.mp4?" + b"w=1&" * 3_800 + b" HTTP/1.1\r\n" + HOST + b"\r\n", {404}),
    "a field of 40 KB": (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 40_000 + b"\r\n\r\n", {431}),
    "5,000 fields": (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 5_000 + b"\r\n", {431}),
    "a body of a gigabyte": (b"POST /videos/small.mp4 HTTP/1.1\r\n" + HOST + b"Content-Length: 1073741824\r\n\r\n", {405, 413}),
    "100-continue and nothing": (b"POST /videos/small.mp4 HTTP/1.1\r\n" + HOST + b"Expect: 200-maybe\r\nContent-Length: 1\r\n\r\na", {400, 405, 417}),
    "range of 1,000 parts": (b"GET /videos/small.mp4 HTTP/1.1\r\n" + HOST + b"Connection: close\r\nRange: bytes=" + b",".join(b"%d-%d" % (i, i) for i in range(0, 2000, 2)) + b"\r\n\r\n", {200}),
    "range of one byte a thousand times": (b"GET /videos/small.mp4 HTTP/1.1\r\n" + HOST + b"Connection: close\r\nRange: bytes=" + b",".join([b"0-0"] * 16) + b"\r\n\r\n", {200, 206}),
    "override of the method": (b"GET /videos/none.mp4 HTTP/1.1\r\n" + HOST + b"X-HTTP-Method-Override: DELETE\r\nX-Original-URL: /admin/purge\r\nX-Rewrite-URL: /metrics\r\n\r\n", {404}),
    "request id with a forged field": (b"GET /videos/none.mp4 HTTP/1.1\r\n" + HOST + b"X-Request-ID: a%0d%0aX-Injected: 1\r\n\r\n", {404}),
    "upgrade to h2c": (b"GET /videos/none.mp4 HTTP/1.1\r\n" + HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", {404}),
    "sse id that climbs": (request(b"/sse/job/%2e%2e%2f%2e%2e"), {200, 400, 404}),
    "sse id with dots": (request(b"/sse/job/../../metrics"), {200, 400, 404}),
    "sse id with a line end": (request(b"/sse/job/x%0adata:%20TOPS%45CRET%0a%0a"), {200, 400, 404}),
    "sse id of ten kilobytes": (request(b"/sse/job/" + b"x" * 10_000), {200, 400, 404}),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_requests(place, name):
    raw, statuses = REQUESTS[name]
    check(place, raw, statuses)


VALUES = ["0", "-1", "-0", "+640", "%20640", "640%20", "6e2", "1e999", "-1e9", "0x280", "NaN", "Infinity", "-Infinity", "nan", "null", "undefined", "true", "1" * 400, "0.1", "640.5", "640,5", "640px", "64%30",
          "%D9%A6%D9%A4%D9%A0", "%EF%BC%96%EF%BC%94%EF%BC%90", "%E0%A5%A6", "2147483648", "4294967296", "4294967936", "18446744073709551616", "99999999999999999999999", "9223372036854775807s", "%00", "640%00",
          "%0d%0aX-Injected:1", "%22", "'", "%3Cscript%3E", "${SECRET_TOKEN}", "$1", "../../x", "%2e%2e%2f", "%", "%zz", "a" * 5000, "[]", "[1]", "{}", ";", "1;2", "1|2", "\\", "", "::::", "1:2:3:4:5", "-1:-1:-1:-1",
          "4294967295:4294967295:4294967295:4294967295", "1h99m", "99999999999h", "1e-9", "0.0000001", ".", "..", "-", "--1", "s", "ms"]
NAMES = ["width", "height", "time", "duration", "fps", "speed", "rotate", "crop", "bitrate", "imageCount", "columns", "interval", "dpr", "quality", "derivative", "filename", "format", "mode", "imwidth", "im-density"]


@pytest.mark.parametrize("value", VALUES, ids=lambda v: v[:40])
def test_values_of_parameters(place, value):
    """Whatever a parameter says, the plan is made or the request is refused; nothing overflows, nothing is echoed unescaped."""
    with place.server.connect(timeout=15) as c:
        for name in NAMES:
            reply = c.ask(f"/videos/small.mp4?{name}={value}&debug=view")
            body = reply.body()
            assert reply.status in (200, 400), (name, reply.status, body[:300])
            assert SECRET not in body and "X-Injected" not in reply, (name, body[:300])
            if reply.status == 400:
                expect.error(reply, body)
                continue
            for field, text in reply.fields:
                assert "<script" not in text.lower() and "\r" not in text, (field, text)
            for size in re.findall(r":(?:w|h)=(\d+)", reply["X-KV-Cache-Key"] or ""):
                assert 10 <= int(size) <= 8192, reply["X-KV-Cache-Key"]


@pytest.mark.parametrize("name", ["a%0d%0aX-Injected:1", 'a".mp4', "a%22;x=.mp4", "../../etc/passwd", "..", "a/b.mp4", "a%5cb.mp4", "a%00.mp4", "x" * 200, "a%E2%80%AEgpj.exe", "a;b=c", "a%20b.mp4", "CON.mp4", ".htaccess"])
def test_file_names(place, name):
    reply, _ = place.server.get(f"/videos/small.mp4?mode=frame&width=96&filename={name}")
    assert reply.status == 200 and "X-Injected" not in reply
    said = reply["Content-Disposition"]
    assert said is None or re.fullmatch(r'inline; filename="[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)?"', said), said


def test_no_two_questions_share_an_answer(place):
    """Keys are injective: a path cannot spell another path's options, a parameter cannot leave its place."""
    for forged in ("/videos/small.mp4%3Aw=96?mode=frame", "/videos/small.mp4%3aw%3d96?mode=frame", "/videos/small.mp4:w=96?mode=frame", "/videos/small.mp4%253Aw=96?mode=frame"):
        assert place.server.get(forged)[0].status == 404
    keys = {}
    for target in ("mode=frame&width=96", "mode=frame&width=96&format=png", "mode=frame&width=96&height=96", "mode=frame&height=96", "mode=frame&width=96&time=1", "mode=frame&width=96:time=1s",
                   "mode=frame&width=96&derivative=x:w=9", "mode=frame&derivative=mobile:w=640", "mode=frame&derivative=mobile", "mode=frame&crop=1:2:3:4&width=96"):
        reply, body = place.server.get("/videos/small.mp4?" + target + "&debug=view")
        keys.setdefault(reply["X-KV-Cache-Key"], set()).add(re.sub(r"&(derivative=x|width=96:).*", "", target))
    assert all("mobile:w" not in k for k in keys if k)


def test_smuggled_requests_are_never_answered(place):
    """One answer for one request, and the end of the connection, whatever stands behind what was refused."""
    smuggled = b"GET /videos/small.mp4?mode=frame&width=96 HTTP/1.1\r\nHost: x\r\n\r\n"
    for head in (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
                 b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\na\n0\r\n\r\n",
                 b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n"):
        with place.server.connect(timeout=15) as c:
            c.send(head + smuggled)
            reply = c.reply()
            reply.body()
            assert reply.status == 400 and c.at_end(), head


def test_the_body_of_a_refused_request_is_no_request(place):
    body = b"GET /videos/small.mp4?mode=frame&width=96 HTTP/1.1\r\nHost: x\r\n\r\n"
    with place.server.connect(timeout=15) as c:
        c.send(b"DELETE /videos/small.mp4 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        reply = c.reply()
        reply.body()
        assert reply.status == 405
        try:
            second = c.reply()
            assert (second.status, second["Content-Type"].split(";")[0]) != (200, "image/jpeg")
        except wire.Cut:
            pass  # the connection ended instead: as good
