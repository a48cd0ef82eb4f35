"""coordination/handoffs.json as a model: what goes between masters, and what waits for a person.

What each status means is docs/states.md; how a row is made is `decide.project`.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from cortex.model.documents import Document, Open, Time
from cortex.model.statuses import ApprovalStatus, EscalationStatus, HandoffStatus

__all__ = ["HandoffsDocument"]


class HandoffContext(Open):
    """What the receiver needs to know."""

    summary: str | None = None
    worker_results: Any = None
    priority_issues: Any = None


class HandoffRow(Open):
    """Work that goes from one master to another."""

    handoff_id: str
    from_agent: str
    to_agent: str
    task_id: str = Field(description="The task that the receiver gets.")
    context: HandoffContext
    status: HandoffStatus
    created_at: Time
    source_task: str | None = None
    accepted_at: Time | None = None
    ended_at: Time | None = None
    reason: str | None = None


class EscalationRow(Open):
    """Something that a person must know or decide."""

    escalation_id: str
    subject: str
    reason: str
    status: EscalationStatus
    created_at: Time
    task_id: str | None = None
    ended_at: Time | None = None


class OfferedStep(Open):
    """A step of a plan that waits for a yes."""

    name: str
    worker_type: str
    needs: list[str] = Field(default_factory=list)
    repository: str | None = None


class Offer(Open):
    """What a yes would start, and its price in tokens."""

    workers: int = Field(ge=0, description="Steps that would get a worker each.")
    p50: int = Field(ge=0, description="What such workers took in half of the cases.")
    p90: int = Field(ge=0, description="What nine of ten such plans stay within.")
    budget: int = Field(ge=0, description="What they cannot exceed together.")
    share_of_left: float | None = Field(
        None, description="The part of what the pool had left that the p90 would take."
    )
    steps: list[OfferedStep] = Field(description="The plan; of many steps the first 50.")


class ReserveOffer(Open):
    """How far a yes would open the emergency reserve."""

    workers: int = Field(ge=0, description="Those of the task that it would pay now.")
    waiting: int = Field(ge=1, description="Those of the task that wait for tokens.")
    tokens: int = Field(ge=0, description="What would be reserved for them.")
    share_of_reserve: float = Field(description="The part of what the reserve had left.")


class ReviewedStep(Open):
    """What one step that is done says of itself."""

    name: str
    verdict: str | None = Field(None, description="Such as `approve`, `request_changes`, `failed`.")
    findings: int = Field(0, ge=0)
    summary: str | None = None
    result_location: str | None = None


class Reviewed(Open):
    """What the workers of a task made, for whoever reviews it."""

    findings: int = Field(ge=0, description="Those of all steps together.")
    branches: list[str] = Field(description="What the plan comes to: nothing took these in.")
    steps: list[ReviewedStep] = Field(description="Of many steps the last 20.")


class ApprovalRow(Open):
    """A step that waits for a person's yes or no."""

    approval_id: str
    task_id: str
    status: ApprovalStatus
    reason: str
    created_at: Time
    step: str | None = Field(None, description="The step that waits; without it, the whole task.")
    gate: str | None = Field(
        None,
        description="What else a yes opens: `reserve`, the ceiling of a `lineage`, more `tokens` "
        "for a task, or its end after a `review`.",
    )
    would_start: Offer | None = Field(None, description="The plan and its price.")
    would_open: ReserveOffer | None = Field(None, description="The price of opening the reserve.")
    to_review: Reviewed | None = Field(None, description="What is to be reviewed.")
    comment: str | None = None
    answered_at: Time | None = None
    escalation_id: str | None = Field(
        None, description="Raised when nobody had answered by `approvals.deadline`."
    )


class HandoffsDocument(Document):
    """coordination/handoffs.json: master-to-master transfers, and what waits for a person."""

    handoffs: list[HandoffRow]
    escalations: list[EscalationRow]
    approvals: list[ApprovalRow]
