"""Wrong types, ranges and paths in each field that a drop may have.

Fields and what may stand in them come from the models and their schema, so that a new field or a
new kind of request cannot be forgotten.
"""

from __future__ import annotations

import copy
import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from refusals import Refusals, everything_below

from cortex.model.requests import KINDS, TaskRequest
from cortex.model.schemas import all_schemas
from live_home import LiveHome

Place = tuple[str | int, ...]
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 1.5, 10**30, -(10**30), 1e308, 5e-324),
    *("", " ", "x", "x" * 100_000, "a\nb", "a\x1b[2Jb", "a\u0085b", "1", "true", "NaN", "9" * 30),
    *("999999999w", "9999-99-99T99:99:99Z", "0000-01-01T00:00:00Z", "2026-13-01", "yesterday"),
    *(
        "../../etc/passwd",
        "/etc/passwd",
        "..",
        ".",
        "-rf",
        "\u202e",
        "\U0001f600",
        "${HOME}",
        "`id`",
    ),
    *([], [None], [[]], [True], ["a", "a"], ["a"] * 20_000, {}, {"": None}, {"a": {"a": 1}}),
]
#: One of each kind that breaks no rule; what it names is not there, so that it does nothing.
SAMPLES: dict[str, dict[str, Any]] = {
    "task": {"title": "x", "type": "nobody-takes-it", "hold": True},
    "cancel": {"task_id": "nobody"},
    "retry": {"task_id": "nobody"},
    "pause": {"task_id": "nobody"},
    "resume": {"task_id": "nobody"},
    "approve": {"task_id": "nobody"},
    "deny": {"task_id": "nobody"},
    "drain": {},
    "edit": {"file": "schedules.json", "journal_seq": 0},
    "handoff": {"handoff_id": "handoff-999", "status": "accepted"},
    "budget": {"total_budget": 200_000},
    "schedule": {"schedule": "daily@09:00", "id": "sample", "type": "nobody-takes-it"},
    "worker_request": {
        "master_agent": "security",
        "worker_type": "scan",
        "estimated_tokens": 8000,
        "justification": "a second look",
        "task_id": "nobody",
    },
}
#: What a nested object needs before one of its fields can be wrong.
SEEDS: dict[Place, Any] = {
    ("workers", 0): {"name": "a"},
    ("scope", "parts", 0): {"name": "a"},
    ("workers", 0, "scope", "parts", 0): {"name": "a"},
}


def places(annotation: Any, at: Place = ()) -> Iterator[Place]:
    """Where values stand in what a model reads: fields, items of lists, values of objects."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from places(get_args(annotation)[0], at)
    elif origin in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from places(part, at)
    elif origin is list:
        yield (*at, 0)
        yield from places(get_args(annotation)[0], (*at, 0))
    elif origin is dict:
        yield (*at, "NAME")
        yield from places(get_args(annotation)[1], (*at, "NAME"))
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            yield (*at, name)
            yield from places(field.annotation, (*at, name))


def with_value(kind: str, place: Place, value: Any) -> dict[str, Any]:
    """The sample of a kind with one value in its place."""
    payload: Any = {"kind": kind, **copy.deepcopy(SAMPLES[kind])}
    inside = payload
    for depth, key in enumerate(place[:-1]):
        fresh: Any = [] if isinstance(place[depth + 1], int) else {}
        fresh = copy.deepcopy(SEEDS.get(place[: depth + 1], fresh))
        if isinstance(inside, list):
            inside.append(fresh)
            inside = inside[0]
        else:
            inside = inside.setdefault(str(key), fresh)
    if isinstance(inside, list):
        inside.append(value)
    else:
        inside[str(place[-1])] = value
    return payload  # type: ignore[no-any-return]


def names(field: str | None, place: Place) -> bool:
    """Whether the refusal's field is the one that is wrong, or what holds it, or a part of it."""
    told, meant = (field or "").split("."), [str(part) for part in place]
    return bool(field) and all(a == b for a, b in zip(told, meant, strict=False))


@pytest.fixture
def fire(live: LiveHome) -> Refusals:
    return Refusals(live)


def test_there_is_a_sample_of_every_kind_that_fits_the_schema() -> None:
    assert set(SAMPLES) >= set(KINDS)
    validator = Draft202012Validator(all_schemas()["request.schema.json"])
    for kind in KINDS:
        assert validator.is_valid({"kind": kind, **SAMPLES[kind]}), kind


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_schema_does_not_allow_is_refused_with_the_fields_name(
    fire: Refusals, kind: str
) -> None:
    validator = Draft202012Validator(all_schemas()["request.schema.json"])
    wrong: dict[str, tuple[Place, Any]] = {}
    asked = set()
    for place in dict.fromkeys(places(KINDS[kind])):
        if place == ("kind",):
            continue
        asked.add(place)
        for number, value in enumerate(VALUES):
            payload = with_value(kind, place, value)
            name = f"{'-'.join(str(part) for part in place)}-{number}.json"
            if not validator.is_valid(payload):
                wrong[name] = place, value
                fire.drop_bad(name, json.dumps(payload).encode())
            elif kind != "drain":  # which ends the daemon where it is taken
                fire.drop(name, json.dumps(payload).encode())  # taken, or refused for its meaning
    assert {place for place, _ in wrong.values()} == asked, "there is a wrong value for each field"
    fire.drop("last-resume.json", b'{"kind": "resume"}')
    errors = fire.settle(150.0)
    unnamed = {
        name: errors[name]["field"]
        for name in wrong
        if not names(errors[name]["field"], wrong[name][0])
    }
    assert unnamed == {}
    assert {row["status"] for row in fire.home.tasks() if row["id"] not in fire.good} <= {
        "held",
        "pending",
        "blocked",
        "paused",
        "completed",
        "cancelled",
        "failed",  # the small task of a worker request that is refused
    }


def test_unknown_kinds_and_misspelt_fields_are_refused_with_the_nearest(fire: Refusals) -> None:
    for number, kind in enumerate([*VALUES, "cancle", "TASK", "shutdown", "eval"]):
        fire.drop_bad(f"kind-{number}.json", json.dumps({"title": "x", "kind": kind}).encode())
    fire.drop_bad("step.json", b'{"workers": [{"name": "a", "comand": "true"}]}')
    fire.drop_bad("verb.json", b'{"kind": "cancel", "task": "task-001"}')
    errors = fire.settle()
    assert {errors[name]["field"] for name in fire.bad if name.startswith("kind")} == {"kind"}
    assert "command" in errors["step.json"]["hint"]
    assert errors["step.json"]["field"] == "workers.0.comand"
    assert "task_id" in errors["verb.json"]["hint"]


TRAVERSALS = [
    "../canary",
    "../../../../../../../../{out}",
    "{out}",
    "a/../../canary",
    "..",
    "file://{out}",
]
#: Fields that other systems read paths from, here as unknown ones: kept, and never followed.
STRANGE = (
    "worker_id",
    "deliverables",
    "output_file",
    "result_location",
    "prompt_template",
    "persona",
)


@pytest.mark.timeout(300)
def test_no_field_leads_out_of_the_home(fire: Refusals, tmp_path: Path) -> None:
    home, secret = fire.home, "only-the-system-may-read-this-0123456789"
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "canary").write_text(secret)
    before = sorted((p.name, p.stat().st_mtime_ns) for p in [outside, *outside.iterdir()])
    tried = [text.replace("{out}", str(outside / "canary")) for text in TRAVERSALS]
    number = 0
    for path in tried:
        for place in dict.fromkeys(places(TaskRequest)):
            if place[-1] in ("repository", "repositories", "command") or "repositories" in place:
                continue  # a repository may lie anywhere, and a command do anything
            number += 1
            payload = {**with_value("task", place, path), "hold": place == ("hold",)}
            fire.drop(f"way-{number}.json", json.dumps(payload).encode())
        for kind in ("cancel", "retry", "pause", "resume"):
            fire.drop_bad(
                f"verb-{number}-{kind}.json", json.dumps({"kind": kind, "task_id": path}).encode()
            )
        strange = {name: [path] if name == "deliverables" else path for name in STRANGE}
        job = {"id": f"strange-{number}", "command": "true", **strange}
        fire.drop(f"strange-{number}.json", json.dumps(job).encode())
        fire.good.append(f"strange-{number}")
    fire.settle(150.0)
    for path in tried:
        assert all(path not in json.dumps(home.task(ident)["id"]) for ident in fire.good)
    after = sorted((p.name, p.stat().st_mtime_ns) for p in [outside, *outside.iterdir()])
    assert after == before
    assert (outside / "canary").read_text() == secret
    assert not (home.root.parent / "canary").exists()
    assert secret.encode() not in everything_below(home.root)
    assert {path.name for path in home.root.parent.iterdir()} <= {"home", "outside"}
