"""What of agents/ and of the budget is in force: looked at again, told, and written down.

Reading the files is the library's, the ledger's numbers are `decide.budget`'s. Here is when they
are taken up, what the journal says of it, and who is told of what cannot be.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cortex.control.context import Context
from cortex.control.selfwatch import SelfWatch
from cortex.decide import budget
from cortex.decide.definitions import definition_changes
from cortex.decide.entry import Entry
from cortex.masters.library import Library
from cortex.model.errors import RequestError
from cortex.model.ids import master_key

__all__ = ["InForce"]

_UNUSABLE = "definitions_unusable"
#: Broken files that task-queue.json names, and characters of what is wrong with one.
_BROKEN_AT_MOST = 20
_PROBLEM_AT_MOST = 300

Funds = dict[str, tuple[int, int]]


class InForce:
    """The definitions and the budget of one daemon."""

    def __init__(self, context: Context, library: Library, selfwatch: SelfWatch) -> None:
        self._context = context
        self._library = library
        self._selfwatch = selfwatch
        self._told: dict[Path, str] = {}

    def look(self) -> bool:
        """Takes up what has changed in agents/ since the last look; whether anything has. A budget
        that there was no room for may have it by now."""
        catalog = self._library.refresh()
        self.tell()
        if catalog is not None:
            self._context.catalog = catalog
            names = [self._name(path) for path in self._library.changed]
            self._context.log.info("definitions were read again", files=names)
        self.take_up()
        return catalog is not None

    def tell(self) -> None:
        """Each problem once in the log, and as a condition for as long as it is there."""
        told, problems = self._told, self._library.problems
        for path, text in problems.items():
            if told.get(path) != text:
                self._context.log.error("a definition cannot be used", problem=text)
                self._selfwatch.note(_UNUSABLE, text, str(path))
        for path in told.keys() - problems.keys():
            self._selfwatch.note(_UNUSABLE, None, str(path))
        self._told = dict(problems)
        rows = []
        for path, broken in list(self._library.broken.items())[:_BROKEN_AT_MOST]:
            row = {"file": self._name(path), "problem": broken.problem[:_PROBLEM_AT_MOST]}
            rows.append(row | ({"in_force": broken.in_force} if broken.in_force else {}))
        self._selfwatch.broken = rows

    def take_up(self) -> None:
        """One line for what is new in force, the budget that follows from it included; none where
        the journal has said all of it."""
        context, whys = self._context, []
        changes = definition_changes(context.state, context.catalog)
        if changes:
            whys.append("as the files in agents/ are now")
        funds = self._funds()
        try:
            wall = context.engine.now().wall
            configured = budget.configure(context.state, context.settings, funds, wall)
        except RequestError as error:
            configured = []
            cause = f"{self._where(error, funds)}: {error}; {error.hint or 'correct one of them'}"
            said = f"{cause}; until then the budget stays as it was"
            self._selfwatch.note(_UNUSABLE, said, "budget")
        else:
            self._selfwatch.note(_UNUSABLE, None, "budget")
        if configured:
            whys.append("the budget as cortex.toml and masters have it")
        context.engine.apply(Entry("daemon", "; ".join(whys), [*changes, *configured]))

    def _funds(self) -> Funds:
        """(own tokens, share of the pool) of each master, as cortex.toml says or else its file."""
        funds = {}
        for name, master in self._context.catalog.masters.items():
            own = self._context.settings.masters.get(master_key(name))
            allocated, share = master.budget.allocated, master.budget.worker_pool
            if own is not None:
                allocated = allocated if own.allocated is None else own.allocated
                share = share if own.worker_pool is None else own.worker_pool
            funds[master_key(name)] = (allocated, share)
        return funds

    def _where(self, error: RequestError, funds: Funds) -> str:
        """The file and field that must change: of too many tokens those of the master whose wish
        is new, or has grown most; else what cortex.toml says."""
        known: dict[str, Any] = self._context.state.budget.settings.get("funds", {})
        grown = {name: own - known.get(name, (0, 0))[0] for name, (own, _) in funds.items()}
        most = max(grown, key=lambda name: grown[name], default=None)
        if error.field != "budget.total" or most is None or grown[most] <= 0:
            return f"cortex.toml: {error.field}"
        asked = f"of {funds[most][0]:,} tokens"
        own = self._context.settings.masters.get(most)
        if own is not None and own.allocated is not None:
            return f"cortex.toml: masters.{most}.allocated {asked}"
        names = {master_key(name): name for name in self._context.catalog.masters}
        file, _ = self._context.catalog.files.get(("master", names[most]), (f"{most}.md", ""))
        return f"{file}: budget.allocated {asked}"

    def _name(self, path: Path) -> str:
        """The file as it is called in its home."""
        return str(path.relative_to(self._library.paths.root))
