"""`cortex describe`: all about one thing on one screen, for a person."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cortex.cli import sections
from cortex.cli.definition_rows import in_force
from cortex.cli.kinds import find_kind
from cortex.cli.options import HomeOption, Output, OutputOption, note_without_daemon, open_home
from cortex.cli.printing import print_json, print_yaml
from cortex.cli.terminal import clean, colours, paint
from cortex.cli.verbs import complete_tasks
from cortex.home.documents import definition_files
from cortex.model.errors import DefinitionError, HomeError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from cortex.home import Home


__all__ = ["EXAMPLES", "describe"]

EXAMPLES = """
  cortex describe task-010
  cortex describe worker-scan-001
  cortex describe master security
  cortex describe type scan
"""

_DEFINED = ("masters", "types", "personas")


def describe(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="[KIND] ID", help="An id, or kind and name.", autocompletion=complete_tasks
        ),
    ],
    output: OutputOption = None,
    home: HomeOption = None,
) -> None:
    """Tell all about one thing: plan, attempts, tokens, what it waits for, files, events."""
    place = open_home(home)
    kind = find_kind(names[0]) if len(names) > 1 else None
    idents = names[1:] if kind is not None else names
    note_without_daemon(place, "the files are shown as it left them")
    for number, ident in enumerate(idents):
        if number:
            print()
        if kind is not None and kind.name in _DEFINED:
            _definition(place, kind.name, ident, output)
        else:
            _record(place, ident, output)


def _record(home: Home, ident: str, output: Output | None) -> None:
    found = home.lookup(ident)
    if found is None:
        raise HomeError(f"{ident}: nothing has this id; `cortex get tasks` lists what there is")
    if output in (Output.json, Output.yaml):
        value = {"kind": found.kind, "archived": found.archived, **found.row}
        if found.kind == "task":
            value["worker_rows"] = sections.workers_of(home, found.row)
        print_json(value) if output is Output.json else print_yaml(value)
        return
    from cortex.home.causes import explain

    explanation = explain(home, ident)
    title = found.row.get("title") or found.row.get("worker_type") or ""
    head = f"{found.kind} {ident}  {title}".rstrip()
    print(paint(clean(head), "bold", on=colours()))
    {
        "task": sections.task,
        "worker": sections.worker,
        "handoff": sections.handoff,
        "approval": sections.approval,
    }.get(found.kind, sections.anything)(home, found.row, explanation)
    sections.events(explanation)


def _definition(home: Home, kind: str, name: str, output: Output | None) -> None:
    from cortex.model.definitions import read_master, read_worker_type
    from cortex.model.ids import master_key, master_name, worker_type_name
    from cortex.model.personas import read_persona

    read: Callable[[str, Path], BaseModel] = read_worker_type
    folder, names = home.paths.prompts, [name, worker_type_name(name)]
    if kind == "masters":
        read, folder, names = read_master, home.paths.masters, [master_name(name), master_key(name)]
    if kind == "personas":
        read, folder, names = read_persona, home.paths.personas, [name]
    path = next((file for stem in names if (file := folder / f"{stem}.md").is_file()), None)
    path = path or _named_so(folder, names)
    if path is None:
        raise HomeError(f"{name}: no file in {folder} defines it; `cortex get {kind}` lists them")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise HomeError(f"{path}: is not UTF-8 ({error}); save it as UTF-8") from None
    try:
        definition = read(text, path).model_dump(mode="json")
    except DefinitionError as error:
        if output is not None:
            raise
        definition = {"name": in_force(home, path) or path.stem, "broken": error.wrong}
    if output is Output.json:
        print_json(definition)
        return
    if output is Output.yaml:
        print_yaml(definition)
        return
    print(paint(clean(f"{kind[:-1]} {definition['name']}"), "bold", on=colours()))
    print(f"  file  {path.relative_to(home.root)}")
    if "broken" in definition:
        word = "its last good version is in force" if in_force(home, path) else "not in force"
        print(f"  broken, {word}:")
    for wrong in definition.get("broken", ()):
        print(clean(f"    line {wrong.line}: {wrong}"))
    print()
    for line in clean(text).splitlines():
        print(f"  {line}".rstrip())


def _named_so(folder: Path, names: Iterable[str]) -> Path | None:
    wanted = {f"name: {name}" for name in names}
    for path in definition_files(folder):
        text = path.read_text(encoding="utf-8", errors="replace")
        if any(line.strip() in wanted for line in text.splitlines()):
            return path
    return None
