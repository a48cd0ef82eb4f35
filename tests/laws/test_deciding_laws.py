"""Laws of deciding: whatever is dropped, ends, is cancelled or configured, in any order.

One machine drives the deciding code as the daemon does, with every line going through JSON. The
books are held to their equations after every single line; what the journal alone makes is compared
with the state that wrote it.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.decide.fleet import Fleet, finding
from tests.unit.deciding import builtin_catalog

from cortex.decide import budget
from cortex.decide.admit import waiting_reason
from cortex.decide.alerts import next_alert
from cortex.decide.entry import Entry
from cortex.decide.ledger import needed_tokens
from cortex.decide.project import budget_document, task_row
from cortex.model.errors import RequestError
from cortex.model.settings import Settings
from cortex.model.state import (
    LIVE,
    TERMINAL_TASK,
    TERMINAL_WORKER,
    WAITING_WORKER,
    State,
    Task,
    Worker,
)

CATALOG = builtin_catalog()
SETTINGS = st.sampled_from(
    [
        {},
        {"limits": {"tools": 2, "agents": 2, "agents_per_task": 1}},
        {"limits": {"per_repository": 1, "per_type": {"scan": 1}, "per_master": {"security": 1}}},
        {"spawn": {"policy": "adaptive", "aging": "5m"}},
        {"budget": {"total": 150_000, "reallocate_steps": 3}, "workers": {"backoff": 0.0}},
        {"budget": {"total": 144_000, "reallocate_steps": 0}},
        {"budget": {"total": 144_000}, "workers": {"retries": 0, "accept_partial": False}},
        {"masters": {"security": {"worker_mode": False}}},
        {"budget": {"total": 144_000, "reserve_needs_approval": True, "reallocate_steps": 0}},
    ]
)
PRIORITIES = st.sampled_from(["low", "medium", "high", "critical"])
TOKENS = st.sampled_from([0, 1, 900, 8_000, 30_000, 70_000])
REPOSITORIES = st.lists(st.sampled_from(["/srv/a", "/srv/b", "/srv/c"]), min_size=1, unique=True)


@st.composite
def plans(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A DAG: each step may need earlier ones."""
    rows: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 5))):
        earlier = [row["name"] for row in rows]
        needs = draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        row = {"name": f"s{number}", "needs": needs, "optional": draw(st.booleans())}
        kind = draw(st.sampled_from(["command", "agent", "tools"]))
        if kind == "command":
            row["command"] = "true"
        else:
            row["worker_type"] = "implementation" if kind == "agent" else "scan"
        row["token_budget"] = draw(TOKENS)
        rows.append(row)
    return rows


DROPS = st.fixed_dictionaries(
    {"priority": PRIORITIES},
    optional={
        "retries": st.integers(0, 2),
        "hold": st.sampled_from([False, False, False, True]),
        "key": st.sampled_from(["k1", "k2"]),
        "execution_mode": st.sampled_from(["workers", "direct"]),
        "max_parallel": st.integers(1, 2),
        "deadline": st.sampled_from(["2025-11-01T12:00:00Z", "2025-11-03T00:00:00+02:00"]),
    },
)
SHAPES = st.one_of(
    st.builds(lambda tokens: {"command": "true", "token_budget": tokens}, TOKENS),
    st.builds(lambda rows: {"title": "plan", "workers": rows}, plans()),
    st.builds(lambda names: {"type": "scan", "scope": {"repositories": names}}, REPOSITORIES),
    st.builds(lambda names: {"type": "scan", "scope": {"repositories": names}}, REPOSITORIES),
    st.builds(lambda rows: {"title": "plan", "workers": rows}, plans()),
    st.just({"type": "nobody-knows-it"}),
    st.builds(lambda names: {"type": "general", "scope": {"repositories": names}}, REPOSITORIES),
    st.just({"type": "scan", "runtime": "not-configured"}),
)
FOUND = st.lists(st.sampled_from(["sql", "xss2", "paths"]), unique=True, max_size=3)
#: What a planner may say; every other worker's is nobody's business.
PLAN = {
    "reason": "two looks",
    "workers": [
        {"name": "s0", "worker_type": "analysis", "scope": {"repository": "/srv/a"}},
        {"name": "s1", "worker_type": "coordinator", "needs": ["s0"]},
    ],
}
ENDS = st.sampled_from(
    [
        {"results": {"status": "completed"}},
        {"results": {"status": "completed"}},
        {"results": {"status": "completed"}},
        {"results": {"status": "completed", "tokens_used": 10**9}},
        {"results": {"status": "completed", "tokens_used": -7}},
        {"results": {"status": "partial"}},
        {"results": {"status": "completed", "tokens_used": 500, "plan": PLAN}},
        {"results": {"status": "completed", "tokens_used": 500, "plan": PLAN}},
        {"results": {"status": "completed", "tokens_used": 9, "plan": {"workers": [1, PLAN]}}},
        {"code": 1},
        {"code": 1, "results": {"status": "failed", "permanent": True}},
        {"code": None, "signal": 9},
        {"code": None, "signal": 15, "cause": "timeout"},
        {"code": None, "signal": 15, "cause": "stop"},
        {"code": None, "lost": True},
        {"spawn_error": "no such program"},
        {"never_started": True},
    ]
)


class Deciding(RuleBasedStateMachine):
    """A fleet, and everything that can happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.fleet = Fleet(catalog=CATALOG)
        self.ended: dict[str, str] = {}
        self.runs: dict[str, tuple[int, str]] = {}
        self.ids: set[str] = set()
        self.earlier: set[str] = set()
        self.gave_way: set[str] = set()

    @property
    def state(self) -> State:
        return self.fleet.state

    def some(self, data: st.DataObject, ids: list[str]) -> str:
        return data.draw(st.sampled_from(ids[-20:]))

    def request(self, **payload: Any) -> None:
        """A verb of a person; a refusal with a reason is as good as an effect."""
        try:
            self.fleet.drop(payload)
        except RequestError as refused:
            assert refused.message

    # --- what happens

    @initialize(changed=SETTINGS, dropped=st.lists(st.tuples(DROPS, SHAPES), max_size=4))
    def begin(self, changed: dict[str, Any], dropped: list[Any]) -> None:
        self.fleet = Fleet(Settings.model_validate(changed), catalog=CATALOG)
        for common, shape in dropped:
            self.request(**common, **shape)

    @rule(common=DROPS, shape=SHAPES, data=st.data())
    def drop(self, common: dict[str, Any], shape: dict[str, Any], data: st.DataObject) -> None:
        known = list(self.state.tasks)[-5:]
        some = st.lists(st.sampled_from(known), max_size=2) if known else st.just([])
        needs = data.draw(some) if data.draw(st.integers(0, 3)) == 0 else []
        self.request(**common, **shape, needs=needs)

    @rule(ends=st.lists(st.tuples(ENDS, TOKENS), min_size=1, max_size=6), found=FOUND)
    def work(self, ends: list[tuple[dict[str, Any], int]], found: list[str]) -> None:
        """Some time passes in which everything goes on as it does."""
        self.admit_all()
        at_work = self.in_status("approved", "running")
        for ident, (end, used) in zip(at_work, ends, strict=False):
            self.fleet.end(ident, min(used, self.state.workers[ident].reserved), **end)
        self.fleet.wall += 30
        self.fleet.reconcile()
        for ident in self.of_status("aggregating"):
            self.gather_one(ident, found)

    def gather_one(self, ident: str, found: list[str]) -> None:
        rows = [finding(name, f"{name}.py", cwe=f"CWE-{len(name)}") for name in found]
        self.fleet.gather(self.state.tasks[ident], *rows)

    @rule(times=st.integers(1, 3))
    def admit(self, times: int) -> None:
        for _ in range(times):
            entry = self.fleet.admit_one()
            for event in entry.events if entry else []:
                if event["event"] == "worker_approved":
                    self.no_limit_is_passed(self.state.workers[event["worker_id"]])

    @precondition(lambda self: self.in_status("approved"))
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        worker = self.state.workers[self.some(data, self.in_status("approved"))]
        self.fleet.run(worker)

    @precondition(lambda self: self.in_status("running", "ending"))
    @rule(data=st.data(), used=TOKENS, end=ENDS)
    def end(self, data: st.DataObject, used: int, end: dict[str, Any]) -> None:
        ident = self.some(data, self.in_status("running", "ending"))
        self.fleet.end(ident, min(used, self.state.workers[ident].reserved), **end)
        self.fleet.reconcile()

    @precondition(lambda self: self.in_status("spawning"))
    @rule(data=st.data(), again=st.booleans())
    def never_claimed(self, data: st.DataObject, again: bool) -> None:
        ident = self.some(data, self.in_status("spawning"))
        events: list[dict[str, Any]] = [{"event": "worker_approved", "worker_id": ident}]
        if not again:
            events = [
                {"event": "tokens_returned", "worker_id": ident},
                {"event": "worker_queued", "worker_id": ident, "reason": "short of processes"},
            ]
        self.fleet.apply(Entry("daemon", "", events))

    @precondition(lambda self: self.in_status("approved"))
    @rule(data=st.data())
    def spawn(self, data: st.DataObject) -> None:
        event = {
            "event": "worker_spawning",
            "worker_id": self.some(data, self.in_status("approved")),
            "boot_id": "boot",
            "runtime_dir": "/run",
            "nonce": 1,
            "folder": "x",
        }
        self.fleet.apply(Entry("daemon", "", [event]))

    @precondition(lambda self: self.of_status("aggregating"))
    @rule(data=st.data(), found=FOUND)
    def gather(self, data: st.DataObject, found: list[str]) -> None:
        self.gather_one(self.some(data, self.of_status("aggregating")), found)

    @precondition(lambda self: self.state.tasks)
    @rule(
        data=st.data(),
        verb=st.sampled_from(["cancel", "cancel", "retry", "retry", "pause", "resume"]),
        cascade=st.booleans(),
    )
    def verb(self, data: st.DataObject, verb: str, cascade: bool) -> None:
        ident = self.some(data, list(self.state.tasks))
        more = {"cascade": True} if cascade and verb == "cancel" else {}
        self.request(kind=verb, task_id=ident, **more)

    @rule(pause=st.sampled_from([False, False, False, True]))
    def fleet_verb(self, pause: bool) -> None:
        self.request(kind="pause" if pause else "resume")

    @precondition(lambda self: self.state.handoffs)
    @rule(data=st.data(), answer=st.sampled_from(["accepted", "rejected"]))
    def answer(self, data: st.DataObject, answer: str) -> None:
        ident = self.some(data, list(self.state.handoffs))
        self.request(kind="handoff", handoff_id=ident, status=answer)

    @precondition(lambda self: self.state.approvals)
    @rule(data=st.data(), kind=st.sampled_from(["approve", "approve", "deny"]))
    def consent(self, data: st.DataObject, kind: str) -> None:
        self.request(kind=kind, approval_id=self.some(data, list(self.state.approvals)))

    @rule(tokens=st.sampled_from([900, 8_000, 24_000]), slots=st.integers(1, 3))
    def emergency(self, tokens: int, slots: int) -> None:
        """Critical work comes while others were granted and have not begun."""
        self.fleet.admit()
        row = {"command": "true", "token_budget": tokens}
        rows = [{"name": f"s{number}", **row} for number in range(slots)]
        self.request(title="emergency", priority="critical", workers=rows)
        self.fleet.admit()

    @rule(total=st.sampled_from([100_000, 140_000, 200_000, 260_000, 10**6]))
    def change_total(self, total: int) -> None:
        self.request(kind="budget", total_budget=total)

    @rule(minutes=st.sampled_from([1, 10, 40, 300, 1_500]))
    def wait(self, minutes: int) -> None:
        self.fleet.wall += minutes * 60
        if self.fleet.wall >= self.state.budget.resets_at:
            self.begin_period()
        while (due := next_alert(self.state, self.fleet.settings, self.fleet.now)) is not None:
            self.fleet.apply(due)
        self.fleet.reconcile()

    def begin_period(self) -> None:
        """Live workers have used some of what they hold, and the old period is charged for it."""
        used = {
            ident: self.state.workers[ident].reserved // 3 + number
            for number, ident in enumerate(self.state.live)
        }
        events = budget.reset(self.state, self.fleet.settings, self.fleet.wall, used)
        self.fleet.apply(Entry("coordinator-master", "a new period", events))
        self.earlier = set(self.in_status(*TERMINAL_WORKER))

    @rule(changed=SETTINGS)
    def configure(self, changed: dict[str, Any]) -> None:
        new = Settings.model_validate(changed)
        funds = {
            name: (fund.configured, fund.configured_share)
            for name, fund in self.state.budget.masters.items()
        }
        try:
            events = budget.configure(self.state, new, funds, self.fleet.wall)
        except RequestError as refused:
            assert refused.field
            return
        self.fleet.settings = new
        if events:
            self.fleet.apply(Entry("person", "cortex.toml changed", events))
        self.fleet.reconcile()

    @rule()
    def admit_all(self) -> None:
        while any(worker.status == "requested" for worker in self.waiting_for_admission()):
            before = len(self.fleet.lines)
            self.admit(1)
            if len(self.fleet.lines) == before:
                break
        self.fleet.admit()
        if self.state.paused or self.state.live:
            return
        for worker in self.waiting_for_admission():
            assert not self.fits(worker), "nothing runs, and it could"

    def no_limit_is_passed(self, new: Worker) -> None:
        limits = self.fleet.settings.limits
        live = [self.state.workers[ident] for ident in self.state.live]

        def alike(field: str) -> int:
            return sum(getattr(worker, field) == getattr(new, field) for worker in live)

        most = limits.agents if new.lane == "agent" else limits.tools or self.fleet.cores
        assert alike("lane") <= most
        assert new.repository is None or alike("repository") <= (limits.per_repository or 1000)
        assert alike("worker_type") <= limits.per_type.get(new.worker_type, 1000)
        master = new.master.removesuffix("-master")
        assert alike("master") <= limits.per_master.get(master, 1000)
        of_task = [worker for worker in live if worker.task_id == new.task_id]
        assert len(of_task) <= (new.max_parallel or 1000)
        if new.lane == "agent" and new.priority != "critical":
            agents = [worker for worker in of_task if worker.lane == "agent"]
            assert len(agents) <= limits.agents_per_task

    def waiting_for_admission(self) -> list[Worker]:
        workers = [self.state.workers[ident] for ident in self.state.waiting]
        tasks = self.state.tasks
        going = ("in_progress", "planning")
        return [worker for worker in workers if tasks[worker.task_id].status in going]

    def fits(self, worker: Worker) -> bool:
        if not worker.fund.startswith("master:"):
            return needed_tokens(worker) <= self.state.budget.pool_available
        fund = self.state.budget.masters[worker.fund.removeprefix("master:")]
        return needed_tokens(worker) <= fund.allocated - fund.used - fund.reserved

    # --- what always holds

    @invariant()
    def the_laws_hold(self) -> None:
        self.at_most_one_worker_is_at_a_step()
        self.what_ended_stays_as_it_ended()
        self.no_id_is_ever_given_twice()
        self.only_live_workers_hold_tokens()
        self.critical_work_alone_is_paid_by_the_reserve()
        self.openings_are_what_the_reserve_pays()
        self.nobody_gives_way_twice_or_to_its_like()
        self.every_open_task_says_what_it_waits_for()
        self.every_waiting_worker_says_what_it_waits_for()
        self.the_published_numbers_are_none_below_zero()
        self.a_checkpoint_is_the_state()

    def in_status(self, *statuses: str) -> list[str]:
        return [worker.id for worker in self.state.workers.values() if worker.status in statuses]

    def of_status(self, *statuses: str) -> list[str]:
        return [task.id for task in self.state.tasks.values() if task.status in statuses]

    def at_most_one_worker_is_at_a_step(self) -> None:
        for task in self.state.tasks.values():
            at_work: dict[str, str] = {}
            for ident in task.workers:
                worker = self.state.workers[ident]
                if worker.status in LIVE | WAITING_WORKER:
                    assert worker.step not in at_work, (ident, at_work)
                    at_work[worker.step] = ident
            if task.status == "planning":
                assert not task.steps
            if task.status == "in_progress":
                active = {
                    step.name: step.worker_id
                    for step in task.every_step()
                    if step.status == "active"
                }
                assert active == at_work

    def what_ended_stays_as_it_ended(self) -> None:
        for worker in self.state.workers.values():
            if worker.status in TERMINAL_WORKER:
                assert self.ended.setdefault(worker.id, worker.status) == worker.status
        for task in self.state.tasks.values():
            run, status = self.runs.get(task.id, (task.run, ""))
            assert task.run >= run
            if task.run == run and status in TERMINAL_TASK:
                assert task.status == status, "an ended task changes only with a new run"
            self.runs[task.id] = (task.run, task.status)

    def no_id_is_ever_given_twice(self) -> None:
        lines = self.fleet.lines
        made = []
        for line in lines[len(self.ids) and self.seen_lines :]:
            for event in line.events:
                for name in ("task", "worker", "handoff", "escalation"):
                    if isinstance(event.get(name), dict):
                        made.append(event[name]["id"])
        self.seen_lines = len(lines)
        assert len(set(made)) == len(made)
        assert not self.ids & set(made)
        self.ids |= set(made)

    seen_lines = 0

    def only_live_workers_hold_tokens(self) -> None:
        ledger = self.state.budget
        held = sum(
            worker.reserved - worker.charged
            for worker in self.state.workers.values()
            if worker.status in LIVE
        )
        reserved = sum(fund.reserved for fund in ledger.masters.values())
        assert held == ledger.pool_allocated + ledger.reserve_allocated + reserved
        spent = ledger.pool_spent + ledger.reserve_spent
        spent += sum(fund.used for fund in ledger.masters.values())
        for ident in self.in_status(*TERMINAL_WORKER):
            worker = self.state.workers[ident]
            assert 0 <= worker.tokens_used <= worker.reserved, worker
            if ident not in self.earlier:
                spent -= max(worker.tokens_used - worker.charged, 0)
        assert spent == 0, "what ended workers used this period, and nothing else"

    def critical_work_alone_is_paid_by_the_reserve(self) -> None:
        for worker in self.state.workers.values():
            assert worker.fund != "reserve" or worker.priority == "critical"

    def openings_are_what_the_reserve_pays(self) -> None:
        ledger = self.state.budget
        assert sum(opening.spent for opening in ledger.openings) == ledger.reserve_spent
        held = sum(opening.tokens - opening.spent for opening in ledger.openings)
        assert held == ledger.reserve_allocated
        going_on = [one for one in ledger.openings if one.closed_at is None]
        assert len({one.task_id for one in going_on}) == len(going_on)
        paid = [i for i in self.state.live if self.state.workers[i].fund == "reserve"]
        assert set(paid) <= {ident for one in going_on for ident in one.workers}

    def nobody_gives_way_twice_or_to_its_like(self) -> None:
        lines = self.fleet.lines[self.gave_way_lines :]
        self.gave_way_lines = len(self.fleet.lines)
        for event in (event for line in lines for event in line.events):
            if event["event"] == "worker_preempted":
                assert event["worker_id"] not in self.gave_way
                self.gave_way.add(event["worker_id"])
                assert self.state.workers[event["preempted_by"]].priority == "critical"
                assert self.state.workers[event["worker_id"]].priority != "critical"

    gave_way_lines = 0

    def every_open_task_says_what_it_waits_for(self) -> None:
        for task in self.state.tasks.values():
            if task.status not in TERMINAL_TASK:
                assert self.says_something(task), task

    def says_something(self, task: Task) -> bool:
        if task.status == "pending":
            return task.hold or task.waiting_for is not None
        if task.status == "blocked":
            return bool(task.blocked_on)
        if task.status in ("in_progress", "planning"):
            steps = task.every_step()
            active = [step for step in steps if step.status == "active"]
            later = [step for step in steps if step.status == "ready" and step.not_before]
            return bool(active or later or task.waiting_for)
        return task.status in ("paused", "aggregating")

    def every_waiting_worker_says_what_it_waits_for(self) -> None:
        for ident in self.state.waiting:
            assert waiting_reason(self.state, self.state.workers[ident])

    def the_published_numbers_are_none_below_zero(self) -> None:
        document = budget_document(self.state, {})

        def check(value: Any) -> None:
            if isinstance(value, dict):
                for inner in value.values():
                    check(inner)
            elif isinstance(value, int | float):
                assert value >= 0, document

        check(document)
        for task in list(self.state.tasks.values())[-3:]:
            task_row(task, self.state)

    def a_checkpoint_is_the_state(self) -> None:
        again = State.from_json(self.state.to_json())
        assert again.to_json() == self.state.to_json()
        for index in ("keys", "live", "waiting", "dependents"):
            mine = {k: v for k, v in getattr(self.state, index).items() if v != set()}
            assert getattr(again, index) == mine, index
        assert set(again.ended_tasks) == set(self.state.ended_tasks)

    # --- the end

    def teardown(self) -> None:
        self.replay_is_the_state()
        self.all_comes_to_an_end()
        self.replay_is_the_state()

    def replay_is_the_state(self) -> None:
        assert self.fleet.replayed().to_json() == self.state.to_json()

    def all_comes_to_an_end(self) -> None:
        """With money, time and workers that succeed, nothing is left open without a reason."""
        fleet = self.fleet
        fleet.settings = Settings()
        self.request(kind="resume")
        for ident in self.of_status("paused"):
            self.request(kind="resume", task_id=ident)
        for task in list(self.state.tasks.values()):
            if task.hold and task.status == "pending":
                self.request(kind="resume", task_id=task.id)
        self.request(kind="budget", total_budget=10**8)
        for _ in range(200):
            fleet.wall += 86_400
            self.begin_period()
            fleet.reconcile()
            fleet.admit()
            for ident in self.in_status("spawning"):
                fleet.end(ident, 0, never_started=True)
            for ident in self.in_status("approved", "running", "ending"):
                fleet.finish(ident)
            for ident in self.of_status("aggregating"):
                fleet.gather(self.state.tasks[ident])
            if not self.in_status(*LIVE, *WAITING_WORKER) and not self.of_status(
                "in_progress", "aggregating", "assigned", "planning"
            ):
                break
        for task in self.state.tasks.values():
            if task.status not in TERMINAL_TASK:
                assert task.blocked_on or task.waiting_for or self.is_too_large(task), task

    def is_too_large(self, task: Task) -> bool:
        """Direct work has its master's tokens alone, and these need not be enough."""
        name = (task.assigned_to or "").removesuffix("-master")
        most = self.state.budget.masters[name].allocated
        return task.execution_mode == "direct" and any(
            (step.token_budget or 0) > most for step in task.steps
        )


Deciding.TestCase.settings = settings(
    max_examples=200,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestDeciding = Deciding.TestCase
