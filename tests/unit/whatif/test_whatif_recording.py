"""Facts out of a journal, from its beginning or from the state that a later day opens with."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cortex.decide.entry import Entry
from cortex.model.errors import SettingsError
from cortex.model.paths import HomePaths
from cortex.model.settings import Settings
from cortex.store.disk import RealDisk
from cortex.whatif.figures import count
from cortex.whatif.overrides import override
from cortex.whatif.recording import Recording, record
from cortex.whatif.rerun import rerun
from tests.unit.deciding import builtin_catalog
from tests.unit.whatif.recorded import RecordedWorld

SECOND_DAY = datetime(2025, 11, 2, 8, tzinfo=UTC).timestamp()


def write(folder: Path, *, days_open: bool) -> HomePaths:
    """Two days: a worker that lives through the night, a failure, and work of the second day."""
    world = RecordedWorld(folder)
    world.at(9)
    world.write()
    night = world.task(command="true")
    world.admit()
    world.run(world.state.workers[night.workers[0]])
    world.write()
    state = json.dumps(world.state.to_json()).encode()
    if days_open:
        world.journal.open_days_with(lambda: state)
    world.at(7, day=2)
    stopped = {"event": "daemon_stopped", "workers": 1}
    world.apply(Entry("daemon", "told to stop", [stopped]))
    world.write()
    world.at(9, day=2)
    world.end(night.workers[0], 0)
    fresh = world.task(command="true", created_at="2025-11-02T09:00:00Z")
    world.admit()
    world.end(fresh.workers[0], 0, code=3)
    world.write()
    world.journal.close()
    return world.paths


def facts(recording: Recording) -> list[tuple[float, str]]:
    return [(fact.at_s, fact.kind) for fact in recording.facts]


def test_a_day_that_opens_with_the_state_gives_the_same_recording(tmp_path: Path) -> None:
    short = record(RealDisk(), write(tmp_path / "short", days_open=True), SECOND_DAY, None)
    whole = record(RealDisk(), write(tmp_path / "whole", days_open=False), SECOND_DAY, None)
    assert facts(short) == facts(whole)
    assert len(short.facts) == 1
    assert short.attempts.keys() == whole.attempts.keys()
    assert short.start["tasks"] == whole.start["tasks"]
    assert short.start["workers"] == whole.start["workers"]
    assert (short.start_s, short.end_s) == (whole.start_s, whole.end_s)


def test_days_before_the_period_that_was_running_begin_one_of_their_own(tmp_path: Path) -> None:
    """As for a daemon whose clock was set back by a year."""
    paths = write(tmp_path, days_open=True)
    recording = record(RealDisk(), paths, SECOND_DAY, None)
    for name in ("period_start", "resets_at"):
        recording.start["budget"][name] += 365 * 86_400
    again = rerun(recording, Settings(), builtin_catalog(), paths, cores=16, other_budget=False)
    at_s, (event, *_) = again.lines[0]
    assert (at_s, event["event"]) == (recording.start_s, "budget_reset")
    assert event["period_start"] <= recording.start_s < event["resets_at"]
    assert again.faults == []


def test_a_worker_of_the_night_before_ends_when_it_did(tmp_path: Path) -> None:
    paths = write(tmp_path, days_open=True)
    recording = record(RealDisk(), paths, SECOND_DAY, None)
    again = rerun(recording, Settings(), builtin_catalog(), paths, cores=16, other_budget=False)
    ends = [
        (at_s, event["worker_id"], event["status"])
        for at_s, events in again.lines
        for event in events
        if event["event"] == "worker_ended"
    ]
    nine = datetime(2025, 11, 2, 9, tzinfo=UTC).timestamp()
    assert ends == [(nine, "worker-cmd-001", "completed"), (nine, "worker-cmd-002", "failed")]
    assert again.faults == []
    happened = count(recording.start, recording.lines, recording.end_s)
    would = count(recording.start, again.lines, recording.end_s)
    assert happened.accepted == would.accepted == 1
    assert happened.attempts == would.attempts == 1


def test_any_key_of_the_settings_can_be_changed_for_once() -> None:
    changes = ("limits.tools=8", "spawn.policy = adaptive", "limits.per_type.scan=2",
               "masters.security.allocated=1000", "workers.backoff=5s",
               "budget.total_budget=100_000")  # fmt: skip
    settings, made = override(Settings(), changes)
    assert (settings.limits.tools, settings.spawn.policy) == (8, "adaptive")
    assert settings.limits.per_type == {"scan-worker": 2}
    assert settings.masters["security"].allocated == 1000
    assert settings.workers.backoff == 5.0
    assert made["budget.total"] == settings.budget.total == 100_000


@pytest.mark.parametrize(
    "change", ["tools=8", "limits.tols=8", "limits.tools", "=8", "masters.x.y=1", "limits.tools=-1"]
)
def test_a_change_that_cannot_be_names_its_key(change: str) -> None:
    with pytest.raises(SettingsError) as caught:
        override(Settings(), [change])
    assert change.partition("=")[0] in str(caught.value)
