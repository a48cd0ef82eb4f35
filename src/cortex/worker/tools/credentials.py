"""Which secret of the environment may go to which host. Reads the names that a worker type gives.

The variable of a public forge goes to that forge alone, so that a task which names another address
cannot have it sent there; a variable of any other name was named on purpose and goes anywhere.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from cortex.worker.contract import Worker
from cortex.worker.tools.options import names

__all__ = ["host_of", "named_credentials", "token_for", "tokens_for_host"]

_HOST_OF = {
    "GH_TOKEN": "github.com",
    "GITHUB_TOKEN": "github.com",
    "GITLAB_TOKEN": "gitlab.com",
}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_AGENT = "SSH_AUTH_SOCK"


def named_credentials(worker: Worker) -> list[str]:
    """The variables that task or type name as credentials."""
    return names(worker, "credentials")


def host_of(address: str) -> str:
    """The host of a URL or of `user@host:path`; empty for a path."""
    if "://" in address:
        return urlsplit(address).hostname or ""
    return address.partition("@")[2].partition(":")[0] if "@" in address else ""


def tokens_for_host(worker: Worker, host: str) -> dict[str, str]:
    """The named secrets that are in the environment and may go to this host.

    Without a host (a path of this machine) all of them: they go to the forge's client alone.
    """
    found = {name: os.environ[name] for name in named_credentials(worker) if os.environ.get(name)}
    return {
        name: value
        for name, value in found.items()
        if name != _AGENT and (not host or _HOST_OF.get(name, host) == host)
    }


def token_for(worker: Worker, address: str) -> str | None:
    """The secret for an address over https (or http on this machine); None for no such."""
    host = host_of(address)
    scheme = address.partition("://")[0] if "://" in address else ""
    if not host or not (scheme == "https" or (scheme == "http" and host in _LOOPBACK)):
        return None
    return next(iter(tokens_for_host(worker, host).values()), None)
