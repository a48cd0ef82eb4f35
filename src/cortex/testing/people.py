"""What people do to a home in the simulation: good drops, bad ones, verbs, half-written files.

Every file that was dropped whole is remembered with its bytes, so that the checks can ask what
became of it. Hand edits are `editors`. Chance comes from the seed alone.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cortex.model.paths import HomePaths
from cortex.store.drop import quoted, short_name
from cortex.testing.answers import any_answer, change_something
from cortex.testing.disk import FakeDisk
from cortex.testing.disk_files import File
from cortex.testing.drops import (
    GARBAGE,
    any_name,
    any_plan,
    any_schedule,
    any_task,
    any_worker_request,
    encoded,
)

__all__ = ["Dropped", "People"]


@dataclass(frozen=True, slots=True)
class Dropped:
    """One file that somebody dropped whole. `data` None: what has no bytes, a symlink say.
    Careless ones were not synced."""

    name: str
    data: bytes | None
    careless: bool = False


@dataclass(slots=True)
class _Unfinished:
    """A file that is being written slowly."""

    name: str
    file: File
    first: bytes
    second: bytes


@dataclass(slots=True)
class People:
    """Those who use a home. `dropped` is all that they ever dropped whole."""

    disk: FakeDisk
    paths: HomePaths
    random: random.Random
    dropped: list[Dropped] = field(default_factory=list)
    task_ids: list[str] = field(default_factory=list)
    unfinished: list[_Unfinished] = field(default_factory=list)
    #: Names whose files may count once too often, or may be torn: they were never synced.
    uncertain: set[str] = field(default_factory=set)
    #: Counts everything that changes what must be found on the disk.
    changes: int = 0
    _count: int = 0

    def act(self) -> str:
        """Somebody drops something; in words."""
        if self.unfinished and self.random.random() < 0.5:
            return self.finish()
        kinds: tuple[tuple[Callable[[], str], int], ...] = (
            (self._drop_task, 26),
            (self._drop_plan, 12),
            (self._drop_many, 5),
            (self._drop_garbage, 5),
            (self._drop_verb, 12),
            (self._answer_handoff, 2),
            (self._drop_budget, 2),
            (self._drop_drain, 1),
            (self._drop_schedule, 2),
            (self._drop_worker_request, 4),
            (self._answer_approval, 5),
            (self._drop_edit, 4),
            (self._drop_slowly, 4),
            (self._drop_carelessly, 3),
            (self._drop_again, 2),
            (self._drop_oddity, 1),
        )
        actions = [action for action, _ in kinds]
        return self.random.choices(actions, [weight for _, weight in kinds])[0]()

    def finish(self) -> str:
        """A file that was opened slowly gets its second half."""
        half = self.unfinished.pop(0)
        self.disk.finish_slowly(half.file, half.second)
        self._remember(Dropped(half.name, half.first + half.second))
        return f"{half.name} is written to its end"

    def power_lost(self, receipts: set[str]) -> None:
        """What was not yet written to its end, or not synced, was never dropped; `receipts` are
        the names that the journal has."""
        self.changes += 1
        self.unfinished.clear()
        self.dropped = [
            drop
            for drop in self.dropped
            if not drop.careless or quoted(short_name(drop.name)) in receipts
        ]

    def ask(self, **payload: Any) -> str:
        """Drops one request, plainly."""
        return self._drop(json.dumps(payload).encode(), self._new_name(".json"))

    # --- kinds

    def _drop_task(self) -> str:
        payload = any_task(self.random, self._count, self.task_ids)
        if self.random.random() < 0.4:
            payload["id"] = self._new_id()
        return self._drop_encoded(payload)

    def _drop_plan(self) -> str:
        return self._drop_encoded({"id": self._new_id(), **any_plan(self.random)})

    def _drop_many(self) -> str:
        count = self.random.randint(2, 4)
        tasks = [any_task(self.random, self._count, self.task_ids) for _ in range(count)]
        lines = "\n".join(json.dumps(task) for task in tasks)
        return self._drop(lines.encode(), self._new_name(".jsonl"))

    def _drop_garbage(self) -> str:
        ending = self.random.choice((".json", ".json", ".json", ".yaml", ".jsonl", ".txt", ""))
        return self._drop(self.random.choice(GARBAGE), self._new_name(ending))

    def _drop_verb(self) -> str:
        kind = self.random.choice(("cancel", "cancel", "retry", "retry", "pause", "resume"))
        if kind in ("pause", "resume") and self.random.random() < 0.3:
            return self._drop_encoded({"kind": kind})
        schedules = self.published(self.paths.schedules, "scheduled_workers")
        if schedules and kind != "retry" and self.random.random() < 0.3:
            return self._drop_encoded({"kind": kind, "schedule_id": self.random.choice(schedules)})
        known = [*self.task_ids, *self.published(self.paths.task_queue, "tasks"), "task-001"]
        request: dict[str, Any] = {"kind": kind, "task_id": self.random.choice(known)}
        if kind == "cancel" and self.random.random() < 0.5:
            request["cascade"] = True
        return self._drop_encoded(request)

    def _answer_handoff(self) -> str:
        known = [*self.published(self.paths.handoffs, "handoffs", "handoff_id"), "handoff-001"]
        status = self.random.choice(("accepted", "rejected"))
        return self._drop_encoded(
            {"kind": "handoff", "handoff_id": self.random.choice(known), "status": status}
        )

    def _drop_budget(self) -> str:
        total = self.random.choice((0, 1000, 150_000, 300_000))
        return self._drop_encoded({"kind": "budget", "total_budget": total})

    def _drop_drain(self) -> str:
        return self._drop_encoded({"kind": "drain"})

    def _drop_schedule(self) -> str:
        return self._drop_encoded(any_schedule(self.random, self._count))

    def _drop_worker_request(self) -> str:
        known = self.published(self.paths.task_queue, "tasks") or self.task_ids
        asked = [any_worker_request(self.random, self._count, known)]
        if self.random.random() < 0.2:
            asked.append(any_worker_request(self.random, self._count + 1_000_000, known))
            lines = "\n".join(json.dumps(one) for one in asked)
            return self._drop(lines.encode(), self._new_name(".jsonl"))
        return self._drop_encoded(asked[0])

    def _answer_approval(self) -> str:
        """Mostly to what waits for it, as a drop or in an edit that is dropped."""
        document = self._read(self.paths.handoffs)
        found = any_answer(self.random, document)
        if found is None or self.random.random() < 0.2:
            rows = self.random.choice(("approval", "escalation"))
            kind = self.random.choice(("approve", "deny"))
            return self._drop_encoded({"kind": kind, f"{rows}_id": f"{rows}-001"})
        name, ident, status = found
        if name == "handoffs" or self.random.random() < 0.3:
            return self._edit_something("handoffs.json")
        kind = "deny" if status == "denied" else "approve"
        return self._drop_encoded({"kind": kind, f"{name[:-1]}_id": ident})

    def _edit_something(self, name: str) -> str:
        """An edit of another document than the queue, of its rows alone."""
        document = self._read(self.paths.coordination / name)
        asked = change_something(self.random, name, document)
        if asked is None:
            return self._drop_task()
        head = {"kind": "edit", "file": name, "journal_seq": document.get("journal_seq", 0)}
        return self._drop_encoded({**head, **asked})

    def _drop_edit(self) -> str:
        """An edit as a program makes it: rows cut down to what changes, of an old version too."""
        if self.random.random() < 0.2:
            return self._edit_something(self.random.choice(("token-budget.json", "schedules.json")))
        try:
            document = self._read(self.paths.task_queue)
            known = [row["id"] for row in document["tasks"]]
            seq = document["journal_seq"] - self.random.choice((0, 0, 1, 7))
        except (KeyError, TypeError):
            known, seq = [], 0
        changes: tuple[dict[str, Any], ...] = (
            {"title": f"changed {self._count}"},
            {"priority": self.random.choice(("low", "critical")), "hold": False},
            {"status": self.random.choice(("cancelled", "pending", "paused"))},
            {"scope": {"repository": f"/srv/git/{self._count}-0"}},
            {"command": ["changed", str(self._count)]},
            {"steps": []},
        )
        rows = [
            {"id": ident, **self.random.choice(changes)}
            for ident in self.random.sample(known, min(len(known), self.random.randint(0, 2)))
        ]
        if not rows:
            rows = [{"title": f"added {self._count}", "command": ["added"], "timeout": "20s"}]
        head = {"kind": "edit", "file": "task-queue.json", "journal_seq": max(0, seq)}
        return self._drop_encoded({**head, "tasks": rows})

    def _drop_slowly(self) -> str:
        data = json.dumps(any_task(self.random, self._count, self.task_ids)).encode()
        name, half = self._new_name(".json"), len(data) // 2
        file = self.disk.open_slowly(self.paths.inbox / name, data[:half])
        self.unfinished.append(_Unfinished(name, file, data[:half], data[half:]))
        self._doubt(name)
        return f"{name!r} is written half"

    def _drop_carelessly(self) -> str:
        """As `cp` does: no sync at all."""
        data = json.dumps(any_task(self.random, self._count, self.task_ids)).encode()
        name = self._new_name(".json")
        self.disk.put(self.paths.inbox / name, data, synced=False)
        self._doubt(name)
        self._remember(Dropped(name, data, careless=True))
        return f"{name!r} is copied: {data.decode()}"

    def _drop_again(self) -> str:
        """The same bytes once more, under another name."""
        if not self.dropped:
            return self._drop_task()
        drop = self.random.choice(self.dropped)
        dot = drop.name.rfind(".")
        return self._drop(drop.data or b"", self._new_name(drop.name[dot:] if dot > 0 else ""))

    def _drop_oddity(self) -> str:
        kind = self.random.choice(("symlink", "fifo", "socket"))
        name = self._new_name(".json")
        self.disk.put_oddity(self.paths.inbox / name, kind)  # type: ignore[arg-type]
        self._remember(Dropped(name, None))
        return f"{name!r} is a {kind}"

    # --- dropping

    def published(self, path: Any, rows: str, key: str = "id") -> list[str]:
        """The ids that a published document shows."""
        try:
            return [row[key] for row in self._read(path)[rows]]
        except (KeyError, TypeError):
            return []

    def _read(self, path: Any) -> dict[str, Any]:
        """A published document; empty where it cannot be read."""
        try:
            document = json.loads(self.disk.content(path) or b"{}")
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}

    def _new_id(self) -> str:
        if self.task_ids and self.random.random() < 0.1:
            return self.random.choice(self.task_ids)
        ident = f"job-{self._count}"
        self.task_ids.append(ident)
        return ident

    def _new_name(self, ending: str) -> str:
        self._count += 1
        return any_name(self.random, self._count, ending)

    def _drop_encoded(self, payload: dict[str, Any]) -> str:
        data, ending = encoded(self.random, payload)
        return self._drop(data, self._new_name(ending))

    def _drop(self, data: bytes, name: str) -> str:
        folder = self.paths.inbox
        chance = self.random.random()
        if self.dropped and chance < 0.1:
            name = self._old_name(folder, name)
        elif name.endswith(".json") and chance < 0.2:
            folder = self.paths.coordination
        self.disk.put(folder / name, data)
        self._remember(Dropped(name, data))
        return f"{name!r} is dropped: {data[:300]!r}"

    def _old_name(self, folder: Any, name: str) -> str:
        """A name that was used before, where no file of it waits."""
        old = self.random.choice(self.dropped).name
        taken = self.disk.file_at(folder / old) is not None
        return name if taken or quoted(short_name(old)) in self.uncertain else old

    def _remember(self, drop: Dropped) -> None:
        self.dropped.append(drop)
        self.changes += 1

    def _doubt(self, name: str) -> None:
        self.uncertain.add(quoted(short_name(name)))
        self.changes += 1
