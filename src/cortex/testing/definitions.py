"""Masters, worker types and personas of a simulated home, as people write, change and remove them.

They are read as files are, once for all runs, and then changed as values: what a file's bytes may
hold is tested elsewhere. A daemon finds a change at its next look, as with real files.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cortex.decide.catalog import Catalog
from cortex.masters.library import Library
from cortex.model.definitions import MasterBudget, MasterLimits, read_master
from cortex.model.paths import HomePaths
from cortex.runtime.table import runtime_infos

__all__ = ["Definitions", "KeptLibrary"]

#: Worker types that run a program here: a model is asked for plans, and one worker can do all.
_ABLE = ("planner-worker", "coordinator-worker")
#: A master that somebody wrote: a plan of several steps, reviewed, within narrow limits.
_STUDIO = """---
name: studio
routes: [studio]
budget: {allocated: 0, worker_pool: 5000}
check_in: every 10m
limits: {max_parallel: 2, max_steps: 6, tokens_per_task: 2000}
plans:
  - types: [studio]
    max_parallel: 3
    review: {by: review-worker, at: high, person: true}
    steps:
      - {name: tidy, worker_type: refactor, for_each: path}
      - name: build
        worker_type: command
        command: [make]
        needs: [tidy]
        token_budget: 3000
        scope: {workspace: clone}
      - {name: notes, worker_type: documentation, needs: [tidy], optional: true}
      - {name: pr, worker_type: pr, needs: [build], approval: true}
---
"""
#: One that is not there at first.
_NIGHT = """---
name: night
routes: [nightly, fix]
budget: {allocated: 20000, worker_pool: 9000}
accept_handoffs: false
---
"""
#: Worker types whose files people change.
_CHANGED = ("command-worker", "scan-worker", "planner-worker", "refactor-worker")
_BROKEN = Path("agents/masters/broken.md")


@dataclass(slots=True)
class Definitions:
    """What lies in agents/ now. It outlives daemons; `version` counts its changes."""

    chance: random.Random
    catalog: Catalog
    by_tools: bool = False
    version: int = 0
    is_broken: bool = False

    @classmethod
    def as_installed(cls, chance: random.Random) -> Definitions:
        """Those that come with Cortex, and a master that somebody wrote; for some homes tools do
        what fixes they can."""
        made = cls(chance, Catalog(), by_tools=chance.random() < 0.5)
        made.put_back()
        return made

    def act(self) -> str:
        """Somebody changes a file, removes one, or puts all of them back; in words."""
        ways: tuple[Callable[[], str], ...] = (
            self.put_back, self.put_back, self._master_goes, self._type_goes, self._master_comes,
            self._master_changes, self._master_changes, self._type_changes, self._type_changes,
            self._break,
        )  # fmt: skip
        self.version += 1
        return self.chance.choice(ways)()

    def put_back(self) -> str:
        """All files are as they were first."""
        self.version += 1
        self.catalog, self.is_broken = _installed(), False
        if self.by_tools:
            fix = self.catalog.types["fix-worker"].model_copy(update={"runtime": "tools"})
            self.catalog = replace(self.catalog, types={**self.catalog.types, fix.name: fix})
        return "all definitions are put back"

    def _break(self) -> str:
        self.is_broken = True
        return f"{_BROKEN} cannot be read"

    def _master_goes(self) -> str:
        name = self.chance.choice(("coordinator-master", *sorted(self.catalog.masters)))
        masters = {key: one for key, one in self.catalog.masters.items() if key != name}
        self.catalog = replace(self.catalog, masters=masters)
        return f"{name}.md is removed"

    def _type_goes(self) -> str:
        name = self.chance.choice(("scan-worker", "command-worker", *sorted(self.catalog.types)))
        types = {key: one for key, one in self.catalog.types.items() if key != name}
        personas = dict(list(self.catalog.personas.items())[: self.chance.randint(0, 3)])
        self.catalog = replace(self.catalog, types=types, personas=personas)
        return f"{name}.md is removed"

    def _master_comes(self) -> str:
        night = read_master(_NIGHT, Path("night.md"))
        masters = dict(sorted({**self.catalog.masters, night.name: night}.items()))
        self.catalog = replace(self.catalog, masters=masters)
        return "night.md is written"

    def _master_changes(self) -> str:
        chance, masters = self.chance, dict(self.catalog.masters)
        if not masters:
            return "there is no master to change"
        name = chance.choice(sorted(masters))
        change: dict[str, Any] = chance.choice(
            (
                {"limits": MasterLimits(max_parallel=chance.choice((1, 2)))},
                {"limits": MasterLimits(tokens_per_task=chance.choice((0, 9000)))},
                {"limits": MasterLimits(max_steps=1)},
                {"budget": MasterBudget(allocated=chance.choice((20_000, 60_000)),
                                        worker_pool=chance.choice((0, 20_000)))},
                {"accept_handoffs": False},
                {"approvals": ["command", "security-scan"]},
                {"check_in": chance.choice(("every 1m", "on demand"))},
                {"planner": None},
                {"plans": []},
            )
        )  # fmt: skip
        masters[name] = masters[name].model_copy(update=change)
        self.catalog = replace(self.catalog, masters=masters)
        return f"{name}.md says {change}"

    def _type_changes(self) -> str:
        chance, types = self.chance, dict(self.catalog.types)
        name = chance.choice([one for one in _CHANGED if one in types] or sorted(types))
        change: dict[str, Any] = chance.choice(
            (
                {"approval": True},
                {"token_budget": chance.choice((0, 15_000))},
                {"timeout": 30.0},
                {"retries": 0},
                {"writes": True},
                {"command": ["another", "program"]},
            )
        )
        types[name] = types[name].model_copy(update=change)
        self.catalog = replace(self.catalog, types=types)
        return f"{name}.md says {change}"


class KeptLibrary(Library):
    """A daemon's view of `Definitions`."""

    _definitions: Definitions
    _seen: int = -1

    @classmethod
    def of(cls, paths: HomePaths, definitions: Definitions) -> KeptLibrary:
        """The library of a daemon that starts now."""
        library = cls(paths, {})
        library._definitions = definitions
        return library

    @property
    def problems(self) -> dict[Path, str]:
        """The one file that may be broken."""
        is_broken = self._definitions.is_broken
        return {self.paths.root / _BROKEN: "a file that cannot be read"} if is_broken else {}

    @property
    def known(self) -> Catalog | None:
        """What lies there, where the daemon has seen that."""
        is_seen = self._seen == self._definitions.version
        return self._definitions.catalog if is_seen else None

    def refresh(self) -> Catalog | None:
        """The definitions, if they have changed since the last look."""
        if self._seen == self._definitions.version:
            return None
        self._seen = self._definitions.version
        return self._definitions.catalog


_kept: list[Catalog] = []


def _installed() -> Catalog:
    if not _kept:
        _kept.append(_read())
    return _kept[0]


def _read() -> Catalog:
    from cortex.home.templates import templates

    with tempfile.TemporaryDirectory() as folder:
        files = {**templates(), "agents/masters/studio-master.md": _STUDIO.encode()}
        for name, data in files.items():
            if name.startswith("agents/"):
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        library = Library(HomePaths(Path(folder)), runtime_infos())
        catalog = library.refresh() or Catalog()
        assert not library.problems, library.problems
    able = {name: catalog.types[name].model_copy(update={"command": "think"}) for name in _ABLE}
    return replace(catalog, types={**catalog.types, **able})
