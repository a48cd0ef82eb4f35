"""When a master asks a model for a plan, with what, and what becomes of the answer's worker.

Planning is a worker like any other, of the type that the master's file names as its `planner`, paid
from the master's own tokens. Here stands when it is worth its price; how an answer is judged is
`decide.proposals`.
"""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from cortex.decide.catalog import Catalog, Missing
from cortex.decide.master_plans import steps_of_plan
from cortex.decide.plan import make_steps, missing_for
from cortex.decide.proposals import most_of, offered_types, steps_at_most
from cortex.decide.steps import repositories_of
from cortex.model.proposals import plan_schema
from cortex.model.settings import Settings
from cortex.model.state import PLANNER, Step, Task, Worker
from cortex.model.times import write_duration

__all__ = ["plan_context", "planner_step", "proposal_events"]

Event = dict[str, Any]
#: Of what a planner says, this much is kept in the journal; plans are a few kB.
_PROPOSAL_CHARACTERS = 100_000


def planner_step(task: Task, catalog: Catalog, settings: Settings) -> Step | None:
    """The step that asks a model for the plan of a task; None where nobody should be asked.

    A model is asked where nothing else says how the task is to be done, and its planner can run
    here: not for a task with a plan, command or direct mode, not where its master has a plan for
    its type or a worker of that name can do it, and not for a type that nobody knows, which is
    perhaps a slip of the pen.
    """
    master = catalog.masters.get(task.assigned_to or "")
    if master is None or master.planner is None or not _is_open(task, catalog):
        return None
    plan = catalog.plan_for(master.name, task.type)
    if plan is not None and steps_of_plan(task, plan, catalog, lambda _: 0):
        return None
    whole = make_steps(task, catalog, settings)
    named = whole[0].worker_type.removesuffix("-worker") == task.type.removesuffix("-worker")
    if named and missing_for(whole, catalog) is None:
        return None
    kind = catalog.types.get(master.planner)
    retries = kind.retries if kind is not None else None
    step = Step(
        name=PLANNER,
        worker_type=master.planner,
        scope=_scope(task),
        retries=settings.workers.retries if retries is None else retries,
    )
    able = not isinstance(catalog.runtime_for(step), Missing)
    return step if able and offered_types(task, catalog) else None


def _is_open(task: Task, catalog: Catalog) -> bool:
    """Whether nothing but its type says how the task is to be done."""
    said = task.plan or task.command is not None or task.steps or task.children
    if said or task.planning is not None or task.execution_mode != "workers":
        return False
    return catalog.nobody_takes(task.type) is None


def _scope(task: Task) -> dict[str, Any]:
    """Where a planner may look: at what lies here. It works in a folder of its own, as it changes
    nothing; the task's whole scope stands in what it is asked."""
    local = [one for one in repositories_of(task) if "://" not in one and "@" not in one]
    return {"repositories": local} if local else {}


def plan_context(task: Task, catalog: Catalog, settings: Settings) -> dict[str, Any]:
    """What the planner's spec says beside the usual: the task, the limits, the schema of a plan."""
    master = catalog.masters.get(task.assigned_to or "")
    types = [catalog.types[name] for name in offered_types(task, catalog)]
    asked: dict[str, Any] = {
        "task": {
            "id": task.id,
            "title": task.title,
            "type": task.type,
            "priority": task.priority,
            "deadline": task.deadline,
            "scope": task.scope,
        },
        "master": task.assigned_to,
        "master_prompt": master.prompt if master else "",
        "worker_types": [
            {
                "worker_type": kind.name,
                "description": kind.description,
                "token_budget": tokens,
                "timeout": write_duration(seconds),
            }
            for kind in types
            for tokens, seconds in [most_of(task, kind)]
        ],
        "steps_at_most": steps_at_most(task, catalog, settings),
        "commands": bool(master and master.plan_commands),
        "schema": _schema(task, catalog, settings),
    }
    refused = task.planning.refused if task.planning is not None else []
    return {"plan": asked, **({"refused": refused} if refused else {})}


def _schema(task: Task, catalog: Catalog, settings: Settings) -> dict[str, Any]:
    """The schema of a plan, narrowed to what a plan of this task may say."""
    schema = deepcopy(plan_schema())
    schema["properties"]["workers"]["maxItems"] = steps_at_most(task, catalog, settings)
    step = schema["$defs"]["ProposedStep"]["properties"]
    step["worker_type"]["enum"] = offered_types(task, catalog)
    scope = schema["$defs"]["ProposedScope"]["properties"]
    repositories = repositories_of(task)
    if repositories:
        scope["repository"]["enum"] = [*repositories, None]
    else:
        del scope["repository"]
    master = catalog.masters.get(task.assigned_to or "")
    if not (master and master.plan_commands):
        del step["command"]
    return schema


def proposal_events(task: Task, worker: Worker, results: dict[str, Any] | None) -> list[Event]:
    """What a planner that succeeded said, for its master to judge."""
    event: Event = {"event": "plan_proposed", "task_id": task.id, "worker_id": worker.id}
    proposal = (results or {}).get("plan")
    if results is None:
        return [{**event, "problem": "plan: the planner wrote no results.json"}]
    if proposal is None:
        return [{**event, "problem": "plan: results.json has no `plan`"}]
    if len(json.dumps(proposal)) > _PROPOSAL_CHARACTERS:
        return [{**event, "problem": f"plan: has more than {_PROPOSAL_CHARACTERS:,} characters"}]
    return [{**event, "proposal": proposal}]
