"""What a person or a worker does to the home's files while the daemon runs."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from live_home import LiveHome, MakeHome

NAMES = ("task-queue", "worker-pool", "token-budget", "handoffs", "schedules")


def garbage(_: bytes) -> bytes:
    return b"{ this is no JSON"


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def emptied(_: bytes) -> bytes:
    return b""


def wrong_sums(path: Path) -> None:
    document = json.loads(path.read_bytes())
    document["worker_pool"]["available"] = -5
    hidden = path.with_name(".edit.tmp")
    hidden.write_text(json.dumps(document))
    hidden.rename(path)


@pytest.mark.parametrize("edit", [garbage, truncated, emptied])
@pytest.mark.parametrize("name", ["task-queue", "token-budget"])
def test_a_bad_edit_is_restored_and_kept_with_a_reason(
    live: LiveHome, edit: Callable[[bytes], bytes], name: str
) -> None:
    live.run("done", "true")
    live.until_idle()
    live.until_ended("done")
    path = live.paths.coordination / f"{name}.json"
    edited = edit(path.read_bytes())
    path.write_bytes(edited)
    live.until(lambda: restored(path), "restored: two seconds, on a machine that has time", 20)
    error = live.until(lambda: live.errors().get(path.name), "kept with its reason") or {}
    assert error["reason"]
    assert error["hint"]
    kept = live.paths.rejected / path.name
    live.until(kept.exists, "the edit lies beside its reason, which was written first")
    assert kept.read_bytes() == edited
    assert live.task("done")["status"] == "completed"
    live.assert_books()


def restored(path: Path) -> bool:
    try:
        return "journal_seq" in json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False


def test_numbers_that_do_not_add_up_never_reach_the_ledger(live: LiveHome) -> None:
    before = live.read("token-budget")["worker_pool"]
    wrong_sums(live.paths.token_budget)
    live.until(lambda: live.read("token-budget")["worker_pool"] == before, "restored")
    live.until(lambda: live.errors().get("token-budget.json"), "kept with its reason")
    live.assert_books()


@pytest.mark.parametrize("name", NAMES)
def test_a_removed_document_is_published_again(live: LiveHome, name: str) -> None:
    path = live.paths.coordination / f"{name}.json"
    path.unlink()
    live.until(lambda: restored(path), "published again")
    assert live.errors() == {}


def test_an_edit_made_while_no_daemon_ran_is_restored_and_kept(live: LiveHome) -> None:
    live.stop()
    live.paths.task_queue.write_bytes(garbage(b""))
    live.start()
    live.until(lambda: live.errors().get("task-queue.json"), "kept with its reason")
    assert (live.paths.rejected / "task-queue.json").read_text() == "{ this is no JSON"
    assert live.read("task-queue")["daemon"]["status"] == "running"


def test_folders_that_somebody_removed_come_back_and_work_goes_on(live: LiveHome) -> None:
    live.run("before", "true")
    live.until_ended("before")
    for folder in (live.paths.inbox, live.paths.rejected, live.paths.logs, live.paths.worker_specs):
        gone = live.root / f"gone-{folder.name}"
        folder.rename(gone)  # at once: what is half removed, the daemon may put something into
        shutil.rmtree(gone)
    live.until(live.paths.inbox.is_dir, "the inbox is back")
    live.run("after", "true")
    live.drop(b"{", "bad.json")
    assert live.until_ended("after")[0]["status"] == "completed"
    live.until(lambda: live.errors().get("bad.json"), "refused as before")
    live.assert_books()


def test_a_worker_that_deletes_its_folder_and_edits_the_queue_changes_no_outcome(
    live: LiveHome,
) -> None:
    queue = live.paths.task_queue
    rude = f"rm -rf $CORTEX_WORKER_DIR; echo '{{\"tasks\": []}}' > {queue}~; mv {queue}~ {queue}"
    rude += "; sleep 0.3"
    live.run("rude", rude, retries=0)
    (row,) = live.until_ended("rude")
    assert row["status"] in ("completed", "failed")
    live.until(lambda: live.errors().get("task-queue.json"), "the edit is refused")
    live.run("after", "true")
    assert live.until_ended("after")[0]["status"] == "completed"
    live.assert_books()


def test_results_that_break_the_contract_fail_the_worker_and_are_not_copied(
    live: LiveHome, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text('{"status": "completed", "summary": "the-secret-words"}')
    spoil = {
        "sparse": "truncate -s 1G $CORTEX_RESULTS",
        "fifo": "mkfifo $CORTEX_RESULTS",
        "link": f"ln -s {secret} $CORTEX_RESULTS",
        "folder": "mkdir $CORTEX_RESULTS",
        "nan": 'echo \'{"status": "completed", "tokens_used": NaN}\' > $CORTEX_RESULTS',
        "types": "echo '{\"status\": 7}' > $CORTEX_RESULTS",
        "deep": "head -c 100000 /dev/zero | tr '\\0' '[' > $CORTEX_RESULTS",
    }
    for ident, command in spoil.items():
        live.run(ident, command, retries=0)
    for row in live.until_ended(*spoil):
        assert row["status"] == "failed", row
        assert "results" in row["reason"], row
    for path in (live.root / "coordination").rglob("*.json*"):
        with contextlib.suppress(FileNotFoundError):  # cleared away meanwhile
            assert b"the-secret-words" not in path.read_bytes()
    live.assert_books()


def test_a_flood_of_output_is_cut_and_the_daemon_stays_small(live: LiveHome) -> None:
    assert live.daemon is not None
    live.run("flood", "head -c 100000000 /dev/zero | tr '\\0' 'x'")
    (row,) = live.until_ended("flood")
    assert row["status"] == "completed"
    log = live.folder_of("worker-cmd-001") / "log.md"
    assert log.stat().st_size < 66 * 1024 * 1024
    status = Path(f"/proc/{live.daemon.pid}/status").read_text()
    peak_kb = int(status.partition("VmHWM:")[2].split()[0])
    assert peak_kb < 200_000


def test_a_worker_type_that_is_mended_unblocks_the_tasks_that_waited_for_it(
    live: LiveHome,
) -> None:
    live.drop({"id": "poem", "title": "x", "workers": [{"name": "a", "worker_type": "poet"}]})
    live.until(lambda: live.task("poem").get("status") == "blocked", "blocked")
    assert "poet" in live.task("poem")["blocked_on"]
    text = "---\nname: poet\nruntime: command\n---\nWrites.\n"
    (live.paths.prompts / "poet.md").write_text(text)
    live.until(lambda: live.task("poem").get("blocked_on", "").count("command") > 0, "says more")
    live.drop({"kind": "cancel", "task_id": "poem"})
    assert live.until_ended("poem")[0]["status"] == "cancelled"


def test_an_editor_that_renames_its_copy_over_the_document_is_seen_by_its_event(
    make_home: MakeHome,
) -> None:
    live = make_home(settings="[daemon]\nresync = 60\n")
    live.start()
    copy = live.paths.coordination / "task-queue.json.mine"
    copy.write_text("mine")
    copy.rename(live.paths.task_queue)
    live.until(lambda: restored(live.paths.task_queue), "restored, long before the next resync")
    assert live.until(lambda: live.errors().get("task-queue.json"), "kept with its reason")
    assert (live.paths.rejected / "task-queue.json").read_text() == "mine"
