"""Death at every named point while an edit is taken up: it takes effect once, and what was refused
of it is told once.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from cortex.model.failpoints import VARIABLE
from live_home import LiveHome, MakeHome

POINTS = ("edit.before_line", "edit.durable", "edit.let_go")


def edited(home: LiveHome, *, is_forged: bool) -> bytes:
    """Somebody adds a task, raises a priority, and perhaps forges a field; what was saved."""
    queue = home.read("task-queue")
    row = next(row for row in queue["tasks"] if row["id"] == "held")
    row["priority"] = "high"
    if is_forged:
        row["created_at"] = "1999-01-01T00:00:00Z"
    queue["tasks"].append({"title": "added", "command": "true"})
    data = json.dumps(queue).encode()
    hidden = home.paths.coordination / ".mine"
    hidden.write_bytes(data)
    hidden.rename(home.paths.task_queue)
    return data


@pytest.mark.timeout(200)
@pytest.mark.parametrize("is_forged", [True, False])
@pytest.mark.parametrize("point", POINTS)
def test_an_edit_takes_effect_once_wherever_the_daemon_dies(
    make_home: MakeHome, tmp_path: Path, point: str, is_forged: bool
) -> None:
    mark = tmp_path / "died"
    home = make_home(env={VARIABLE: f"{point}:1:{mark}"})
    home.start()
    home.run("held", "true", hold=True)
    home.until(lambda: home.task("held").get("status") == "pending", "there")
    data = edited(home, is_forged=is_forged)
    assert home.daemon is not None
    assert home.daemon.wait(30) == -signal.SIGKILL
    home.daemon = None
    home.start()
    home.until_ended("task-001")
    home.until(lambda: home.task("held")["priority"] == "high", "raised")
    if point == POINTS[-1]:
        home.until(lambda: not list(home.paths.out.iterdir()), "nothing is left over", 80)
    assert [event["task"]["id"] for event in home.events("task_accepted")] == ["held", "task-001"]
    assert len(home.events("task_edited")) == 1
    if is_forged:
        home.until(home.errors, "what was refused is told")
        assert (home.paths.rejected / "task-queue.json").read_bytes() == data
        refused = home.errors()["task-queue.json"]["refused"]
        assert [part["field"] for part in refused] == ["created_at"]
        assert len(home.errors()) == 1
    else:
        assert home.errors() == {}
    home.assert_replay_is_published()
