"""Everyone else's side of a home: find it, read it, follow its journal, drop requests into it.

This is the Python API. It writes only files that a person could have dropped and reads only files
that a person could have read; it decides nothing and needs no daemon to run.
"""

from cortex.home.client import Found, Home
from cortex.home.create import Created, create_home
from cortex.home.documents import Row
from cortex.home.find import find_home
from cortex.home.liveness import Daemon, daemon_of
from cortex.home.submit import Outcome, Receipt
from cortex.home.waiting import DaemonAbsentError, DaemonWatch, Waited

__all__ = [
    "Created",
    "Daemon",
    "DaemonAbsentError",
    "DaemonWatch",
    "Found",
    "Home",
    "Outcome",
    "Receipt",
    "Row",
    "Waited",
    "create_home",
    "daemon_of",
    "find_home",
]
