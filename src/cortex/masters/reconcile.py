"""One reconciler for every master: observe a task, decide the next step, say when to look again.

Level-triggered and free of memory: it may be called at any time, any number of times, after any
crash. What it returns is applied by the caller, who then asks again until nothing is left to do.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import Any

from cortex.decide.aggregate import conclude_parent, dead_steps, open_children, settled
from cortex.decide.approvals import step_waits, too_many_wait
from cortex.decide.beyond import beyond_budget
from cortex.decide.bounds import barred_steps, out_of_bounds
from cortex.decide.catalog import Catalog
from cortex.decide.entry import Entry, Now, seconds_left
from cortex.decide.evidence import quote
from cortex.decide.handoffs import accept_handoff, is_handed_over
from cortex.decide.lineage import TOKENS_HELD, at_ceiling, below_ceiling
from cortex.decide.not_run import lacks, provided, renewed
from cortex.decide.plan import fallback, make_steps, missing_for, ready_steps, request_workers
from cortex.decide.planning import planner_step
from cortex.masters.consent import (
    before_it_ends,
    before_it_starts,
    before_more,
    before_steps,
)
from cortex.masters.lacking import means_changed, stuck, tried_again
from cortex.masters.planning import Decided, ask_planner, look_at_planning
from cortex.model.ids import master_key
from cortex.model.settings import Settings
from cortex.model.state import TERMINAL_TASK, State, Step, Task

__all__ = ["Decision", "reconcile_handoff", "reconcile_task"]


Event = dict[str, Any]
#: So often a task looks whether workers of other tasks left tokens of its line.
_HELD_S = 5.0


@dataclass(frozen=True, slots=True)
class Decision:
    """The next step: a line to apply, a task to gather results for, or a time to look again."""

    entry: Entry | None = None
    gather: bool = False
    again_in_s: float | None = None


NOTHING = Decision()


def reconcile_task(
    state: State, task: Task, catalog: Catalog, settings: Settings, now: Now
) -> Decision:
    """What the task needs next; NOTHING while others have to move first."""
    if task.status == "pending":
        return _route(state, task, catalog, settings, now)
    if task.status == "assigned":
        return _plan(state, task, catalog, settings, now)
    if task.status == "planning":
        return _look_at_planning(state, task, catalog, settings, now)
    if task.status == "blocked":
        return _unblock(state, task, catalog, settings)
    if task.status == "in_progress":
        return _advance(state, task, catalog, settings, now)
    if task.status == "aggregating":
        return Decision(gather=True)
    if task.status == "awaiting_approval":
        return Decision(means_changed(state, task, catalog))
    return NOTHING


def _waits_for(state: State, task: Task) -> str | None:
    """In words, what an unrouted task waits for among other tasks."""
    for need in task.needs:
        other = state.tasks.get(need)
        if other is None or other.status == "completed":
            continue
        if other.status in TERMINAL_TASK:
            return f"{need}, which {other.status}: retry it, or cancel this task"
        return f"{need} ({other.status})"
    return None


def _route(state: State, task: Task, catalog: Catalog, settings: Settings, now: Now) -> Decision:
    if task.hold:
        return NOTHING
    waiting = _waits_for(state, task) or too_many_wait(state, task, settings)
    if waiting is not None:
        if waiting == task.waiting_for:
            return NOTHING
        event = {"event": "task_waiting", "task_id": task.id, "waiting_for": waiting}
        return Decision(Entry("coordinator-master", f"{task.id} waits for {waiting}", [event]))
    if task.not_before is not None and (left := seconds_left(task.not_before, now)) > 0:
        return Decision(again_in_s=left)
    name, reason = _master_for(task, catalog, settings)
    if name is None:
        return _block(task, reason, None)
    routed = {"event": "task_routed", "task_id": task.id, "master": name}
    return _planned(state, task, catalog, settings, now, name, [routed])


def _master_for(task: Task, catalog: Catalog, settings: Settings) -> tuple[str | None, str]:
    master = catalog.route(task.type) if task.assigned_to is None else None
    name = master.name if master else task.assigned_to
    if name is not None and name not in catalog.masters:
        hint = f"put agents/masters/{name}.md back, or drop the task again"
        return None, f"its master {name} has no file any more; {hint}"
    if name is None:
        return None, f"no master takes tasks of type {task.type!r}; add a route in agents/masters/"
    mode = settings.masters.get(master_key(name))
    if mode is not None and not mode.enabled:
        return None, f"{name} is switched off: masters.{master_key(name)}.enabled in cortex.toml"
    return name, ""


def _block(task: Task, reason: str, master: str | None) -> Decision:
    event = {"event": "task_blocked", "task_id": task.id, "blocked_on": reason}
    if master is not None:
        event["master"] = master
    return Decision(Entry(master or "coordinator-master", reason, [event]))


def _plan(state: State, task: Task, catalog: Catalog, settings: Settings, now: Now) -> Decision:
    name, reason = _master_for(task, catalog, settings)
    if name is None:
        return _block(task, reason, task.assigned_to)
    return _planned(state, task, catalog, settings, now, name, [])


def _look_at_planning(
    state: State, task: Task, catalog: Catalog, settings: Settings, now: Now
) -> Decision:
    """A plan that a model was asked for; once that is decided, the task goes on as any other."""
    found = look_at_planning(state, task, catalog, settings, now)
    if isinstance(found, Entry):
        return Decision(found)
    if not isinstance(found, Decided):
        return Decision(again_in_s=found)
    name, reason = _master_for(task, catalog, settings)
    if name is None:
        return _blocked_with(task, reason, task.assigned_to or "", found.events)
    on = _planned(state, found.task, catalog, settings, now, name, found.events)
    if on.entry is None or not found.why:
        return on
    return Decision(Entry(on.entry.by, f"{found.why}; {on.entry.why}"[:500], on.entry.events))


def _of_master(task: Task, master: str, settings: Settings) -> Task:
    """The task as its master takes it: in direct mode where that is how it works."""
    taken = copy(task)
    taken.assigned_to = master
    mode = settings.masters.get(master_key(master))
    if mode is not None and not mode.worker_mode:
        taken.execution_mode = "direct"
    return taken


def _draft(task: Task, master: str, catalog: Catalog, settings: Settings) -> Task:
    """The task as its master would run it: the steps that a retry kept, or new ones."""
    draft = _of_master(task, master, settings)
    fresh = make_steps(draft, catalog, settings)
    draft.steps = renewed(task.steps, fresh) if task.steps else fresh
    return draft


def _planned(
    state: State,
    task: Task,
    catalog: Catalog,
    settings: Settings,
    now: Now,
    master: str,
    events: list[Event],
) -> Decision:
    """Routing, the plan and the first workers in one line; or blocked with what is missing."""
    if task.children:
        return _plan_parent(state, task, master, events, now)
    taken = _of_master(task, master, settings)
    step = _planner(state, taken, catalog, settings)
    if step is not None:
        return Decision(ask_planner(state, taken, step, catalog, now, events))
    draft = _draft(task, master, catalog, settings)
    draft, missing, dropped = _or_direct(state, draft, catalog, settings)
    if missing is not None:
        return _blocked_with(task, missing, master, events)
    question = before_it_starts(state, draft, catalog, settings, now)
    if question is not None:
        return Decision(replace(question, events=[*events, *question.events]))
    line = _plan_line(state, draft, catalog, settings, now, events)
    return Decision(replace(line, why=f"{dropped}; {line.why}"[:500]) if dropped else line)


def _planner(state: State, taken: Task, catalog: Catalog, settings: Settings) -> Step | None:
    """The step that asks a model for the plan of a task; past its line's ceiling nobody is."""
    if at_ceiling(state, taken, settings) is not None:
        return None
    return planner_step(taken, catalog, settings)


def _or_direct(
    state: State, draft: Task, catalog: Catalog, settings: Settings
) -> tuple[Task, str | None, str]:
    """(the draft, or the same in direct mode; what it lacks; why its plan was dropped for that)."""
    missing = _missing(draft, catalog) or _beyond(state, draft, catalog, settings)
    instead, told = fallback(state, draft, missing, catalog, settings)
    if instead is not None and out_of_bounds(instead, catalog) is None:
        return instead, None, told
    if missing is not None and instead is None and told:
        missing = f"{missing}; {told}"
    return draft, missing, ""


def _missing(draft: Task, catalog: Catalog) -> str | None:
    """What the steps lack; of a type that nobody knows, first of all that."""
    bounds = out_of_bounds(draft, catalog)
    if bounds is not None:
        return bounds
    missing = missing_for(draft.steps, catalog)
    if missing and draft.context.get("by_tools"):
        return f"{missing}; {draft.context['by_tools']}"
    unknown = catalog.nobody_takes(draft.type) if missing and not draft.plan else None
    return f"{unknown} ({missing})" if unknown else missing


def _beyond(state: State, draft: Task, catalog: Catalog, settings: Settings) -> str | None:
    """What the first step asks for that no budget can ever pay for."""
    left = (step for step in draft.steps if step.status in ("waiting", "ready"))
    told = (beyond_budget(state, draft, step, catalog, settings) for step in left)
    return next(filter(None, told), None)


def _blocked_with(task: Task, reason: str, master: str, events: list[Event]) -> Decision:
    blocked = _block(task, reason, master).entry
    assert blocked is not None
    return Decision(Entry(master, reason, [*events, *blocked.events]))


def _plan_parent(state: State, task: Task, master: str, events: list[Event], now: Now) -> Decision:
    """A parent has no workers of its own: it is over when its tasks are."""
    left = open_children(state, task)
    if left:
        return _blocked_with(task, _not_done(task, left), master, events)
    done = conclude_parent(state, task, now)
    return Decision(Entry(done.by, done.why, [*events, *done.events]))


def _not_done(task: Task, left: list[Task]) -> str:
    text = f"{len(left)} of its {len(task.children)} tasks"
    stuck = next((child for child in left if child.blocked_on), None)
    return f"{text}; {stuck.id}: {stuck.blocked_on}" if stuck else f"{text} are not done yet"


def _plan_line(
    state: State,
    task: Task,
    catalog: Catalog,
    settings: Settings,
    now: Now,
    events: list[Event],
) -> Entry:
    """The line of a task that has its master and steps, as a draft that is not yet in the state."""
    steps = task.steps
    planned = {
        "event": "task_planned",
        "task_id": task.id,
        "execution_mode": task.execution_mode,
        "steps": [step.to_json() for step in steps],
        "quote": quote(state, steps, catalog),
    }
    ready, _ = ready_steps(state, task, now)
    ready = [step for step in ready if step_waits(task, step, catalog) is None]
    ready = below_ceiling(state, task, ready, settings, catalog)
    workers = request_workers(state, task, ready, catalog, now)
    count = sum(1 for event in workers if event["event"] == "worker_requested")
    why = f"{len(steps)} step{'s' if len(steps) > 1 else ''}, {count} can start; "
    why += f"the pool has {state.budget.pool_available} tokens"
    return Entry(task.assigned_to or "", why, [*events, planned, *workers])


def _unblock(state: State, task: Task, catalog: Catalog, settings: Settings) -> Decision:
    """Level-triggered: the cause is looked for again each time, and said anew when it changed."""
    anew = _routed_anew(state, task, catalog)
    if anew is not None:
        return anew
    name, reason = _master_for(task, catalog, settings)
    if name is not None and task.children:
        left = open_children(state, task)
        reason = _not_done(task, left) if left else ""
    elif name is not None:
        if task.steps:
            return _unblock_steps(state, task, name, catalog, settings)
        planner = _planner(state, _of_master(task, name, settings), catalog, settings)
        draft = _draft(task, name, catalog, settings)
        missing = None if planner else _or_direct(state, draft, catalog, settings)[1]
        reason = missing or ""
    if not reason:
        event = {"event": "task_unblocked", "task_id": task.id}
        return Decision(Entry(name or "coordinator-master", "what it lacked is there now", [event]))
    if reason == task.blocked_on:
        return NOTHING
    return _block(task, reason, task.assigned_to)


def _routed_anew(state: State, task: Task, catalog: Catalog) -> Decision | None:
    """A task that came to the default route while its own master's file was away goes to that."""
    if task.steps or task.workers or task.children or task.planning is not None:
        return None
    if any("justification" in row for row in task.plan):
        return None  # a request for one worker names its master itself
    now_with = catalog.masters.get(task.assigned_to or "")
    own = catalog.route(task.type)
    if now_with is None or own is None or not now_with.default_route:
        return None
    if own.default_route or task.type in now_with.routes or is_handed_over(state, task):
        return None
    unblocked = {"event": "task_unblocked", "task_id": task.id}
    routed = {"event": "task_routed", "task_id": task.id, "master": own.name}
    why = f"{own.name} takes tasks of type {task.type!r} now; {now_with.name} had it by default"
    return Decision(Entry(own.name, why, [unblocked, routed]))


def _unblock_steps(
    state: State, task: Task, master: str, catalog: Catalog, settings: Settings
) -> Decision:
    """A task that had a plan waits for what its steps lack: to be configured, or to run at all."""
    draft = _draft(task, master, catalog, settings)
    found = [step.name for step in provided(draft.steps, catalog)]
    reason = _missing(draft, catalog) or _beyond(state, draft, catalog, settings)
    reason = reason or ("" if found else lacks(draft.steps))
    if reason:
        return NOTHING if reason == task.blocked_on else _block(task, reason, task.assigned_to)
    event = {"event": "task_unblocked", "task_id": task.id, "steps": found}
    why = f"{', '.join(found)} is another attempt now" if found else "what it lacked is there now"
    return Decision(Entry(master, why, [event]))


def _advance(state: State, task: Task, catalog: Catalog, settings: Settings, now: Now) -> Decision:
    dead = dead_steps(task)
    if dead:
        return Decision(Entry(task.assigned_to or "", str(dead[0]["reason"]), dead))
    again = means_changed(state, task, catalog) or tried_again(task, catalog)
    if again is not None:
        return Decision(again)
    ready, soonest = ready_steps(state, task, now)
    unasked = {step.name: why for step in ready if (why := step_waits(task, step, catalog))}
    free = [step for step in ready if step.name not in unasked]
    question = before_more(state, task, catalog, settings, now) if free else None
    if question is not None:
        return Decision(question)
    started = _start(state, task, free, catalog, settings, now) if free else None
    if started is not None:
        return Decision(started)
    if unasked:
        return Decision(before_steps(state, task, unasked, catalog, now))
    if free:  # None of them can start: what else there is to do does not wait for them.
        return Decision(again_in_s=_sooner(soonest, settings))
    lacking = stuck(task) if soonest is None else None
    if lacking is not None:
        return Decision(lacking)
    if settled(task):
        question = before_it_ends(state, task, catalog, now)
        if question is not None:
            return Decision(question)
        event = {"event": "task_aggregating", "task_id": task.id}
        return Decision(Entry(task.assigned_to or "", "no step can move any more", [event]))
    return Decision(again_in_s=soonest)


def _sooner(soonest: float | None, settings: Settings) -> float | None:
    """When steps that cannot start are looked at again: workers of other tasks may hold the tokens
    of their line, and their ends are not told to this task."""
    if not settings.limits.tokens_per_lineage:
        return soonest
    return _HELD_S if soonest is None else min(soonest, _HELD_S)


def _start(
    state: State, task: Task, ready: list[Step], catalog: Catalog, settings: Settings, now: Now
) -> Entry | None:
    """Asks for workers; steps whose type or runtime has gone, or that no budget can pay, wait, and
    the task says for what. None: they wait, and the task says so already.
    """
    barred = barred_steps(task, ready, catalog)
    allowed = [step for step in ready if step not in barred]
    beyond = [beyond_budget(state, task, step, catalog, settings) for step in allowed]
    paid = [step for step, why in zip(allowed, beyond, strict=True) if why is None]
    able = [step for step in paid if missing_for([step], catalog) is None]
    fit = below_ceiling(state, task, able, settings, catalog)
    events = request_workers(state, task, fit, catalog, now)
    missing = missing_for(allowed, catalog) or (out_of_bounds(task, catalog) if barred else None)
    missing = missing or next(filter(None, beyond), None)
    if able and not fit:
        missing = missing or TOKENS_HELD.format(settings.limits.tokens_per_lineage)
    if task.waiting_for != missing:
        events.append({"event": "task_waiting", "task_id": task.id, "waiting_for": missing})
    if not events:
        return None
    names = ", ".join(step.name for step in ready)
    return Entry(task.assigned_to or "", (missing or f"{names} can start")[:200], events)


def reconcile_handoff(state: State, handoff_id: str, catalog: Catalog) -> Decision:
    """A pending handoff is accepted by a receiver whose file says that it accepts."""
    handoff = state.handoffs.get(handoff_id)
    if handoff is None or handoff.status != "pending":
        return NOTHING
    receiver = catalog.masters.get(handoff.to_agent)
    if receiver is None or not receiver.accept_handoffs:
        return NOTHING
    events = accept_handoff(state, handoff)
    return Decision(
        Entry(handoff.to_agent, f"accepts {handoff.id} of {handoff.from_agent}", events)
    )
