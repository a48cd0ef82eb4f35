"""Whatever people ask for in whatever order while the daemon dies: the books, and one end each."""

from __future__ import annotations

import logging
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from live_home import LiveHome, MakeHome

SETTINGS = "[workers]\nbackoff = 0.05\ngrace = 0.3\n[spawn]\nclaim_timeout = 1\n"
STEPS = 40
ENDED = ("completed", "failed", "cancelled")


def some_task(chance: random.Random, marks: Path) -> dict[str, Any]:
    mark = f"echo $CORTEX_WORKER_ID >> {marks}; "
    commands = [
        "true",
        "exit 3",
        "sleep 0.3",
        "sleep 30",
        "kill -9 $$",
        "setsid sleep 30 & sleep 9",
    ]
    task: dict[str, Any] = {
        "title": "some work",
        "priority": chance.choice(["low", "medium", "high", "critical"]),
        "retries": chance.randrange(3),
        "timeout": chance.choice(["1s", "1m"]),
        "token_budget": chance.choice([0, 100, 5_000, 40_000]),
    }
    if chance.random() < 0.3:
        names = ["a", "b", "c"]
        return task | {
            "workers": [
                {
                    "name": name,
                    "command": mark + chance.choice(commands),
                    "needs": chance.sample(names[:n], chance.randint(0, n)),
                    "optional": chance.random() < 0.3,
                }
                for n, name in enumerate(names)
            ]
        }
    return task | {"command": mark + chance.choice(commands)}


def some_wish(chance: random.Random, made: int) -> dict[str, Any]:
    verb = chance.choice(["cancel", "cancel", "retry", "pause", "resume", "fleet", "budget"])
    if verb == "fleet":
        return {"kind": chance.choice(["pause", "resume"])}
    if verb == "budget":
        return {"kind": "budget", "total_budget": chance.randrange(200_000, 300_000)}
    return {"kind": verb, "task_id": f"job-{chance.randrange(made)}"}


def interfere(home: LiveHome, chance: random.Random) -> None:
    """Kills or stops the daemon, or lets it be."""
    what = chance.random()
    assert home.daemon is not None
    try:
        home.daemon.wait(chance.uniform(0, 0.6 if what < 0.3 else 0.1))
    except subprocess.TimeoutExpired:
        if what > 0.3:
            return
    if what < 0.2:
        home.kill()
        home.daemon = home.popen()
    elif what < 0.3:
        home.until(home.serves, "serves")
        home.stop()
        home.daemon = home.popen()


@pytest.mark.timeout(180)
def test_a_home_that_is_asked_for_everything_while_its_daemon_dies_stays_sound(
    make_home: MakeHome, tmp_path: Path
) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or int.from_bytes(os.urandom(4)))
    logging.getLogger("tests").warning("seed %d", seed)
    chance = random.Random(seed)
    home = make_home(settings=SETTINGS)
    home.start()
    marks = tmp_path / "marks"
    marks.touch()
    made = 0
    with home.watch() as watcher:
        for step in range(STEPS):
            if made < 3 or chance.random() < 0.5:
                job = {"id": f"job-{made}", **some_task(chance, marks)}
                home.drop(job, f"job-{made}.json")
                made += 1
            else:
                home.drop(some_wish(chance, made), f"wish-{step}.json")
            interfere(home, chance)
        settle(home, made)
    assert watcher.faults == []
    home.assert_started_once()
    starts = marks.read_text().split()
    assert len(starts) == len(set(starts)), "a program was started twice"
    assert set(starts) <= {event["worker_id"] for event in home.events("worker_ended")}
    assert len(home.events("task_accepted")) == made
    taken = [event["file"] for event in home.events("receipt_taken")]
    assert len(taken) == len(set(taken)), "a drop was taken twice"
    assert len(home.events("drop_rejected")) == len(home.errors())
    home.assert_books()
    home.assert_replay_is_published()
    home.until(lambda: not home.worker_processes(), "no process is left")


def settle(home: LiveHome, made: int) -> None:
    """Everything that was asked for is taken in; then whatever is still open is cancelled."""
    home.until(home.serves, "serves")
    home.drop({"kind": "resume"}, "last-resume.json")
    home.until_taken("last-resume.json")
    home.until(lambda: len(home.tasks()) == made, "all tasks are there")
    for row in home.tasks():
        if row["status"] not in ENDED:
            home.drop({"kind": "cancel", "task_id": row["id"]}, f"last-{row['id']}.json")
    home.until(lambda: all(row["status"] in ENDED for row in home.tasks()), "all have ended")
    home.until(lambda: not list(home.paths.intake.iterdir()), "nothing is left claimed")
    asked, ended = "worker_requested", "worker_ended"
    home.until(lambda: len(home.events(asked)) == len(home.events(ended)), "all workers have ended")
