"""The queue of waiting workers keeps to what waits, however much has been and gone."""

from __future__ import annotations

from functools import partial

from cortex.decide.queue import AdmissionQueue
from cortex.model.state import Worker
from tests.unit.decide.fleet import Fleet


def waiting(count: int) -> list[Worker]:
    fleet = Fleet()
    steps = [{"name": f"s{n}", "command": "x", "token_budget": 10} for n in range(count)]
    task = fleet.dropped(title="many", workers=steps)
    return [fleet.state.workers[ident] for ident in task.workers]


def held(queue: AdmissionQueue) -> int:
    """How many entries its heaps hold, whether they wait or not."""
    return sum(map(len, queue._heaps.values()))


def limited(free: set[str], limit: str, ident: str) -> str | None:
    return None if ident in free else limit


def test_what_passes_a_worker_that_waits_long_leaves_nothing_behind() -> None:
    first, *others = waiting(30)
    queue = AdmissionQueue(1800.0)
    queue.push(first, 0.0)
    for number in range(1_000):
        passing = others[number % len(others)]
        queue.push(passing, 0.0)
        assert queue.following(first.id, 16) == [passing.id]
        queue.discard(passing.id)
    assert held(queue) < 300


def test_workers_that_two_limits_hold_in_turn_are_in_each_row_once() -> None:
    first, second, *others = waiting(30)
    queue = AdmissionQueue(1800.0)
    queue.push(first, 0.0)
    for worker in others:
        queue.push(worker, 0.0)
    free = {first.id, second.id}
    for number in range(20):
        full, has_room = ("a", "b") if number % 2 else ("b", "a")
        queue.following(first.id, 16, partial(limited, free, full))
        for _, heads in queue.in_order(lambda source: bool(source.limit)):
            for ident in heads:
                queue.set_aside(ident, partial(limited, set(), full))
                queue.following(ident, 16, partial(limited, set(), has_room))
    assert held(queue) < 2 * len(queue) + 10


def test_a_deadline_that_is_put_off_moves_a_worker_back_in_its_row() -> None:
    hurried, other = waiting(2)
    queue = AdmissionQueue(1800.0)
    hurried.deadline = "1970-01-01T01:00:00Z"
    for worker in (hurried, other):
        queue.push(worker, 0.0)
    hurried.deadline = "2030-01-01T00:00:00Z"
    queue.push(hurried, 0.0)
    ((_, heads),) = queue.in_order(lambda source: True)
    assert heads == [other.id]
    assert queue.following(other.id, 16) == [hurried.id]
