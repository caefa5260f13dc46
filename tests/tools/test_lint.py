"""tools/lint's own rules: what must be found, and what must not."""
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def lint(tmp_path, name, text):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    (tmp_path / "tests").mkdir(exist_ok=True)
    (tmp_path / "src").mkdir(exist_ok=True)
    return subprocess.run([sys.executable, str(ROOT / "tools/lint"), "regex", "--root", str(tmp_path)], capture_output=True, text=True)


@pytest.mark.parametrize("rule, text", [
    ("coroutine-lambda", "auto x = co_await pool.Run([p] { return p->Go(); });"),
    ("coroutine-lambda", "co_await pool.Run(ctx,\n    [&, n = 1](int a) mutable { use(a, n); });"),
    ("coroutine-lambda", "CO_TRY(auto x, co_await Run([=]() -> int { return y; }));"),
    ("coroutine-braces", "auto x = co_await Run(ctx, Job{.source = path});"),
    ("coroutine-braces", "auto x = co_await Run(ctx, {.source = path, .width = 640});"),
    ("coroutine-braces", "CO_CHECK(co_await Send(Frame{a, b}));"),
    ("coroutine-condition", "if (co_await Ready()) { Go(); }"),
    ("coroutine-condition", "while ((co_await Next()).ok()) {}"),
    ("coroutine-condition", "auto x = co_await F(co_await G());"),
    ("statement-expression", "auto x = ({ auto t = f(); t.value(); });"),
    ("detached", "asio::co_spawn(ex, std::move(task), asio::detached);"),
])
def test_found_in_code(tmp_path, rule, text):
    done = lint(tmp_path, "src/cache/a.cc", "Task<void> F() {\n" + text + "\n}\n")
    assert done.returncode == 1, done.stdout
    assert rule in done.stdout


@pytest.mark.parametrize("text", [
    "auto work = [p] { return p->Go(); };\nauto x = co_await pool.Run(std::move(work));",
    "Job job{.source = path};\nCO_TRY(auto x, co_await Run(ctx, std::move(job)));",
    "co_await pool.Run([] { return 1; });",
    "if (ready) { co_await Go(ctx); }",
    "for (auto& w : waiters) { co_await w.Done(); }",
    "for (;;) {\n  auto n = co_await s.Read(buffer[0]);\n  if (n == 0) co_return;\n}",
    "// co_await Run([p] { });",
    'Log("co_await f({1})");',
    "auto v = f({1, 2});",
    "CO_TRY(const std::optional<Found> found, co_await kv.Get(ctx, keys[i]));",
    "auto x = co_await Run([p] { });  // NOLINT(coroutine-lambda): a test of the lint",
])
def test_left_alone_in_code(tmp_path, text):
    done = lint(tmp_path, "src/cache/a.cc", "Task<void> F() {\n" + text + "\n}\n")
    assert done.returncode == 0, done.stdout


def test_detached_may_live_in_io_and_http(tmp_path):
    assert lint(tmp_path, "src/io/a.cc", "asio::co_spawn(ex, t, asio::detached);\n").returncode == 0
    assert lint(tmp_path, "src/http/a.cc", "asio::co_spawn(ex, t, asio::detached);\n").returncode == 0


def test_sleeps_are_found_in_tests_only(tmp_path):
    line = "std::this_thread::sleep_for(2s);\n"
    assert lint(tmp_path, "src/io/timer.cc", line).returncode == 0
    assert lint(tmp_path, "src/io/timer_test.cc", line).returncode == 1


def test_a_short_pause_of_a_loop_is_no_sleep(tmp_path):
    poll = "while (!Done() && Now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(%d));\n"
    assert lint(tmp_path, "src/io/a_test.cc", poll % 5).returncode == 0
    assert lint(tmp_path, "src/io/a_test.cc", poll % 500).returncode == 1
    assert lint(tmp_path, "src/io/a_test.cc", "do {\n  usleep(2000);\n} while (Busy());\n").returncode == 0
    assert lint(tmp_path, "src/io/a_test.cc", "Start();\nusleep(2000);\nEXPECT_TRUE(Done());\n").returncode == 1


def test_sleeps_are_found_in_python_tests(tmp_path):
    assert "sleep-in-test" in lint(tmp_path, "tests/e2e/test_a.py", "import time\ntime.sleep(2)\n").stdout  # NOLINT(sleep-in-test): the lint's own food

