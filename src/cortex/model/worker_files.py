"""What lies in a worker's folder, as models: the spec that it is given, the results it hands in.

Beside `documents`, which has the published files. Extra fields are allowed; nothing here reads or
writes a file.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from cortex.model.documents import Open, Priority, Time, Tokens

__all__ = ["FindingRow", "FindingsDocument", "ResultsDocument", "WorkerSpecDocument"]


class SpecContext(Open):
    """What a worker should know beside its scope."""

    parent_task: str | None = None
    priority: Priority | None = None
    deadline: str | None = None
    step: str | None = None
    attempt: int | None = None
    why_again: str | None = Field(None, description="Why the attempt before did not do.")


class SpecInput(Open):
    """What one needed step handed over."""

    step: str
    worker_id: str
    results: str = Field(description="Path of its results.json; a command may have written none.")


class SpecPersona(Open):
    """Who a worker is, beside what it is to do."""

    name: str
    text: str = Field(description="The persona's file in words, for a system prompt.")


class WorkerSpecDocument(Open):
    """worker-specs/WORKER.json: all that one attempt is told."""

    worker_id: str
    worker_type: str
    created_by: str
    created_at: Time
    task_id: str
    scope: dict[str, Any]
    context: SpecContext
    token_budget: Tokens
    timeout: str = Field(description="A length like 15m.")
    deliverables: list[str] = Field(description="Names of files that must lie in artifacts/.")
    prompt_template: str
    runtime: str | None = None
    format: int = Field(1, description="Of the layout; a newer one is refused.")
    command: list[str] | str | None = None
    env: dict[str, str] = Field(default_factory=dict)
    persona: SpecPersona | None = None
    retry_of: str | None = None
    inputs: list[SpecInput] = Field(
        default_factory=list, description="The needed steps that succeeded, in the order of needs."
    )


class ResultsDocument(Open):
    """results.json, which a worker writes at its end (the file that CORTEX_RESULTS names)."""

    status: Literal["completed", "failed", "partial"]
    summary: str | None = None
    findings: list[dict[str, Any]] = Field(default_factory=list)
    artifacts: list[str] = Field(default_factory=list, description="Names inside artifacts/.")
    files_modified: list[str] = Field(default_factory=list)
    follow_ups: list[dict[str, Any]] = Field(default_factory=list)
    tokens_used: int | None = Field(None, ge=0)
    turn_count: int | None = Field(None, ge=0)
    error: str | None = None
    permanent: bool = Field(False, description="True: another attempt would end the same way.")


class FindingRow(Open):
    """One problem at one place; `file` is relative to `repository`, line 0 is the whole file."""

    fingerprint: str = Field(description="The same while unrelated lines move.")
    tool: str
    tools: list[str] = Field(description="All that reported it.")
    rule: str
    rules: list[str]
    title: str
    message: str
    severity: Literal["critical", "high", "medium", "low", "info"]
    confidence: Literal["high", "medium", "low"]
    cwe: str | None
    family: str
    file: str
    line: int = Field(ge=0)
    repository: str
    end_line: int | None = None
    snippet: str | None = Field(None, description="The source line; never there for secrets.")
    package: str | None = None
    installed_version: str | None = None
    fixed_version: str | None = None
    ecosystem: str | None = Field(None, description="PyPI or npm; else told by the file's name.")
    fixable: bool | None = Field(None, description="Whether its tool says it can mend it safely.")
    aliases: list[str] = Field(default_factory=list)
    occurrences: list[str] = Field(default_factory=list)


class FindingsDocument(Open):
    """findings.json of a task: what all of its workers found, joined and ranked."""

    task_id: str
    title: str
    counts: dict[str, int] = Field(description="How many findings there are of each severity.")
    analyzers: list[dict[str, Any]] = Field(
        description="One row an analyzer; `state` is clean, findings, not_audited or error."
    )
    findings: list[FindingRow] = Field(description="Most urgent first.")
