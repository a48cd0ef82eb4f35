"""Ruff as a linter and fixer under the repository's own configuration. Decides no severity of a
scan: those rules are security's, these are the project's.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cortex.worker.tools import processes
from cortex.worker.tools.analyzers import program
from cortex.worker.tools.outcomes import NotRunError
from cortex.worker.tools.readers import RawFinding

__all__ = ["LintError", "fix", "format_files", "has_own_configuration", "lint"]

_LIMIT_S = 300.0
_ERRORS = re.compile(r"F8|F82|E9|PLE|F70|F50|B0")
_RUFF_TABLE = re.compile(r"^\s*\[tool\.ruff[\].]", re.MULTILINE)


class LintError(Exception):
    """Ruff did not run to its end: its configuration is wrong, or it asks for another version."""


def has_own_configuration(root: Path) -> bool:
    """Whether the repository configures ruff at its top."""
    if any((root / name).is_file() for name in ("ruff.toml", ".ruff.toml")):
        return True
    pyproject = root / "pyproject.toml"
    if not pyproject.is_file() or pyproject.is_symlink():
        return False
    return bool(_RUFF_TABLE.search(pyproject.read_text("utf-8", "replace")))


def lint(
    root: Path,
    files: Sequence[str],
    home: Path,
    rules: Sequence[str] = (),
    *,
    isolated: bool = False,
) -> list[RawFinding]:
    """What ruff says of these files by the repository's rules, or its own where it has none or
    `isolated`.

    With `rules`, of these alone; else security rules are left to the scan. Raises LintError, and
    NotRunError without ruff.
    """
    head = ["check", "--no-cache", "--quiet", "--force-exclude", "--output-format", "json"]
    wanted = [f"--select={','.join(rules)}"] if rules else _own(root)
    wanted += ["--isolated"] if isolated else []
    output = _run(root, [*head, "--exit-zero", *wanted], files, home)
    try:
        found = json.loads(output or b"[]")
        return [_finding(row, root) for row in found if rules or not _is_security(row)]
    except (ValueError, KeyError, TypeError) as problem:
        raise LintError(f"its output could not be read ({type(problem).__name__})") from None


def fix(root: Path, files: Sequence[str], home: Path, rules: Sequence[str] = ()) -> None:
    """Apply ruff's safe fixes to these files: of these rules alone, else of the repository's."""
    head = ["check", "--fix", "--no-unsafe-fixes", "--no-cache", "--quiet", "--exit-zero"]
    wanted = [f"--select={','.join(rules)}"] if rules else _own(root)
    _run(root, [*head, "--force-exclude", *wanted], files, home)


def format_files(root: Path, files: Sequence[str], home: Path) -> None:
    """Format these files as the repository's configuration says."""
    _run(root, ["format", "--no-cache", "--quiet", "--force-exclude"], files, home)


def _own(root: Path) -> list[str]:
    return [] if has_own_configuration(root) else ["--isolated"]


def _run(root: Path, arguments: list[str], files: Sequence[str], home: Path) -> bytes:
    path = program("ruff")
    if path is None:
        raise NotRunError("ruff is not installed", ["ruff: pip install ruff"])
    home.mkdir(parents=True, exist_ok=True)
    env = processes.minimal_environment(home)
    printed = b""
    for start in range(0, len(files), 1_000):
        names = [f"./{name}" for name in files[start : start + 1_000]]
        outcome = processes.run(
            [path, *arguments, "--", *names], cwd=root, env=env, limit_s=_LIMIT_S
        )
        if outcome.problem or outcome.returncode != 0:
            said = outcome.stderr.decode("utf-8", "replace").split("\n")
            telling = next((line.strip() for line in said if line.strip()), "no word of why")
            raise LintError(
                outcome.problem or f"ruff ended with status {outcome.returncode}: {telling[:300]}"
            )
        printed = outcome.stdout if not printed else _joined(printed, outcome.stdout)
    return printed


def _joined(first: bytes, second: bytes) -> bytes:
    try:
        return json.dumps(json.loads(first or b"[]") + json.loads(second or b"[]")).encode()
    except ValueError:
        return second


def _is_security(row: dict[str, Any]) -> bool:
    return bool(re.match(r"S\d", str(row.get("code") or "")))


def _finding(row: dict[str, Any], root: Path) -> RawFinding:
    code = str(row.get("code") or "syntax")
    is_syntax = code in ("syntax", "invalid-syntax") or not row.get("code")
    file = os.path.relpath(row["filename"], root)
    fixable = (row.get("fix") or {}).get("applicability") == "safe"
    return {
        "tool": "ruff",
        "rule": code,
        "title": str(row["message"])[:200],
        "message": str(row["message"]),
        "severity": "high" if is_syntax else "medium" if _ERRORS.match(code) else "low",
        "confidence": "high",
        "cwe": None,
        "family": f"lint-{code.lower()}",
        "file": file,
        "line": int(row["location"]["row"]),
        "end_line": int(row.get("end_location", row["location"])["row"]),
        "fixable": fixable,
    }
