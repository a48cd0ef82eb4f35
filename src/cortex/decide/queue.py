"""The order in which waiting workers are looked at: priority, aging, deadline, age.

Workers wait in small heaps by (level, master, lane, fund). One that a narrow limit holds back (its
task, type, master or repository is at its maximum) is set aside under that limit and looked at
again only when the limit has room, so that a long queue behind one limit costs nothing. The queue
is derived from the state and holds no truth; a stale entry is dropped when it comes up.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from cortex.decide.ledger import needed_tokens
from cortex.model.ids import PRIORITIES
from cortex.model.state import Worker
from cortex.model.times import parse_time

__all__ = ["AdmissionQueue", "Source", "paying_fund"]

#: Aging lifts up to `high`: only people make work critical.
_HIGHEST_BY_AGE = PRIORITIES.index("high")
#: Work without a deadline counts as due so long after it was asked for: nothing starves.
_DUE_AFTER_S = 86_400.0
#: Entries and rises of workers that wait no more, kept before they are dropped.
_STALE = 200


#: When it is due, what came first, the worker, and the tokens that it needs.
_Entry = tuple[float, int, str, int]


def paying_fund(worker: Worker) -> str:
    """Whose tokens a waiting worker waits for: `pool`, or its master's own (`master:NAME`)."""
    return worker.fund if worker.fund.startswith("master:") else "pool"


@dataclass(frozen=True, slots=True)
class Source:
    """Where an entry waits: its level, master, lane and fund, and the limit it is set aside for."""

    level: int
    master: str
    lane: str
    fund: str
    limit: str = ""


@dataclass(slots=True)
class AdmissionQueue:
    """Waiting workers in the order of S4: highest level, earliest deadline, first come."""

    aging_s: float
    _heaps: dict[Source, list[_Entry]] = field(default_factory=dict)
    _where: dict[str, Source] = field(default_factory=dict)
    _rank: dict[str, _Entry] = field(default_factory=dict)
    _wishes: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    _rises: list[tuple[float, str, int]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, worker_id: str) -> bool:
        return worker_id in self._where

    def push(self, worker: Worker, now_wall: float) -> None:
        """Takes a waiting worker in; one that waits here already stays where it is, unless its
        priority or deadline is another one now."""
        wish = (worker.priority, worker.deadline)
        if worker.id in self._where:
            if self._wishes[worker.id] == wish:
                return
            self.discard(worker.id)
        self._wishes[worker.id] = wish
        wanted = worker.queued_wall + _DUE_AFTER_S
        if worker.deadline is not None:
            wanted = parse_time(worker.deadline)
        needed = needed_tokens(worker) if worker.uses_tokens else 0
        self._rank[worker.id] = (wanted, worker.order, worker.id, needed)
        base = PRIORITIES.index(worker.priority)
        risen = max(0, int((now_wall - worker.queued_wall) // self.aging_s))
        level = base if base > _HIGHEST_BY_AGE else min(_HIGHEST_BY_AGE, base + risen)
        self._put(worker.id, Source(level, worker.master, worker.lane, paying_fund(worker)))
        if level < _HIGHEST_BY_AGE:
            due = worker.queued_wall + (level - base + 1) * self.aging_s
            heapq.heappush(self._rises, (due, worker.id, level + 1))
            if len(self._rises) > 2 * len(self._where) + _STALE:
                self._drop_stale_rises()

    def _drop_stale_rises(self) -> None:
        """Most workers start long before they would rise; a busy fleet makes a heap of those."""
        self._rises = [rise for rise in self._rises if rise[1] in self._where]
        heapq.heapify(self._rises)

    def _put(self, worker_id: str, source: Source) -> None:
        self._where[worker_id] = source
        heapq.heappush(self._heaps.setdefault(source, []), self._rank[worker_id])

    def discard(self, worker_id: str) -> None:
        """Forgets a worker that waits no more."""
        self._where.pop(worker_id, None)
        self._rank.pop(worker_id, None)
        self._wishes.pop(worker_id, None)

    def set_aside(self, worker_id: str, limit_of: Callable[[str], str | None]) -> bool:
        """Lets the first of a source wait for room under the limit that holds it, if one does.

        Those behind it that a limit holds go with it, so that a long run of them costs one pass.
        """
        source = self._where[worker_id]
        moved = False
        while self._trim(source):
            head = self._heaps[source][0][2]
            limit = limit_of(head)
            if limit is None or limit == source.limit:
                break
            self._put(head, replace(source, limit=limit))
            moved = True
        return moved

    def age(self, now_wall: float) -> None:
        """Lifts every worker whose time has come by one level.

        A rise names the level it leads to: one that waited here before has left its old rises.
        """
        while self._rises and self._rises[0][0] <= now_wall:
            due, worker_id, level = heapq.heappop(self._rises)
            source = self._where.get(worker_id)
            if source is None or source.level >= level:
                continue
            self._put(worker_id, replace(source, level=level))
            if level < _HIGHEST_BY_AGE:
                heapq.heappush(self._rises, (due + self.aging_s, worker_id, level + 1))

    def next_rise(self) -> float | None:
        """Wall time at which the next worker is lifted."""
        return self._rises[0][0] if self._rises else None

    def in_order(self, open_to: Callable[[Source], bool]) -> Iterator[tuple[int, list[str]]]:
        """(level, worker ids) from the highest level down.

        Each list holds the first of every source that `open_to` lets pass, best first. The caller
        may change the queue between two steps; asking again then starts over.
        """
        levels: dict[int, list[_Entry]] = {}
        for source in list(self._heaps):
            if self._trim(source) and open_to(source):
                levels.setdefault(source.level, []).append(self._heaps[source][0])
        for level in sorted(levels, reverse=True):
            yield level, [entry[2] for entry in sorted(levels[level])]

    def following(
        self,
        worker_id: str,
        count: int,
        limit_of: Callable[[str], str | None] = lambda _: None,
        at_most: int | None = None,
    ) -> list[str]:
        """Up to `count` workers that wait behind this one in its own heap, best first; those that
        need `at_most` so many tokens, if that is given.

        Those that a limit holds are set aside for it on the way, so that they hide nobody.
        """
        source = self._where[worker_id]
        heap: Iterable[_Entry] = self._heaps[source]
        if at_most is not None:
            heap = (entry for entry in heap if entry[3] <= at_most)
        # Only those that wait: what has left the queue lies in its heap until it comes up.
        waiting = [entry for entry in heap if self._waits_in(source, entry)]
        stale = len(self._heaps[source]) - len(waiting) if at_most is None else 0
        moved = False
        found: list[str] = []
        for entry in self._in_turn(waiting, count + 1):
            if entry[2] == worker_id:
                continue
            limit = limit_of(entry[2])
            if limit is None:
                found.append(entry[2])
            elif limit != source.limit:
                self._put(entry[2], replace(source, limit=limit))
                moved = True
            if len(found) == count:
                break
        if moved or stale > len(waiting) + _STALE:
            self._drop_stale(source)
        return found

    def _drop_stale(self, source: Source) -> None:
        """Behind a head that waits long, what passes it would make a heap of stale entries."""
        left = [entry for entry in self._heaps[source] if self._waits_in(source, entry)]
        heapq.heapify(left)
        self._heaps[source] = left

    def _waits_in(self, source: Source, entry: _Entry) -> bool:
        """Whether an entry of a source's heap is not stale: its worker waits there, as due."""
        return self._where.get(entry[2]) == source and self._rank[entry[2]] is entry

    @staticmethod
    def _in_turn(entries: list[_Entry], first: int) -> Iterator[_Entry]:
        """The entries, best first; of many no more than `first` are sorted unless more are asked
        for."""
        yield from heapq.nsmallest(first, entries)
        if len(entries) > first:
            yield from sorted(entries)[first:]

    def _trim(self, source: Source) -> bool:
        """Drops stale heads; False when the source is empty, and then it is forgotten."""
        heap = self._heaps[source]
        while heap and not self._waits_in(source, heap[0]):
            heapq.heappop(heap)
        if not heap:
            del self._heaps[source]
        return bool(heap)
