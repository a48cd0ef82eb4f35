"""What a person asked for while no daemon ran is decided before the next one starts anything."""

from __future__ import annotations

import pytest

from live_home import MakeHome


@pytest.mark.parametrize("verb", ["cancel", "pause", "drop of many"])
def test_a_cancel_or_pause_that_waits_in_the_inbox_goes_before_every_start(
    make_home: MakeHome, verb: str
) -> None:
    home = make_home(settings="[limits]\ntools = 1\n[workers]\ngrace = 0.5\n")
    home.start()
    gate, mark = home.root / "gate", home.root / "started"
    home.run("first", f"until [ -e {gate} ]; do sleep 0.02; done")
    home.until_running("first")
    home.run("second", f"touch {mark}")
    home.until(lambda: home.task("second").get("status") == "in_progress", "it waits for a slot")
    home.kill()
    gate.touch()
    if verb == "drop of many":
        for number in range(250):
            home.drop({"id": f"more-{number}", "command": "true", "hold": True})
    fields = {} if verb == "pause" else {"task_id": "second"}
    home.drop({"kind": "pause" if verb == "pause" else "cancel", **fields}, "zz-asked.json")
    home.start()
    home.until_taken("zz-asked.json")
    home.until_ended("first")
    if verb != "pause":
        (row,) = home.until_ended("second")
        assert row["status"] == "cancelled"
    home.run("third", "true", hold=True)
    home.until(lambda: home.task("third"), "a further turn is over")
    assert not mark.exists()
    assert not home.events("worker_spawning", worker_id="worker-cmd-002")
