"""`cortex submit`: puts task files, or one task made of options, into the inbox."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cortex.cli import exits
from cortex.cli import task_options as opts
from cortex.cli.options import HomeOption, Output, fail_usage, open_home
from cortex.cli.printing import print_json
from cortex.cli.requesting import RefusedError, await_outcome
from cortex.cli.terminal import clean, note
from cortex.model.errors import CortexError, HomeError

if TYPE_CHECKING:
    from cortex.home import Home, Outcome, Receipt

__all__ = ["EXAMPLES", "submit"]

EXAMPLES = """
  cortex submit --title "Run the tests" --command "make test" -r ../app
  cortex submit --type security-scan --repository . --follow
  cortex submit --type security-scan -r ../app -r ../site --priority high
  cortex submit task.json more.yaml many.jsonl
  echo '{"title": "Hello", "command": "echo hi"}' | cortex submit -
  id=$(cortex submit --command "make" -r . -o name) && cortex wait "$id"

It is the same as writing the file into coordination/inbox/ yourself.
"""


def submit(
    files: opts.Files = None,
    title: opts.Title = None,
    type: opts.TypeName = None,
    command: opts.CommandLine = None,
    repository: opts.Repositories = None,
    priority: opts.PriorityName = None,
    task_id: opts.TaskId = None,
    key: opts.Key = None,
    need: opts.Needs = None,
    token_budget: opts.TokenBudget = None,
    timeout: opts.Timeout = None,
    retries: opts.Retries = None,
    runtime: opts.Runtime = None,
    deadline: opts.Deadline = None,
    hold: opts.Hold = False,
    approval: opts.Approval = False,
    follow: opts.Follow = False,
    quiet: opts.Quiet = False,
    output: opts.Form = None,
    home: HomeOption = None,
) -> None:
    """Hand in tasks: files, stdin, or one task made of options.

    Prints the ids of the tasks. Without a running daemon the files wait in coordination/inbox/ and
    their names are printed.
    """
    options: dict[str, Any] = {
        "id": task_id,
        "title": title,
        "type": type,
        "priority": priority,
        "scope": _scope(repository),
        "command": command,
        "key": key,
        "needs": need,
        "token_budget": token_budget,
        "timeout": timeout,
        "retries": retries,
        "runtime": runtime,
        "deadline": deadline,
        "hold": hold or None,
        "approval": approval or None,
    }
    options = {name: value for name, value in options.items() if value is not None}
    if output in (Output.yaml, Output.wide):
        raise fail_usage(f"--output: submit does not print {output.value}; known: json, name")
    place = open_home(home)
    if follow and not place.daemon().running:
        note(f"--follow needs a daemon and none runs; start one: cortexd --home {place.root}")
        raise typer.Exit(exits.NO_DAEMON)
    receipts = _drop_files(place, files, options) if files else [_drop_options(place, options)]
    ids = _report(place, receipts, output, quiet)
    if follow and ids:
        raise typer.Exit(_follow(place, ids))


def _scope(repositories: list[str] | None) -> dict[str, Any] | None:
    """The scope; local folders by their full path, because the daemon stands elsewhere."""
    if not repositories:
        return None
    paths = opts.local_paths(repositories)
    return {"repository": paths[0]} if len(paths) == 1 else {"repositories": paths}


def _drop_options(home: Home, options: dict[str, Any]) -> Receipt:
    from cortex.model.errors import RequestError
    from cortex.model.requests import parse_request

    if not options.keys() & {"title", "type", "command"}:
        raise fail_usage("nothing to submit: name files, or give --title, --type or --command")
    try:
        parse_request(options)
    except RequestError as error:
        option = (error.field or "").replace("_", "-")
        raise fail_usage(f"--{option}: {error.message}" if error.field else error.message) from None
    return home.submit(options)


def _drop_files(home: Home, files: list[str], options: dict[str, Any]) -> list[Receipt]:
    if options:
        name = next(iter(options)).replace("_", "-")
        raise fail_usage(f"--{name} and files exclude each other; write it into the file")
    from cortex.cli.unknown_fields import warn_unknown_fields

    contents = [(_read(name), name) for name in files]
    named = [
        (data, _stdin_name(data) if name == "-" else Path(name).name) for data, name in contents
    ]
    for data, name in named:
        warn_unknown_fields(name, data)
    return [home.submit(data, name) for data, name in named]


def _stdin_name(data: bytes) -> str:
    """A name whose suffix says what came in: JSON, several lines of it, or YAML."""
    if not data.lstrip().startswith((b"{", b"[")):
        return "stdin.yaml"
    lines = [line for line in data.splitlines() if line.strip()]
    whole = all(line.rstrip().endswith(b"}") for line in lines)
    return "stdin.jsonl" if len(lines) > 1 and whole else "stdin.json"


def _read(name: str) -> bytes:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise HomeError(f"{name}: {error.strerror}; nothing was submitted") from None
    if not data.strip():
        raise HomeError(f"{name}: is empty; nothing was submitted")
    return data


def _report(home: Home, receipts: list[Receipt], output: Output | None, quiet: bool) -> list[str]:
    """Prints what became of each drop; the ids of the tasks that exist by now."""
    ids: list[str] = []
    shown: list[dict[str, Any]] = []
    refused: CortexError | None = None
    waits = False
    for receipt in receipts:
        try:
            outcome = await_outcome(home, receipt)
        except RefusedError as error:
            refused = error
            print(f"cortex: {clean(error)}", file=sys.stderr)
            shown.append({"file": receipt.name, "task_ids": [], "refused": str(error)})
            continue
        made = list(outcome.task_ids) if outcome else []
        ids += made
        shown.append({"file": receipt.name, "task_ids": made})
        waits = waits or outcome is None
        if outcome is not None and not quiet:
            _tell_nothing_new(home, receipt, outcome)
        if outcome is not None and outcome.refused is not None:
            refused = RefusedError(outcome.refused)
            print(f"cortex: refused: {clean(refused)}", file=sys.stderr)
        if output is not Output.json and not quiet:
            for line in made or ([receipt.name] if outcome is None else []):
                print(line, flush=True)
    if output is Output.json and not quiet:
        print_json(shown[0] if len(shown) == 1 else shown)
    if refused is not None:
        raise typer.Exit(exits.FAILED)
    if quiet:
        return ids
    if not home.daemon().running:
        note(f"no daemon runs for {home.root}; the next one takes this up from its inbox")
    elif waits:
        note("the daemon has not taken all of it up yet")
    return ids


def _tell_nothing_new(home: Home, receipt: Receipt, outcome: Outcome) -> None:
    """What came of a drop that made no task: a request that was taken up, or a known key."""
    if not outcome.task_ids:
        note(f"{receipt.kind} taken up{_next_run(home, receipt)}")
    for ident in outcome.linked:
        status = (home.task(ident) or {}).get("status")
        note(f"nothing new: {clean(receipt.key or receipt.name)} is {ident} ({status})")


def _next_run(home: Home, receipt: Receipt) -> str:
    """The id of a new schedule and when it runs, once that is published."""
    if receipt.kind != "schedule":
        return ""
    from cortex.cli.schedule import published_schedule

    row = published_schedule(home, receipt)
    return f": {row['id']}, next at {row.get('next_run')}" if row else ""


def _follow(home: Home, ids: list[str]) -> int:
    """Shows progress until the tasks end; the exit code."""
    from rich.console import Console

    from cortex.cli.progress import follow_tasks

    return follow_tasks(home, ids, Console())
