"""The whole daemon under seeded faults: no violation in many lives, and planted bugs are found.

A failing seed is replayed with `scripts/sim --seed N --verbose`.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortex.control.context import Context
from cortex.control.editing import Editing
from cortex.control.engine import Engine
from cortex.decide import evolve
from cortex.decide.edit import differences
from cortex.decide.snapshot import queue_row
from cortex.model.owners import task_owner
from cortex.store.journal import Journal
from cortex.store.publish import Publisher
from cortex.testing import FakeDisk, FakeExecutor, Simulation
from cortex.testing.campaign import Totals, outcomes, run_seed
from cortex.testing.reached import FEATURES

SCRIPT = Path(__file__).parents[2] / "scripts" / "sim"
#: The first of the 2,000 that .ci/run runs with scripts/sim.
SEEDS = 200
SEEDS_A_TEST = 50
#: Seeds within which every planted bug must be found, but for rare ones.
SEEDS_TO_FIND = 25
SEEDS_TO_FIND_RARE = 60


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_A_TEST))
def test_a_daemon_keeps_its_promises_under_any_faults(first: int) -> None:
    """Fifty lives take some five seconds."""
    totals = Totals()
    for outcome in outcomes(range(first, first + SEEDS_A_TEST), jobs=1):
        totals.add(outcome)
    assert not totals.failed


def test_the_runs_do_have_faults_and_work() -> None:
    totals = Totals()
    for outcome in outcomes(range(40), jobs=1):
        totals.add(outcome)
    assert totals.crashes >= 40
    assert totals.workers >= 300
    assert totals.tasks >= 200
    assert len(totals.reached) >= 30, f"not reached: {set(FEATURES) - set(totals.reached)}"


def test_a_seed_is_replayed_to_the_letter_in_another_process_with_another_hash_seed() -> None:
    said = {
        subprocess.run(
            [sys.executable, str(SCRIPT), "--seed", "7", "--verbose"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    (output,) = said
    assert output.endswith(f"seed 7 trace {run_seed(7).trace_hash}\n")
    assert output.count("\n") > 100


def test_a_campaign_that_takes_more_processor_time_than_allowed_fails() -> None:
    campaign = [sys.executable, str(SCRIPT), "--runs", "4", "--cpu"]
    runs = [
        subprocess.run([*campaign, allowed], capture_output=True, text=True)
        for allowed in ("1ms", "10m")
    ]
    assert [done.returncode for done in runs] == [1, 0], runs
    assert "--cpu allows 1ms" in runs[0].stdout


def test_a_campaign_names_failing_seeds_and_ends_with_one_line_that_sums_up() -> None:
    program = (
        "import runpy, sys; from cortex.decide import evolve\n"
        "evolve.EVENTS['tokens_settled'] = lambda state, event, at: None\n"
        f"sys.argv = ['sim', '--runs', '6', '--jobs', '2']; runpy.run_path({str(SCRIPT)!r},"
        " run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert any(line.startswith("seed ") and "books after line" in line for line in lines)
    assert lines[-1].startswith("6 runs, ")
    assert lines[-2].startswith("replay one with: scripts/sim --seed ")


def test_a_soak_runs_seed_after_seed_for_as_long_as_it_is_told() -> None:
    command = [sys.executable, str(SCRIPT), "--soak", "2s", "--first", "1000"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == "seeds from 1000 on"
    assert " 0 failed" in lines[-1]


def test_different_seeds_are_different_runs() -> None:
    assert len({Simulation(seed, steps=40).run().trace_hash for seed in range(4)}) == 4


# --- planted bugs


def _found(word: str, within: int = SEEDS_TO_FIND, **wrappers: Any) -> None:
    """Some violation that has the word is found within the promised number of seeds."""
    seen: set[str] = set()
    for seed in range(within):
        violations = Simulation(seed, **wrappers).run().violations
        if any(word in violation for violation in violations):
            return
        seen.update(violations)
    pytest.fail(f"no {word!r} in {within} seeds; seen: {sorted(seen)[:5]}")


class _Around:
    """Passes everything on but what a subclass replaces."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _ForgetsData(_Around):
    def fdatasync(self, handle: int) -> None:
        pass


class _ForgetsNames(_Around):
    def fsync_dir(self, path: Any) -> None:
        pass


class _WinsEveryClaim(_Around):
    def claim(self, worker_id: str, lock_dir: str, nonce: int) -> bool:
        self._inner.claim(worker_id, lock_dir, nonce)
        return True


class _SeesNoLock(_Around):
    """A worker whose shim lives looks as if nothing of it did."""

    def look(self, worker_id: str, lock_dir: str, attempt_dir: str) -> Any:
        from dataclasses import replace

        sighting = self._inner.look(worker_id, lock_dir, attempt_dir)
        return replace(sighting, lock_held=False, shim_alive=False)


@pytest.mark.parametrize(
    ("wrap", "word"),
    [(_ForgetsData, "counts as durable"), (_ForgetsNames, "counts as durable")],
    ids=["fdatasync", "fsync of a folder"],
)
def test_a_forgotten_sync_is_found(wrap: Callable[[FakeDisk], Any], word: str) -> None:
    _found(word, wrap_disk=wrap)


@pytest.mark.parametrize(
    ("wrap", "word"), [(_WinsEveryClaim, "ran 2 times"), (_SeesNoLock, "lives as")]
)
def test_a_second_start_is_found(wrap: Callable[[FakeExecutor], Any], word: str) -> None:
    _found(word, wrap_executor=wrap)


def _at_once(self: Engine, action: Callable[[], None]) -> None:
    action()


def test_a_start_before_its_line_is_durable_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    afterwards = Engine.afterwards

    def starts_at_once(self: Engine, action: Callable[[], None]) -> None:
        at_once = "start_approved" in action.__qualname__
        (_at_once if at_once else afterwards)(self, action)

    monkeypatch.setattr(Engine, "afterwards", starts_at_once)
    # A start waits for the end of its turn anyway, so only a commit that fails shows it.
    _found("starts before its line is durable", within=150)


def test_unlinking_a_drop_before_its_line_is_durable_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Engine, "afterwards", _at_once)
    _found("is nowhere")


@pytest.mark.parametrize("event", ["tokens_returned", "tokens_settled"])
def test_a_leaked_reservation_is_found(monkeypatch: pytest.MonkeyPatch, event: str) -> None:
    monkeypatch.setitem(evolve.EVENTS, event, lambda state, event, at: None)
    _found("books after line")


def test_a_change_that_the_journal_does_not_hold_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    append = Journal.append

    def forgetful(self: Journal, at: Any, by: str, why: str, events: list[dict[str, Any]]) -> int:
        kept = [event for event in events if event["event"] != "task_waiting"]
        return append(self, at, by, why, kept)

    monkeypatch.setattr(Journal, "append", forgetful)
    _found("replay differs")


def test_an_edit_that_is_overwritten_unseen_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if what comes out of the exchange were never looked at."""
    monkeypatch.setattr(Publisher, "_is_ours", lambda self, path, stat, last: True)
    _found("is nowhere: «edit")


def test_an_edit_that_is_taken_out_of_the_way_and_forgotten_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Editing, "take", lambda self, edits: None)
    _found("does not come to rest: an edit of")


def test_a_stale_buffer_that_takes_old_values_back_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if whatever differs from the state now were what the person wants: two ways, not three."""

    def two_ways(state: Any, edit: Any, ident: str, row: Any, merged: Any) -> list[Any]:
        task = state.tasks.get(ident)
        found = differences(row, queue_row(state, task)) if task is not None else []
        return [each for each in found if task_owner(each.name) in ("person", "verb")]

    monkeypatch.setattr("cortex.decide.merge_tasks._asked", two_ways)
    _found("» asked for", within=150)


def test_a_worker_that_is_granted_its_place_while_the_daemon_drains_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    never = property(lambda self: self.full is not None or not self.inbox_seen)
    monkeypatch.setattr(Context, "starts_nothing", never)
    _found("while the daemon drains", within=SEEDS_TO_FIND_RARE)


def test_a_worker_that_could_start_and_is_forgotten_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if a task that is being planned were none whose workers may start."""
    monkeypatch.setattr("cortex.masters.controller._ADMITTED", ("in_progress",))
    _found("nothing runs, and worker-planner")


def test_a_claim_that_is_accepted_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if receipts were not remembered: a crash before the unlink makes a second task."""

    def forget(state: Any, event: dict[str, Any], at: str) -> None:
        state.receipt_floor = 0

    monkeypatch.setitem(evolve.EVENTS, "receipt_taken", forget)
    _found("was taken twice")
