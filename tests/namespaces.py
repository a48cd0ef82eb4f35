"""Mount namespaces for tests that mount: as root, or as root of a user namespace of one's own."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def mount_namespace() -> list[str]:
    """The command that gives its arguments a mount namespace; skips where none is to be had."""
    unshare = shutil.which("unshare")
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = [str(unshare), "--mount", *user]
    if unshare is None or subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("no mount namespace to be had here")
    return command
