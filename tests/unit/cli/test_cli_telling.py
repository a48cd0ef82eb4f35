"""describe, why, events, logs, top: what a person is told."""

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("ident", "told"),
    [
        ("task-001", ["Scan three repositories", "scan-site", "worker-scan-002/\n"]),
        ("worker-scan-001", ["completed", "7,200/8,000", "/srv/git/app"]),
        ("worker-scan-003", ["queued", "1 of 1 workers of this type run"]),
        ("handoff-001", ["security-master", "3 findings to fix in app", "task-002"]),
        ("escalation-001", ["tests-nightly failed", "3 attempts failed"]),
    ],
)
def test_describe_tells_what_a_person_wants(cortex: Any, ident: str, told: list[str]) -> None:
    ran = cortex("describe", ident)
    assert ran.code == 0, ran.err
    for words in told:
        assert words in ran.out


def test_a_handoff_names_the_repository_of_each_finding(cortex: Any, sample: Any) -> None:
    document = json.loads(sample.paths.handoffs.read_bytes())
    issue = {"severity": "high", "title": "a key", "repository": "/srv/shop", "file": "a.py"}
    document["handoffs"][0]["context"] = {"priority_issues": [{**issue, "line": 3}]}
    sample.paths.handoffs.write_text(json.dumps(document))
    ident = document["handoffs"][0]["handoff_id"]
    assert "high a key /srv/shop a.py 3" in cortex("describe", ident).out


def test_describe_shows_masters_and_types_with_their_prompts(cortex: Any) -> None:
    ran = cortex("describe", "master", "security")
    assert ran.code == 0, ran.err
    assert "agents/masters/security-master.md" in ran.out
    assert "routes:" in ran.out
    assert json.loads(cortex("describe", "type", "scan", "-o", "json").out)["timeout"] == 900


def test_described_tasks_as_json_carry_their_workers(cortex: Any) -> None:
    value = json.loads(cortex("describe", "task-001", "-o", "json").out)
    assert [row["worker_id"] for row in value["worker_rows"]] == value["workers"]


def test_why_prints_the_path_from_the_file_and_what_would_free_it(cortex: Any) -> None:
    ran = cortex("why", "task-002")
    assert "scan-3f2a.json → task-001 → task-002" in ran.out
    assert "waits for   fix-worker needs a provider" in ran.out
    assert "freed by" in ran.out
    value = json.loads(cortex("why", "task-002", "-o", "json").out)
    assert value["waits_for"]["freed_by"]


def test_events_are_times_who_and_why(cortex: Any) -> None:
    lines = cortex("events").out.splitlines()
    assert len(lines) == 11
    assert "security-master" in lines[3]
    assert "3 repositories, pool has 24000" in lines[3]


def test_events_of_an_id_leave_the_others_out(cortex: Any) -> None:
    out = cortex("events", "worker-scan-003").out
    assert len(out.splitlines()) == 2
    assert "worker-scan-001" not in out


def test_events_of_an_unknown_id_are_a_failure_that_names_it(cortex: Any) -> None:
    ran = cortex("events", "task-404")
    assert ran.code == 1
    assert "task-404" in ran.err
    assert cortex("events", "task-001", "--since", "999").code == 0


def test_output_that_nobody_reads_on_ends_quietly(sample: Any) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "cortex.cli.main", "--home", str(sample.root), "events"]
    ran = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False, timeout=30)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_events_since_a_seq_a_time_and_a_length(cortex: Any, sample: Any) -> None:
    assert len(cortex("events", "--since", "9").out.splitlines()) == 2
    assert len(cortex("events", "--since", sample.at(710)).out.splitlines()) == 2
    assert len(cortex("events", "--since", "1h").out.splitlines()) == 11
    ran = cortex("events", "--since", "yesterday")
    assert ran.code == 2
    assert "yesterday" in ran.err


def test_events_as_json_are_the_journal_lines(cortex: Any, sample: Any) -> None:
    rows = [json.loads(line) for line in cortex("events", "-o", "json").out.splitlines()]
    assert [row["seq"] for row in rows] == list(range(1, 12))
    assert rows[1]["events"][1]["task"]["id"] == "task-001"


def test_logs_write_control_characters_out(cortex: Any) -> None:
    for ident in ("worker-scan-002", "task-001"):
        out = cortex("logs", ident).out
        assert "hello \\x1b[2Jworld" in out
        assert "\x1b" not in out
    assert cortex("logs", "worker-scan-002", "--tail", "1").out == "```\n"


def test_logs_never_leave_the_home(cortex: Any, sample: Any) -> None:
    sample.state.workers["worker-scan-002"].folder = "../../../etc"
    sample.publish()
    assert "hello" in cortex("logs", "worker-scan-002").out


def test_top_shows_budget_workers_and_what_waits(cortex: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    out = cortex("top", "--once").out
    for words in ("security master", "worker-scan-002", "45%", "worker-scan-003", "efficiency"):
        assert words in out
    assert max(map(len, out.splitlines())) <= 120
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, cortex("top", "--once").out.splitlines())) <= 80


def test_following_without_a_daemon_ends_with_its_own_exit_code(cortex: Any) -> None:
    assert cortex("events", "-f").code == 4
    assert cortex("logs", "-f", "task-001").code == 4


def test_the_last_events_are_found_without_reading_the_first(cortex: Any, sample: Any) -> None:
    for number in range(2000):
        sample.log(1000, "person", f"note {number} {'x' * 100}")
    lines = cortex("events", "--tail", "3").out.splitlines()
    assert [f"note {number} " in line for number, line in enumerate(lines, 1997)] == [True] * 3
    assert len(cortex("events").out.splitlines()) == 20
    assert len(cortex("events", "--tail", "5000").out.splitlines()) == 2011
    assert cortex("events", "--tail", "0").out == ""


def test_why_of_a_file_that_was_taken_up_tells_of_its_task(cortex: Any) -> None:
    ran = cortex("why", "scan-3f2a.json")
    assert ran.code == 0
    assert "scan-3f2a.json was taken up as task-001" in ran.err
    assert "worker-scan-002" in ran.out


def test_logs_of_what_never_started_say_why(cortex: Any, sample: Any) -> None:
    worker = sample.state.workers["worker-scan-003"]
    worker.status, worker.reason, worker.ended_at = "failed", "no such repository", sample.at(60)
    sample.publish()
    ran = cortex("logs", "worker-scan-003")
    assert "no attempt of worker-scan-003 has started: no such repository" in ran.err


def test_a_log_folder_that_was_removed_by_hand_is_not_blamed_on_retention(
    cortex: Any, sample: Any
) -> None:
    worker = sample.state.workers["worker-scan-001"]
    shutil.rmtree(sample.root / worker.folder, ignore_errors=True)
    ran = cortex("logs", "worker-scan-001")
    assert "its folder is gone" in ran.err
    assert worker.folder in ran.err
    assert "retention" not in ran.err


def test_a_long_log_is_written_in_blocks_and_whole(cortex: Any, sample: Any) -> None:
    path = sample.root / sample.state.workers["worker-scan-002"].folder / "log.md"
    path.write_text("".join(f"line {number} \x07\n" for number in range(9001)))
    out = cortex("logs", "worker-scan-002").out
    assert out == "".join(f"line {number} \\x07\n" for number in range(9001))
