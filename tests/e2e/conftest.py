"""Fixtures of the end-to-end tests. See kit/ for what they can do."""
import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from kit import media  # noqa: E402
from kit.origin import HttpOrigin  # noqa: E402
from kit.raw_origin import RawOrigin  # noqa: E402
from kit.server import Server  # noqa: E402


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    server = getattr(item, "_vr_server", None)
    item._vr_failed = getattr(item, "_vr_failed", False) or report.failed
    if report.when == "call" and report.failed and server is not None and server.raw_log:
        report.sections.append(("server log", server.log_tail(60)))


@pytest.fixture
def server(tmp_path, request):
    """A server that is not started yet; a test changes server.config and calls server.start(). Ends cleanly, or the test fails."""
    if not (media.BIN / "video-resizer").exists():
        pytest.fail(f"{media.BIN}/video-resizer is not built")
    s = Server(tmp_path)
    request.node._vr_server = s
    yield s
    if s.process is not None:
        dead = s.process.poll()
        if dead is not None:
            code = dead
            s.stop(expect=None)
            pytest.fail(f"the server died by itself during the test (code {code})")
        s.stop()
    if not request.node._vr_failed:  # pytest keeps three runs; half a gigabyte of store in each helps nobody
        shutil.rmtree(s.folder, ignore_errors=True)


@pytest.fixture
def running(server):
    """A started server with the little clip as /videos/small.mp4."""
    server.add(media.clip("small.mp4"), "small.mp4")
    server.start()
    return server


@pytest.fixture
def origin():
    o = HttpOrigin()
    yield o
    o.close()


@pytest.fixture
def site(server):
    """An origin of exact bytes, and a started server that passes everything through to it. site.server is the server."""
    o = RawOrigin()
    o.server = server
    server.config["origins"] = [{"name": "site", "matcher": "^/", "mode": "passthrough", "sources": [{"type": "http", "url": o.url}]}]
    server.open_admin()
    yield o
    o.close()


@pytest.fixture
def corpus():
    path = media.corpus()
    if path is None:
        pytest.skip(f"no corpus at {media.CORPUS}")
    return path
