"""tools/check_imports must find what it is there to find: each case is a little source tree with one breach."""
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = """# rooms

```imports
floor: base io
base -> (nothing)
io -> base
http -> floor
variant -> floor !io
transform/protocol -> floor !io
transform -> floor variant transform/protocol
worker -> floor transform/protocol !io
delivery -> floor http transform
app -> *
```
"""
HEADERS = ["base/a.h", "io/a.h", "http/a.h", "variant/a.h", "transform/a.h", "transform/protocol/a.h", "worker/a.h",
           "delivery/a.h", "app/a.h"]


def run(tmp_path, extra, rules=RULES):
    src = tmp_path / "src"
    for name in HEADERS:
        (src / name).parent.mkdir(parents=True, exist_ok=True)
        (src / name).write_text("#pragma once\n")
    (src / "README.md").write_text(rules)
    for name, text in extra.items():
        (src / name).parent.mkdir(parents=True, exist_ok=True)
        (src / name).write_text(text)
    return subprocess.run([sys.executable, str(ROOT / "tools/check_imports"), str(tmp_path)], capture_output=True, text=True)


@pytest.mark.parametrize("name, text", [
    ("delivery/ok.cc", '#include "http/a.h"\n#include "transform/a.h"\n#include <vector>\nint f() { return status == 404; }\n'),
    ("worker/ok.cc", '#include "transform/protocol/a.h"\nextern "C" {\n#include <libavcodec/avcodec.h>\n}\n'),
    ("transform/ok.cc", '#include "transform/protocol/a.h"\n#include "variant/a.h"\n'),
    ("app/ok.cc", '#include "worker/a.h"\n#include "app/a.h"\n'),
    ("io/ok.cc", "#include <boost/asio/post.hpp>\nint size = 404; int wait_status = 255; // status == 404\n"),
    ("io/text.cc", 'const char* t = "status = 404";\n'),
    ("transform/exit.cc", "bool bad = wait_status != 0;\n"),
    ("transform/some_test.cc", "EXPECT_EQ(r.status == 404, true);\n"),
])
def test_allowed(tmp_path, name, text):
    done = run(tmp_path, {name: text})
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name, text, says", [
    ("http/bad.cc", '#include "delivery/a.h"\n', "http -> delivery is not an arrow"),
    ("variant/bad.cc", '#include "io/a.h"\n', "variant -> io is not an arrow"),
    ("worker/bad.cc", '#include "io/a.h"\n', "worker -> io is not an arrow"),
    ("worker/bad.cc", '#include "transform/a.h"\n', "worker -> transform is not an arrow"),
    ("transform/protocol/bad.h", '#include "transform/a.h"\n', "transform/protocol -> transform is not an arrow"),
    ("base/bad.h", '  #  include "io/a.h"\n', "base -> io is not an arrow"),
    ("delivery/bad.cc", '#include "app/a.h"\n', "nobody includes app/"),
    ("transform/bad.cc", "#include <libavformat/avformat.h>\n", "libav header"),
    ("io/bad.cc", "#include <boost/asio.hpp>\n", "<boost/asio.hpp>"),
    ("io/bad.cc", '#include "a.h"\n', "is no file of src/"),
    ("io/bad.cc", '#include "base/gone.h"\n', "is no file of src/"),
    ("io/bad.cc", "void f(R& r) { r.status = 404; }\n", "HTTP status number"),
    ("transform/bad.cc", "bool f(R& r) { return r.status == 206; }\n", "HTTP status number"),
    ("transform/bad.cc", "auto f() { return Response{404}; }\n", "HTTP status number"),
    ("transform/bad.cc", "auto f() { return Response{.status = 503}; }\n", "HTTP status number"),
    ("transform/bad.cc", "if (reply.status_code() >= 400) {}\n", "HTTP status number"),
    ("cellar/new.cc", "int x;\n", "room 'cellar' has no rule"),
])
def test_refused(tmp_path, name, text, says):
    done = run(tmp_path, {name: text})
    assert done.returncode == 1, done.stdout + done.stderr
    assert says in done.stdout
    assert f"src/{name}:1:" in done.stdout


def test_rules_that_cannot_be_read_are_an_error(tmp_path):
    assert run(tmp_path, {}, rules="no block").returncode == 2
    assert run(tmp_path, {}, rules="```imports\nbase -> cellar\n```\n").returncode == 2
