"""Mount namespaces for tests that mount: as root, or as root of a user namespace of one's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def mount_namespace() -> list[str]:
    """The command that gives its arguments a mount namespace; skips where none is to be had."""
    unshare = shutil.which("unshare")
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = [str(unshare), "--mount", *user]
    if unshare is None or subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("no mount namespace to be had here")
    return command


def scenario_program(file: str, scenario: str, folder: Path) -> str:
    """The Python code that calls `scenario(folder)` of a test file, for an interpreter of its own
    in such a namespace."""
    test = Path(file)
    places = [str(test.parent), str(Path(__file__).parent)]
    return (
        f"import sys; sys.path[:0] = {places!r}; import {test.stem} as test; "
        f"test.{scenario}(test.Path({str(folder)!r}))"
    )
