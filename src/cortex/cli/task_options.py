"""The options of `cortex submit` that make up a task."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from cortex.cli.options import Output
from cortex.cli.terminal import note
from cortex.model.paths import expanded

#: A URL, or the HOST:PATH of ssh.
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|[^/]+:")

_Many = list[str] | None

Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE",
        help="JSON, YAML or JSON Lines; - is stdin.",
        show_default=False,
    ),
]
Title = Annotated[
    str | None, typer.Option("--title", "-t", metavar="TEXT", help="What it is about.")
]
TypeName = Annotated[
    str | None, typer.Option("--type", metavar="TYPE", help="Routes it, as in security-scan.")
]
CommandLine = Annotated[
    str | None,
    typer.Option(
        "--command",
        "-c",
        metavar="LINE",
        help="A shell line that is the whole task; runs in the repository of -r, else in an empty "
        "folder of its own.",
    ),
]
Repositories = Annotated[
    _Many, typer.Option("--repository", "-r", metavar="PATH", help="Its scope; repeatable.")
]
PriorityName = Annotated[
    str | None,
    typer.Option("--priority", "-p", metavar="LEVEL", help="low, medium, high or critical."),
]
TaskId = Annotated[str | None, typer.Option("--id", metavar="ID", help="Your own name for it.")]
Key = Annotated[
    str | None,
    typer.Option("--key", metavar="KEY", help="Submitting the same key again makes no new task."),
]
Needs = Annotated[
    _Many, typer.Option("--need", "-n", metavar="TASK", help="Starts after it; repeatable.")
]
TokenBudget = Annotated[
    int | None,
    typer.Option("--token-budget", metavar="N", min=0, help="Tokens for each worker."),
]
Timeout = Annotated[
    str | None, typer.Option("--timeout", metavar="TIME", help="Of a worker: 90s, 15m.")
]
Retries = Annotated[
    int | None,
    typer.Option("--retries", metavar="N", min=0, help="Further attempts after a failed one."),
]
Runtime = Annotated[
    str | None, typer.Option("--runtime", metavar="NAME", help="auto, tools or command.")
]
Deadline = Annotated[
    str | None,
    typer.Option("--deadline", metavar="TIME", help="RFC 3339: 2025-11-01T12:00:00Z."),
]
Hold = Annotated[bool, typer.Option("--hold", help="Start nothing before `resume`.")]
Approval = Annotated[
    bool, typer.Option("--approval", help="Start nothing before a person's `cortex approve`.")
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Show the progress until it ends.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Form = Annotated[
    Output | None,
    typer.Option("--output", "-o", metavar="FORM", help="json, or name: the ids alone."),
]


def local_paths(repositories: list[str]) -> list[str]:
    """Repositories as the daemon can find them: local ones by their full path, for it stands
    elsewhere. Warns of those that are not there; they may come until the work starts."""
    return [text if _REMOTE.match(text) else _full_path(text) for text in repositories]


def _full_path(text: str) -> str:
    path = expanded(text).resolve()
    if not path.exists():
        note(f"--repository: there is no folder {path}; handed in as it is")
    return str(path)
