"""What test programs print, read as a stranger's words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cortex.worker.tools import unittest_junit
from cortex.worker.tools.junit import count, counts_in, read_go_events, read_junit


def read(tmp_path: Path, text: str) -> list[tuple[str, str, str, int]]:
    (tmp_path / "j.xml").write_text(text)
    return [(c.name, c.outcome, c.file, c.line) for c in read_junit(tmp_path / "j.xml", tmp_path)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<testsuite>",
        '<!DOCTYPE x [<!ENTITY a "aa">]><testsuite>&a;</testsuite>',
        '<?xml version="1.0"?><!DOCTYPE x SYSTEM "file:///etc/passwd"><testsuite/>',
    ],
)
def test_what_is_no_plain_junit_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="JUnit"):
        read(tmp_path, text)


def test_a_missing_file_is_told_and_a_place_outside_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wrote no JUnit file"):
        read_junit(tmp_path / "none.xml", tmp_path)
    case = '<testcase name="t" file="%s" line="3"><failure message="m"/></testcase>'
    case = f"<testsuite>{case}</testsuite>"
    assert read(tmp_path, case % "a/b.py") == [("t", "failed", "a/b.py", 3)]
    assert read(tmp_path, case % "/etc/passwd") == [("t", "failed", "", 3)]
    assert read(tmp_path, case % "../../etc/passwd") == [("t", "failed", "", 3)]


def test_a_go_package_that_does_not_build_is_an_error_and_noise_is_left_out(tmp_path: Path) -> None:
    output = b'noise\n{"Action":"fail"\n[1]\n'
    output += b'{"Action":"output","Package":"shop/cart","Output":"cannot build\\n"}\n'
    output += b'{"Action":"fail","Package":"shop/cart"}\n{"Action":"pass","Package":"shop"}\n'
    (case,) = read_go_events(output, tmp_path)
    assert (case.name, case.outcome, case.message) == ("shop/cart", "error", "cannot build")
    assert count([case])["errors"] == 1


@pytest.mark.parametrize(
    ("output", "passed", "failed"),
    [
        ("=== 3 failed, 12 passed, 1 skipped in 2s ===", 12, 3),
        ("Tests:       1 failed, 41 passed, 42 total", 41, 1),
        ("  7 passing (20ms)\n  2 failing\n", 7, 2),
        ("# tests 3\n# pass 2\n# fail 1\n# skipped 0\n", 2, 1),
        ("\u2139 pass 5\n\u2139 fail 0\n", 5, 0),
        ("test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured\n", 4, 2),
    ],
)
def test_counts_are_read_out_of_the_usual_last_words(output: str, passed: int, failed: int) -> None:
    counts = counts_in(output)
    assert counts is not None
    assert (counts["passed"], counts["failed"]) == (passed, failed)


def test_words_of_no_known_form_have_no_counts() -> None:
    assert counts_in("all is well") is None


def test_a_unittest_file_that_is_named_both_ways_is_run_once(tmp_path: Path) -> None:
    body = "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_a(self): pass\n"
    for name in ("test_a.py", "b_test.py", "test_c_test.py"):
        (tmp_path / name).write_text(body)
    (tmp_path / "test_broken_test.py").write_text("import nowhere_at_all\n")
    script = Path(unittest_junit.__file__)
    done = subprocess.run(
        [sys.executable, str(script), "junit.xml"], cwd=tmp_path, capture_output=True, timeout=60
    )
    assert done.returncode == 1, done.stderr
    assert count(read_junit(tmp_path / "junit.xml", tmp_path)) == {
        "passed": 3, "failed": 0, "errors": 1, "skipped": 0,
    }  # fmt: skip
