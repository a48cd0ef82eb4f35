"""Finding programs on a PATH that this user may not look through."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cortex.worker.tools import analyzers

USER = 65534
IS_ROOT = os.geteuid() == 0


def test_a_folder_on_the_path_that_nobody_may_enter_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    (closed / "inside").mkdir(parents=True)
    closed.chmod(0o000)
    monkeypatch.setenv("PATH", f"{closed}/inside:{os.environ['PATH']}")
    child = os.fork()
    if child == 0:
        # Root may enter any folder, so the question is asked by somebody else.
        status = 1
        try:
            if IS_ROOT:
                os.setuid(USER)
            status = 0 if analyzers.program("no-such-analyzer") is None else 2
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    closed.chmod(0o700)
    assert os.waitstatus_to_exitcode(status) == 0
