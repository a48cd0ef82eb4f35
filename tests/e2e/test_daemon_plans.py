"""Plans, needs, tokens, priorities and limits, as a real daemon keeps them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from live_home import LiveHome, MakeHome

QUICK = "[workers]\nbackoff = 0.1\ngrace = 0.5\n"


def spans(home: LiveHome) -> dict[str, tuple[int, int]]:
    """Of each worker, the journal lines of its approval and its end."""
    begun: dict[str, int] = {}
    ended: dict[str, int] = {}
    for line in home.lines():
        for event in line.events:
            if event["event"] == "worker_approved":
                begun.setdefault(event["worker_id"], line.seq)
            if event["event"] == "worker_ended":
                ended[event["worker_id"]] = line.seq
    return {ident: (begun[ident], end) for ident, end in ended.items() if ident in begun}


def most_at_once(home: LiveHome) -> int:
    moments = sorted(
        [(s, 1) for s, _ in spans(home).values()] + [(e, 0) for _, e in spans(home).values()]
    )
    now = most = 0
    for _, began in moments:
        now += 1 if began else -1
        most = max(most, now)
    return most


def test_a_plan_of_its_own_runs_in_the_order_of_its_needs_and_hands_results_on(
    live: LiveHome,
) -> None:
    write = 'echo "{\\"status\\": \\"completed\\", \\"summary\\": \\"from %s\\"}" > $CORTEX_RESULTS'
    show = 'IFS=:; for f in $CORTEX_INPUTS; do cat "$f"; done'
    steps: list[dict[str, Any]] = [
        {"name": "left", "command": write % "left"},
        {"name": "right", "command": write % "right"},
        {"name": "join", "needs": ["right", "left"], "command": show},
        {"name": "alone", "command": 'test -z "${CORTEX_INPUTS+set}${CORTEX_PATHS+set}"'},
        {
            "name": "there",
            "scope": {"paths": ["src", "a b"]},
            "command": 'test "$CORTEX_PATHS" = "src:a b"',
        },
    ]
    live.drop({"id": "plan", "title": "diamond", "workers": steps})
    (row,) = live.until_ended("plan")
    assert row["status"] == "completed", row
    workers = {step["name"]: step["worker_id"] for step in row["steps"]}
    order = spans(live)
    assert order[workers["join"]][0] > max(order[workers[n]][1] for n in ("left", "right"))
    log = (live.folder_of(workers["join"]) / "log.md").read_text()
    assert log.index("from right") < log.index("from left"), "in the order of needs"
    spec = json.loads((live.folder_of(workers["join"]) / "spec.json").read_text())
    assert [row["step"] for row in spec["inputs"]] == ["right", "left"]


def test_inputs_leave_out_an_optional_step_that_failed(live: LiveHome) -> None:
    steps: list[dict[str, Any]] = [
        {"name": "maybe", "command": "false", "optional": True, "retries": 0},
        {"name": "sure", "command": "true"},
        {"name": "last", "needs": ["maybe", "sure"], "command": "echo inputs=$CORTEX_INPUTS"},
    ]
    live.drop({"id": "plan", "title": "with a gap", "workers": steps})
    (row,) = live.until_ended("plan")
    assert row["status"] == "completed", row
    workers = {step["name"]: step.get("worker_id") for step in row["steps"]}
    told = f"inputs={live.folder_of(str(workers['sure']))}/results.json"
    assert told in (live.folder_of(str(workers["last"])) / "log.md").read_text().splitlines()


def test_what_needs_a_failed_step_never_starts_and_the_task_says_which_failed(
    live: LiveHome,
) -> None:
    steps: list[dict[str, Any]] = [
        {"name": "build", "command": "echo no compiler; exit 3", "retries": 0},
        {"name": "test", "needs": ["build"], "command": "true"},
    ]
    live.drop({"id": "plan", "title": "broken", "workers": steps})
    (row,) = live.until_ended("plan")
    assert row["status"] == "failed"
    assert "build" in row["reason"]
    assert "no compiler" in row["reason"]
    assert [step["status"] for step in row["steps"]] == ["failed", "cancelled"]
    assert len(live.events("worker_spawning")) == 1


def test_a_task_waits_for_the_task_that_it_needs_and_says_so(
    live: LiveHome, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    live.run("first", f"until test -e {gate}; do sleep 0.02; done")
    live.until_running("first")
    live.run("second", "true", needs=["first"])
    live.until(
        lambda: "first" in live.task("second").get("waiting_for", ""), "says what it waits for"
    )
    assert live.task("second")["status"] == "pending"
    gate.touch()
    live.until_ended("first", "second")
    ended = [e["task_id"] for e in live.events("task_ended")]
    assert ended == ["first", "second"]


def test_a_task_whose_need_failed_waits_until_that_is_retried(
    live: LiveHome, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    live.run("first", f"test -e {flag}", retries=0)
    live.until_ended("first")
    live.run("second", "true", needs=["first"])
    live.until(lambda: "retry" in live.task("second").get("waiting_for", ""), "says what to do")
    flag.touch()
    live.drop({"kind": "retry", "task_id": "first"})
    rows = live.until_ended("first", "second")
    assert [row["status"] for row in rows] == ["completed"] * 2


def test_only_as_many_run_at_once_as_the_limits_allow(make_home: MakeHome) -> None:
    home = make_home(settings=QUICK + "[limits]\ntools = 2\n")
    home.start()
    idents = [home.run(f"t{n}", "sleep 0.1") for n in range(8)]
    home.until_ended(*idents)
    assert most_at_once(home) == 2


def test_one_task_runs_no_more_workers_at_once_than_its_max_parallel(live: LiveHome) -> None:
    steps = [{"name": f"s{n}", "command": "sleep 0.1"} for n in range(5)]
    live.drop({"id": "narrow", "title": "narrow", "workers": steps, "max_parallel": 1})
    live.until_ended("narrow")
    assert most_at_once(live) == 1


def test_waiting_work_starts_by_priority_and_then_by_age(
    make_home: MakeHome, tmp_path: Path
) -> None:
    home = make_home(settings=QUICK + "[limits]\ntools = 1\n")
    home.start()
    gate = tmp_path / "gate"
    home.run("holder", f"until test -e {gate}; do sleep 0.02; done")
    home.until_running("holder")
    for ident, priority in (
        ("low", "low"),
        ("old", "medium"),
        ("young", "medium"),
        ("high", "high"),
        ("now", "critical"),
    ):
        home.run(ident, "true", priority=priority)
        home.until(lambda ident=ident: home.task(ident), ident)  # type: ignore[misc]
    home.until(lambda: len(home.workers("queued")) == 5, "five wait")
    assert all(row["waiting_for"] for row in home.workers("queued"))
    gate.touch()
    home.until_ended("low", "old", "young", "high", "now")
    ended = [e["task_id"] for e in home.events("task_ended")]
    assert ended == ["holder", "now", "high", "old", "young", "low"]


def test_work_without_tokens_waits_and_a_larger_budget_lets_it_go_on(
    make_home: MakeHome, tmp_path: Path
) -> None:
    home = make_home(settings=QUICK)
    home.start()
    pool = home.read("token-budget")["worker_pool"]["total"]
    gate = tmp_path / "gate"
    wait = f"until test -e {gate}; do sleep 0.02; done"
    home.run("big", wait, token_budget=pool - 100)
    home.until_running("big")
    home.run("next", "true", token_budget=5_000, priority="high")
    home.until(lambda: home.workers("queued"), "the next one waits for tokens")
    (queued,) = home.workers("queued")
    assert "token" in queued["waiting_for"], queued
    total = home.read("token-budget")["total_budget"]
    home.drop({"kind": "budget", "total_budget": total + 10_000})
    home.until_ended("next")
    assert home.task("big")["status"] == "in_progress"
    gate.touch()
    home.until_ended("big")
    budget = home.assert_books()
    assert budget["total_budget"] == total + 10_000
    assert budget["worker_pool"]["available"] == pool + 10_000


def test_tokens_that_a_command_reports_are_spent_and_the_rest_returns(live: LiveHome) -> None:
    before = live.read("token-budget")["worker_pool"]["available"]
    say = json.dumps({"status": "completed", "tokens_used": 700})
    live.run("used", f"echo '{say}' > $CORTEX_RESULTS", token_budget=1_000)
    too_much = json.dumps({"status": "completed", "tokens_used": 10**18})
    live.run("greedy", f"echo '{too_much}' > $CORTEX_RESULTS", token_budget=500, retries=0)
    used, greedy = live.until_ended("used", "greedy")
    assert (used["status"], greedy["status"]) == ("completed", "failed")
    budget = live.assert_books()
    assert budget["worker_pool"]["spent"] == 1_200
    assert budget["worker_pool"]["available"] == before - 1_200
    (failed,) = live.workers("failed")
    assert (failed["status"], failed["tokens_used"]) == ("budget_exhausted", 500)
