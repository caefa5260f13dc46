"""A server that a whole test file shares, and answers kept as files. Modes that this build does not make yet are told apart."""
import contextlib
import os
import pathlib
import re
import threading
import time

import pytest

from . import expect, media
from .server import Server

# A mode that is refused as not made is a failure; VR_ALL_MODES=0 skips it (an older server under newer tests).
ALL_MODES = os.environ.get("VR_ALL_MODES", "1") != "0"


_PAUSE = threading.Event()


class NotYet(Exception):
    """The server says that this version cannot do it."""


@contextlib.contextmanager
def serving(folder, configure=None):
    """A started server; its end must be clean."""
    if not (media.BIN / "video-resizer").exists():
        pytest.fail(f"{media.BIN}/video-resizer is not built")
    server = Server(folder)
    if configure:
        configure(server)
    server.start()
    try:
        yield server
        dead = server.process.poll()
        assert dead is None, f"the server died by itself (code {dead}); log:\n{server.log_tail()}"
    finally:
        server.stop(expect=None if server.process.poll() is not None else 0)


class Answer:
    """One answer: `status`, `code` of an error (None on success), `reply` (fields), `body`, `path` of the body on disk."""

    def __init__(self, target, reply, body, seconds):
        self.target, self.reply, self.body, self.seconds = target, reply, body, seconds
        self.status = reply.status
        self.code = None if reply.status == 200 else expect.error(reply, body)
        self.path = None

    def __repr__(self):
        return f"{self.target}: {self.status} {self.code or self.reply['Content-Type']} {self.body[:200] if self.code else len(self.body)!r}"


def ask(server, target, folder=None, name=None, timeout=280, headers=()):
    """One GET. @return Answer; its body is kept in `folder`. Raises NotYet when this version does not make that."""
    begin = time.monotonic()
    reply, body = server.get(target, headers=headers, timeout=timeout)
    while reply.status == 202 and time.monotonic() - begin < timeout:  # a long production: come again
        _PAUSE.wait(0.1)
        reply, body = server.get(target, headers=headers, timeout=timeout)
    answer = Answer(target, reply, body, time.monotonic() - begin)
    if answer.code == "INVALID_PARAMETER" and b"not supported by this version" in body:
        raise NotYet(answer.body.decode()[:160])
    if answer.code == "TRANSFORM_FAILED":
        path, failed = target.split("?")[0].lstrip("/"), []
        for _ in range(10):  # the log comes by another way
            with server._changed:
                lines = [e for e in server.log[-80:] if e.get("event") == "production_failed" and e.get("source") == path]
                failed = [e for e in lines if "not there yet" in e.get("error", "")]
                if lines:
                    break
                server._changed.wait(0.1)
        if failed:
            raise NotYet(f"{target}: {failed[-1]['error'].rsplit(': ', 2)[-2]}: not there yet")
    dropped = re.findall(r"(?:^|; )([\w-]+): ", reply["X-Param-Warnings"] or "")
    if dropped and answer.code is None and "w=abc" not in target:
        raise NotYet(f"{target}: dropped by validation: {reply['X-Param-Warnings']}")
    if folder is not None and answer.code is None:
        kind = (reply["Content-Type"] or "").split(";")[0]
        suffix = {"video/mp4": "mp4", "video/webm": "webm", "image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/gif": "gif",
                  "audio/mp4": "m4a", "audio/mpeg": "mp3", "audio/ogg": "ogg", "text/vtt": "vtt", "application/json": "json"}.get(kind, "bin")
        answer.path = pathlib.Path(folder) / f"{name or abs(hash(target))}.{suffix}"
        answer.path.write_bytes(body)
    return answer


def made(server, target, folder, name=None, timeout=280):
    """A GET that must give media; skips the test when this version does not make that."""
    try:
        answer = ask(server, target, folder, name or re.sub(r"\W+", "_", target), timeout)
    except NotYet as e:
        if ALL_MODES:
            pytest.fail(f"not made: {e}")
        pytest.skip(f"not made yet: {e}")
    assert answer.status == 200, answer
    return answer


def both_forms(server, target, folder):
    """@return (streamed, stored): what the first asker got, and the second one's hit. The same object for whole forms."""
    name = re.sub(r"\W+", "_", target)
    first = made(server, target, folder, name + "-first")
    second = made(server, target, folder, name + "-stored")
    assert second.reply["X-Cache-Status"] == "HIT", f"the second answer is no hit: {second.reply.fields}"
    return first, second


def stored(server, target, folder):
    return both_forms(server, target, folder)[1]
