"""What `cortex validate` says of masters, worker types and personas: each file, and between them.

What a file says is read by the daemon's own readers; here are the lines, and what one file says of
another that is not there. Problems are values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex.cli.problem import Problem
from cortex.home.documents import definition_files
from cortex.model.errors import DefinitionError, SettingsError
from cortex.model.paths import HomePaths

if TYPE_CHECKING:
    from cortex.model.definitions import MasterDefinition, WorkerTypeDefinition
    from cortex.model.personas import PersonaDefinition

    Definition = MasterDefinition | WorkerTypeDefinition | PersonaDefinition

__all__ = ["between_definitions", "check_definition"]

#: Keys that tell what a file outside of a home's folders is.
_OF_MASTERS = frozenset({"routes", "plans", "spawns", "follow_ups", "default_route"})
_OF_PERSONAS = frozenset({"character", "mission", "personality", "autonomy", "decision_making"})
#: As the shipped prompts write it; `${{ … }}` and `{{ … }}` are other programs'.
_PLACEHOLDER = re.compile(r"(?<![${])\{\{([A-Za-z_]+)\}\}(?!\})")


def check_definition(path: Path, data: bytes) -> list[Problem]:
    """The problems of one Markdown file with front matter."""
    try:
        definition = _read(path, data)
    except DefinitionError as error:
        return [Problem.of_field(path, one, one.line) for one in error.wrong]
    except UnicodeDecodeError as error:
        return [Problem(str(path), f"is not UTF-8: {error}", hint="save it as UTF-8")]
    return list(_notes(path, data, definition))


def _read(path: Path, data: bytes) -> Definition:
    from cortex.model.definitions import read_front_matter, read_master, read_worker_type
    from cortex.model.personas import read_persona

    text = data.decode("utf-8")
    keys = read_front_matter(text, path)[0].keys()
    folder = path.parent.name
    if folder == "masters" or (folder not in ("workers", "personas") and keys & _OF_MASTERS):
        return read_master(text, path)
    if folder == "personas" or (folder != "workers" and keys & _OF_PERSONAS):
        return read_persona(text, path)
    return read_worker_type(text, path)


def _notes(path: Path, data: bytes, definition: Any) -> Iterator[Problem]:
    """What can be used and is told nevertheless."""
    called = getattr(definition, "called", "")
    if called:
        said = f"{called!r} is no name of a worker type; it is used as {definition.name}"
        yield Problem(str(path), said, _line(path, data, ("name",)), "name", is_warning=True)
    if hasattr(definition, "results_schema"):
        yield from _unfilled(path, data, definition.prompt)


def _unfilled(path: Path, data: bytes, prompt: str) -> Iterator[Problem]:
    """Placeholders of a worker type's prompt that stay as they are."""
    from cortex.model.definitions import PLACEHOLDERS

    for name in dict.fromkeys(_PLACEHOLDER.findall(prompt)):
        if name in PLACEHOLDERS:
            continue
        written = f"{{{{{name}}}}}"
        before, _, _ = data.decode("utf-8").partition(written)
        hint = f"there are {', '.join(f'{{{{{one}}}}}' for one in PLACEHOLDERS)}"
        if name == "persona":
            hint = "leave it out: a worker is told its persona beside its prompt"
        said = f"nothing is put in the place of {written}"
        yield Problem(str(path), said, before.count("\n") + 1, None, hint, is_warning=True)


def _line(path: Path, data: bytes, place: tuple[int | str, ...]) -> int:
    from cortex.model.front_matter import line_of

    return line_of(place, data.decode("utf-8"), path)


def between_definitions(paths: HomePaths) -> Iterator[Problem]:
    """What each definition says of others that are not there, and what two of them both say."""
    found: list[tuple[Path, bytes, Any]] = []
    for folder in (paths.masters, paths.prompts, paths.personas):
        counting, doubles = _by_name(list(_readable(folder)))
        found += counting
        yield from doubles
    masters = {one.name for path, _, one in found if path.parent == paths.masters}
    types = {one.name for path, _, one in found if path.parent == paths.prompts}
    personas = {one.name for path, _, one in found if path.parent == paths.personas}
    of_masters = [file for file in found if file[0].parent == paths.masters]
    yield from _budget(paths, of_masters)
    yield from _rivals(sorted(of_masters, key=lambda file: file[0]))
    for path, data, one in found:
        told: set[tuple[str, str]] = set()
        for place, kind, name in _named(one):
            known = {"worker type": types, "master": masters, "persona": personas}[kind]
            if name not in known and (kind, name) not in told:
                told.add((kind, name))
                yield _missing(path, _line(path, data, place), place, kind, name)


def _rivals(masters: list[tuple[Path, bytes, Any]]) -> Iterator[Problem]:
    """Routes that another master's file, which counts, has already."""
    from cortex.model.definitions import rival_routes

    files = {one.name: (path, data) for path, data, one in masters}
    for name, place, said in rival_routes(one for _, _, one in masters):
        path, data = files[name]
        line = _line(path, data, place)
        yield Problem(str(path), said, line, str(place[0]), "keep it in one of them")


def _budget(paths: HomePaths, masters: list[tuple[Path, bytes, Any]]) -> Iterator[Problem]:
    """That masters want more tokens of their own than there are, told of who wants most."""
    from cortex.model.ids import master_key
    from cortex.model.settings import load_settings

    try:
        settings = load_settings(paths.settings)
    except SettingsError:
        return
    wanted = []
    for path, data, one in masters:
        own = settings.masters.get(master_key(one.name))
        is_set = own is not None and own.allocated is not None
        tokens = own.allocated if own and own.allocated is not None else one.budget.allocated
        wanted.append((tokens, paths.settings if is_set else path, data))
    total, reserve = settings.budget.total, settings.budget.emergency_reserve
    sum_wanted = sum(tokens for tokens, _, _ in wanted) + reserve
    if sum_wanted > total and wanted:
        tokens, path, data = max(wanted, key=lambda one: one[0])
        line = None if path == paths.settings else _line(path, data, ("budget", "allocated"))
        said = (
            f"{tokens:,} of its own; all masters and the reserve want {sum_wanted:,} of {total:,}"
        )
        hint = "lower it, or raise budget.total in cortex.toml"
        yield Problem(str(path), said, line, "budget.allocated", hint)


def _readable(folder: Path) -> Iterator[tuple[Path, bytes, Any]]:
    for path in definition_files(folder):
        try:
            data = path.read_bytes()
            yield path, data, _read(path, data)
        except (DefinitionError, OSError, UnicodeDecodeError):
            continue


def _by_name(
    files: list[tuple[Path, bytes, Any]],
) -> tuple[list[tuple[Path, bytes, Any]], list[Problem]]:
    """The files that count, and what is wrong with the others: of two with one name that counts
    which is called so, else the first."""
    first: dict[str, Path] = {}
    doubles = []
    for path, data, one in sorted(files, key=lambda file: (file[0].stem != file[2].name, file[0])):
        if first.setdefault(one.name, path) != path:
            said = f"{one.name} is described by {first[one.name].name} too"
            line = _line(path, data, ("name",))
            doubles.append(Problem(str(path), said, line, "name", "rename one"))
    return [file for file in files if file[0] in first.values()], doubles


def _named(one: Any) -> Iterator[tuple[tuple[int | str, ...], str, str]]:
    """(place, kind, name) of each other definition that one names."""
    if getattr(one, "persona", None):
        yield ("persona",), "persona", one.persona
    for position, name in enumerate(getattr(one, "spawns", None) or []):
        yield ("spawns", position), "worker type", name
    if getattr(one, "planner", None):
        yield ("planner",), "worker type", one.planner
    for place, name in one.types_in_plans() if hasattr(one, "types_in_plans") else ():
        yield place, "worker type", name
    for number, rule in enumerate(getattr(one, "follow_ups", [])):
        yield ("follow_ups", number, "to"), "master", rule.to


_FOLDERS: dict[str, Callable[[str], str]] = {
    "worker type": lambda name: f"agents/prompts/workers/{name}.md",
    "master": lambda name: f"agents/masters/{name}.md",
    "persona": lambda name: f"agents/personas/{name}.md",
}


def _missing(path: Path, line: int, place: tuple[int | str, ...], kind: str, name: str) -> Problem:
    hint = f"add {_FOLDERS[kind](name)} or correct the name"
    field = ".".join(map(str, place))
    return Problem(str(path), f"no {kind} {name!r} here", line, field, hint)
