"""Runs the small program that takes workers' branches into mirrors, apart from the daemon.

It reads git data that strangers wrote, so it gets a bare environment, a group of processes of its
own, and an end. What it answers is for `control` to judge.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["keep_branches"]

_PROGRAM = "cortex.worker.tools.keep_branches"
_PASSED_ON = ("PATH", "TZ", "TMPDIR")
#: The program looks at the time between two workers only, so that it is given some more.
_MARGIN_S = 90.0


def keep_branches(order: Mapping[str, Any]) -> dict[str, Any]:
    """What `cortex.worker.tools.keep_branches.keep` says to the order. Blocks for as long as that
    takes, at most `limit_s` and a margin. Raises OSError where it gave no answer.
    """
    env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    child = subprocess.Popen(
        [sys.executable, "-m", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        start_new_session=True,
    )
    try:
        limit_s = float(order["limit_s"]) + _MARGIN_S
        said, problems = child.communicate(json.dumps(order).encode(), timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise OSError(f"{_PROGRAM} was ended after {limit_s:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    try:
        answers = json.loads(said)
    except ValueError:
        last = problems.decode("utf-8", "replace").strip().splitlines()
        why = last[-1][:300] if last else f"status {child.returncode}"
        raise OSError(f"{_PROGRAM} gave no answer: {why}") from None
    return answers if isinstance(answers, dict) else {}
