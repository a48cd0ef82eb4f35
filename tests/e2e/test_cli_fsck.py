"""`cortex fsck` on a home that really lived: what it finds, repairs, and only tells."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from live_home import BIN, LiveHome, MakeHome


def run(home: LiveHome, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "cortex"), *arguments, "--home", str(home.root)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "NO_COLOR": "1"},
    )


def fsck(home: LiveHome, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = run(home, "fsck", "--json", *arguments)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def problems(found: dict[str, Any]) -> str:
    return "\n".join(
        f"{p['place']}: {p['what']}; {p['remedy']}" for p in found["problems"] if not p["note"]
    )


def notes(found: dict[str, Any]) -> str:
    return "\n".join(f"{p['place']}: {p['what']}" for p in found["problems"] if p["note"])


@pytest.fixture
def lived(live: LiveHome) -> LiveHome:
    """A home that has run, refused and archived something, and whose daemon has stopped."""
    live.run("good", "echo done")
    live.run("bad", "exit 3", retries=0)
    live.drop("{nonsense", "x.json")
    live.until_ended("good", "bad")
    live.until(lambda: "x.json" in live.errors(), "x.json is refused")
    live.until(lambda: len(live.events("worker_cleaned")) == 2, "the workers are cleared away")
    live.stop()
    return live


def test_a_home_that_lived_is_clean_with_and_without_its_daemon(live: LiveHome) -> None:
    live.run("a", "true")
    live.run("long", "sleep 60")
    live.until_ended("a")
    live.until_running("long")
    assert fsck(live)[0] == 0
    live.kill()
    code, found = fsck(live)
    assert (code, problems(found)) == (0, "")
    told = run(live, "fsck")
    assert told.stdout.endswith("the books balance, nothing is wrong\n")


def test_all_that_follows_from_the_journal_is_repaired_and_the_rest_kept(lived: LiveHome) -> None:
    paths = lived.paths
    segment = next(paths.journal.glob("*.jsonl"))
    whole = segment.read_bytes()
    count = len(whole.splitlines())
    with segment.open("ab") as file:
        file.write(b'{"seq":99,"pr')
    good = paths.handoffs.read_bytes()
    paths.token_budget.write_text("{")
    paths.handoffs.unlink()
    paths.checkpoint.write_text("{}")
    reason = lived.errors()["x.json"]
    (paths.rejected / "x.json.error.json").unlink()
    folder = lived.folder_of("worker-cmd-001")
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
    paths.archive_index.write_text("no database")
    (paths.attempts / "worker-cmd-900").mkdir()
    paths.worker_specs.joinpath("worker-cmd-900.json").write_text("{}")

    code, found = fsck(lived)
    text = problems(found)
    assert code == 1
    for place in (f"{segment}:{count + 1}: torn", "token-budget.json:1", "handoffs",
                  "checkpoint.json", "x.json", "worker-cmd-001", "archive.db"):  # fmt: skip
        assert place in text
    assert "worker-cmd-900" in notes(found)

    code, found = fsck(lived, "--repair")
    assert (code, problems(found), notes(found)) == (0, "", "")
    kept = Path(found["repaired"]["kept"])
    assert kept.parent == paths.state / "repaired"
    assert (kept / "coordination/token-budget.json").read_text() == "{"
    assert (kept / ".state/archive.db").read_text() == "no database"
    torn = kept / "coordination/journal" / f"{segment.name}.torn"
    assert torn.read_bytes() == b'{"seq":99,"pr'
    assert segment.read_bytes() == whole
    assert json.loads(paths.handoffs.read_bytes())["handoffs"] == json.loads(good)["handoffs"]
    assert lived.errors()["x.json"] == reason
    assert (folder / "LOST.md").exists()

    _, again = fsck(lived, "--repair")
    assert again["repaired"] == {"done": [], "kept": None}
    lived.start()
    lived.until_ended(lived.run("afterwards", "true"))
    assert "nothing is wrong" in run(lived, "fsck").stdout


def test_a_flipped_byte_in_the_middle_is_explained_and_nothing_is_touched(lived: LiveHome) -> None:
    segment = next(lived.paths.journal.glob("*.jsonl"))
    lines = segment.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b'"by":"', b'"bx":"', 1)
    segment.write_bytes(b"".join(lines))
    before = {p: p.stat().st_mtime_ns for p in lived.root.rglob("*") if p.is_file()}

    code, found = fsck(lived, "--repair")

    assert code == 1
    assert f"{segment}:4" in problems(found)
    at = json.loads(lines[2])["at"]
    assert f"cortex replay --at {at} --to FOLDER" in problems(found)
    after = {p: p.stat().st_mtime_ns for p in lived.root.rglob("*") if p.is_file()}
    changed = {p.name for p in before.keys() | after.keys() if before.get(p) != after.get(p)}
    assert changed <= {"lock"}
    # What it advises works.
    replayed = run(lived, "replay", "--at", at, "--to", str(lived.root / "then"))
    assert replayed.returncode == 0, replayed.stderr
    assert (lived.root / "then/task-queue.json").exists()


def test_a_checkpoint_newer_than_the_journal_is_proof_and_stays(lived: LiveHome) -> None:
    segment = next(lived.paths.journal.glob("*.jsonl"))
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:-3]))
    for path in lived.paths.documents:
        path.unlink()
    code, found = fsck(lived, "--repair")
    assert code == 1
    assert "checkpoint.json: it stands for line" in problems(found)
    assert lived.paths.checkpoint.exists()


def test_without_a_journal_nothing_is_taken_for_a_leftover(live: LiveHome) -> None:
    live.run("long", "sleep 60")
    live.until_running("long")
    live.kill()
    segments = {path: path.read_bytes() for path in live.paths.journal.glob("*.jsonl")}
    for path in segments:
        path.unlink()
    attempts = sorted(live.paths.attempts.iterdir())
    code, found = fsck(live, "--repair")
    assert code == 1
    assert "A daemon does not start on it" in problems(found)
    assert found["repaired"]["done"] == []
    assert sorted(live.paths.attempts.iterdir()) == attempts != []
    for path, data in segments.items():
        path.write_bytes(data)
    live.start()
    assert live.until_running("long")


def test_an_attempt_that_something_holds_is_not_moved_aside(lived: LiveHome) -> None:
    folder = lived.paths.attempts / "worker-cmd-900"
    folder.mkdir()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, found = fsck(lived, "--repair")
    assert code == 1
    assert "worker-cmd-900: has ended as the journal says, yet something holds" in problems(found)
    assert folder.is_dir()


def test_a_new_home_is_clean_and_missing_folders_are_made_again(make_home: MakeHome) -> None:
    home = make_home()
    assert fsck(home)[0] == 0
    assert not home.paths.out.exists(), "looking changes nothing"
    home.paths.inbox.rmdir()
    assert notes(fsck(home)[1]).count("this folder is missing") == 1
    code, found = fsck(home, "--repair")
    assert (code, notes(found)) == (0, "")
    assert home.paths.inbox.is_dir()


def test_repair_refuses_beside_a_daemon(live: LiveHome) -> None:
    done = run(live, "fsck", "--repair")
    assert done.returncode == 1
    assert live.daemon is not None
    assert f"a daemon runs (pid {live.daemon.pid})" in done.stderr


def test_a_hand_edit_is_no_damage(lived: LiveHome) -> None:
    queue = json.loads(lived.paths.task_queue.read_bytes())
    queue["tasks"][0]["title"] = "edited by hand"
    lived.paths.task_queue.write_text(json.dumps(queue))
    code, found = fsck(lived, "--repair")
    assert code == 0
    assert "was edited after it was published" in notes(found)
    assert "edited by hand" in lived.paths.task_queue.read_text()


def test_a_process_of_an_ended_worker_is_named_with_its_pid(lived: LiveHome) -> None:
    mark = {
        "CORTEX_WORKER_ID": "worker-cmd-001",
        "CORTEX_WORKER_DIR": str(lived.folder_of("worker-cmd-001")),
    }
    stray = subprocess.Popen(["sleep", "60"], env={**os.environ, **mark})
    try:
        code, found = fsck(lived)
        assert code == 1
        assert f"process {stray.pid} (sleep 60) belongs to worker-cmd-001" in problems(found)
    finally:
        stray.kill()
        stray.wait()


def test_workers_that_ended_or_vanished_without_a_daemon_are_told(live: LiveHome) -> None:
    live.run("short", f"while [ ! -e {live.root}/go ]; do sleep 0.02; done")
    live.until_running("short")
    live.kill()
    (live.root / "go").touch()
    live.until(lambda: list(live.paths.attempts.glob("*/exit.json")), "the worker has ended")
    code, found = fsck(live)
    assert code == 0
    assert "has ended (exit 0)" in notes(found)


def test_a_row_that_the_archive_has_lost_is_told_with_its_line(make_home: MakeHome) -> None:
    home = make_home(settings="[retention]\narchive_over = 0\n")
    home.start()
    home.run("a", "true")
    home.until(lambda: home.events("archived"), "it is archived")
    home.stop()
    assert problems(fsck(home)[1]) == ""
    file = next(home.paths.archive.glob("*.jsonl"))
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(line for line in lines if b'"id": "a"' not in line))
    code, found = fsck(home)
    assert code == 1
    assert "a left the published files at journal line" in problems(found)
    assert "its places are not what the archive's files say" in problems(found)


def test_flags_that_contradict_are_a_usage_error(lived: LiveHome) -> None:
    done = run(lived, "fsck", "--json", "--quiet")
    assert (done.returncode, done.stdout) == (2, "")
    assert run(lived, "fsck", "--bogus").returncode == 2
