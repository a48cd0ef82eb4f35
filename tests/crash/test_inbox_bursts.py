"""Very many drops at once, the same id twice, and plans that can never be carried out."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from refusals import Refusals

from live_home import BIN, LiveHome, MakeHome

BURST = 10_000
#: Ten times what is promised: 500 files and an answer a second. Speed is reported, not asserted.
BURST_LIMIT_S, ANSWER_LIMIT_S = BURST / 50, 10.0


@pytest.fixture
def fire(live: LiveHome) -> Refusals:
    return Refusals(live)


def answer_s(home: LiveHome) -> float:
    """How long `cortex get tasks` takes."""
    began = time.monotonic()
    done = subprocess.run(
        [BIN / "cortex", "get", "tasks", "--home", str(home.root)],
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return time.monotonic() - began


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_drops_at_once_are_all_taken_or_refused_while_the_home_answers(
    make_home: MakeHome, tmp_path: Path, record_property: Any
) -> None:
    home = make_home(settings="[limits]\ntools = 4\n")
    chance = random.Random(35)
    aside = home.root / "aside"
    aside.mkdir()
    bad: dict[str, bytes] = {}
    good: list[str] = []
    for number in range(BURST):
        name = f"drop-{number:05d}.json"
        if chance.random() < 0.1:
            bad[name] = chance.choice([b'{"title": ', b'{"title": 3}', b"[]", b"\xff\xfe", b""])
            (aside / name).write_bytes(bad[name])
        else:
            good.append(f"held-{number:05d}")
            (aside / name).write_text(json.dumps({"id": good[-1], "title": name, "hold": True}))
    home.start()
    alone_s = answer_s(home)
    began = time.monotonic()
    for path in aside.iterdir():
        path.rename(home.paths.inbox / path.name)
    home.run("works", "true")
    answers = []
    while any(home.paths.inbox.glob("[!.]*")) or any(home.paths.intake.iterdir()):
        answers.append(answer_s(home))
        assert time.monotonic() - began < BURST_LIMIT_S, "the burst is not taken in"
    taken_s = time.monotonic() - began
    numbers = {
        "files_a_second": round(BURST / taken_s),
        "answers": len(answers),
        "slowest_answer_s": round(max(answers), 2),
        "answer_alone_s": round(alone_s, 2),
    }
    for key, value in numbers.items():
        record_property(key, value)
    logging.getLogger("tests").warning("burst: %s", numbers)
    assert max(answers) < ANSWER_LIMIT_S
    assert home.until_ended("works")[0]["status"] == "completed"
    home.until(lambda: len(home.tasks()) == len(good) + 1, "all good ones are listed", 60)
    assert {row["id"] for row in home.tasks()} == {*good, "works"}
    errors = home.errors()
    assert set(errors) == set(bad)
    for name, data in bad.items():
        assert (home.paths.rejected / name).read_bytes() == data
    assert len(home.events("task_accepted")) == len(good) + 1
    receipts = Counter(event["receipt"] for event in home.events("receipt_taken"))
    assert len(receipts) == BURST + 1 and set(receipts.values()) == {1}
    home.stop()
    home.start()
    assert len(home.tasks()) == len(good) + 1


def test_an_id_that_comes_again_is_one_task_and_each_other_file_says_so(live: LiveHome) -> None:
    first = {"id": "twin", "command": "true"}
    other = {"id": "twin", "command": "exit 9", "priority": "high"}
    burst = [(f"same-{n}.json", first) for n in range(10)]
    burst += [(f"other-{n}.json", other) for n in range(10)]
    for name, task in burst:
        (live.paths.inbox / f".{name}.tmp").write_text(json.dumps(task))
    for name, _ in burst:
        os.rename(live.paths.inbox / f".{name}.tmp", live.paths.inbox / name)  # noqa: PTH104
    live.until_ended("twin")
    live.until(lambda: len(live.errors()) == 19, "nineteen are refused")
    lines = "".join(json.dumps({"id": "line", "command": "true"}) + "\n" for _ in range(2))
    live.drop(lines, "lines.jsonl")
    live.until(lambda: live.errors().get("lines.jsonl"), "refused whole")
    live.kill()
    live.start()
    live.drop(other, "later.json")
    live.until(lambda: live.errors().get("later.json"), "refused over a restart too")
    for name, error in live.errors().items():
        assert error["field"] == "id", name
        assert ("twin" in error["reason"]) or ("line" in error["reason"])
        assert error["hint"]
        assert (live.paths.rejected / name).exists()
    assert live.task("line") == {}
    assert len(live.events("task_accepted")) == 1
    live.assert_started_once()
    live.assert_books()


def test_an_archived_id_is_still_taken_and_a_key_makes_a_drop_idempotent(
    make_home: MakeHome,
) -> None:
    home = make_home(settings="[daemon]\nresync = 0.2\n[retention]\narchive_after = 0\n")
    home.start()
    home.run("gone", "true")
    home.until(lambda: [e for e in home.events("archived") if "gone" in e["tasks"]], "archived")
    home.run("gone", "true")
    home.until(lambda: home.errors().get("gone.json"), "refused, as it was there")
    for number in range(5):
        home.drop({"command": "true", "key": "nightly"}, f"key-{number}.json")
    home.until(lambda: len(home.events("receipt_taken")) == 7, "all are taken in")
    home.drop({"command": "true", "key": "nightly"}, "key-late.json")
    home.until_taken("key-late.json")
    assert len(home.events("task_accepted")) == 2
    assert set(home.errors()) == {"gone.json"}


def plan(count: int, needs: Any, **fields: Any) -> dict[str, Any]:
    """A plan of so many workers; `needs` says which others each of them needs."""
    workers = [
        {"name": f"w{n}", "command": "true", "needs": [f"w{m}" for m in needs(n)]}
        for n in range(count)
    ]
    return {"title": "a plan", "workers": workers, **fields}


IMPOSSIBLE: dict[str, tuple[dict[str, Any], str, str]] = {
    "itself": (plan(1, lambda n: [n]), "workers", "circle"),
    "pair": (plan(2, lambda n: [1 - n]), "workers", "circle"),
    "long-circle": (plan(1000, lambda n: [(n + 1) % 1000]), "workers", "circle"),
    "missing": (plan(2, lambda n: [7]), "workers", "not in the plan"),
    "twice": ({"workers": [{"name": "a", "command": "true"}] * 2}, "workers", "unique"),
    "ten-thousand": (plan(10_000, lambda n: []), "workers", "1000"),
    "needs-nobody": ({"command": "true", "needs": ["nobody"]}, "needs", "nobody"),
    "needs-itself": ({"id": "me", "command": "true", "needs": ["me"]}, "needs", "me"),
    "deadline": ({"command": "true", "deadline": "soon"}, "deadline", "soon"),
    "timeout": ({"command": "true", "timeout": "0s"}, "timeout", "0"),
}


def test_plans_that_can_never_be_carried_out_are_refused_and_hold_up_nobody(
    fire: Refusals,
) -> None:
    for name, (task, _, _) in IMPOSSIBLE.items():
        fire.drop_bad(f"{name}.json", json.dumps(task).encode())
        fire.drop_good()
    pair = [{"id": "one", "command": "true", "needs": ["two"]}]
    pair += [{"id": "two", "command": "true", "needs": ["one"]}]
    fire.drop_bad("across.jsonl", "".join(json.dumps(task) + "\n" for task in pair).encode())
    errors = fire.settle()
    for name, (_, field, word) in IMPOSSIBLE.items():
        error = errors[f"{name}.json"]
        told = f"{error['field']} {error['reason']} {error['hint']}"
        assert field in told and word in told, error
    assert "needs" in str(errors["across.jsonl"])


UNKNOWN: dict[str, tuple[dict[str, Any], str]] = {
    "type": ({"title": "x", "type": "alchemy"}, "alchemy"),
    "runtime": ({"command": "true", "runtime": "abacus"}, "abacus"),
    "worker-type": (
        {"title": "x", "workers": [{"name": "a", "worker_type": "alchemist", "command": "true"}]},
        "alchemist",
    ),
    "no-model": ({"title": "x", "type": "feature"}, ""),
}


def test_what_nothing_here_can_run_is_blocked_and_says_what_is_missing(fire: Refusals) -> None:
    home = fire.home
    for name, (task, _) in UNKNOWN.items():
        home.drop({"id": name, **task}, f"{name}.json")
        fire.drop_good()
    fire.settle()
    for name, (_, word) in UNKNOWN.items():
        row = home.until(lambda name=name: blocked(home, name), f"{name} is blocked") or {}
        assert word in json.dumps(row), row
    home.assert_books()


def blocked(home: LiveHome, ident: str) -> dict[str, Any] | None:
    """The task's row with its workers' rows, once one of them says what it waits for."""
    task = home.task(ident)
    rows = [row for row in home.workers("queued", "active") if row["task_id"] == ident]
    said = [row for row in (task, *rows) if row.get("status") == "blocked"]
    return {"task": task, "workers": rows} if said else None


def test_a_plan_of_a_thousand_in_a_row_is_taken_and_a_past_deadline_only_said(
    fire: Refusals,
) -> None:
    home = fire.home
    chain = plan(1000, lambda n: [n - 1] if n else [], id="chain", hold=True)
    home.drop(chain, "chain.json")
    home.drop({"id": "late", "command": "true", "deadline": "2001-01-01T00:00:00Z"}, "late.json")
    fire.settle()
    assert home.until_ended("late")[0]["status"] == "completed"
    assert home.until(lambda: home.task("chain"), "the chain is a task")
    home.drop({"kind": "cancel", "task_id": "chain"}, "cancel.json")
    assert home.until_ended("chain")[0]["status"] == "cancelled"
