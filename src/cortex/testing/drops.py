"""What may be dropped into a home: good requests, bad bytes, odd names. Values only.

Chance comes from the generator that is handed in; who drops what, when and how is `people`.
"""

from __future__ import annotations

import json
import random
from typing import Any

__all__ = [
    "GARBAGE",
    "any_name",
    "any_plan",
    "any_schedule",
    "any_task",
    "any_worker_request",
    "as_yaml",
    "encoded",
]

_PRIORITIES = ("low", "medium", "medium", "high", "critical")

#: Bytes that no reader may take for a request, each for its own reason.
GARBAGE = (
    b"",
    b" \n",
    b"{",
    b"[1, 2]",
    b"3",
    b"null",
    b'{"title": "x",}',
    b'{"title": "x"} {"title": "y"}',
    b'{"title": "x", "title": "y"}',
    b'{"title": "x", "retries": NaN}',
    b'{"title": "x", "retries": 1e999}',
    b'{"title": "x", "token_budget": ' + b"9" * 5000 + b"}",
    b"[" * 3000,
    b"\xff\xfe{\x00}\x00",
    b'{"title": "caf\xe9"}',
    b'{"title": "\\ud800"}',
    b'{"title": "a\\u0000b"}',
    b'{"title": "\x1b[31mred"}',
    b'{"kind": "dance"}',
    b'{"kind": ["task"]}',
    b'{"title": "a", "retries": -1}',
    b'{"title": "a", "timeout": "yesterday"}',
    b'{"title": "a", "needs": ["nobody"]}',
    b'{"title": "a", "scope": {"paths": ["../../etc"]}}',
    b'{"id": "../up", "title": "a"}',
    b'{"kind": "budget", "total_budget": -5}',
    b'{"kind": "cancel"}',
)
_NAMES = ("-rf {}", "job;{}", "naïve {}", "line\nfeed {}", "{}" + "x" * 235, "tab\t{}", "{}..json",
          "{}.json.json", "\udcff{}")  # fmt: skip


def any_task(chance: random.Random, number: int, known: list[str]) -> dict[str, Any]:
    """A good task; `known` are ids that it may need."""
    payload: dict[str, Any] = {
        "title": f"work {number}",
        "priority": chance.choice(_PRIORITIES),
        "retries": chance.choice((0, 1, 2, 2)),
    }
    if chance.random() < 0.3:
        payload["type"] = "security-scan"
        names = _some_repositories(chance, number)
        payload["scope"] = {"repositories": names}
    elif chance.random() < 0.05:
        payload["type"] = chance.choice(("fix", "nightly"))
    elif chance.random() < 0.2:
        payload |= _work_on_code(chance)
    elif chance.random() < 0.15:
        payload["type"] = chance.choice(("general", "general", "feature"))  # a model plans it
        payload["fallback"] = chance.random() < 0.5
    else:
        payload["command"] = ["work", str(number)]
        payload["timeout"] = chance.choice(("20s", "5m", "15m"))
        payload["token_budget"] = chance.choice((0, 500, 4000, 20_000))
        if chance.random() < 0.1:
            payload |= {"items": [f"i{n}" for n in range(chance.randint(1, 9))], "batch": 3}
    if known and chance.random() < 0.15:
        payload["needs"] = [chance.choice(known)]
    return payload | _conditions(chance)


def _conditions(chance: random.Random) -> dict[str, Any]:
    """How a task is to be done, whatever it is."""
    payload: dict[str, Any] = {}
    if chance.random() < 0.1:
        payload["key"] = f"key-{chance.randint(1, 4)}"
    if chance.random() < 0.05:
        payload["hold"] = True
    if chance.random() < 0.1:
        payload["execution_mode"] = "direct"
    if chance.random() < 0.05:
        payload["approval"] = True
    if chance.random() < 0.05:
        payload["deadline"] = "2025-11-01T10:05:00Z"
    return payload


def _some_repositories(chance: random.Random, number: int) -> list[str]:
    """Mostly those that no other task has; else such that earlier findings are known of."""
    if chance.random() < 0.5:
        return ["/srv/git/shop"]
    return [f"/srv/git/{number}-{n}" for n in range(chance.randint(1, 3))]


def _work_on_code(chance: random.Random) -> dict[str, Any]:
    """Work of types that write in a repository that others write in too."""
    scope: dict[str, Any] = {"repository": f"/srv/git/shared-{chance.randint(1, 2)}"}
    kind = chance.choice(("refactor", "refactor", "refactor", "studio", "studio", "feature"))
    if kind == "feature":
        parts = [{"name": "model", "command": "make model"}, {"name": "api", "command": "make api"}]
        return {"type": "feature", "scope": {**scope, "parts": parts}}
    if chance.random() < 0.7:
        scope["paths"] = chance.sample(("src", "src/a", "docs"), chance.randint(1, 2))
    return {"type": kind, "scope": scope}


def any_plan(chance: random.Random) -> dict[str, Any]:
    """A task that brings its own plan of two to five steps."""
    names = [f"s{number}" for number in range(chance.randint(2, 5))]
    steps = [
        {
            "name": name,
            "command": ["step", name],
            "needs": [other for other in names[:number] if chance.random() < 0.4],
            "optional": chance.random() < 0.2,
            "token_budget": chance.choice((0, 1000, 5000)),
            "timeout": "5m",
            "approval": chance.random() < 0.05,
        }
        for number, name in enumerate(names)
    ]
    return {"title": "a plan", "workers": steps, "priority": "medium"}


def any_schedule(chance: random.Random, number: int) -> dict[str, Any]:
    """Work that comes back, often; a second one of its id changes the first."""
    payload: dict[str, Any] = {
        "kind": "schedule",
        "id": f"schedule-{chance.randint(1, 3)}",
        "schedule": chance.choice(("every 1m", "every 5m", "*/5 * * * *", "hourly@05")),
        "overlap": chance.choice(("skip", "allow")),
        "paused": chance.random() < 0.1,
    }
    if chance.random() < 0.5:
        return payload | {"command": ["comes", "back"], "timeout": "5m"}
    repositories = [f"/srv/git/{number}-{n}" for n in range(chance.randint(1, 2))]
    return payload | {"worker_type": "scan-worker", "repositories": repositories}


def any_worker_request(chance: random.Random, number: int, known: list[str]) -> dict[str, Any]:
    """A master asks for a worker, of a task or alone; some are to be refused."""
    payload: dict[str, Any] = {
        "kind": "worker_request",
        "master_agent": chance.choice(("coordinator", "coordinator-master", "security", "nobody")),
        "worker_type": chance.choice(("command", "command", "scan", "sacn")),
        "estimated_tokens": chance.choice((0, 500, 8000, 9000)),
        "justification": f"wish {number}",
    }
    if chance.random() < 0.5:
        payload["priority"] = chance.choice(_PRIORITIES)
    if payload["worker_type"] == "command":
        payload |= {"command": ["wish", str(number)], "timeout": chance.choice(("20s", "5m"))}
    else:
        payload["scope"] = {"repository": f"/srv/git/{number}-0"}
    if known and chance.random() < 0.7:
        payload["task_id"] = chance.choice(known)
    elif chance.random() < 0.5:
        payload["id"] = f"wish-{number}"
    return payload


def encoded(chance: random.Random, payload: dict[str, Any]) -> tuple[bytes, str]:
    """The payload as some program writes it, and the ending of its name: mostly plain JSON."""
    way = chance.random()
    if way < 0.08:
        return as_yaml(payload), chance.choice((".yaml", ".yml"))
    if way < 0.12:
        return b"\xef\xbb\xbf" + json.dumps(payload).encode(), ".json"
    if way < 0.15:
        return json.dumps(payload).encode("utf-16"), ".json"
    if way < 0.2:
        return json.dumps(payload, indent=2, ensure_ascii=False).encode() + b"\r\n", ".json"
    return json.dumps(payload).encode(), ".json"


def as_yaml(payload: dict[str, Any]) -> bytes:
    """YAML that says the same: a field a line, values in flow style."""
    lines = [f"{name}: {json.dumps(value)}" for name, value in payload.items()]
    return "\n".join(lines).encode() + b"\n"


def any_name(chance: random.Random, number: int, ending: str) -> str:
    """A file's name, unique by its number; odd ones now and then."""
    name = f"drop-{number}"
    if chance.random() < 0.05:
        name = chance.choice(_NAMES).format(name)
    return name + ending
