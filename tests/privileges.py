"""What only root may do: tests of a refusal give it up first, instead of being skipped."""

from __future__ import annotations

import os
import subprocess
import sys

INSIDE = "TEST_RUNS_WITHOUT_PRIVILEGES"


def without(*capabilities: str) -> list[str]:
    """What to put before a command so that it has none of these (capabilities(7), without CAP_),
    even as root; nothing for an ordinary user."""
    if os.geteuid() != 0:
        return []
    dropped = ",".join(f"-{name}" for name in capabilities)
    return ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}", "--"]


def passes_without(node: str, *capabilities: str) -> bool:
    """Runs the test of that id again in a process without the capabilities; True where this
    process has none of them, and the test must go on itself."""
    if os.geteuid() != 0 or os.environ.get(INSIDE):
        return True
    command = [
        *without(*capabilities),
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    done = subprocess.run(
        [*command, node],
        env=environment | {INSIDE: "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout, done.stdout
    return False
