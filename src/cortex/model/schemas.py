"""JSON Schemas (2020-12) of every public file, generated from the models.

The files in schemas/ are written by scripts/schemas from what is returned here; nothing in this
module touches the disk.
"""

from __future__ import annotations

import json
from typing import Any

from cortex.model import (
    budget_document,
    definitions,
    documents,
    handoffs_document,
    personas,
    proposals,
    requests,
    settings,
    worker_files,
)
from cortex.model.schema_writing import schema_of

__all__ = ["all_schemas", "schema_text"]

_MODELS: dict[str, tuple[str, Any]] = {
    "task-queue": ("coordination/task-queue.json", documents.TaskQueueDocument),
    "worker-pool": ("coordination/worker-pool.json", documents.WorkerPoolDocument),
    "token-budget": ("coordination/token-budget.json", budget_document.TokenBudgetDocument),
    "handoffs": ("coordination/handoffs.json", handoffs_document.HandoffsDocument),
    "schedules": ("coordination/schedules.json", documents.SchedulesDocument),
    "task": ("A dropped task", requests.TaskRequest),
    "request": ("Anything that may be dropped into the inbox", requests.Request),
    "worker-spec": ("worker-specs/WORKER.json", worker_files.WorkerSpecDocument),
    "results": ("results.json of a worker", worker_files.ResultsDocument),
    "plan": (proposals.TITLE, proposals.ProposedPlan),
    "findings": ("findings.json of a task", worker_files.FindingsDocument),
    "master": ("Front matter of agents/masters/NAME.md", definitions.MasterDefinition),
    "worker-type": (
        "Front matter of agents/prompts/workers/TYPE.md",
        definitions.WorkerTypeDefinition,
    ),
    "persona": ("Front matter of agents/personas/NAME.md", personas.PersonaDefinition),
    "settings": ("cortex.toml", settings.Settings),
    "rejection": ("coordination/rejected/NAME.error.json", documents.Rejection),
    "journal-line": (
        "One line of coordination/journal/YYYY-MM-DD.jsonl",
        documents.JournalLineDocument,
    ),
}


#: What stands above a prompt, in a file that names it where nothing else does.
_FRONT_MATTER = (
    definitions.MasterDefinition,
    definitions.WorkerTypeDefinition,
    personas.PersonaDefinition,
)


def all_schemas() -> dict[str, dict[str, Any]]:
    """Each schema by its file name in schemas/."""
    return {f"{name}.schema.json": _schema(name, *entry) for name, entry in _MODELS.items()}


def schema_text(schema: dict[str, Any]) -> str:
    """The schema as its file holds it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _schema(name: str, title: str, model: Any) -> dict[str, Any]:
    schema = schema_of(name, title, model)
    if model in _FRONT_MATTER:
        _leave_to_the_file(schema)
    return schema


def _leave_to_the_file(body: dict[str, Any]) -> None:
    """The prompt is the text below the front matter, and a missing name is the file's."""
    for name in ("prompt", "path", "called"):
        body["properties"].pop(name, None)
    body.pop("required", None)
