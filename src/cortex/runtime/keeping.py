"""Runs the small program that takes workers' branches into mirrors, apart from the daemon.

It reads git data that strangers wrote, so it gets a bare environment, a session of processes of
its own, and an end. What it answers is for `control` to judge.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cortex.runtime.processes import all_pids, signal_exactly, stat_or_none

__all__ = ["MARGIN_S", "keep_branches"]

_PROGRAM = "cortex.worker.tools.keep_branches"
_PASSED_ON = ("PATH", "TZ", "TMPDIR")
#: The program bounds each git by what is left of its limit; this is for its start and its end.
MARGIN_S = 15.0
#: A process that waits for a disk does not end at once; nothing waits longer for it than this.
_END_LIMIT_S = 5.0
_LOOK_S = 0.01


def keep_branches(order: Mapping[str, Any]) -> dict[str, Any]:
    """What `cortex.worker.tools.keep_branches.keep` says to the order. Blocks for as long as that
    takes, at most `limit_s` and a margin. Raises OSError where it gave no answer.
    """
    env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    home = Path(order["mirrors"]) / f".keeping-{secrets.token_hex(4)}.new"
    child = subprocess.Popen(
        [sys.executable, "-m", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        start_new_session=True,
    )
    try:
        limit_s = float(order["limit_s"]) + MARGIN_S
        said, problems = child.communicate(
            json.dumps({**order, "home": str(home)}).encode(), timeout=limit_s
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"{_PROGRAM} was ended after {limit_s:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        _end_session(child.pid)
        child.wait()
        shutil.rmtree(home, ignore_errors=True)
    try:
        answers = json.loads(said)
    except ValueError:
        last = problems.decode("utf-8", "replace").strip().splitlines()
        why = last[-1][:300] if last else f"status {child.returncode}"
        raise OSError(f"{_PROGRAM} gave no answer: {why}") from None
    return answers if isinstance(answers, dict) else {}


def _end_session(session: int) -> None:
    """Ends every process of a session: each git has a group of its own in that of the program."""
    end_s = time.monotonic() + _END_LIMIT_S
    while time.monotonic() < end_s:
        found = [stat for pid in all_pids() if (stat := stat_or_none(pid)) is not None]
        left = [stat for stat in found if stat.session == session and stat.state not in "ZX"]
        if not left:
            return
        for stat in left:
            signal_exactly(stat.pid, stat.start_ticks, signal.SIGKILL)
        time.sleep(_LOOK_S)
