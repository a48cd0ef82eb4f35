"""What people do to a home in the simulation: good drops, bad ones, verbs, half-written files.

Every file that was dropped whole is remembered with its bytes, so that the checks can ask what
became of it. Chance comes from the seed alone.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

from cortex.model.paths import DOCUMENT_NAMES, HomePaths
from cortex.testing.disk import FakeDisk

__all__ = ["Dropped", "People"]

_PRIORITIES = ("low", "medium", "medium", "high", "critical")
_GARBAGE = (b"", b"{", b"[1, 2]", b'{"title": "x",}', b"\xff\xfe{}", b'{"kind": "dance"}',
            b'{"title": "a", "retries": -1}', b'{"title": "a", "needs": ["nobody"]}')  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dropped:
    """One file that somebody dropped, whole and durable."""

    name: str
    data: bytes


@dataclass(slots=True)
class People:
    """Those who use a home. `dropped` is all that they ever dropped whole."""

    disk: FakeDisk
    paths: HomePaths
    random: random.Random
    dropped: list[Dropped] = field(default_factory=list)
    task_ids: list[str] = field(default_factory=list)
    #: Dropped half so far: (path, name, first half, second half).
    unfinished: list[tuple[str, str, bytes, bytes]] = field(default_factory=list)
    _count: int = 0

    def act(self) -> str:
        """Somebody does something; in words."""
        if self.unfinished and self.random.random() < 0.5:
            return self.finish()
        kinds = (
            (self._drop_task, 10),
            (self._drop_plan, 4),
            (self._drop_many, 2),
            (self._drop_garbage, 2),
            (self._drop_verb, 6),
            (self._drop_budget, 1),
            (self._drop_slowly, 2),
            (self._edit_document, 1),
        )
        actions = [action for action, _ in kinds]
        return self.random.choices(actions, [weight for _, weight in kinds])[0]()

    def finish(self) -> str:
        """A file that was opened slowly gets its second half."""
        path, name, first, second = self.unfinished.pop(0)
        if self.disk.content(path) is None:
            return f"{name} is gone before its end"
        self.disk.finish_slowly(path, second)
        self.dropped.append(Dropped(name, first + second))
        return f"{name} is written to its end"

    def power_lost(self) -> None:
        """What was not yet written to its end was never dropped."""
        self.unfinished.clear()

    def ask(self, **payload: Any) -> str:
        """Drops one request."""
        return self._drop(json.dumps(payload).encode())

    # --- kinds

    def _task(self) -> dict[str, Any]:
        payload: dict[str, Any] = {
            "title": f"work {self._count}",
            "priority": self.random.choice(_PRIORITIES),
            "retries": self.random.choice((0, 1, 2, 2)),
        }
        if self.random.random() < 0.3:
            payload["type"] = "security-scan"
            count = self.random.randint(1, 3)
            payload["scope"] = {
                "repositories": [f"/srv/git/{self._count}-{n}" for n in range(count)]
            }
        elif self.random.random() < 0.05:
            payload["type"] = "fix"
        else:
            payload["command"] = ["work", str(self._count)]
            payload["timeout"] = self.random.choice(("20s", "5m", "15m"))
            payload["token_budget"] = self.random.choice((0, 500, 4000, 20_000))
        if self.random.random() < 0.4:
            payload["id"] = self._new_id()
        if self.task_ids and self.random.random() < 0.15:
            payload["needs"] = [self.random.choice(self.task_ids)]
        if self.random.random() < 0.1:
            payload["key"] = f"key-{self.random.randint(1, 4)}"
        if self.random.random() < 0.05:
            payload["hold"] = True
        if self.random.random() < 0.1:
            payload["execution_mode"] = "direct"
        return payload

    def _new_id(self) -> str:
        if self.task_ids and self.random.random() < 0.1:
            return self.random.choice(self.task_ids)
        ident = f"job-{self._count}"
        self.task_ids.append(ident)
        return ident

    def _drop_task(self) -> str:
        return self._drop(json.dumps(self._task()).encode())

    def _drop_plan(self) -> str:
        names = [f"s{number}" for number in range(self.random.randint(2, 5))]
        steps = [
            {
                "name": name,
                "command": ["step", name],
                "needs": [other for other in names[:number] if self.random.random() < 0.4],
                "optional": self.random.random() < 0.2,
                "token_budget": self.random.choice((0, 1000, 5000)),
                "timeout": "5m",
            }
            for number, name in enumerate(names)
        ]
        ident = self._new_id()
        return self.ask(id=ident, title="a plan", workers=steps, priority="medium")

    def _drop_many(self) -> str:
        lines = [json.dumps(self._task()) for _ in range(self.random.randint(2, 4))]
        return self._drop("\n".join(lines).encode(), ".jsonl")

    def _drop_garbage(self) -> str:
        return self._drop(self.random.choice(_GARBAGE))

    def _drop_verb(self) -> str:
        kind = self.random.choice(("cancel", "cancel", "retry", "retry", "pause", "resume"))
        known = [*self.task_ids, *(f"task-{n:03d}" for n in range(1, 4))]
        if kind in ("pause", "resume") and self.random.random() < 0.3:
            return self.ask(kind=kind)
        return self.ask(kind=kind, task_id=self.random.choice(known))

    def _drop_budget(self) -> str:
        return self.ask(kind="budget", total_budget=self.random.choice((1000, 150_000, 300_000)))

    def _drop_slowly(self) -> str:
        data = json.dumps(self._task()).encode()
        name = self._new_name(".json")
        path = f"{self.paths.inbox}/{name}"
        half = len(data) // 2
        self.disk.open_slowly(path, data[:half])
        self.unfinished.append((path, name, data[:half], data[half:]))
        return f"{name} is written half"

    def _edit_document(self) -> str:
        name = self.random.choice(DOCUMENT_NAMES)
        path = self.paths.coordination / name
        if self.disk.content(path) is None:
            return f"nobody finds {name}"
        if self.random.random() < 0.3:
            self.disk.delete(path)
            return f"{name} is deleted"
        self.disk.put(path, self.random.choice((b"", b"{}", b'{"tasks": []}')))
        return f"{name} is edited"

    # --- dropping

    def _new_name(self, ending: str) -> str:
        self._count += 1
        return f"drop-{self._count}{ending}"

    def _drop(self, data: bytes, ending: str = ".json") -> str:
        name = self._new_name(ending)
        folder = self.paths.inbox
        if self.dropped and self.random.random() < 0.1:
            name = self._old_name(folder, name)
        elif ending == ".json" and self.random.random() < 0.1:
            folder = self.paths.coordination
        self.disk.put(folder / name, data)
        self.dropped.append(Dropped(name, data))
        return f"{name} is dropped: {data.decode('utf-8', 'replace')[:300]}"

    def _old_name(self, folder: Any, name: str) -> str:
        """A name that was used before, where no file of it waits."""
        old = self.random.choice(self.dropped).name
        return name if self.disk.content(folder / old) is not None else old
