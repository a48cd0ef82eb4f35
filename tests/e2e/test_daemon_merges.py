"""Valid edits of the published files while the daemon runs: taken up, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cortex.model.paths import HomePaths
from live_home import LiveHome

Row = dict[str, Any]


def save(path: Path, content: Row | bytes) -> None:
    """As most editors do: a new file renamed over the old one."""
    hidden = path.with_name(f".{path.name}.mine")
    hidden.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    hidden.rename(path)


def edit(live: LiveHome, change: Callable[[Row], None], name: str = "task-queue") -> Row:
    """Opens a document, changes it, saves it; what was saved."""
    content = live.read(name)
    change(content)
    save(live.paths.coordination / f"{name}.json", content)
    return content


def until_judged(live: LiveHome, count: int = 1, name: str = "task-queue") -> None:
    """Until so many edits have their line, and the file shows what came of the last one."""
    names = ("file_edited", "file_edit_refused")

    def judged() -> bool:
        lines = [line.seq for line in live.lines() if line.events[0]["event"] in names]
        return len(lines) >= count and live.read(name).get("journal_seq", 0) >= lines[-1]

    live.until(judged, "judged and published")


def row_in(content: Row, ident: str) -> Row:
    found: Row = next(row for row in content["tasks"] if row["id"] == ident)
    return found


def test_another_priority_shows_and_says_who_did_it(live: LiveHome) -> None:
    live.run("job", "sleep 60")
    live.until_running("job")
    edit(live, lambda queue: row_in(queue, "job").update(priority="high", note="mine"))
    until_judged(live)
    assert live.task("job")["priority"] == "high"
    assert live.task("job")["note"] == "mine"
    (line,) = [each for each in live.lines() if each.events[0]["event"] == "file_edited"]
    assert line.by == "person"
    assert "job priority: → high" in line.why
    assert live.errors() == {}
    assert live.running("job"), "nothing was disturbed"


def test_an_edit_and_what_the_daemon_did_meanwhile_both_survive(live: LiveHome) -> None:
    live.run("first", "true")
    live.until_ended("first")
    stale = live.read("task-queue")
    for number in range(5):
        live.run(f"later-{number}", "true")
    live.until_ended(*(f"later-{number}" for number in range(5)))
    row_in(stale, "first")["checked_by"] = "ann"
    stale["tasks"].append({"title": "one more", "command": "echo hello"})
    save(live.paths.task_queue, stale)
    until_judged(live)
    assert live.task("first")["checked_by"] == "ann"
    (row,) = live.until_ended("task-001")
    assert row["summary"] == "hello"
    assert {row["status"] for row in live.tasks()} == {"completed"}
    assert live.errors() == {}
    live.assert_books()
    live.assert_replay_is_published()


def test_verbs_and_missing_rows_do_what_commands_do(live: LiveHome) -> None:
    for ident in ("stay", "gone", "named"):
        live.run(ident, "sleep 60")
        live.until_running(ident)
    live.run("bad", "false", retries=0)
    live.until_ended("bad")

    def change(queue: Row) -> None:
        queue["tasks"].remove(row_in(queue, "gone"))
        row_in(queue, "named")["status"] = "cancelled"
        row_in(queue, "bad")["status"] = "pending"
        row_in(queue, "stay")["hold"] = True

    edit(live, change)
    until_judged(live)
    ended = live.until_ended("gone", "named")
    assert [row["status"] for row in ended] == ["cancelled", "cancelled"]
    live.until(lambda: live.task("bad").get("run") == 2, "it runs again")
    live.until(lambda: live.task("stay")["status"] == "paused", "held")
    assert live.running("stay")
    edit(live, lambda queue: row_in(queue, "stay").pop("hold"))
    until_judged(live, 2)
    live.until(lambda: live.task("stay")["status"] == "in_progress", "released")
    assert live.errors() == {}


def test_refused_parts_are_told_one_by_one_and_the_rest_goes_in(live: LiveHome) -> None:
    live.run("job", "sleep 60")
    live.until_running("job")

    def change(queue: Row) -> None:
        row = row_in(queue, "job")
        row.update(priority="urgent", title="renamed", assigned_to="me", command="rm -rf /")
        queue["tasks"].append({"id": "also", "command": "true"})

    saved = edit(live, change)
    until_judged(live)
    live.until_ended("also")
    error = live.until(lambda: live.errors().get("task-queue.json"), "told") or {}
    assert live.task("job")["title"] == "renamed"
    assert live.task("job")["priority"] == "medium"
    refused = {part["field"]: part for part in error["refused"]}
    assert set(refused) == {"priority", "assigned_to", "command"}
    assert refused["assigned_to"]["yours"] == "me"
    assert refused["assigned_to"]["now"] == "coordinator-master"
    assert all(part["where"] == "job" and part["hint"] for part in refused.values())
    assert any("renamed" in text for text in error["taken"])
    assert json.loads((live.paths.rejected / "task-queue.json").read_bytes()) == saved
    assert live.running("job")


def test_an_edit_made_while_no_daemon_ran_is_taken_up_at_the_next_start(live: LiveHome) -> None:
    live.run("job", "true")
    live.until_ended("job")
    live.stop()
    edit(live, lambda queue: row_in(queue, "job").update(note="offline"))
    live.start()
    until_judged(live)
    assert live.task("job")["note"] == "offline"
    assert live.errors() == {}


def test_an_edit_that_a_kill_cut_short_is_taken_up_once(live: LiveHome) -> None:
    live.stop()

    def change(queue: Row) -> None:
        queue["tasks"].append({"title": "once", "command": "true"})

    edit(live, change)
    for number in range(6):
        live.daemon = live.popen()
        live.until(live.paths.lock.exists, "it starts")
        deadline = time.monotonic() + 0.15 * number
        while time.monotonic() < deadline and not live.events("task_accepted"):
            pass
        live.kill()
    live.start()
    live.until_ended("task-001")
    assert len(live.events("task_accepted")) == 1
    assert live.errors() == {}


def test_many_missing_rows_are_taken_for_an_accident(live: LiveHome) -> None:
    idents = [f"job-{number}" for number in range(5)]
    for ident in idents:
        live.run(ident, "sleep 60", hold=True)
    live.until(lambda: len(live.tasks()) == 5, "all there")
    edit(live, lambda queue: queue["tasks"].clear())
    error = live.until(lambda: live.errors().get("task-queue.json"), "refused") or {}
    assert "accident" in error["reason"]
    live.until(lambda: len(live.tasks()) == 5, "restored")
    assert all(row["status"] == "pending" for row in live.tasks())


def test_a_file_of_another_time_is_refused_by_its_journal_seq(live: LiveHome) -> None:
    edit(live, lambda queue: queue.update(journal_seq=999_999))
    error = live.until(lambda: live.errors().get("task-queue.json"), "refused") or {}
    assert (error["field"], "999999" in error["reason"]) == ("journal_seq", True)


def test_a_copied_home_does_not_look_edited(live: LiveHome, make_home: Any) -> None:
    live.run("job", "true")
    live.until_ended("job")
    live.assert_books()
    live.stop()
    other = make_home("other")
    shutil.rmtree(other.root)
    gone = shutil.ignore_patterns("*.sock", "lock", "pid")
    shutil.copytree(live.root, other.root, copy_function=shutil.copyfile, ignore=gone)
    (HomePaths(other.root).state / "runtime-dir").unlink(missing_ok=True)
    other.start()
    other.run("more", "true")
    other.until_ended("more")
    assert other.errors() == {}
    assert not other.events("file_edited")
    assert not other.events("file_edit_refused")
    assert not other.events("task_edited")
    live.start()


def test_a_link_or_a_fifo_in_a_documents_place_is_moved_away_unopened(
    live: LiveHome, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"tasks": [{"title": "the-secret"}]}')
    aside = live.paths.coordination / ".aside"  # a document that is gone is published again
    aside.symlink_to(secret)
    aside.rename(live.paths.task_queue)
    live.until(lambda: live.errors().get("task-queue.json"), "refused")
    live.until(lambda: not live.paths.task_queue.is_symlink(), "restored")
    os.mkfifo(aside)
    aside.rename(live.paths.token_budget)
    live.until(lambda: live.errors().get("token-budget.json"), "refused")
    assert live.tasks() == []


def test_budget_handoffs_pool_and_schedules_are_edited_in_place(live: LiveHome) -> None:
    edit(live, lambda budget: budget.update(total_budget=260_000), "token-budget")
    until_judged(live, name="token-budget")
    live.until(lambda: live.read("token-budget")["worker_pool"]["total"] == 125_000, "in the pool")
    live.run("job", "sleep 60", token_budget=5000)
    worker = live.until_running("job")["worker_id"]

    def beat(pool: Row) -> None:
        (row,) = pool["active_workers"]
        row.update(tokens_used=123, last_heartbeat="2026-01-01T00:00:00Z")

    edit(live, beat, "worker-pool")
    live.until(lambda: live.read("token-budget")["usage_metrics"]["total_tokens_used_today"] == 123,
               "counted")  # fmt: skip
    assert live.workers("active")[0]["tokens_used"] == 123
    assert not live.events("file_edit_refused"), "a heartbeat is in no journal line"

    def remove(pool: Row) -> None:
        pool["active_workers"].clear()

    edit(live, remove, "worker-pool")
    error = live.until(lambda: live.errors().get("worker-pool.json"), "refused") or {}
    assert worker in error["reason"]
    assert live.running("job")

    def add(schedules: Row) -> None:
        schedules["scheduled_workers"].append({"schedule": "daily@09:00", "command": "true"})

    edit(live, add, "schedules")
    live.until(lambda: live.events("schedule_set"), "there")
    rows = live.until(
        lambda: [r for r in live.read("schedules")["scheduled_workers"] if r.get("next_run")],
        "published",
    )
    assert rows[0]["id"] == "schedule-001"
    live.drop({"kind": "cancel", "task_id": "job"})
    live.until_ended("job")
    live.assert_books()
