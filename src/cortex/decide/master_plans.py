"""The steps that a master's plan makes of a task: its list, or a named function, and a review.

`for_each` makes one step per item of the task's scope, and a step needs of those the ones for the
same item. Functions are in `plan_functions`; which plan a task has is the catalog's.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy

from cortex.decide.catalog import Catalog
from cortex.decide.plan_functions import FUNCTIONS, PARTS_AT_MOST
from cortex.decide.steps import (
    Retries,
    all_needs,
    called,
    free_name,
    names_for_each,
    plain_step,
    repositories_of,
)
from cortex.model.definitions import MasterPlan, PlanStep, ReviewRule
from cortex.model.state import Step, Task

__all__ = ["STEPS_AT_MOST", "steps_of_plan", "too_large"]

#: Of a plan that a master's file lists, as of a task's own `workers`.
STEPS_AT_MOST = 1000

#: What one step is for: a repository, a path, both or neither.
Item = dict[str, str]


def steps_of_plan(task: Task, plan: MasterPlan, catalog: Catalog, retries: Retries) -> list[Step]:
    """The steps of a task by its master's plan; none where the plan's function has none to make.

    A plan that is `too_large` is made for the first item alone: it is not run, `bounds` blocks it.
    """
    make = FUNCTIONS[plan.function] if plan.function is not None else None
    if too_large(task, catalog) is not None:
        task = _for_the_first(task)
    steps = _listed(task, plan, retries) if make is None else make(task, retries)
    if plan.review is not None and plan.review.by is not None and steps:
        return _reviewed(task, steps, plan.review, catalog, retries)
    return steps


# --- how many


def too_large(task: Task, catalog: Catalog) -> str | None:
    """Why the master's plan is not made for all that a task's scope names; None where it is, and
    for a task whose steps do not come from a plan of its master. Reviews are not counted.
    """
    plan = catalog.plan_for(task.assigned_to or "", task.type)
    by_model = task.planning is not None and task.planning.workers
    if plan is None or by_model or task.plan or task.command is not None:
        return None
    if task.execution_mode != "workers":
        return None
    if plan.function is not None:
        as_a_whole = task.scope.get("parts") or len(repositories_of(task)) != 1
        number = 0 if as_a_whole else len(task.scope.get("paths") or [])
        if number <= PARTS_AT_MOST:
            return None
        hint = "name less, or name `parts` of several paths each"
        return f"scope.paths names {number:,}, and a feature has {PARTS_AT_MOST} parts; {hint}"
    number = sum(_count(task, template) for template in plan.steps)
    if number <= STEPS_AT_MOST:
        return None
    hint = "name less in the scope, or drop several tasks"
    return f"its plan has {number:,} steps; a plan has at most {STEPS_AT_MOST:,}; {hint}"


def _count(task: Task, template: PlanStep) -> int:
    """How many items `_items` gives."""
    if template.for_each is None:
        return 1
    repositories = len(repositories_of(task)) or 1
    if template.for_each == "repository":
        return repositories
    return repositories * (len(task.scope.get("paths") or []) or 1)


def _for_the_first(task: Task) -> Task:
    first = copy(task)
    named = ("repositories", "paths")
    first.scope = {
        key: value[:1] if key in named and value else value for key, value in task.scope.items()
    }
    return first


# --- listed steps


def _listed(task: Task, plan: MasterPlan, retries: Retries) -> list[Step]:
    items = {template.name: _items(task, template) for template in plan.steps}
    names = _names(plan, items)
    steps = []
    for template in plan.steps:
        own = zip(names[template.name], items[template.name], strict=True)
        for name, item in own:
            needs = [
                other
                for need in template.needs
                for other, its in zip(names[need], items[need], strict=True)
                if _goes_with(item, its)
            ]
            steps.append(_from_template(task, template, name, needs, item, retries))
    return steps


def _items(task: Task, template: PlanStep) -> list[Item]:
    """What a template is made for: `{}` is the whole scope, once."""
    if template.for_each is None:
        return [{}]
    repositories: list[Item] = [{"repository": name} for name in repositories_of(task)] or [{}]
    paths = task.scope.get("paths") or []
    if template.for_each == "repository" or not paths:
        return repositories
    return [{**item, "path": path} for item in repositories for path in paths]


def _goes_with(item: Item, other: Item) -> bool:
    """Whether nothing that both are made for differs."""
    return all(item[key] == other[key] for key in item.keys() & other.keys())


def _from_template(
    task: Task, template: PlanStep, name: str, needs: list[str], item: Item, retries: Retries
) -> Step:
    scope = dict(task.scope)
    if "repository" in item:
        scope.pop("repositories", None)
        scope["repository"] = item["repository"]
    if "path" in item:
        scope["paths"] = [item["path"]]
    own = template.token_budget
    return Step(
        name=name,
        worker_type=template.worker_type,
        needs=needs,
        optional=template.optional,
        runtime=template.runtime or task.runtime,
        command=template.command,
        env={**task.env, **template.env},
        scope={**scope, **template.scope},
        token_budget=task.token_budget if own is None else own,
        timeout_s=template.timeout or task.timeout_s,
        retries=retries(template.worker_type) if template.retries is None else template.retries,
        approval=template.approval,
        accept_partial=template.accept_partial,
    )


def _names(plan: MasterPlan, items: Mapping[str, list[Item]]) -> dict[str, list[str]]:
    """The names of the steps that each template becomes, unique in the plan.

    One for an item is called after it (`scan-flask`), short and fit for a file name; one for a path
    of several repositories after both (`tidy-flask-src`).
    """
    taken = {template.name for template in plan.steps}
    names: dict[str, list[str]] = {}
    for template in plan.steps:
        name = template.name
        several = len({item.get("repository") for item in items[name]}) > 1
        places = [_place(item, several) for item in items[name]]
        named = [place for place in places if place is not None]
        names[name] = names_for_each(name, named, taken) if named else [name]
    return names


def _place(item: Item, several: bool) -> str | None:
    """What an item's step is called after; `several` where there are more repositories than one."""
    path, repository = item.get("path"), item.get("repository")
    if path is not None and repository is not None and several:
        return f"{called(repository)}-{called(path)}"
    return path or repository


# --- review


def _reviewed(
    task: Task, steps: list[Step], rule: ReviewRule, catalog: Catalog, retries: Retries
) -> list[Step]:
    """The same plan with a review of what its writing steps leave, one for each repository.

    What stands at the end of the plan and does not write waits for the review.
    """
    assert rule.by is not None
    writers = [step for step in steps if _writes(step, catalog)]
    needed = {need for step in writers for need in step.needs}
    written: dict[str | None, list[Step]] = {}
    for step in writers:
        if step.name not in needed:
            written.setdefault(step.scope.get("repository"), []).append(step)
    taken = {step.name for step in steps}
    after = _ends(steps, catalog)
    reviews = []
    for repository, last in written.items():
        if repository is None or len(written) == 1:
            name = free_name("review", taken)
        else:
            (name,) = names_for_each("review", [repository], taken)
        scope = {**last[0].scope, "request_changes_at": rule.at}
        scope.pop("paths", None)
        review = plain_step(task, rule.by, name, [step.name for step in last], scope, retries)
        reviews.append(review)
        for step, needs in after:
            if not needs.isdisjoint(review.needs):
                step.needs.append(review.name)
    return [*steps, *reviews]


def _writes(step: Step, catalog: Catalog) -> bool:
    """Whether it leaves a branch: its type writes, or it is a command in a clone of its own."""
    kind = catalog.types.get(step.worker_type)
    if kind is None or kind.writes:
        return kind is not None
    where = step.scope.get("workspace") or kind.workspace
    return where == "clone" and catalog.command_of(step) is not None


def _ends(steps: list[Step], catalog: Catalog) -> list[tuple[Step, set[str]]]:
    """The steps at the end of a plan that do not write, each with all that it needs."""
    needed = {need for step in steps for need in step.needs}
    ends = [step for step in steps if step.name not in needed and not _writes(step, catalog)]
    return [(step, all_needs(step, steps)) for step in ends]
