"""`cortex doctor`: every finding says what it is, how good it is, and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sample_home import SampleHome

from cortex import __version__
from cortex.care.file_system import file_system, kind_of


def findings(out: str) -> dict[str, dict[str, Any]]:
    return {f"{row['section']}/{row['name']}": row for row in json.loads(out)["findings"]}


def test_a_sound_machine_has_no_problem_and_every_finding_its_place(
    cortex: Callable[..., Any], sample: SampleHome
) -> None:
    ran = cortex("doctor", "--json")
    assert ran.code == 0, ran.out
    found = findings(ran.out)
    for name in ("cortex/version", "cortex/dependencies", "home/settings", "home/daemon",
                 "file system/type", "file system/exchange", "file system/locks",
                 "file system/leases", "file system/sync", "file system/space", "machine/clock",
                 "machine/inotify", "machine/open files", "machine/processes",
                 "workers/containment", "workers/cgroups", "workers/landlock",
                 "programs/analyzers", "types/tools"):  # fmt: skip
        assert name in found, name
    assert "scan" in found["types/tools"]["what"]
    assert __version__ in found["cortex/version"]["what"]
    for row in found.values():
        assert row["level"] in ("ok", "warn", "problem")
        assert row["remedy"] or row["level"] == "ok", row
    assert found["home/daemon"]["level"] == "warn"
    assert f"cortexd --home {sample.root}" in found["home/daemon"]["remedy"]


def test_it_leaves_nothing_behind(cortex: Callable[..., Any], sample: SampleHome) -> None:
    before = sorted(map(str, sample.root.rglob("*")))
    cortex("doctor")
    assert sorted(map(str, sample.root.rglob("*"))) == before


def test_people_read_marks_and_remedies_and_quiet_leaves_the_good_out(
    cortex: Callable[..., Any],
) -> None:
    full, quiet = cortex("doctor"), cortex("doctor", "-q")
    assert "  ✓ version" in full.out
    assert "→ Nothing is done meanwhile." in full.out
    assert "✓" not in quiet.out
    assert quiet.out.splitlines()[-1] == full.out.splitlines()[-1]
    assert "could be better" in quiet.out


def test_a_wrong_setting_is_a_problem_with_its_key(
    cortex: Callable[..., Any], sample: SampleHome
) -> None:
    (sample.root / "cortex.toml").write_text("[limits]\nagens = 3\n")
    ran = cortex("doctor")
    assert ran.code == 1
    assert "✗ settings" in ran.out
    assert "agents" in ran.out
    assert "1 problem" in ran.out


def test_a_degraded_daemon_is_a_problem_with_its_cause(
    cortex: Callable[..., Any], sample: SampleHome, run_daemon: Callable[[Path], None]
) -> None:
    run_daemon(sample.root)
    path = sample.root / "coordination/task-queue.json"
    queue = json.loads(path.read_bytes())
    condition = {"name": "journal_unwritable", "degrading": True, "cause": "no space left",
                 "since": "2025-11-01T10:00:00Z", "remedy": "Make space."}  # fmt: skip
    about = {"status": "degraded", "version": __version__, "conditions": [condition]}
    path.write_text(json.dumps({**queue, "daemon": about}))
    ran = cortex("doctor", "--json")
    assert ran.code == 1
    row = findings(ran.out)["home/journal unwritable"]
    assert row["level"] == "problem"
    assert "no space left (since 2025-11-01T10:00:00Z)" in row["what"]
    assert row["remedy"] == "Make space."


def test_another_version_of_the_daemon_is_told(
    cortex: Callable[..., Any], sample: SampleHome, run_daemon: Callable[[Path], None]
) -> None:
    run_daemon(sample.root)
    path = sample.root / "coordination/task-queue.json"
    queue = json.loads(path.read_bytes())
    queue["daemon"] = {"status": "running", "version": "0.0.1"}
    path.write_text(json.dumps(queue))
    row = findings(cortex("doctor", "--json").out)["home/daemon"]
    assert row["level"] == "warn"
    assert "version 0.0.1" in row["what"]
    assert "Restart it" in row["remedy"]


def test_without_a_home_the_machine_is_looked_at(
    cortex: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CORTEX_HOME")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    ran = cortex("doctor", "--json")
    assert "only the machine is looked at" in ran.err
    assert "home/folder" not in findings(ran.out)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert cortex("doctor", "--home", str(tmp_path / "nowhere")).code == 1


def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    rows = {row.name: row for row in file_system(Path("/proc/self"))}
    assert rows["writable"].level == "problem"
    assert {row.level for row in file_system(tmp_path)} <= {"ok", "warn"}
    assert kind_of(Path("/proc/self/status")) == "proc"
