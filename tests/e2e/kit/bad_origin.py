"""Answers of an HTTP origin that lies, dawdles or breaks off; functions of kit.raw_origin.Asked for RawOrigin.answers."""
import gzip
import re
import socket
import threading

from .raw_origin import answer

MODIFIED = "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT"


def wanted(asked, size):
    """(first, last) of the request's single range, clamped; None without one."""
    m = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.one("Range") or "")
    if not m:
        return None
    return int(m.group(1)), min(size - 1, int(m.group(2)) if m.group(2) else size - 1)


def whole(data, *lines, **more):
    """A 200 whatever is asked."""
    return answer("Content-Type: video/mp4", *lines, body=data, **more)


def part(asked, data, *lines, span=None, total=None, body=None):
    """A 206 for the asked range; span, total and body say something else than is true."""
    first, last = wanted(asked, len(data)) or (0, len(data) - 1)
    said = span or (first, last)
    return answer("Content-Type: video/mp4", f"Content-Range: bytes {said[0]}-{said[1]}/{len(data) if total is None else total}", *lines,
                  body=data[first:last + 1] if body is None else body, status="206 Partial Content")


def honest(data, *lines, etag='"v1"'):
    """Ranges, a validator, HEAD: what all others are compared with."""
    lines = (f"ETag: {etag}", MODIFIED, *lines) if etag else lines

    def reply(asked):
        if asked.method == "HEAD":
            return answer("Content-Type: video/mp4", *lines, f"Content-Length: {len(data)}", length=False)
        if etag and etag in asked.get("If-None-Match"):
            return answer(*lines, status="304 Not Modified", length=False)
        if wanted(asked, len(data)):
            return part(asked, data, *lines)
        return whole(data, *lines)
    return reply


def first_then(first, then, count=1):
    """`first` for so many requests, `then` for all further ones; either may be a function or bytes."""
    left = [count]
    lock = threading.Lock()

    def reply(asked):
        with lock:
            left[0] -= 1
            now = first if left[0] >= 0 else then
        return now(asked) if callable(now) else now
    return reply


def chunked(data, size=7001, last=b"0\r\n\r\n", lines=()):
    """A body in chunks without a length."""
    yield answer("Content-Type: video/mp4", *lines, "Transfer-Encoding: chunked", length=False)
    for i in range(0, len(data), size):
        piece = data[i:i + size]
        yield b"%x\r\n" % len(piece) + piece + b"\r\n"
    yield last


def held(gate, *pieces):
    """The pieces, then nothing until the gate opens (at the test's end)."""
    yield from pieces
    gate.wait(60)


def dripping(gate, data, pause=0.05, at_once=0):
    """One byte at a time, behind so many at once."""
    yield data[:at_once]
    for i in range(at_once, len(data)):
        yield data[i:i + 1]
        if gate.wait(pause):
            return


def zipped(data):
    return gzip.compress(data, 1)


class Blurter:
    """Says `text` to whoever connects (after the first bytes it hears, when `listens`) and hangs up; counts connections."""

    def __init__(self, text=b"", listens=False):
        self.text, self.listens, self.connections = text, listens, 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                try:
                    connection.settimeout(5)
                    if self.listens:
                        connection.recv(65536)
                    connection.sendall(self.text)
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(65536)
                except OSError:
                    pass

    def close(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
