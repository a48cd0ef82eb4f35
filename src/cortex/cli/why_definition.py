"""Why a master, worker type or persona is as it is: its changes out of the journal, and its file.

Which version decided something follows from the lines: the journal has them in their order.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cortex.cli.definition_rows import in_force
from cortex.cli.events import as_json, print_line
from cortex.cli.options import Output
from cortex.cli.printing import print_json, print_yaml
from cortex.cli.terminal import colours, one_line, paint
from cortex.model.ids import master_name, worker_type_name

if TYPE_CHECKING:
    from cortex.home import Home
    from cortex.model.journal_line import Line

__all__ = ["changes_of", "print_changes"]


def changes_of(home: Home, name: str) -> list[Line]:
    """The lines in which a definition of that name came, changed or went, with those events alone;
    [] where there was never one."""
    names = {name, master_name(name), worker_type_name(name)}
    found = []
    for line in home.journal(mentioning=[f'"{one}"' for one in names]):
        events = [
            event
            for event in line.events
            if event.get("event") == "definition_changed" and event.get("name") in names
        ]
        if events:
            found.append(replace(line, events=events))
    return found


def print_changes(home: Home, lines: list[Line], output: Output | None) -> None:
    """The changes, and what is in force now."""
    last = lines[-1].events[-1]
    now = _now(home, last)
    if output in (Output.json, Output.yaml):
        value = {"id": last["name"], "kind": last["kind"], "status": now,
                 "file": last["file"], "history": [as_json(line) for line in lines]}  # fmt: skip
        print_json(value) if output is Output.json else print_yaml(value)
        return
    print(paint(one_line(f"{last['name']}  {last['kind']}"), "bold", on=colours()))
    print()
    for line in lines:
        print_line(line, "  ", whole=True)
    print()
    print(one_line(f"Now: {now}"))
    if last["change"] != "removed":
        print(f"  file        {one_line(last['file'])}")
        print(f"  sha256      {last['sha256']}")


def _now(home: Home, last: dict[str, Any]) -> str:
    if last["change"] == "removed":
        return f"not in force: {last['file']} is gone, or cannot be used"
    if in_force(home, home.root / str(last["file"])):
        return (
            "its last good version is in force; `cortex validate` says what is wrong with the file"
        )
    return "in force" if home.daemon().running else "in force once a daemon runs"
