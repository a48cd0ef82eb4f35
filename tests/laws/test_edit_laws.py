"""Laws of hand edits: people with buffers of any age, and a daemon that goes on meanwhile."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.unit.decide.editing import Desk, row_in
from tests.unit.decide.fleet import Fleet
from tests.unit.deciding import World, builtin_catalog

from cortex.decide.edit import Merged, is_same
from cortex.decide.entry import Entry
from cortex.decide.ledger import violations
from cortex.decide.past import document_of
from cortex.model.errors import RequestError
from cortex.model.owners import task_owner
from cortex.model.state import OPEN_TASK, TERMINAL_TASK, State

Row = dict[str, Any]
CATALOG = builtin_catalog()
EDITS = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from(["one", "two"]),
        "priority": st.sampled_from(["low", "high"]),
        "retries": st.integers(0, 1),
        "note": st.sampled_from(["a", {"deep": [1, 2]}]),
    },
)
NUMBERS = st.integers(0, 3)
STATUSES = st.sampled_from(["cancelled", "pending", "paused", "completed", "running"])


def daemons_part(state: State, ident: str) -> Row:
    """What of a task no person's field edit may move."""
    row = next(row for row in document_of(state, "task-queue.json")["tasks"] if row["id"] == ident)
    return {k: v for k, v in row.items() if task_owner(k) in ("daemon", "verb")}


class Edits(RuleBasedStateMachine):
    """Buffers are opened, lie about, are changed and saved while tasks live their lives."""

    def __init__(self) -> None:
        super().__init__()
        self.fleet = Fleet(catalog=CATALOG)
        self.desk = Desk(self.fleet)
        self.buffers: list[Row] = []
        self.count = 0

    @property
    def state(self) -> State:
        return self.fleet.state

    def pick(self, number: int, statuses: frozenset[str]) -> Any:
        found = [task for task in self.state.tasks.values() if task.status in statuses]
        return found[number % len(found)] if found else None

    # --- the daemon goes on

    @rule(hold=st.booleans())
    def drop(self, hold: bool) -> None:
        if sum(task.status in OPEN_TASK for task in self.state.tasks.values()) >= 3:
            return
        self.count += 1
        self.fleet.drop(id=f"job-{self.count}", command="true", token_budget=10, hold=hold)
        self.fleet.reconcile()

    @rule()
    def admit(self) -> None:
        self.fleet.admit()
        self.fleet.reconcile()

    @rule(number=NUMBERS, code=st.sampled_from([0, 1]))
    def end_a_worker(self, number: int, code: int) -> None:
        live = list(self.state.live)
        if live:
            worker = self.state.workers[live[number % len(live)]]
            if worker.status in ("approved", "running"):
                self.fleet.end(worker.id, 1, code=code)
                self.fleet.reconcile()

    @rule(number=NUMBERS)
    def conclude(self, number: int) -> None:
        task = self.pick(number, frozenset({"aggregating"}))
        if task is not None:
            self.fleet.gather(task)
            self.fleet.reconcile()

    @rule(number=NUMBERS, kind=st.sampled_from(["cancel", "pause", "resume", "retry"]))
    def command(self, number: int, kind: str) -> None:
        task = self.pick(number, frozenset(OPEN_TASK | TERMINAL_TASK))
        if task is None:
            return
        try:
            self.fleet.drop(kind=kind, task_id=task.id)
        except RequestError:
            return
        self.fleet.reconcile()

    @rule(number=NUMBERS)
    def archive(self, number: int) -> None:
        task = self.pick(number, TERMINAL_TASK)
        if task is not None and not any(ident in self.state.live for ident in task.workers):
            gone = {"event": "archived", "tasks": [task.id], "workers": list(task.workers)}
            self.fleet.apply(Entry("test", "", [gone]))

    # --- people

    @rule()
    def open(self) -> None:
        self.buffers = [*self.buffers[-4:], self.desk.open()]

    def buffer(self, number: int) -> Row:
        return deepcopy(self.buffers[number % len(self.buffers)])

    @precondition(lambda self: self.buffers)
    @rule(number=NUMBERS)
    def save_unchanged(self, number: int) -> None:
        assert self.desk.look_at(self.buffer(number)) == Merged()

    @precondition(lambda self: self.buffers)
    @rule(number=NUMBERS, which=NUMBERS, fields=EDITS, forge=st.booleans())
    def edit_fields(self, number: int, which: int, fields: Row, forge: bool) -> None:
        buffer = self.buffer(number)
        if not buffer["tasks"]:
            return
        base = buffer["tasks"][which % len(buffer["tasks"])]
        before = deepcopy(base)
        base.update(deepcopy(fields))
        ident = base["id"]
        if forge:
            base["assigned_to"] = "somebody-else"
        own = {task: daemons_part(self.state, task) for task in self.state.tasks}
        values = self.values(ident)
        merged = self.save_twice(buffer)
        assert {task: daemons_part(self.state, task) for task in self.state.tasks} == own, (
            "reverted"
        )
        if ident not in self.state.tasks:
            return
        refused = {refusal.field for refusal in merged.refusals}
        assert forge == ("assigned_to" in refused)
        after = self.values(ident)
        for name, value in after.items():
            yours, old, now = base.get(name), before.get(name), values.get(name)
            if name in refused or yours == old:
                assert value == now, f"{name} moved without being asked"
            elif value != yours:
                # Not taken although it was not refused: then it was no news.
                assert now == value
                assert self.desk.look_at(buffer).events == []

    def values(self, ident: str) -> Row:
        rows = document_of(self.state, "task-queue.json")["tasks"]
        row = next((row for row in rows if row["id"] == ident), {})
        return {k: row.get(k) for k in ("title", "priority", "retries", "note")}

    def save_twice(self, buffer: Row) -> Merged:
        """Once has the effect of twice."""
        merged = self.desk.look_at(buffer)
        if merged.events:
            self.fleet.apply(Entry("person", "", merged.events))
        again = self.desk.look_at(buffer)
        assert again.events == [], again
        return merged

    @precondition(lambda self: self.buffers)
    @rule(number=NUMBERS, which=NUMBERS, status=STATUSES)
    def edit_status(self, number: int, which: int, status: str) -> None:
        buffer = self.buffer(number)
        if not buffer["tasks"]:
            return
        row = buffer["tasks"][which % len(buffer["tasks"])]
        ident, before = row["id"], row["status"]
        row["status"] = status
        task = self.state.tasks.get(ident)
        now = task.status if task else None
        others = {i: t.status for i, t in self.state.tasks.items() if i != ident}
        merged = self.save_twice(buffer)
        assert {i: t.status for i, t in self.state.tasks.items() if i != ident} == others
        if task is None or status == before:
            return
        if task.status not in (now, status):
            assert status == "pending", "only a retry or a resume lead elsewhere"
        if status == "cancelled" and now in OPEN_TASK and not merged.refusals:
            assert task.status == "cancelled" or merged == Merged()
        self.fleet.reconcile()

    @precondition(lambda self: self.buffers)
    @rule(number=NUMBERS, which=NUMBERS)
    def take_a_row_out(self, number: int, which: int) -> None:
        buffer = self.buffer(number)
        if len(buffer["tasks"]) < 2:
            return
        row = buffer["tasks"].pop(which % len(buffer["tasks"]))
        task = self.state.tasks.get(row["id"])
        was_open = task is not None and task.status in OPEN_TASK
        self.save_twice(buffer)
        if task is not None and was_open and row["status"] in OPEN_TASK:
            assert task.status == "cancelled"
        elif task is not None and row["status"] in TERMINAL_TASK:
            assert was_open == (task.status in OPEN_TASK), "an ended row may be taken out"
        self.fleet.reconcile()

    @precondition(lambda self: self.buffers)
    @rule(number=NUMBERS, named=st.booleans(), bad=st.booleans())
    def add_a_row(self, number: int, named: bool, bad: bool) -> None:
        buffer = self.buffer(number)
        self.count += 1
        row: Row = {"title": f"new {self.count}", "command": "true", "token_budget": 10}
        buffer["tasks"].append({**row, "id": f"own-{self.count}"} if named else row)
        if bad:
            buffer["tasks"].append({"title": "bad", "priority": "now!"})
        known = set(self.state.tasks)
        merged = self.save_twice(buffer)
        added = set(self.state.tasks) - known
        assert len(added) == 1, "the good row goes in once, whatever stands beside it"
        assert len(merged.refusals) == int(bad)
        assert self.state.tasks[added.pop()].title == row["title"]
        self.fleet.reconcile()

    @invariant()
    def the_books_balance(self) -> None:
        assert violations(self.state) == []

    @invariant()
    def what_is_published_is_json(self) -> None:
        json.dumps(document_of(self.state, "task-queue.json"))


TestEdits = Edits.TestCase
TestEdits.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)


VALUES: dict[str, list[Any]] = {
    "title": ["a", "b", "c"],
    "priority": ["low", "medium", "high"],
    "deadline": [None, "2025-12-01T00:00:00Z", "2025-12-02T00:00:00Z"],
    "retries": [None, 1, 2],
    "note": [None, "a", {"deep": [1, 2]}],
}
THREE = st.integers(0, 2)


@given(
    field=st.sampled_from(sorted(VALUES)),
    begin=THREE,
    theirs=st.lists(THREE, max_size=4),
    yours=THREE,
    forge=st.booleans(),
)
def test_a_field_of_two_people_ends_as_three_ways_have_it(
    field: str, begin: int, theirs: list[int], yours: int, forge: bool
) -> None:
    values = VALUES[field]
    desk = Desk(World(catalog=CATALOG))
    task = desk.world.task(command="true", token_budget=10, title="a")
    set_field(desk, task.id, field, values[begin])
    buffer = desk.open()
    past = []
    for index in theirs:
        set_field(desk, task.id, field, values[index])
        past.append(index)
    now = past[-1] if past else begin
    row = row_in(buffer, task.id)
    row[field] = values[yours]
    if forge:
        row["created_at"] = "1999-01-01T00:00:00Z"
    merged = desk.save(buffer)
    # What is so already, or was not changed here, asks for nothing; and a wish that had come true
    # and was undone by somebody is not granted a second time without being told of that.
    asks = yours not in (begin, now)
    refused = asks and (now != begin or yours in past)
    wanted = yours if asks and not refused else now
    assert row_in(desk.open(), task.id).get(field) == values[wanted]
    named = {refusal.field for refusal in merged.refusals}
    assert named == ({field} if refused else set()) | ({"created_at"} if forge else set())
    assert desk.look_at(buffer).events == []


def set_field(desk: Desk, ident: str, field: str, value: Any) -> None:
    copy = desk.open()
    row_in(copy, ident)[field] = value
    assert desk.save(copy).refusals == []


@given(
    moves=st.lists(st.sampled_from(["admit", "run", "end", "conclude"]), max_size=6),
    opened=st.integers(0, 6),
    shown=st.integers(0, 6),
)
def test_any_value_that_the_daemon_has_shown_since_is_an_echo_and_no_other(
    moves: list[str], opened: int, shown: int
) -> None:
    """Rows of another version stand in a buffer: nothing is reverted, and what was so only before
    the buffer's version is refused by its field."""
    fleet = Fleet(catalog=CATALOG)
    desk = Desk(fleet)
    fleet.drop(id="job", command="true", token_budget=10)
    fleet.reconcile()
    versions = [desk.open()]
    for move in moves:
        live = list(fleet.state.live)
        if move == "admit":
            fleet.admit()
        elif move == "run" and live and fleet.state.workers[live[0]].status == "approved":
            fleet.run(fleet.state.workers[live[0]])
        elif move == "end" and live:
            fleet.end(live[0], 5)
            fleet.reconcile()
        elif move == "conclude" and fleet.state.tasks["job"].status == "aggregating":
            fleet.gather(fleet.state.tasks["job"])
        versions.append(desk.open())
    opened, shown = opened % len(versions), shown % len(versions)
    buffer = {**deepcopy(versions[shown]), "journal_seq": versions[opened]["journal_seq"]}
    before = document_of(fleet.state, "task-queue.json")
    merged = desk.save(buffer)
    assert document_of(fleet.state, "task-queue.json") == before
    if shown >= opened:
        assert merged == Merged()
        return
    base, old = row_in(versions[opened], "job"), row_in(versions[shown], "job")
    later = [row_in(version, "job") for version in versions[opened:]]
    forged = {
        name
        for name in old.keys() | base.keys()
        if task_owner(name) != "derived"
        and not any(is_same(old.get(name), row.get(name)) for row in later)
    }
    assert {refusal.field for refusal in merged.refusals} == forged
