"""docs/lessons.md cannot rot: every test it names exists, every lesson of its range has a row, and every row names a test or gives a reason."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs/lessons.md"
# What concerns caching: sections 1 to 6 of the list, failover, and single rows of the others.
LESSONS = [*range(1, 84), 96, 124, *range(126, 131)]


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if re.match(r"\| R-\d+ ", line)]


def named(cell):
    """(C++ tests "Suite.Test", end-to-end tests "test_file.py::test_name") in backticks."""
    quoted = re.findall(r"`([^`]+)`", cell)
    return ([q for q in quoted if re.fullmatch(r"[A-Z]\w+\.[A-Z]\w+", q)], [q for q in quoted if "::test_" in q])


def existing():
    found = set()
    for path in (ROOT / "src").rglob("*"):
        if path.suffix in (".cc", ".h"):
            text = path.read_text()
            found |= {f"{suite}.{name}" for suite, name in re.findall(r"\bTEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\)", text)}
            # Typed and parametrised suites of a conformance header.
            found |= {f"{suite}.{name}" for suite, name in re.findall(r"\bTYPED_TEST(?:_P)?\(\s*(\w+),\s*(\w+)\s*\)", text)}
    for path in (ROOT / "tests/e2e").glob("test_*.py"):
        found |= {f"{path.name}::{name}" for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.M)}
    return found


def missing(text, tests):
    return [name for row in rows(text) for kind in named(row[2]) for name in kind if name not in tests]


def test_every_named_test_exists():
    tests = existing()
    assert len(tests) > 500
    assert missing(TABLE.read_text(), tests) == []


def test_a_test_that_is_gone_is_noticed():
    text = "| R-01 | x | `OrchestratorTest.NobodyWroteThis` `test_load.py::test_nobody_wrote_this` `kv_store_failed` |\n"
    assert missing(text, existing()) == ["OrchestratorTest.NobodyWroteThis", "test_load.py::test_nobody_wrote_this"]


def test_every_lesson_of_the_range_has_one_row_in_order():
    numbers = [int(row[0].removeprefix("R-")) for row in rows(TABLE.read_text())]
    assert numbers == LESSONS


def test_every_row_names_a_test_or_gives_a_reason():
    for lesson, what, proof in rows(TABLE.read_text()):
        cpp, e2e = named(proof)
        reason = re.sub(r"`[^`]*`", "", proof).strip(" ;.")
        assert what and (cpp or e2e or len(reason) > 40), (lesson, proof)
