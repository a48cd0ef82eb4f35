"""Which definitions are in force, as the journal tells it: each change of one is an event.

An audit asks which version of a master decided what. The event names the file and a hash of its
bytes, not its text; whoever keeps agents/ in git finds that again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cortex.decide.catalog import Catalog
from cortex.model.state import State

__all__ = ["EVENTS", "definition_changes"]

Event = dict[str, Any]


def definition_changes(state: State, catalog: Catalog) -> list[Event]:
    """An event for each definition that came into force, changed or went since the state's line."""
    now = _in_force(catalog)
    changes = []
    for kind, name in sorted(now.keys() | {_split(key) for key in state.definitions}):
        before, after = state.definitions.get(f"{kind}/{name}"), now.get((kind, name))
        if before == after:
            continue
        change = "changed" if before and after else "added" if after else "removed"
        event = {"event": "definition_changed", "kind": kind, "name": name, "change": change}
        changes.append(event | (after or before or {}))
    return changes


def _in_force(catalog: Catalog) -> dict[tuple[str, str], dict[str, str]]:
    """The file and hash of each definition that lies in a file, by kind and name."""
    kinds: dict[str, Mapping[str, object]] = {
        "master": catalog.masters,
        "worker type": catalog.types,
        "persona": catalog.personas,
    }
    return {
        (kind, name): {"file": catalog.files[kind, name][0], "sha256": catalog.files[kind, name][1]}
        for kind, named in kinds.items()
        for name in named
        if (kind, name) in catalog.files
    }


def _split(key: str) -> tuple[str, str]:
    kind, _, name = key.partition("/")
    return kind, name


def _definition_changed(state: State, event: Event, _at: str) -> None:
    key = f"{event['kind']}/{event['name']}"
    if event["change"] == "removed":
        state.definitions.pop(key, None)
    else:
        state.definitions[key] = {"file": event["file"], "sha256": event["sha256"]}


EVENTS: dict[str, Callable[[State, Event, str], None]] = {"definition_changed": _definition_changed}
