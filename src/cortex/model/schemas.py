"""JSON Schemas (2020-12) of every public file, generated from the models.

The files in schemas/ are written by scripts/schemas from what is returned here; nothing in this
module touches the disk.
"""

from __future__ import annotations

import functools
import inspect
import json
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from cortex.model import (
    budget_document,
    definitions,
    documents,
    personas,
    proposals,
    requests,
    settings,
    worker_files,
)

__all__ = ["all_schemas", "plan_schema", "schema_text"]

_PART = r"\d+(\.\d+)?\s*(ms|s|m|h|d|w)"
_DURATION = {"type": "string", "pattern": rf"^\s*(\d+|{_PART}(\s*{_PART})*)\s*$"}
_LIMITS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_MODELS: dict[str, tuple[str, Any]] = {
    "task-queue": ("coordination/task-queue.json", documents.TaskQueueDocument),
    "worker-pool": ("coordination/worker-pool.json", documents.WorkerPoolDocument),
    "token-budget": ("coordination/token-budget.json", budget_document.TokenBudgetDocument),
    "handoffs": ("coordination/handoffs.json", documents.HandoffsDocument),
    "schedules": ("coordination/schedules.json", documents.SchedulesDocument),
    "task": ("A dropped task", requests.TaskRequest),
    "request": ("Anything that may be dropped into the inbox", requests.Request),
    "worker-spec": ("worker-specs/WORKER.json", worker_files.WorkerSpecDocument),
    "results": ("results.json of a worker", worker_files.ResultsDocument),
    "plan": ("A plan that a model proposes: `plan` in its results.json", proposals.ProposedPlan),
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


@functools.cache
def plan_schema() -> dict[str, Any]:
    """What a model is asked with for a plan. Shared: it is not to be changed."""
    return _schema("plan", *_MODELS["plan"])


def schema_text(schema: dict[str, Any]) -> str:
    """The schema as its file holds it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


class _AsPeopleWrite(GenerateJsonSchema):
    """Describes what may stand in a file, where the model says what it becomes when it is read:
    `15m` for a number of seconds, `Read, Grep` for a list, `normal` for `medium`."""

    def function_before_schema(
        self, schema: core_schema.BeforeValidatorFunctionSchema
    ) -> JsonSchemaValue:
        inner = super().function_before_schema(schema)
        if inner.get("type") == "number":
            return {"anyOf": [inner, dict(_DURATION)]}
        if inner.get("type") == "array":
            return {"anyOf": [inner, {"type": "string"}]}
        if "medium" in inner.get("enum", ()):
            return {**inner, "enum": [*inner["enum"], "normal"]}
        return inner


def _tidy(node: Any) -> Any:
    """Without the titles that only repeat a field's name, and with limits in JSON Schema's words
    where they stood outside of what was described."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    limits = {name: node[name] for name in _LIMITS if isinstance(node.get(name), int | float)}
    tidy = {
        name: _tidy(value)
        for name, value in node.items()
        if name not in limits and not (name == "title" and isinstance(value, str))
    }
    for name, value in limits.items():
        target = tidy["anyOf"][0] if "anyOf" in tidy else tidy
        target[_LIMITS[name]] = value
    return tidy


def _schema(name: str, title: str, model: Any) -> dict[str, Any]:
    body = _tidy(TypeAdapter(model).json_schema(schema_generator=_AsPeopleWrite))
    body.pop("description", None)
    if model in _FRONT_MATTER:
        _leave_to_the_file(body)
    return {
        "$schema": _DIALECT,
        "$id": f"urn:cortex:schema:{name}:1",
        "$comment": "Generated by scripts/schemas from the models; changes here are lost.",
        "title": title,
        "description": _description(model, title),
        **body,
    }


def _leave_to_the_file(body: dict[str, Any]) -> None:
    """The prompt is the text below the front matter, and a missing name is the file's."""
    for name in ("prompt", "path"):
        body["properties"].pop(name, None)
    body.pop("required", None)


def _description(model: Any, title: str) -> str:
    if isinstance(model, type) and issubclass(model, BaseModel) and model.__doc__:
        return inspect.cleandoc(model.__doc__)
    return f"{title}."
