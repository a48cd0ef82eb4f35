"""The planner: a worker that asks a model how a task is to be divided, and hands in its answer.

    python -m cortex.worker.planner PROGRAM ARGUMENT …     the program is the model

It keeps the worker contract and judges nothing: whether a plan is accepted is its master's to say.
A program that writes results.json itself is left to it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from cortex.model.errors import ModelError
from cortex.model.seams import Model, ModelRequest
from cortex.worker.contract import ContractError, Worker, read_worker
from cortex.worker.plan_prompt import plan_prompt, plan_system

__all__ = ["ask", "main", "plan_in"]

_NO_MODEL = (
    "no model is configured: give the planner's worker type a `command` that reads a question and "
    "prints a plan, such as `claude -p`"
)
#: So much of an answer that is no plan is handed in, for whoever wonders.
_TEXT_AT_MOST = 2000
#: So many braces are looked behind for an object.
_TRIES = 1000


def ask(worker: Worker, model: Model) -> int:
    """Asks the model for the plan that the worker's spec is about, and writes results.json.

    Returns the exit code: 1 where there is no answer.
    """
    asked = worker.context.get("plan")
    if not isinstance(asked, dict):
        return _failed(worker, "context.plan: the spec asks for no plan", permanent=True)
    request = ModelRequest(
        system=plan_system(asked),
        prompt=plan_prompt(asked, worker.scope, worker.context.get("refused")),
        schema=asked.get("schema"),
        output_tokens_at_most=int(worker.spec.get("token_budget") or 0),
    )
    worker.write_artifact("question.md", f"{request.system}\n\n{request.prompt}\n")
    worker.heartbeat.beat(0.1, "asks for a plan")
    try:
        completion = model.complete(request)
    except ModelError as error:
        return _failed(worker, str(error), permanent=error.permanent)
    worker.heartbeat.tokens_used = completion.tokens
    worker.heartbeat.beat(1.0, "has an answer", now=True)
    if worker.results_path.exists():
        return 0
    plan = plan_in(completion.text)
    steps = plan.get("workers") if isinstance(plan, dict) else None
    summary = "no plan in the answer"
    if isinstance(steps, list):
        summary = f"a plan of {len(steps)} step{'' if len(steps) == 1 else 's'}"
    worker.write_artifact("answer.txt", completion.text)
    artifacts = ["question.md", "answer.txt"]
    worker.write_results("completed", summary, artifacts=artifacts, turn_count=1, plan=plan)
    return 0


def plan_in(answer: str) -> dict[str, Any] | str:
    """The first JSON object in an answer that has `workers`, else the first; else its text."""
    found: list[dict[str, Any]] = []
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    at = answer.find("{")
    for _ in range(_TRIES):
        if at < 0:
            break
        try:
            value, end = decoder.raw_decode(answer, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            if "workers" in value:
                return dict(value)
            found.append(value)
        at = answer.find("{", end)
    return found[0] if found else answer[:_TEXT_AT_MOST]


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _failed(worker: Worker, error: str, *, permanent: bool = False) -> int:
    worker.write_results("failed", "no plan", error=error, permanent=permanent)
    return 1


def main(argv: Sequence[str]) -> int:
    """The program. `argv` is the model's own program with its arguments."""
    try:
        worker = read_worker()
    except ContractError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if not argv:
        return _failed(worker, _NO_MODEL, permanent=True)
    from cortex.worker.program_model import ProgramModel

    return ask(worker, ProgramModel(argv))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
