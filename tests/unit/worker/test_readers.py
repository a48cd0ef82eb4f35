"""Reading the analyzers' outputs: what is lowered, what is left out, what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cortex.worker.tools import readers


def bandit(**fields: Any) -> bytes:
    result = {
        "test_id": "B602",
        "test_name": "subprocess_popen_with_shell_equals_true",
        "issue_severity": "HIGH",
        "issue_confidence": "HIGH",
        "issue_text": "shell=True",
        "issue_cwe": {"id": 78},
        "filename": "././src/a.py",
        "line_number": 7,
        "line_range": [5, 6, 7, 8],
    }
    return json.dumps({"results": [{**result, **fields}]}).encode()


def test_a_call_over_several_lines_stands_where_it_starts() -> None:
    (found,) = readers.read_bandit(bandit())
    assert (found["file"], found["line"], found["severity"]) == ("src/a.py", 5, "high")


def test_a_shell_that_runs_a_constant_is_low() -> None:
    (found,) = readers.read_bandit(bandit(issue_severity="LOW"))
    assert found["severity"] == "low"
    ruff = {"code": "S602", "filename": "/r/a.py", "location": {"row": 1}}
    text = "`subprocess` call with `shell=True` seems safe, but may be changed"
    (found,) = readers.read_ruff(json.dumps([{**ruff, "message": text}]).encode())
    assert found["severity"] == "low"


def test_low_confidence_lowers_the_severity() -> None:
    (found,) = readers.read_bandit(bandit(test_id="B608", issue_confidence="LOW"))
    assert (found["severity"], found["confidence"]) == ("low", "low")


def test_a_rule_that_the_table_does_not_know_keeps_bandits_own_words() -> None:
    (found,) = readers.read_bandit(bandit(test_id="B999", issue_severity="MEDIUM"))
    assert (found["severity"], found["cwe"]) == ("medium", "CWE-78")


def test_a_mark_of_writing_direction_is_not_hidden_code() -> None:
    (mark,) = readers.read_bandit(bandit(test_id="B613", issue_text="characters ('\\u200f')"))
    (override,) = readers.read_bandit(bandit(test_id="B613", issue_text="characters ('\\u202e')"))
    assert (mark["severity"], override["severity"]) == ("low", "high")


def test_ruffs_syntax_errors_are_no_findings() -> None:
    error = {"code": None, "filename": "a.py", "location": {"row": 1}, "message": "SyntaxError"}
    assert readers.read_ruff(json.dumps([error]).encode()) == []


def test_shellcheck_style_is_left_out() -> None:
    comments = [
        {"code": 2034, "file": "a.sh", "line": 1, "message": "unused"},
        {"code": 2115, "file": "./a.sh", "line": 2, "message": "rm"},
    ]
    found = readers.read_shellcheck(json.dumps({"comments": comments}).encode())
    assert [(f["rule"], f["file"], f["line"]) for f in found] == [("SC2115", "a.sh", 2)]


@pytest.mark.parametrize("read", [readers.read_bandit, readers.read_kingfisher])
@pytest.mark.parametrize("output", [b"", b"oops", b"[]"])
def test_output_of_another_shape_is_refused(read: readers.Reader, output: bytes) -> None:
    with pytest.raises((ValueError, TypeError)):
        read(output)
