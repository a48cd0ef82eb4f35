"""The end of a simulated run: faults are over, time passes, and everything must come to rest.

Nobody helps; people only answer what waits for a person.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cortex.decide.branches import is_open
from cortex.model.state import OPEN_TASK
from cortex.testing.life import needs_a_person

if TYPE_CHECKING:
    from cortex.testing.simulation import Simulation

__all__ = ["Ending"]

#: So much simulated time at most, and so many steps, until all is at rest; and so long thrifty
#: people let work wait for the next day's tokens.
REST_S = 30 * 3600.0
THRIFTY_S = 60 * 3600.0
REST_STEPS = 3000
#: After so many looks at which nothing happened, time takes longer steps: a reset may be a day off.
DULL_LOOKS = 4
DULL_STEP_S = 600.0
NUDGE_S = 30.0
#: A daemon with nothing alive looks at everything each other second.
LOOKS_AGAIN_S = 3.0
#: Effects and turns that make one step, so that the checks need not look in between.
WORK_A_STEP = 30


class Ending:
    """Brings one run to its end."""

    def __init__(self, run: Simulation) -> None:
        self._run = run
        self._dull = 0
        self._seq = 0
        self._next_nudge = 0.0
        self._rests_at = 0.0

    def come_to_rest(self) -> None:
        """Lets time pass until all has ended; what does not is a violation."""
        run = self._run
        run.disk.mend()
        run.machine.short_until = 0.0
        run.mirrors.harm = 0.0
        while run.people.unfinished:
            run.people.finish()
        run.editors.finish()
        run.definitions.put_back()
        run.say("faults are over")
        began = run.clock.monotonic()
        last = run.steps + REST_STEPS
        while not run.checks.found and not self._is_at_rest():
            spent_s = run.clock.monotonic() - began
            if spent_s > THRIFTY_S or run.steps >= last - REST_STEPS // 2:
                run.is_thrifty = False
            if run.steps >= last or spent_s > REST_S + THRIFTY_S:
                run.checks.found.append(f"does not come to rest: {self._unrest()}")
                run.say(f"VIOLATION {run.checks.found[-1]}")
                break
            run.step(self._choose())
        if not run.checks.found:
            self._last_checks()

    def _choose(self) -> Callable[[], str]:
        run = self._run
        if run.life is None:
            return run.start
        if run.life.effects.lanes or run.life.daemon.has_post or run.next_event_s() == 0.0:
            return self._work
        if run.clock.monotonic() >= self._next_nudge:
            return self._nudge
        return self._skip

    def _work(self) -> str:
        """Effects and turns, as long as there is something to do right now."""
        run = self._run
        for count in range(WORK_A_STEP):
            if run.life is None:
                return "the daemon left"
            if run.life.effects.lanes:
                run.run_effect()
            elif run.life.daemon.has_post or run.next_event_s() == 0.0:
                run.turn()
            else:
                return f"{count} turns and effects"
            run.machine.catch_up()
        return f"{WORK_A_STEP} turns and effects"

    def _skip(self) -> str:
        run = self._run
        seconds = run.next_event_s()
        self._dull = self._dull + 1 if run.checks.state.seq == self._seq else 0
        self._seq = run.checks.state.seq
        if self._dull > DULL_LOOKS:
            seconds = max(seconds, min(DULL_STEP_S, 2.0 ** (self._dull - DULL_LOOKS)))
        run.machine.pass_time(seconds)
        return f"{seconds:.3f} s pass"

    def _nudge(self) -> str:
        """People answer what waits for a person, and nothing else."""
        run, state = self._run, self._run.checks.state
        self._next_nudge = run.clock.monotonic() + NUDGE_S
        if state.paused:
            return f"people: {run.people.ask(kind='resume')}"
        if self._needs_tokens():
            total = state.budget.total + 500_000
            return f"people: {run.people.ask(kind='budget', total_budget=total)}"
        for schedule_id in state.schedules:
            return f"people: {run.people.ask(kind='cancel', schedule_id=schedule_id)}"
        for approval in state.approvals.values():
            if approval.status == "pending":
                return f"people: {run.people.ask(kind='approve', approval_id=approval.id)}"
        pending = next((one for one in state.handoffs.values() if one.status == "pending"), None)
        if pending is not None:
            answer = {"handoff_id": pending.id, "status": "accepted"}
            return f"people: {run.people.ask(kind='handoff', **answer)}"
        for task in state.tasks.values():
            if task.status == "paused" or (task.hold and task.status in OPEN_TASK):
                return f"people: {run.people.ask(kind='resume', task_id=task.id)}"
        for task in state.tasks.values():
            if task.status == "blocked" and any(step.missing for step in task.steps):
                return f"people: {run.people.ask(kind='retry', task_id=task.id)}"
        hopeless = self._hopeless()
        if hopeless is not None:
            return f"people: {run.people.ask(kind='cancel', task_id=hopeless)}"
        return "nobody is asked for anything"

    def _hopeless(self) -> str | None:
        """A task that nothing will move any more."""
        state = self._run.checks.state
        for task in state.tasks.values():
            if task.status in OPEN_TASK and needs_a_person(state, task.id):
                return task.id
        for worker in map(state.workers.__getitem__, state.waiting):
            # Its step was planned for a type whose file has lost since what it ran with.
            if worker.status == "blocked" and self._dull > DULL_LOOKS:
                return worker.task_id
        return None

    def _needs_tokens(self) -> bool:
        """Whether people raise the total: thrifty ones only for what no day could ever pay."""
        state = self._run.checks.state
        if not self._run.is_thrifty:
            return state.budget.pool_available < 50_000
        most = max((state.workers[ident].token_budget for ident in state.waiting), default=0)
        return state.budget.pool_total < most

    def _is_at_rest(self) -> bool:
        """Whether nothing is under way, nor was at the daemon's last look at everything; the cheap
        questions first."""
        run, state = self._run, self._run.checks.state
        busy = run.life is None or state.live or state.waiting or run.life.effects.lanes
        now = run.clock.monotonic()
        if busy or self._unrest():
            self._rests_at = now + LOOKS_AGAIN_S
            return False
        return now >= self._rests_at

    def _unrest(self) -> str:
        """What is not at rest yet, in words."""
        run, state, life = self._run, self._run.checks.state, self._run.life
        if life is None:
            return "no daemon runs"
        found = [f"{t.id} {t.status} {t.blocked_on or t.waiting_for or ''}"
                 for t in state.tasks.values() if t.status in OPEN_TASK]  # fmt: skip
        found += [f"{i} {state.workers[i].status}" for i in (*state.live, *state.waiting)]
        found += [f"branches of {i}" for i, worker in state.workers.items() if is_open(worker)]
        found += [f"{name} in .intake/" for name in run.disk.names(run.paths.intake)]
        found += [f"effects {lane}" for lane in life.effects.lanes]
        found += [f"an edit of {name}" for name in run.edits.unsettled()]
        found += [f"{name} is missing" for name in run.documents.missing()]
        found += ["definitions are not read again"] if life.library.known is None else []
        if len(run.checks.receipts) < len(run.people.dropped):
            found.append("drops without a receipt")
        if life.daemon.has_post or life.daemon.durable_seq != life.daemon.state.seq:
            found.append("lines or results under way")
        if life.daemon.degraded is not None:
            found.append(f"degraded: {life.daemon.degraded}")
        return "; ".join(found)

    def _last_checks(self) -> None:
        """A polite end, the checks of rest, and a start that finds the same state again."""
        run = self._run
        run.step(run.stop_politely)
        if run.life is not None and not run.checks.found:
            run.step(run.turn)  # it drains, and nothing runs
        run.checks.at_rest(run.machine)
        run.drops.at_rest()
        run.documents.at_rest()
        before = run.checks.state.to_json()
        run.step(run.start)
        if run.life is not None and not run.checks.found:
            after = run.life.daemon.state.to_json()
            for name, value in before.items():
                if name not in ("seq", "at") and after[name] != value:
                    run.checks.found.append(f"a restart changes {name}")
        for text in run.checks.found:
            run.say(f"VIOLATION {text}")
