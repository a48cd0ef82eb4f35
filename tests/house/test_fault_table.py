"""The table of faults names each fault once, and tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
ROW = re.compile(r"^\| (F\d\d) \| (.*) \| (.*) \| (.*) \| (yes|—) \|$", re.MULTILINE)


def test_each_of_the_faults_is_caused_by_a_test_or_in_the_simulation() -> None:
    rows = ROW.findall((REPOSITORY / "docs" / "faults.md").read_text(encoding="utf-8"))
    assert [row[0] for row in rows] == [f"F{number:02d}" for number in range(1, 45)]
    for name, fault, outcome, tests, simulated in rows:
        assert fault and outcome, name
        files = re.findall(r"`(tests/[^`]+\.py)`", tests)
        assert files or simulated == "yes", name
        assert all((REPOSITORY / file).is_file() for file in files), name


def test_every_test_of_a_crash_stands_in_the_table() -> None:
    text = (REPOSITORY / "docs" / "faults.md").read_text(encoding="utf-8")
    others = {"test_selfwatch.py", "test_systemd.py"}  # of what a daemon says, not of what it loses
    files = {path.name for path in (REPOSITORY / "tests" / "crash").glob("test_*.py")}
    assert {name for name in files if f"tests/crash/{name}" not in text} <= others
