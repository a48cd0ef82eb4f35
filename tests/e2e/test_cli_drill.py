"""`cortex drill`: a drill that holds, and judges that see each kind of broken promise."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cortex.care.drill_checks import Evidence, judge
from cortex.care.full_disk import try_full_disk
from cortex.store.disk import RealDisk
from cortex.store.journal import recover
from live_home import BIN, LiveHome


def drill(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "cortex"), "drill", *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "NO_COLOR": "1"},
    )


@pytest.mark.slow
def test_a_small_drill_holds_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = drill("--tasks", "8", "--kills", "3", "--seed", "5", "--seconds", "90",
                 "--no-full-disk", "--in", str(tmp_path))  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Drill with seed 5" in done.stdout
    assert "8 dropped, 8 ended, 0 lost" in done.stdout
    assert "3 kills of the daemon" in done.stdout
    assert "Nothing was lost and nothing doubled" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_drill_that_has_too_little_time_is_broken_and_keeps_its_home(tmp_path: Path) -> None:
    done = drill("--tasks", "400", "--kills", "2", "--seconds", "5", "--no-full-disk", "--json",
                 "--in", str(tmp_path))  # fmt: skip
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert found["broken"]
    kept = Path(found["kept"])
    assert (kept / "coordination/journal").is_dir()
    assert any("had not ended" in v for p in found["promises"] for v in p["violations"])


def test_flags_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    for arguments in (("--kills", "-1"), ("--tasks", "0"), ("--seconds", "x"),
                      ("--in", str(tmp_path / "nowhere"))):  # fmt: skip
        done = drill(*arguments)
        assert done.returncode == 2, arguments
        assert arguments[0] in done.stderr


@pytest.mark.slow
def test_a_full_disk_is_tried_or_it_is_said_why_not(tmp_path: Path) -> None:
    found = try_full_disk(tmp_path / "small", 60.0)
    if isinstance(found, str):
        assert found.startswith("not tried: ")
    else:
        assert found.violations == []
        assert "MB filled up" in found.figure


# --- what the judges see


@pytest.fixture
def lived(live: LiveHome) -> tuple[LiveHome, Evidence]:
    """A home that kept every promise, and what a drill would know of it."""
    ran = live.root / "ran"
    command = f'echo "$CORTEX_WORKER_ID" >> {ran}'
    for name in ("a", "b"):
        live.run(name, command)
    live.until_ended("a", "b")
    live.until(lambda: not any(live.paths.attempts.iterdir()), "all is cleared away")
    live.stop()
    return live, Evidence(["a", "b"], ran)


def violations(home: LiveHome, evidence: Evidence) -> dict[str, str]:
    verdicts = judge(home.paths, evidence)
    return {row.name: "; ".join(row.violations) for row in verdicts if row.violations}


def test_a_home_that_kept_every_promise_has_no_violation(lived: tuple[LiveHome, Evidence]) -> None:
    assert violations(*lived) == {}


def _append(home: LiveHome, *events: dict[str, object]) -> None:
    """One more line, as if the daemon had written it."""
    recovered = recover(RealDisk(), home.paths.journal, ballast=home.paths.ballast)
    recovered.journal.append(datetime.now(UTC), "test", "a doctored line", list(events))
    recovered.journal.commit()
    recovered.journal.close()


def _lost_drop(_home: LiveHome, evidence: Evidence) -> None:
    evidence.dropped.append("c")


def _second_start(_home: LiveHome, evidence: Evidence) -> None:
    with evidence.ran.open("a") as file:
        file.write("worker-cmd-001\n")


def _start_without_a_line(_home: LiveHome, evidence: Evidence) -> None:
    with evidence.ran.open("a") as file:
        file.write("worker-cmd-777\n")


def _wrong_books(home: LiveHome, _evidence: Evidence) -> None:
    _append(home, {"event": "budget_changed", "total": 1, "pool_total": 65_000, "shares": {}})


def _a_spent_token_too_many(home: LiveHome, _evidence: Evidence) -> None:
    lines = [e for line in home.lines() for e in line.events if e["event"] == "tokens_settled"]
    assert lines
    _append(home, {**lines[0], "used": 7, "returned": -7})


def _lost_edit(_home: LiveHome, evidence: Evidence) -> None:
    evidence.edits["a"] = "another title"


def _died(_home: LiveHome, evidence: Evidence) -> None:
    evidence.deaths.append("exit 1: a fault")


def _garbage(home: LiveHome, _evidence: Evidence) -> None:
    home.paths.worker_pool.unlink()


def _flipped_byte(home: LiveHome, _evidence: Evidence) -> None:
    for segment in home.paths.journal.glob("*.jsonl"):  # two of them where midnight has passed
        segment.write_bytes(segment.read_bytes().replace(b'"by":"inbox"', b'"by":"inbix"', 1))


@pytest.mark.parametrize(
    ("doctor", "promise", "said"),
    [
        (_lost_drop, "tasks", "c was dropped, and is nowhere"),
        (_second_start, "starts", "the program of worker-cmd-001 began 2 times"),
        (_start_without_a_line, "starts", "worker-cmd-777 ran, and no line knows it"),
        (_wrong_books, "books", "total 1 is not"),
        (_a_spent_token_too_many, "books", "7 tokens are spent, and workers used 0"),
        (_lost_edit, "edits", "is neither taken up nor in rejected/"),
        (_died, "restarts", "the daemon died by itself"),
        (_garbage, "files", "worker-pool.json: is missing"),
        (_flipped_byte, "journal", "the line is cut off or its bytes do not match"),
    ],
)
def test_each_broken_promise_is_seen(
    lived: tuple[LiveHome, Evidence],
    doctor: Callable[[LiveHome, Evidence], None],
    promise: str,
    said: str,
) -> None:
    doctor(*lived)
    assert said in violations(*lived)[promise]


def test_a_process_that_is_left_is_seen(lived: tuple[LiveHome, Evidence]) -> None:
    home, evidence = lived
    folder = str(home.folder_of("worker-cmd-001"))
    mark = {"CORTEX_WORKER_ID": "worker-cmd-001", "CORTEX_WORKER_DIR": folder}
    stray = subprocess.Popen(["sleep", "60"], env={**os.environ, **mark})
    try:
        assert str(stray.pid) in violations(home, evidence)["processes"]
    finally:
        stray.kill()
        stray.wait()


def test_a_task_that_has_not_ended_is_seen(live: LiveHome) -> None:
    ran = live.root / "ran"
    live.run("long", "sleep 60")
    live.until_running("long")
    found = violations(live, Evidence(["long"], ran))
    assert "long is still in_progress" in found["tasks"]
