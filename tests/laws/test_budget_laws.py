"""Laws of the budget: a pool that is always short, whoever gives way, opens, answers or resets.

The machine has few rules, so that all of them meet often. After every single line the books hold to
their equations, no fund is below zero, and the openings are what the reserve pays; at the end the
journal alone makes the same state.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.unit.decide.fleet import Fleet
from tests.unit.deciding import builtin_catalog

from cortex.decide import budget
from cortex.decide.alerts import next_alert
from cortex.decide.entry import Entry
from cortex.decide.project import budget_document
from cortex.model.errors import RequestError
from cortex.model.settings import Settings

CATALOG = builtin_catalog()
#: The default day's pool and masters are left as they are; work is as large as they are small.
SETTINGS = st.fixed_dictionaries(
    {
        "budget": st.fixed_dictionaries(
            {
                "reallocate_steps": st.sampled_from([0, 1, 3]),
                "reserve_needs_approval": st.booleans(),
                "period": st.sampled_from(["daily", "weekly"]),
            }
        ),
        "limits": st.fixed_dictionaries({"tools": st.sampled_from([2, 4, 50])}),
        "workers": st.just({"backoff": 0.0}),
    }
)
TOKENS = st.sampled_from([100, 3_000, 8_000, 20_000, 30_000])
PRIORITY = st.sampled_from(["low", "medium", "high", "critical", "critical"])
KIND = st.sampled_from(["command", "fix"])
MODE = st.sampled_from(["workers", "workers", "workers", "direct"])


class Books(Fleet):
    """A fleet that looks at its books after every line."""

    def __init__(self, changed: Settings) -> None:
        self.gave_way: set[str] = set()
        super().__init__(changed, catalog=CATALOG)

    def apply(self, entry: Entry) -> None:
        super().apply(entry)
        self._openings()
        self._gave_way(entry)

    def _openings(self) -> None:
        ledger, workers = self.state.budget, self.state.workers
        assert sum(opening.spent for opening in ledger.openings) == ledger.reserve_spent
        held = sum(opening.tokens - opening.spent for opening in ledger.openings)
        assert held == ledger.reserve_allocated
        going_on = [one for one in ledger.openings if one.closed_at is None]
        assert len({one.task_id for one in going_on}) == len(going_on), "one a task at a time"
        paid = {ident for ident in self.state.live if workers[ident].fund == "reserve"}
        assert paid <= {ident for one in going_on for ident in one.workers}
        if self.settings.budget.reserve_needs_approval:
            assert all(one.approval_id is not None for one in ledger.openings)

    def _gave_way(self, entry: Entry) -> None:
        """Once in a life, to critical work that starts in the same line, and with nothing kept."""
        started = [e["worker_id"] for e in entry.events if e["event"] == "worker_approved"]
        for event in entry.events:
            if event["event"] != "worker_preempted":
                continue
            worker = self.state.workers[event["worker_id"]]
            assert worker.id not in self.gave_way
            self.gave_way.add(worker.id)
            assert (worker.status, worker.reserved) == ("queued", 0)
            assert worker.priority != "critical"
            assert started == [event["preempted_by"]]
            assert self.state.workers[started[0]].priority == "critical"


class Money(RuleBasedStateMachine):
    """Work that a small pool cannot pay, and everything that moves tokens."""

    fleet: Books

    @initialize(changed=SETTINGS)
    def begin(self, changed: dict[str, Any]) -> None:
        self.fleet = Books(Settings.model_validate(changed))
        self.drop_one(45_000, "high", "workers", "command")
        self.fleet.admit()
        self.fleet.run(self.fleet.state.workers[self.of("approved")[0]])

    def chosen(self, data: st.DataObject, *statuses: str) -> str:
        return data.draw(st.sampled_from(self.of(*statuses)))

    def of(self, *statuses: str) -> list[str]:
        return [w.id for w in self.fleet.state.workers.values() if w.status in statuses]

    def request(self, **payload: Any) -> None:
        try:
            self.fleet.drop(payload)
        except RequestError as refused:
            assert refused.message

    @rule(rows=st.lists(st.tuples(TOKENS, PRIORITY, MODE, KIND), min_size=1, max_size=4))
    def drop(self, rows: list[tuple[int, str, str, str]]) -> None:
        for row in rows:
            self.drop_one(*row)
            self.fleet.admit()

    def drop_one(self, tokens: int, priority: str, mode: str, kind: str) -> None:
        self.request(
            type=kind, command="x", token_budget=tokens, priority=priority, execution_mode=mode
        )

    @precondition(lambda self: self.of("approved"))
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        self.fleet.run(self.fleet.state.workers[self.chosen(data, "approved")])

    @precondition(lambda self: self.of("running"))
    @rule(data=st.data(), part=st.sampled_from([0.0, 0.3, 1.0]), code=st.sampled_from([0, 1]))
    def end(self, data: st.DataObject, part: float, code: int) -> None:
        ident = self.chosen(data, "running")
        self.fleet.end(ident, int(self.fleet.state.workers[ident].reserved * part), code=code)
        self.fleet.reconcile()
        self.fleet.admit()

    @precondition(lambda self: self.of("approved"))
    @rule(data=st.data())
    def not_started(self, data: st.DataObject) -> None:
        """The machine is short of something: back to the queue, as `control.workers` does."""
        ident = self.chosen(data, "approved")
        self.fleet.run(self.fleet.state.workers[ident])
        self.fleet.end(ident, 0, spawn_error="no such program")
        self.fleet.reconcile()

    @precondition(lambda self: self.fleet.state.approvals)
    @rule(data=st.data(), kind=st.sampled_from(["approve", "approve", "deny"]))
    def answer(self, data: st.DataObject, kind: str) -> None:
        ident = data.draw(st.sampled_from(list(self.fleet.state.approvals)))
        self.request(kind=kind, approval_id=ident)
        self.fleet.admit()

    @rule(data=st.data())
    @precondition(lambda self: self.fleet.state.tasks)
    def cancel(self, data: st.DataObject) -> None:
        ident = data.draw(st.sampled_from(list(self.fleet.state.tasks)))
        self.request(kind="cancel", task_id=ident)
        self.fleet.admit()

    @rule(
        rows=st.lists(st.tuples(TOKENS, PRIORITY, MODE, KIND), min_size=1, max_size=2),
        total=st.sampled_from([140_000, 180_000, 200_000, 215_000]),
    )
    def set_total(self, rows: list[tuple[int, str, str, str]], total: int) -> None:
        self.drop(rows)
        self.request(kind="budget", total_budget=total)
        self.fleet.admit()

    @rule(minutes=st.sampled_from([1, 40, 1_500]), part=st.sampled_from([0.0, 0.4, 1.0]))
    def time_passes(self, minutes: int, part: float) -> None:
        fleet = self.fleet
        fleet.wall += minutes * 60
        if budget.is_over(fleet.state.budget, fleet.wall):
            workers = fleet.state.workers
            used = {ident: int(workers[ident].reserved * part) for ident in fleet.state.live}
            events = budget.reset(fleet.state, fleet.settings, fleet.wall, used)
            fleet.apply(Entry("coordinator-master", "a new period", events))
        while (due := next_alert(fleet.state, fleet.settings, fleet.now)) is not None:
            fleet.apply(due)
        fleet.reconcile()
        fleet.admit()

    def teardown(self) -> None:
        if not hasattr(self, "fleet"):
            return
        fleet = self.fleet
        assert fleet.replayed().to_json() == fleet.state.to_json()
        _none_below_zero(budget_document(fleet.state, {}))
        while live := self.of("approved", "running", "ending"):
            fleet.end(live[0], 0)
            fleet.admit()
        assert all(opening.closed_at is not None for opening in fleet.state.budget.openings)


def _none_below_zero(value: Any) -> None:
    if isinstance(value, dict):
        for inner in value.values():
            _none_below_zero(inner)
    elif isinstance(value, list):
        for inner in value:
            _none_below_zero(inner)
    elif isinstance(value, int | float):
        assert value >= 0


Money.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestMoney = Money.TestCase
