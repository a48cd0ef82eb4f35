"""The exit codes of `cortex`, which scripts may rely on."""

from __future__ import annotations

__all__ = ["FAILED", "NO_DAEMON", "OK", "TIMEOUT", "USAGE"]

OK = 0
#: What was asked for did not come to pass, or could not be done.
FAILED = 1
#: The command line was not understood.
USAGE = 2
#: The time limit of a wait was over.
TIMEOUT = 3
#: What was asked for needs a running daemon, and none runs.
NO_DAEMON = 4
