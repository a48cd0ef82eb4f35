"""The steps that a master's plan makes of a task: its list, or a named function, and a review.

`for_each` makes one step per item of the task's scope, and a step needs of those the ones for the
same item. Functions are in `plan_functions`; which plan a task has is the catalog's.
"""

from __future__ import annotations

from collections.abc import Mapping

from cortex.decide.catalog import Catalog
from cortex.decide.plan_functions import FUNCTIONS
from cortex.decide.steps import (
    Retries,
    all_needs,
    free_name,
    names_for_each,
    plain_step,
    repositories_of,
)
from cortex.model.definitions import MasterPlan, PlanStep, ReviewRule
from cortex.model.state import Step, Task

__all__ = ["steps_of_plan"]

#: What one step is for: a repository, a path, both or neither.
Item = dict[str, str]


def steps_of_plan(task: Task, plan: MasterPlan, catalog: Catalog, retries: Retries) -> list[Step]:
    """The steps of a task by its master's plan; none where the plan's function has none to make."""
    make = FUNCTIONS[plan.function] if plan.function is not None else None
    steps = _listed(task, plan, retries) if make is None else make(task, retries)
    if plan.review is not None and plan.review.by is not None and steps:
        return _reviewed(task, steps, plan.review, catalog, retries)
    return steps


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

    One for an item is called after it (`scan-flask`), short and fit for a file name.
    """
    taken = {template.name for template in plan.steps}
    names: dict[str, list[str]] = {}
    for template in plan.steps:
        name = template.name
        places = [item.get("path") or item.get("repository") for item in items[name]]
        called = [place for place in places if place is not None]
        names[name] = names_for_each(name, called, taken) if called else [name]
    return names


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
        _let_wait(steps, set(review.needs), review, catalog)
    return [*steps, *reviews]


def _writes(step: Step, catalog: Catalog) -> bool:
    kind = catalog.types.get(step.worker_type)
    return kind is not None and kind.writes


def _let_wait(steps: list[Step], written: set[str], review: Step, catalog: Catalog) -> None:
    ends = {step.name for step in steps} - {need for step in steps for need in step.needs}
    for step in steps:
        if step.name in ends and not _writes(step, catalog) and written & all_needs(step, steps):
            step.needs.append(review.name)
