"""The benchmark harness against the real contestants: that everybody serves the same bytes and is measured; no figure is judged."""
import os
import pathlib
import shutil
import subprocess

import pytest

from kit.media import BIN, ROOT

NEEDED = ("nginx", "varnishd", "traffic_server")
MISSING = [program for program in NEEDED if not shutil.which(program)]


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {MISSING} (tools/install_deps bench)")
@pytest.mark.skipif(bool(os.environ.get("VR_SANITIZE")), reason="a benchmark of a sanitizer says nothing")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="server and load need a core each")
def test_a_quick_run_of_one_case(tmp_path):
    report = tmp_path / "report.md"
    done = subprocess.run([ROOT / "tools/bench", "--quick", "--only", "hits", "--cases", "304", "--bin", BIN, "--state", tmp_path / "state", "--out", report],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    text = report.read_text()
    for name in ("video-resizer, edge in memory", "nginx static, tcp_nopush on", "nginx proxy_cache, tcp_nopush off", "Varnish malloc", "Traffic Server", "bare loop, writev"):
        assert f"| {name} |" in text, text
    assert pathlib.Path(tmp_path / "report-hits.svg").exists()
