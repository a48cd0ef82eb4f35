"""Runs unittest discovery and writes JUnit XML: `python unittest_junit.py FILE [START]`.

It is run by the interpreter of the tested repository, so it needs nothing but that interpreter's
own library (3.8 or later) and imports nothing of Cortex.
"""

from __future__ import annotations

import inspect
import sys
import time
import traceback
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr


class _Result(unittest.TextTestResult):
    """Keeps a row of every test: class, name, file, line, seconds, outcome and words."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.rows: list[tuple[str, str, str, int, float, str, str]] = []
        self._began = time.perf_counter()

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's names
        super().startTest(test)
        self._began = time.perf_counter()

    def _keep(self, test: Any, outcome: str, error: Any = None) -> None:
        file, line = _place(test, error)
        words = "".join(traceback.format_exception(*error)) if error else ""
        kind = f"{type(test).__module__}.{type(test).__qualname__}"
        name = getattr(test, "_testMethodName", None) or str(test)
        seconds = time.perf_counter() - self._began
        self.rows.append((kind, name, file, line, seconds, outcome, words))

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().addSuccess(test)
        self._keep(test, "passed")

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addFailure(test, err)
        self._keep(test, "failure", err)

    def addError(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addError(test, err)
        self._keep(test, "error", err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        super().addSkip(test, reason)
        self._keep(test, "skipped")

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addExpectedFailure(test, err)
        self._keep(test, "skipped")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().addUnexpectedSuccess(test)
        self._keep(test, "failure")

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._keep(test, "failure", err)


def _place(test: Any, error: Any) -> tuple[str, int]:
    """Where it failed inside the repository, else where the test's method begins."""
    if error is not None:
        frames = [(_inside(f.filename), f.lineno or 0) for f in traceback.extract_tb(error[2])]
        own = [frame for frame in frames if frame[0]]
        if own:
            return own[-1]
    try:
        method = getattr(test, test._testMethodName)
        return _inside(inspect.getsourcefile(method) or ""), inspect.getsourcelines(method)[1]
    except (AttributeError, OSError, TypeError):
        return "", 0


def _inside(file: str) -> str:
    """The path relative to the repository; empty for one outside, as the library's own are."""
    try:
        return str((Path.cwd() / file).relative_to(Path.cwd())) if file else ""
    except ValueError:
        return ""


def _clean(text: str) -> str:
    """Only characters that XML 1.0 can hold."""
    return "".join(
        c if c in "\t\n\r" or " " <= c < "\ud800" or "\ue000" <= c < "\ufffe" else "?" for c in text
    )


def _write(path: Path, rows: list[tuple[str, str, str, int, float, str, str]]) -> None:
    with path.open("w", encoding="utf-8", errors="replace") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<testsuite>\n')
        for kind, name, place, line, seconds, outcome, words in rows:
            file.write(
                f"<testcase classname={quoteattr(_clean(kind))} name={quoteattr(_clean(name))} "
                f'file={quoteattr(_clean(place))} line="{line}" time="{seconds:.4f}">'
            )
            if outcome != "passed":
                file.write(f"<{outcome} message={quoteattr(_clean(words[-2000:]))}/>")
            file.write("</testcase>\n")
        file.write("</testsuite>\n")


def _tests(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _tests(test)
        else:
            yield test


def main() -> int:
    """Discover from START (default: the current folder) and run; 0 only if everything passed."""
    sys.path[0] = str(Path.cwd())
    start = sys.argv[2] if len(sys.argv) > 2 else "."
    top = "." if (Path(start) / "__init__.py").is_file() else None
    found, others = (
        unittest.TestLoader().discover(start, pattern=pattern, top_level_dir=top)
        for pattern in ("test*.py", "*_test.py")
    )
    known = {test.id() for test in _tests(found)}  # test_a_test.py is of both
    found.addTests(test for test in _tests(others) if test.id() not in known)
    result = unittest.TextTestRunner(resultclass=_Result, verbosity=1).run(found)
    assert isinstance(result, _Result)
    _write(Path(sys.argv[1]), result.rows)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
