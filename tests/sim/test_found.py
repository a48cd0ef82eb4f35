"""Bugs that the simulation found, each in its smallest form; docs/simulation.md tells of them.

Seeds change their meaning when the simulation learns something new; these tests do not.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.decide.editing import Desk
from tests.unit.decide.fleet import Fleet, settings

from cortex.decide import budget
from cortex.decide.refusals import problem_parts
from cortex.model.paths import HomePaths
from cortex.model.settings import Settings
from cortex.model.state import State
from cortex.store.disk import RealDisk
from cortex.store.inbox import leftovers, scan
from cortex.store.journal import recover
from cortex.store.publish import Publisher
from cortex.testing import FakeDisk, Fault, Simulation
from cortex.testing.life import real_home

DAY_S = 86_400.0


def test_claims_that_could_not_be_synced_are_not_given_out_but_wait() -> None:
    """A power cut would bring them back under their first names, to be accepted a second time."""
    disk, paths = FakeDisk(), HomePaths(Path("/home"))
    disk.put(paths.inbox / "task.json", b'{"title": "x"}')
    disk.arm(Fault(1, errno.EMFILE, calls=frozenset({"fsync_dir"}), lasting=True))
    found = scan(disk, paths, now_ns=2**61, monotonic_s=9.0, at="", next_number=1, known={})
    assert (found.drops, found.stranded) == ([], {1})
    disk.mend()
    assert [drop.name for drop in leftovers(disk, paths)] == ["task.json"]


def test_a_clock_set_back_by_a_year_begins_a_period_of_its_own() -> None:
    fleet = Fleet()
    before = fleet.state.budget.resets_at
    assert not budget.is_over(fleet.state.budget, before - 1)
    assert not budget.is_over(fleet.state.budget, before - 1.5 * DAY_S), "a small step back"
    assert budget.is_over(fleet.state.budget, before - 365 * DAY_S)


def test_work_refused_under_a_clock_set_back_waits_no_longer_than_a_period() -> None:
    fleet = Fleet(settings())
    fleet.wall = datetime(2024, 11, 1, tzinfo=UTC).timestamp()
    fleet.dropped(command="true", token_budget=60_000)
    fleet.admit()
    task = fleet.dropped(command="true", priority="low", token_budget=6000)
    fleet.admit()
    due = task.step("main").not_before
    assert due is not None and due.length_s <= DAY_S


def test_what_an_edit_is_told_does_not_change_with_the_task_afterwards() -> None:
    """The state remembered the task's own list of workers, and the journal what it had been."""
    desk = Desk()
    task = desk.world.task(command="true", token_budget=10)
    copy = desk.open()
    copy["tasks"][0]["workers"] = ["mine"]
    _, (part,), _ = problem_parts(desk.look_at(copy))
    assert part["now"] == ["worker-cmd-001"]
    task.workers.append("worker-cmd-002")
    assert part["now"] == ["worker-cmd-001"]


def test_a_new_daemon_deletes_no_old_version_that_an_editor_has_open(tmp_path: Path) -> None:
    path, out = tmp_path / "task-queue.json", tmp_path / "out"
    Publisher(RealDisk(), out).publish(path, [b"one"], 1)
    with path.open("r+b", buffering=0) as editor:
        Publisher(RealDisk(), out).publish(path, [b"two"], 2)
        again = Publisher(RealDisk(), out)
        assert again.leftovers([path]) == []
        editor.write(b"an edit")
    (late,) = again.sweep(0.0)
    assert late.kept.read_bytes() == b"an edit"


def test_an_edit_that_an_exchange_took_out_which_reports_an_error_is_not_deleted() -> None:
    """As if nothing had been exchanged, what lay there was deleted as the daemon's own."""
    disk, out, path = FakeDisk(), Path("/home/out"), Path("/home/task-queue.json")
    publisher = Publisher(disk, out)
    publisher.publish(path, [b"one"], 1)
    disk.put(path, b"an edit")
    disk.arm(Fault(1, errno.EIO, "after", calls=frozenset({"exchange"})))
    with pytest.raises(OSError, match="Input/output"):
        publisher.publish(path, [b"two"], 2)
    (found,) = publisher.leftovers([path])
    assert disk.content(found.kept) == b"an edit"


def test_a_segment_that_a_crash_left_empty_has_its_name_synced_with_its_first_line() -> None:
    """A power cut lost the whole journal, whose lines counted as durable."""
    disk, folder = FakeDisk(), Path("/home/journal")
    disk.mkdir(folder)
    disk.create(folder / "2025-11-01.jsonl")
    disk.restart()
    journal = recover(disk, folder, ballast=Path("/home/ballast")).journal
    journal.append(datetime(2025, 11, 1, tzinfo=UTC), "test", "why", [{"event": "none"}])
    journal.commit()
    assert disk.durable(folder / "2025-11-01.jsonl")


# --- a whole daemon, one thing at a time


class Script:
    """A simulated daemon without any chance in it; everything goes by hand."""

    def __init__(self) -> None:
        self.run = Simulation(1)
        self.run.settings = Settings()
        self.run.is_quiet = True
        self.disk, self.paths = self.run.disk, self.run.paths
        self.run.start()

    def restart(self, **settings: Any) -> None:
        """Another daemon, with other settings."""
        self.run.stop_politely()
        self.run.settings = Settings.model_validate(settings)
        self.run.start()

    def drop(self, **payload: Any) -> None:
        """Drops a request, and lets the daemon do what it can at once."""
        self.run.people.ask(**payload)
        self.settle(1.0)

    @property
    def state(self) -> State:
        assert self.run.life is not None
        return self.run.life.daemon.state

    def settle(self, seconds: float = 4.0) -> None:
        """Turns and effects, until so much time has passed."""
        end = self.run.clock.monotonic() + seconds
        while self.run.clock.monotonic() < end:
            assert self.run.life is not None
            if self.run.life.effects.lanes:
                self.run.run_effect()
            elif self.run.life.daemon.has_post or self.run.next_event_s() == 0.0:
                self.run.turn()
            else:
                self.run.machine.pass_time(min(1.0, max(0.001, self.run.next_event_s())))

    def refuse(self, error: int, *places: Path) -> None:
        """Nothing can be created there from now on."""
        under = tuple(map(str, places))
        calls = frozenset({"create"})
        self.disk.arm(Fault(1, error, calls=calls, lasting=True, under=under))


@pytest.fixture
def script() -> Iterator[Script]:
    with real_home():
        yield Script()


def test_two_batches_that_cannot_be_cleared_away_are_both_cleared_away_later(
    script: Script,
) -> None:
    """The first one was forgotten over the second."""
    script.refuse(errno.EIO, script.paths.rejected)
    for name in ("one.json", "two.json"):
        script.disk.put(script.paths.inbox / name, b"{")
        script.settle()
    assert len(script.disk.names(script.paths.intake)) == 2
    script.disk.mend()
    script.settle()
    assert script.disk.names(script.paths.intake) == []
    assert set(script.disk.names(script.paths.rejected)) > {"one.json", "two.json"}


def test_an_edit_that_a_publication_took_out_before_it_failed_is_found_again(
    script: Script,
) -> None:
    """It lay in .state/out/ until the next start."""
    script.settle()
    script.refuse(errno.EROFS, script.paths.out / ".worker-pool.json")
    script.disk.put(script.paths.task_queue, b'{"tasks": 7}')
    script.disk.put(script.paths.inbox / "task.json", b'{"command": "true"}')
    script.settle()
    script.disk.mend()
    script.settle()
    assert "task-queue.json" in script.disk.names(script.paths.rejected)


def test_a_daemon_that_fails_as_it_starts_leaves_no_empty_files_behind(script: Script) -> None:
    """An editor's buffer of one would have cancelled every task: its rows were missing."""
    script.disk.put(script.paths.inbox / "task.json", b'{"command": "true"}')
    script.settle()
    before = script.disk.content(script.paths.task_queue) or b""
    assert b"task-001" in before
    script.run.stop_politely()
    fault = Fault(1, errno.EMFILE, calls=frozenset({"listdir"}), under=(str(script.paths.out),))
    script.disk.arm(fault)
    assert "exits" in script.run.start()
    assert b"task-001" in (script.disk.content(script.paths.task_queue) or b"")


def test_nothing_is_published_of_lines_that_came_between_a_commit_and_publishing(
    script: Script,
) -> None:
    """A claim that is taken up again makes its line where the turn has committed already."""
    intake = str(script.paths.intake)
    fault = Fault(1, errno.EMFILE, calls=frozenset({"fsync_dir"}), lasting=True, under=(intake,))
    script.disk.arm(fault)
    script.disk.put(script.paths.inbox / "task.json", b'{"command": "true"}')
    script.settle()
    script.disk.mend()
    assert script.run.life is not None
    daemon, before = script.run.life.daemon, script.run.life.daemon.state.seq
    script.run.machine.pass_time(3.0)
    daemon.state.touch("budget", "")  # so that this turn has something to publish
    script.run.turn()
    assert daemon.state.seq > before, "the claim was taken up"
    while script.run.life.effects.lanes:
        script.run.run_effect()
    assert script.run.checks.found == []
    script.settle()
    assert daemon.durable_seq == daemon.state.seq


def test_workers_that_wait_for_a_slot_get_it_while_another_step_waits_for_a_yes(
    script: Script,
) -> None:
    """They were granted or not, as it came: by whether the question was looked at before."""
    script.restart(limits={"tools": 1})
    names = ("one", "two", "asks")
    steps = [{"name": name, "command": "true", "approval": name == "asks"} for name in names]
    script.drop(id="job", title="a plan", workers=steps)
    assert script.state.tasks["job"].status == "awaiting_approval"
    script.settle(10.0)
    assert [step.status for step in script.state.tasks["job"].steps] == ["done", "done", "waiting"]
    assert script.run.checks.found == []


def test_a_budget_that_there_was_no_room_for_is_taken_up_once_there_is(script: Script) -> None:
    """It was only looked at again at a restart, or when a master's file changed."""
    script.drop(command="true", token_budget=60_000)
    script.restart(budget={"total": 150_000})
    assert script.state.budget.total == 200_000, "60,000 of its pool are held"
    script.settle(10.0)
    script.run.machine.pass_time(DAY_S)
    script.settle()
    assert (script.state.budget.total, script.state.budget.pool_total) == (150_000, 15_000)
