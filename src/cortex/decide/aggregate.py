"""From ended steps to an ended task: its outcome, its follow-ups and its handoff, in one line.

Reading the workers' findings is done elsewhere; they come in as a value. The line that ends the
task also creates what follows from it, so that a crash can neither lose nor double it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cortex.decide.catalog import Catalog
from cortex.decide.ending import cancel_with_handoffs
from cortex.decide.entry import Entry, Now
from cortex.decide.escalate import close_escalations
from cortex.decide.findings import Finding, Group, group, severity_counts
from cortex.decide.handoffs import completed_handoffs, failed_handoffs
from cortex.decide.known import known_task
from cortex.decide.lineage import root_of
from cortex.model.definitions import FollowUps
from cortex.model.ids import worker_type_name
from cortex.model.state import TERMINAL_TASK, Handoff, State, Step, Task
from cortex.model.words import counted

__all__ = [
    "Gathered",
    "conclude",
    "conclude_parent",
    "dead_steps",
    "open_children",
    "settled",
    "worker_results",
]

Event = dict[str, Any]
_ENDED = ("done", "failed", "cancelled")
#: What a task's scope says of how it looks, and not of the repositories: no fix task's business.
_NOT_INHERITED = frozenset(
    {"repository", "repositories", "paths", "scan_types", "depth", "command", "findings",
     "workspace", "package", "version", "ecosystem", "rules"}
)  # fmt: skip
#: Options of a fix by tools that say how it is proved, or that it need not be.
_PROOFS = ("setup", "python", "test_command", "allow_untested")


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was read of a task's workers: ranked findings and where the report lies."""

    task_id: str
    run: int
    findings: list[Finding] = field(default_factory=list)
    result_location: str | None = None


def settled(task: Task) -> bool:
    """Whether no step of the task can move any more."""
    return bool(task.steps) and all(step.status in _ENDED for step in task.steps)


def dead_steps(task: Task) -> list[Event]:
    """Events that cancel waiting steps whose needs can no more be met."""
    must = [step for step in task.steps if not step.optional]
    gone = sorted(step.name for step in must if step.status in ("failed", "cancelled"))
    if not gone:
        return []
    needed_by: dict[str, list[Step]] = {}
    for step in task.steps:
        for need in step.needs if step.status in ("waiting", "ready") else ():
            needed_by.setdefault(need, []).append(step)
    lost: dict[str, str] = {}
    for name in gone:  # which grows by those that are lost on the way
        for step in needed_by.get(name, ()):
            if step.name not in lost:
                lost[step.name] = name
                gone += [] if step.optional else [step.name]
    return [
        {
            "event": "step_changed",
            "task_id": task.id,
            "step": step,
            "status": "cancelled",
            "reason": f"needs {need}, which did not succeed",
        }
        for step, need in lost.items()
    ]


def worker_results(state: State, task: Task, now: Now) -> list[dict[str, Any]]:
    """One row per attempt of this task, as spec M8 has it; `aggregated_by` is the master."""
    rows = []
    for ident in task.workers:
        worker = state.workers.get(ident)
        if worker is None:
            continue
        row = {
            "worker_id": worker.id,
            "step": worker.step,
            "status": worker.status,
            "duration_s": worker.duration_s,
            "tokens_used": worker.tokens_used,
            "findings": worker.findings,
            "result_location": worker.folder,
            "aggregated_by": task.assigned_to,
            "aggregated_at": now.at,
        }
        if worker.repository:
            row["repository"] = worker.repository
        if worker.reason:
            row["error"] = worker.reason
        if worker.summary:
            row["summary"] = worker.summary
        rows.append(row)
    return rows


def outcome(task: Task) -> tuple[str, str | None]:
    """(terminal status, reason where it failed) of a task whose steps have all ended."""
    failed = [
        step for step in task.steps if step.status in ("failed", "cancelled") and not step.optional
    ]
    if not failed:
        return "completed", None
    first = next((step for step in failed if step.status == "failed"), failed[0])
    attempts = f" after {first.attempt + 1} attempts" if first.attempt else ""
    return "failed", f"step {first.name} failed{attempts}: {first.reason or 'no reason'}"[:500]


def conclude(state: State, task: Task, gathered: Gathered, catalog: Catalog, now: Now) -> Entry:
    """The one line that ends a task, with its follow-ups and its handoff."""
    status, reason = outcome(task)
    counts = {name: n for name, n in severity_counts(gathered.findings).items() if n}
    event: Event = {
        "event": "task_ended",
        "task_id": task.id,
        "status": status,
        "summary": _summary(state, task, counts),
        "partial": _partial(state, task),
        "worker_results": worker_results(state, task, now),
        "findings_count": counts,
        "result_location": gathered.result_location,
        "aggregated_by": task.assigned_to,
    }
    events = [event, *close_escalations(state, task.id)]
    if reason is not None:
        event["reason"] = reason
        events += failed_handoffs(state, task, reason, now)
    else:
        events += completed_handoffs(state, task)
        events += _follow_up(state, task, gathered, catalog, now, event)
    return Entry(
        task.assigned_to or "coordinator-master",
        event.get("reason") or event["summary"] or "all steps are done",
        events,
    )


def _partial(state: State, task: Task) -> bool:
    done = {step.worker_id for step in task.steps if step.status == "done"}
    return any(
        state.workers[ident].partial
        for ident in done
        if ident is not None and ident in state.workers
    )


def _summary(state: State, task: Task, counts: dict[str, int]) -> str | None:
    if counts:
        total = sum(counts.values())
        listed = ", ".join(f"{number} {severity}" for severity, number in counts.items())
        scanned = {step.scope.get("repository") for step in task.steps} - {None}
        places = f" in {len(scanned)} repositories" if len(scanned) > 1 else ""
        return f"{counted(total, 'finding')}{places} ({listed})"
    if len(task.steps) == 1:
        worker = state.workers.get(task.steps[0].worker_id or "")
        return worker.summary if worker else None
    done = sum(1 for step in task.steps if step.status == "done")
    return f"{done} of {counted(len(task.steps), 'step')} done"


def _follow_up(
    state: State, task: Task, gathered: Gathered, catalog: Catalog, now: Now, ended: Event
) -> list[Event]:
    rule = _rule_for(task, catalog)
    if rule is None or task.depth >= rule.max_depth or not gathered.findings:
        return []
    groups = group(gathered.findings, rule.max_items, at_least=rule.min_severity)
    events: list[Event] = []
    new: list[Group] = []
    for found in groups:
        known = known_task(state, task, found, rule.again_after, now)
        if known is None:
            new.append(found)
            continue
        about = {"title": found.title, "severity": found.severity, "findings": found.count}
        ended.setdefault("known", []).append({**known, **about})
        ended["follow_ups"] = [*ended.get("follow_ups", []), known["task_id"]]
        events.append(
            {
                "event": "follow_up_known",
                "task_id": task.id,
                "tasks": [known["task_id"]],
                "told": known["told"],
            }
        )
    if "known" in ended:
        count = sum(row["findings"] for row in ended["known"])
        ended["summary"] = f"{ended['summary']}, {count} known"
    if new:
        prove = _can_prove(task, rule, catalog)
        events += _handed_over(state, task, rule, new, gathered, now, ended, prove)
    return events


def _can_prove(task: Task, rule: FollowUps, catalog: Catalog) -> bool:
    """Whether the task, or the file of the fix tasks' worker type, says how a fix is proved."""
    kind = catalog.types.get(worker_type_name(rule.item_type))
    of_type = (kind.model_extra or {}) if kind is not None and kind.tools_runtime else {}
    return any(task.scope.get(name) or of_type.get(name) for name in _PROOFS)


def _rule_for(task: Task, catalog: Catalog) -> FollowUps | None:
    master = catalog.masters.get(task.assigned_to or "")
    if master is None:
        return None
    return next((rule for rule in master.follow_ups if task.type in rule.types), None)


def _handed_over(
    state: State,
    task: Task,
    rule: FollowUps,
    groups: list[Group],
    gathered: Gathered,
    now: Now,
    ended: Event,
    prove: bool,
) -> list[Event]:
    """A parent, one task per group, and the handoff that offers them to the receiver."""
    number = state.counters.get("task", 0)
    parent_id = f"task-{number + 1:03d}"
    handoff_id = f"handoff-{state.counters.get('handoff', 0) + 1:03d}"
    waiting = f"{rule.to} to accept {handoff_id}"
    children = [
        _child(task, rule, found, f"task-{number + 2 + n:03d}", parent_id, waiting, now, prove)
        for n, found in enumerate(groups)
    ]
    count = sum(found.count for found in groups)
    title = rule.title.format(
        findings=counted(count, "finding"), tasks=counted(len(groups), "task")
    )
    parent = Task(
        id=parent_id,
        title=title,
        type=rule.type,
        priority=task.priority,
        created_at=now.at,
        scope={k: v for k, v in task.scope.items() if k in ("repository", "repositories")},
        deadline=task.deadline,
        hold=True,
        caused_by=task.id,
        root=root_of(task),
        depth=task.depth + 1,
        children=[child.id for child in children],
        handoff_id=handoff_id,
        waiting_for=waiting,
        context={"findings": count, "report": gathered.result_location},
    )
    handoff = Handoff(
        id=handoff_id,
        from_agent=task.assigned_to or "coordinator-master",
        to_agent=rule.to,
        task_id=parent_id,
        source_task=task.id,
        created_at=now.at,
        context={
            "summary": f"{title}. {ended['summary'] or ''}".strip(),
            "worker_results": [row["worker_id"] for row in ended["worker_results"]],
            "priority_issues": [_issue(finding) for finding in gathered.findings[:5]],
        },
    )
    ended["follow_ups"] = [*ended.get("follow_ups", []), parent_id]
    ended["handoff_id"] = handoff_id
    accepted = [{"event": "task_accepted", "task": made.to_json()} for made in (parent, *children)]
    return [*accepted, {"event": "handoff_created", "handoff": handoff.to_json()}]


def _child(
    task: Task,
    rule: FollowUps,
    found: Group,
    ident: str,
    parent_id: str,
    waiting: str,
    now: Now,
    prove: bool,
) -> Task:
    """The task of one group; on the tools runtime where a tool can mend it and prove that."""
    scope: dict[str, Any] = {k: v for k, v in task.scope.items() if k not in _NOT_INHERITED}
    scope |= {"paths": list(found.files[:100])} if found.files else {}
    scope |= found.remedy
    if found.repository:
        scope["repository"] = found.repository
    elif any(found.repositories):
        scope["repositories"] = [place for place in found.repositories if place]
    context = {
        "severity": found.severity,
        "findings": list(found.fingerprints[:200]),
        "cwe": found.cwe,
        "package": found.package,
        "by_tools": None if prove or not found.remedy else _by_tools(found),
    }
    return Task(
        id=ident,
        title=found.title,
        type=rule.item_type,
        priority=found.severity if found.severity in ("critical", "high") else "medium",
        created_at=now.at,
        scope=scope,
        runtime="tools" if prove and found.remedy else "auto",
        key=found.key,
        hold=True,
        parent=parent_id,
        caused_by=task.id,
        root=root_of(task),
        depth=task.depth + 1,
        waiting_for=waiting,
        context={key: value for key, value in context.items() if value},
    )


def _by_tools(found: Group) -> str:
    remedy = found.remedy
    what = f"raise {remedy['package']} to {remedy['version']}" if "package" in remedy else (
        f"apply ruff's fixes for {', '.join(remedy['rules'])}"
    )  # fmt: skip
    return (
        f"`runtime: tools` can {what}, with setup, python or test_command in its scope to prove "
        "it, or allow_untested"
    )


def _issue(finding: Finding) -> dict[str, Any]:
    return {
        "severity": finding["severity"],
        "title": finding["title"],
        "repository": finding["repository"],
        "file": finding["file"],
        "line": finding["line"],
        "rule": finding["rule"],
        "tools": finding["tools"],
    }


def open_children(state: State, task: Task) -> list[Task]:
    """The children of a parent that have not ended."""
    children = [state.tasks[ident] for ident in task.children if ident in state.tasks]
    return [child for child in children if child.status not in TERMINAL_TASK]


def conclude_parent(state: State, task: Task, now: Now) -> Entry:
    """The line that ends a parent whose children have all ended.

    One that failed fails it. A person's cancel of some leaves it completed in part, and of all of
    them ends it as cancelled.
    """
    children = [state.tasks[ident] for ident in task.children if ident in state.tasks]
    by = task.assigned_to or "coordinator-master"
    completed = [child for child in children if child.status == "completed"]
    failed = [child for child in children if child.status == "failed"]
    cancelled = [child for child in children if child.status == "cancelled"]
    if cancelled and not completed and not failed:
        reason = _all_cancelled(cancelled)
        return Entry(by, reason, cancel_with_handoffs(state, task, reason))
    reason = f"{failed[0].id} failed" if failed else ""
    summary = f"{len(completed)} of {counted(len(children), 'task')} completed"
    events: list[Event] = [
        {"event": "task_planned", "task_id": task.id, "steps": []},
        {"event": "task_aggregating", "task_id": task.id},
        {
            "event": "task_ended",
            "task_id": task.id,
            "status": "failed" if failed else "completed",
            "reason": reason or None,
            "partial": bool(cancelled) and not failed,
            "summary": summary + (f", {len(cancelled)} cancelled" if cancelled else ""),
            "follow_ups": task.follow_ups,
            "aggregated_by": task.assigned_to,
        },
        *close_escalations(state, task.id),
    ]
    if failed:
        events += failed_handoffs(state, task, reason, now)
    else:
        events += completed_handoffs(state, task)
    return Entry(by, reason or (summary if cancelled else "all its tasks are done"), events)


def _all_cancelled(children: list[Task]) -> str:
    """What a person said who cancelled the tasks of a parent one by one."""
    said = list(dict.fromkeys(child.reason for child in children if child.reason))
    text = "its task was cancelled" if len(children) == 1 else "each of its tasks was cancelled"
    return (f"{text}: {'; '.join(said[:3])}" if said else text)[:500]
