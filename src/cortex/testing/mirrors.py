"""Mirrors that keep branches in memory, now and then not at once.

Stands in for the program that takes bundles into bare repositories; there is no git here.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from cortex.model.branches import mirror_name

__all__ = ["FakeMirrors"]


class FakeMirrors:
    """`refs` holds what each mirror has, by its folder's name. `harm` is how often it fails."""

    def __init__(self, seed: object = 0, harm: float = 0.0) -> None:
        self.refs: dict[str, dict[str, str]] = {}
        self.harm = harm
        self._random = random.Random(f"mirrors {seed}")

    def keep(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """As `cortex.runtime.keeping.keep_branches`. Raises OSError now and then."""
        if self._random.random() < self.harm / 2:
            raise OSError("no mirror answers")
        return {ident: self._keep(worker) for ident, worker in order["workers"].items()}

    def _keep(self, worker: Mapping[str, Any]) -> dict[str, Any]:
        chance = self._random.random()
        if chance < self.harm:
            return {"again": "somebody else writes there"}
        mirror = mirror_name(worker["repository"])
        refused = {}
        for row in worker["branches"]:
            if chance < 2 * self.harm:
                refused[row["ref"]] = "its bundle is none"
            else:
                self.refs.setdefault(mirror, {})[row["ref"]] = row["head"]
        return {"mirror": mirror, "refused": refused}
