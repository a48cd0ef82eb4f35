"""The ledger's records: what one period has, who holds it, and who opened the reserve.

Values alone, as in `state`; `decide.ledger` moves them, and knows the equations between them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cortex.model.record import Record

__all__ = ["Budget", "MasterFund", "Opening"]


@dataclass(slots=True)
class MasterFund(Record):
    """One master's own tokens, and its weight in the worker pool."""

    allocated: int
    share: int
    configured: int
    configured_share: int
    used: int = 0
    reserved: int = 0
    share_used: int = 0

    @property
    def free(self) -> int:
        """What is neither used nor held; negative only where the books are broken."""
        return self.allocated - self.used - self.reserved


@dataclass(slots=True)
class Opening(Record):
    """One task's use of the emergency reserve, from its first worker that it paid to the last.

    `tokens` is what its workers hold of it or have used, `spent` the part that is used in this
    period. `preempted` are workers that gave way to one of its workers.
    """

    task_id: str
    opened_by: str
    opened_at: str
    why: str
    workers: list[str] = field(default_factory=list)
    tokens: int = 0
    spent: int = 0
    preempted: list[str] = field(default_factory=list)
    approval_id: str | None = None
    closed_at: str | None = None


@dataclass(slots=True)
class Budget(Record):
    """The ledger of one period. `available` and the published sums are derived, never stored."""

    total: int = 0
    pool_total: int = 0
    pool_allocated: int = 0
    pool_spent: int = 0
    reserve_total: int = 0
    reserve_allocated: int = 0
    reserve_spent: int = 0
    trigger_threshold: float = 0.9
    overrun: int = 0
    masters: dict[str, MasterFund] = field(default_factory=dict)
    period: str = "daily"
    period_start: float = 0.0
    resets_at: float = 0.0
    timezone: str = "UTC"
    moved_steps: int = 0
    alerts: list[str] = field(default_factory=list)
    accepted_tokens: int = 0
    ended_tokens: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    openings: list[Opening] = field(default_factory=list)

    @property
    def pool_available(self) -> int:
        """Tokens of the pool that nobody holds and nobody has spent."""
        return self.pool_total - self.pool_allocated - self.pool_spent

    @property
    def reserve_available(self) -> int:
        """Tokens of the emergency reserve that nobody holds and nobody has spent."""
        return self.reserve_total - self.reserve_allocated - self.reserve_spent

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Budget:
        """As `Record.from_json`, with the masters' funds."""
        budget = cls(**data)
        budget.masters = {
            name: MasterFund(**fund) if isinstance(fund, dict) else fund
            for name, fund in budget.masters.items()
        }
        budget.openings = [
            Opening(**row) if isinstance(row, dict) else row for row in budget.openings
        ]
        return budget
