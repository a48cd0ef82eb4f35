"""Following, waiting, submitting: what a client sees while files change around it."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sample_home import SampleHome

from cortex.home import DaemonAbsentError, Home
from cortex.home.follow import changes
from cortex.model.errors import HomeError


def soon(action: Callable[[], object], delay_s: float = 0.2) -> threading.Timer:
    timer = threading.Timer(delay_s, action)
    timer.start()
    return timer


def test_a_change_of_a_document_wakes_at_once_and_own_reading_does_not(
    home: Home, sample: SampleHome
) -> None:
    woken = home.changes()
    next(woken)
    home.tasks()
    published = threading.Event()
    timer = soon(lambda: (published.set(), sample.publish()))
    next(woken)
    assert published.is_set()
    timer.join()
    woken.close()  # type: ignore[attr-defined]


def test_quiet_time_is_told_when_it_is_asked_for(home: Home) -> None:
    woken = changes(home.paths, every_s=0.05)
    for _ in range(3):
        next(woken)
    woken.close()  # type: ignore[attr-defined]


def test_changes_are_seen_even_before_the_journal_folder_exists(
    home: Home, sample: SampleHome
) -> None:
    for segment in sample.paths.journal.glob("*"):
        segment.unlink()
    sample.paths.journal.rmdir()
    woken = home.changes()
    next(woken)
    timer = soon(sample.publish)
    next(woken)
    timer.join()
    woken.close()  # type: ignore[attr-defined]


def test_a_wait_ends_when_the_status_has_come(
    home: Home, sample: SampleHome, run_daemon: Callable[[Path], None]
) -> None:
    run_daemon(home.root)

    def end() -> None:
        task = sample.state.tasks["task-001"]
        task.status, task.ended_at = "completed", sample.at(900)
        sample.publish()

    timer = soon(end)
    waited = home.wait(["task-001"], until="completed", timeout_s=20)
    timer.join()
    assert waited.reached
    assert waited.rows["task-001"]["status"] == "completed"


def test_a_wait_for_completion_ends_early_when_it_cannot_come(home: Home) -> None:
    waited = home.wait(["tests-nightly"], until="completed", timeout_s=20)
    assert waited.missed == ("tests-nightly",)
    assert not waited.reached


def test_a_task_that_runs_again_is_waited_for_also_before_the_files_show_it(
    home: Home, sample: SampleHome, run_daemon: Callable[[Path], None]
) -> None:
    run_daemon(home.root)
    sample.log(900, "person", "again", {"event": "task_reopened", "task_id": "tests-nightly"})
    for until in ("ended", "completed"):
        waited = home.wait(["tests-nightly"], until=until, timeout_s=0.1)
        assert (waited.reached, waited.missed) == (False, ())
    sample.publish()  # it has failed again
    assert home.wait(["tests-nightly"], timeout_s=20).reached


def test_a_wait_ends_at_its_time_limit(home: Home, run_daemon: Callable[[Path], None]) -> None:
    run_daemon(home.root)
    waited = home.wait(["task-001"], timeout_s=0.1)
    assert not waited.reached
    assert waited.missed == ()


def test_waiting_without_a_daemon_is_refused_unless_it_is_over_already(home: Home) -> None:
    with pytest.raises(DaemonAbsentError, match="cortexd --home"):
        home.wait(["task-001"], timeout_s=20)
    assert home.wait(["tests-nightly"]).reached


def test_waiting_for_what_is_not_there_names_it(home: Home) -> None:
    with pytest.raises(HomeError, match="task-404"):
        home.wait(["task-001", "task-404"])


def test_a_drop_is_whole_under_a_name_of_its_own(home: Home) -> None:
    first = home.submit({"title": "Grüße"}, "greet")
    second = home.submit({"title": "Grüße"}, "greet")
    assert first.name != second.name
    for receipt in (first, second):
        path = home.paths.inbox / receipt.name
        assert path.name.startswith("greet-")
        assert json.loads(path.read_bytes()) == {"title": "Grüße"}
    assert not list(home.paths.inbox.glob(".*"))


@pytest.mark.parametrize(
    ("given", "suffix"),
    [("tasks.yaml", ".yaml"), ("more.jsonl", ".jsonl"), ("odd name.x", ".json")],
)
def test_a_file_keeps_the_suffix_that_tells_its_form(home: Home, given: str, suffix: str) -> None:
    name = home.submit(b"title: x\n", given).name
    assert name.endswith(suffix)
    assert " " not in name


def test_a_missing_inbox_is_made_again(home: Home) -> None:
    home.paths.inbox.rmdir()
    receipt = home.submit({"title": "x"})
    assert (home.paths.inbox / receipt.name).exists()


def test_what_became_of_a_drop_is_found(home: Home, sample: SampleHome) -> None:
    receipt = home.submit({"title": "x"})
    assert home.find_submitted(receipt) is None
    claimed = home.paths.intake / f"0000000007-{receipt.name}"
    home.paths.intake.mkdir(exist_ok=True)
    (home.paths.inbox / receipt.name).rename(claimed)
    assert home.find_submitted(receipt) is None
    claimed.unlink()
    assert home.find_submitted(receipt) is None
    sample.state.tasks["task-002"].source = receipt.name
    sample.publish()
    outcome = home.find_submitted(receipt)
    assert outcome is not None
    assert outcome.task_ids == ("task-002",)


def test_a_refused_drop_shows_its_reason(home: Home) -> None:
    receipt = home.submit({"title": "x"})
    error = home.paths.rejected / f"{receipt.name}.error.json"
    error.write_text(json.dumps({"file": receipt.name, "reason": "no"}))
    outcome = home.find_submitted(receipt)
    assert outcome is not None
    assert outcome.rejection == {"file": receipt.name, "reason": "no"}


def test_a_verb_is_done_when_its_file_is_gone(home: Home) -> None:
    receipt = home.submit({"kind": "pause"})
    assert home.find_submitted(receipt) is None
    (home.paths.inbox / receipt.name).unlink()
    outcome = home.find_submitted(receipt)
    assert outcome is not None
    assert outcome.rejection is None


def test_an_inbox_that_cannot_be_written_is_said(home: Home) -> None:
    home.paths.inbox.rmdir()
    home.paths.inbox.write_text("a file in the way")
    with pytest.raises(HomeError, match="nothing was submitted"):
        home.submit({"title": "x"})


def test_a_drop_that_only_names_an_ended_task_by_its_key_finds_it_in_the_archive(
    home: Home, sample: SampleHome
) -> None:
    receipt = home.submit({"title": "x", "key": "nightly"})
    (home.paths.inbox / receipt.name).unlink()
    taken = {
        "event": "receipt_taken",
        "receipt": 9,
        "floor": 9,
        "file": f"0000000009-{receipt.name}",
    }
    sample.log(900, "inbox", f"{receipt.name} has the key of task-0007: nothing new", taken)
    assert home.find_submitted(receipt) is None
    row = {"id": "task-0007", "status": "completed", "key": "nightly"}
    entry = {"kind": "task", "id": "task-0007", "row": row}
    (home.paths.archive / "2025-10-31.jsonl").write_text(json.dumps(entry) + "\n")
    outcome = home.find_submitted(receipt)
    assert outcome is not None
    assert outcome.task_ids == ("task-0007",)
