"""A drain: what runs ends, what waits stays, the daemon leaves, and the next one goes on."""

from __future__ import annotations

from live_home import LiveHome


def test_a_drained_daemon_leaves_when_its_workers_have_ended(live: LiveHome) -> None:
    gate = live.root / "gate"
    live.run("runs", f"until [ -e {gate} ]; do sleep 0.02; done")
    live.until_running("runs")
    live.drop({"kind": "drain"}, "drain.json")
    live.until(lambda: live.events("fleet_draining"), "it drains")
    live.run("waits", "true")
    live.until_taken(live.drop({"id": "later", "command": "true"}))
    daemon = live.daemon
    assert daemon is not None
    assert daemon.poll() is None
    assert live.task("waits").get("status") in (None, "pending", "in_progress")
    gate.touch()
    assert daemon.wait(20) == 0
    live.daemon = None
    assert live.task("runs")["status"] == "completed"
    assert not live.events("worker_running", worker_id="worker-cmd-002")
    live.start()
    live.until_ended("waits", "later")


def test_a_drain_is_seen_everywhere_and_can_be_taken_back(live: LiveHome) -> None:
    gate = live.root / "gate"
    live.run("runs", f"until [ -e {gate} ]; do sleep 0.02; done")
    live.until_running("runs")
    live.drop({"kind": "drain"}, "drain.json")
    live.run("waits", "true")
    live.until(lambda: live.read("task-queue")["daemon"].get("draining"), "the head says so")
    waiting = live.until(lambda: live.task("waits").get("waiting_for"), "its row says so")
    assert "the daemon drains" in str(waiting)
    live.drop({"kind": "resume"}, "resume.json")
    live.until_ended("waits")
    assert live.read("task-queue")["daemon"]["draining"] is False
    gate.touch()
    live.until_ended("runs")
    assert live.daemon is not None
    assert live.daemon.poll() is None
