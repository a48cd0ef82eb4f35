"""Many small alike jobs in few workers, through the real daemon."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from live_home import LiveHome, MakeHome

QUICK = "[workers]\nbackoff = 0.1\ngrace = 0.5\n"


def test_a_hundred_items_are_done_by_five_workers_each_once(live: LiveHome) -> None:
    ran = live.root / "ran"
    items = [f"item {number}" for number in range(100)]
    live.drop({"id": "many", "command": f'echo "$CORTEX_ITEM" >> {ran}', "items": items})
    (row,) = live.until_ended("many")
    assert row["status"] == "completed", row
    assert (row["items"], len(row["workers"])) == (100, 5)
    assert sorted(ran.read_text().splitlines()) == sorted(items)
    results = json.loads((live.folder_of(row["workers"][0]) / "results.json").read_text())
    assert [one["status"] for one in results["items"]] == ["completed"] * 20
    assert results["summary"] == "20 items done"
    live.assert_books()
    live.assert_replay_is_published()


def test_a_killed_batch_goes_on_where_it_was(make_home: MakeHome) -> None:
    live = make_home("batches", settings=QUICK)
    live.start()
    ran, gate = live.root / "ran", live.root / "gate"
    wait = f'echo "$CORTEX_ITEM" >> {ran}; [ "$CORTEX_ITEM" != c ] || while [ ! -e {gate} ]; do '
    items = list("abcdef")
    command = wait + "sleep 0.02; done"
    live.drop({"id": "many", "command": command, "items": items, "max_parallel": 1})
    live.until(lambda: ran.exists() and "c" in ran.read_text(), "it is at c")
    (runner,) = [pid for pid in live.worker_processes() if _is_runner(pid)]
    _kill(runner)
    gate.touch()
    (row,) = live.until_ended("many")
    assert row["status"] == "completed", row
    assert ran.read_text().split() == ["a", "b", "c", "d", "e", "f", "c"]
    first, second = row["workers"]
    results = json.loads((live.folder_of(second) / "results.json").read_text())
    by = {one["item"]: one["worker_id"] for one in results["items"]}
    assert by == {"a": first, "b": first} | dict.fromkeys("cdef", second)
    live.assert_started_once()


def _is_runner(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"cortex.worker.batch" in words


def _kill(pid: int) -> None:
    import os

    os.kill(pid, signal.SIGKILL)


def test_items_run_in_the_repository_and_the_failed_ones_are_named(
    live: LiveHome, tmp_path: Path
) -> None:
    (tmp_path / "cortex").mkdir()  # no module of ours, though its name is
    (tmp_path / "cortex" / "__init__.py").write_text("raise SystemExit(3)")
    for name in ("one", "two"):
        (tmp_path / name).touch()
    task = {"id": "files", "command": ["test", "-e", "{item}"], "items": ["one", "two", "three"]}
    live.drop({**task, "scope": {"repository": str(tmp_path)}, "retries": 0, "max_parallel": 1})
    (row,) = live.until_ended("files")
    assert row["status"] == "failed"
    assert "1 of 3 items failed: three (exit 1)" in row["reason"]
