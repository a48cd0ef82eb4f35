"""Stands for an agent that audits a repository: it looks for one dependency, waits as one waits for
a model, and says what it used. python3 audit.py PACKAGE FIXED_VERSION [SECONDS]; it asks no model.

A worker that does ask one keeps the same contract: spec in, results.json out.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any


def main() -> int:
    """Writes results.json for the repository that it runs in."""
    package, fixed = sys.argv[1], sys.argv[2]
    spec = json.loads(Path(os.environ["CORTEX_SPEC"]).read_text(encoding="utf-8"))
    time.sleep(float(sys.argv[3]) if len(sys.argv) > 3 else 0)  # a model would be waited for
    found = findings(package, fixed)
    results = {
        "status": "completed",
        "summary": f"{Path.cwd().name}: {package} {'is affected' if found else 'is not affected'}",
        "findings": found,
        "tokens_used": max(0, spec["token_budget"] - 100),
    }
    Path(os.environ["CORTEX_RESULTS"]).write_text(json.dumps(results), encoding="utf-8")
    return 0


def findings(package: str, fixed: str) -> list[dict[str, Any]]:
    """The pins of the package in requirements.txt that are below the fixed version."""
    path = Path("requirements.txt")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    pin = re.compile(rf"{re.escape(package)}==([\d.]+)", re.IGNORECASE)
    return [
        {
            "tool": "audit",
            "rule": "emergency",
            "severity": "critical",
            "family": "vulnerable-dependency",
            "title": f"{package} {match[1]} is what is attacked",
            "message": f"Upgrade to {fixed}.",
            "package": package,
            "installed_version": match[1],
            "fixed_version": fixed,
            "file": path.name,
            "line": number,
        }
        for number, line in enumerate(lines, 1)
        if (match := pin.match(line.strip())) and numbers(match[1]) < numbers(fixed)
    ]


def numbers(version: str) -> list[int]:
    """2.10.1 as [2, 10, 1]."""
    return [int(part) for part in version.split(".") if part]


if __name__ == "__main__":
    sys.exit(main())
