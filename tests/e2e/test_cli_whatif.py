"""`cortex whatif` on days that a real daemon decided: the same again, and otherwise."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cortex.whatif.compare import TOLERANCE_S
from live_home import BIN, LiveHome, MakeHome

SETTINGS = """
[limits]
tools = 2
[workers]
backoff = 0.3
grace = 0.5
"""


def run(home: LiveHome, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "cortex"), "whatif", *arguments, "--home", str(home.root)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "NO_COLOR": "1", "TZ": "UTC"},
    )


def whatif(home: LiveHome, *arguments: str) -> dict[str, Any]:
    done = run(home, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not [text for text in found["assumed"] if "fault" in text]
    return dict(found)


def report(tokens: int) -> str:
    results = json.dumps({"status": "completed", "tokens_used": tokens})
    return f"echo '{results}' > \"$CORTEX_RESULTS\""


def snapshot(root: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_size)
        for path in root.rglob("*")
        if path.name != "lock"
    }


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> LiveHome:
    """Days with queues, retries, refusals, a killed daemon, a cancel, a plan, a dear budget."""
    home = LiveHome(tmp_path_factory.mktemp("whatif") / "home", SETTINGS)
    home.start()
    try:
        _live(home)
        home.stop()
    finally:
        home.close()
    return home


def _live(home: LiveHome) -> None:
    asked: list[dict[str, Any]] = []
    for number in range(8):
        priority = ("low", "medium", "high", "critical")[number % 4]
        command = f"sleep 0.{2 + number % 4}; {report(100 * number)}"
        task = {"id": f"t{number}", "command": command, "token_budget": 8000}
        asked.append({**task, "priority": priority})
    asked.append({"id": "bad", "command": "sleep 0.1; exit 3"})
    home.drop("\n".join(map(json.dumps, asked)), "asked.jsonl")  # at once, so that they queue
    home.until_ended(*(f"t{number}" for number in range(8)), "bad")
    # The pool has 65,000 less what was spent: two of these at once, low priority is refused.
    for number in range(3):
        home.run(f"dear{number}", f"sleep 0.3; {report(1000)}", token_budget=25_000)
    home.run("refused", "true", token_budget=60_000, priority="low")
    home.until_ended("dear0", "dear1", "dear2")
    home.run("long", "sleep 60")
    home.until_running("long")
    home.kill()
    home.start()
    home.drop({"kind": "cancel", "task_id": "long"})
    home.until_ended("long")
    steps = [
        {"name": "a", "command": "sleep 0.2"},
        {"name": "b", "needs": ["a"], "command": "sleep 0.1"},
    ]
    home.drop({"id": "plan", "title": "plan", "workers": steps, "deadline": "2020-01-01T00:00:00Z"})
    home.until(lambda: home.task("plan") or home.errors(), "the plan is taken or refused")
    home.run("last", "sleep 0.1")
    home.until_ended("last")


def test_nothing_changed_decides_what_really_happened(lived: LiveHome) -> None:
    found = whatif(lived)
    happened, again = found["happened"], found["would"]
    assert found["alike_share"] == 1.0
    assert found["otherwise"] == []
    exact = ("tasks_accepted", "tasks_completed", "tasks_failed", "tasks_cancelled", "tasks_open",
             "attempts", "tokens_used", "refused", "escalations", "deadlines_missed")  # fmt: skip
    assert {name: again[name] for name in exact} == {name: happened[name] for name in exact}
    assert happened["tasks_completed"] >= 12
    assert happened["refused"] == 1
    # A daemon that looks each second may miss what was over within it.
    assert again["alerts"] == pytest.approx(happened["alerts"], abs=1)
    # A rerun stands still nowhere; where the real daemon did, it has said so.
    slow_s = sum(row.get("took_ms", 0) for row in lived.logged()) / 1000
    for name in ("wait_p50_s", "wait_p90_s", "span_p50_s", "span_p90_s"):
        assert again[name] == pytest.approx(happened[name], abs=TOLERANCE_S + slow_s)
    assert found["wait_error_s"] < TOLERANCE_S + slow_s


def test_more_slots_shorten_waits_and_fewer_lengthen_them(lived: LiveHome) -> None:
    more = whatif(lived, "--set", "limits.tools=20")
    fewer = whatif(lived, "--set", "limits.tools=1")
    assert more["would"]["wait_p90_s"] < more["unchanged"]["wait_p90_s"]
    assert fewer["would"]["wait_p50_s"] > fewer["unchanged"]["wait_p50_s"]
    assert more["unchanged"] == fewer["unchanged"] == whatif(lived)["would"]


def test_fewer_retries_start_fewer_attempts_and_further_ones_are_assumed(lived: LiveHome) -> None:
    none = whatif(lived, "--set", "workers.retries=0")
    assert none["would"]["attempts"] == none["happened"]["attempts"] - 2
    assert none["otherwise"] == []
    more = whatif(lived, "--set", "workers.retries=4")
    assert more["otherwise"] == [{"task_id": "bad", "happened": "failed", "would": "completed"}]
    assert any("1 attempt was never made" in text for text in more["assumed"])


def test_a_smaller_budget_is_cut_in_proportion_and_said_so(lived: LiveHome) -> None:
    found = whatif(lived, "--set", "budget.total_budget=100000", "--since", "2d")
    assert found["changes"] == {"budget.total": 100_000}
    assert any("cut in proportion" in text for text in found["assumed"])
    # 32,500 in the pool pay one of the dear ones at a time.
    assert found["would"]["wait_p90_s"] > found["unchanged"]["wait_p90_s"] - TOLERANCE_S
    larger = whatif(lived, "--set", "budget.total=400000")
    assert larger["would"]["refused"] == 0


def test_it_writes_nothing_and_answers_alike_each_time(lived: LiveHome) -> None:
    before = snapshot(lived.root)
    first, second = (run(lived, "--set", "limits.tools=3") for _ in range(2))
    assert first.stdout == second.stdout
    assert snapshot(lived.root) == before
    text = first.stdout
    assert text.startswith("What if limits.tools = 3\n")
    for expected in ("happened", "what if", "wait to start, p90", "Assumed", "Checked"):
        assert expected in text


def test_days_without_a_beginning_start_from_the_state_of_then(lived: LiveHome) -> None:
    lines = lived.lines()
    middle = next(line.at for line in lines if "bad" in str(line.events) and "failed" in str(line))
    found = whatif(lived, "--since", middle)
    assert found["alike_share"] == 1.0
    assert 0 < found["happened"]["tasks_accepted"] < 12


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--set", "limits.tool=8"), "did you mean limits.tools?"),
        (("--set", "limits.tools"), "is no KEY=VALUE"),
        (
            ("--set", "limits.tools=many"),
            "limits.tools: must be a whole number, is the text 'many'",
        ),
        (("--set", "masters.security.x=1"), "masters.NAME.allocated"),
        (("--since", "yesterday"), "--since: 'yesterday' is no moment"),
        (("--since", "1h", "--until", "2h"), "--until: lies before --since"),
        (("--since", "2099-01-01T00:00:00Z"), "nothing came in during that time"),
    ],
)
def test_what_cannot_be_asked_is_said_clearly(
    lived: LiveHome, arguments: tuple[str, ...], said: str
) -> None:
    done = run(lived, *arguments)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_home_where_nothing_ever_happened_says_so(make_home: MakeHome) -> None:
    done = run(make_home("empty"))
    assert done.returncode == 1
    assert "nothing came in" in done.stderr
