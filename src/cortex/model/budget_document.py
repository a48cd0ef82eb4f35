"""coordination/token-budget.json as a model: every fund, and who opened the reserve.

What each number means, and the equations between them, is docs/budget.md.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cortex.model.documents import Document, Open, Time, Tokens

__all__ = ["TokenBudgetDocument"]


class MasterBudgetRow(Open):
    """One master's own tokens and its share of the worker pool."""

    allocated: Tokens = Field(description="Its own, for this period.")
    used: Tokens
    reserved: Tokens = Field(0, description="Held by live work on its own allocation.")
    worker_pool: Tokens = Field(description="Its share of the pool: a weight, not a wall.")
    worker_pool_used: Tokens = 0


class WorkerPoolFund(Open):
    """total = allocated_to_workers + spent + available, at every instant."""

    total: Tokens
    allocated_to_workers: Tokens
    spent: Tokens = 0
    available: Tokens


class OpeningRow(Open):
    """One task's use of the emergency reserve: who opened it, for what, and until when."""

    task_id: str
    opened_by: str
    opened_at: Time
    why: str
    workers: list[str] = Field(description="Those that the reserve pays or paid.")
    tokens: Tokens = Field(description="Held by live ones of them, and used by ended ones.")
    spent: Tokens = Field(description="The part that is used.")
    preempted: list[str] = Field(
        default_factory=list, description="Workers that had not begun and gave way."
    )
    approval_id: str | None = Field(None, description="The yes that it was opened with.")
    closed_at: Time | None = None


class EmergencyReserve(Open):
    """For critical tasks only; used = allocated + spent."""

    total: Tokens
    used: Tokens
    allocated: Tokens = 0
    spent: Tokens = 0
    trigger_threshold: float = Field(gt=0, le=1)
    openings: list[OpeningRow] = Field(
        default_factory=list,
        description="Of this period, in their order; one that is not closed goes on.",
    )


class UsageMetrics(Open):
    """Derived numbers for people."""

    total_tokens_used_today: Tokens
    masters_percentage: int = Field(ge=0, le=100)
    workers_percentage: int = Field(ge=0, le=100)
    efficiency_score: float = Field(ge=0)


class TokenBudgetDocument(Document):
    """coordination/token-budget.json: total_budget = masters + worker pool + emergency reserve.

    `total_budget` may be edited: up, or down as far as tokens are not committed.
    """

    budget_period: Literal["daily", "weekly", "monthly"]
    period_start: Time | None = None
    resets_at: Time
    total_budget: Tokens
    masters: dict[str, MasterBudgetRow]
    worker_pool: WorkerPoolFund
    emergency_reserve: EmergencyReserve
    overrun_tokens: Tokens = 0
    usage_metrics: UsageMetrics
    alerts: list[str] = Field(default_factory=list)
