"""Reading what a worker left: every kind of file that it could plant."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from cortex.runtime.collect import collect, read_heartbeat
from cortex.runtime.executor import ExitRecord

RECORD = ExitRecord(
    worker_id="worker-scan-001",
    nonce=1,
    code=0,
    signal=None,
    cause=None,
    spawn_error=None,
    retryable=False,
    started_at="2026-01-01T00:00:00.000Z",
    ended_at="2026-01-01T00:00:01.000Z",
    duration_s=1.0,
    results=None,
    tail="",
    log_bytes=0,
    log_cut=False,
    max_rss_kb=0,
    cpu_s=0.0,
    ended_descendants=0,
    left_descendants=0,
)
GOOD = {
    "status": "completed",
    "summary": "all well",
    "findings": [{"title": "x"}],
    "artifacts": ["a.json"],
    "files_modified": [],
    "follow_ups": [],
    "tokens_used": 12,
    "turn_count": 1,
    "error": None,
    "mine": {"kept": True},
}


def write(folder: Path, value: Any) -> None:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    (folder / "results.json").write_bytes(data)


def test_good_results_come_back_whole_with_unknown_fields(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    collected = collect(tmp_path, RECORD)
    assert (collected.results, collected.problems) == (GOOD, ())


def test_no_results_is_no_problem(tmp_path: Path) -> None:
    assert collect(tmp_path, RECORD) == collect(tmp_path / "gone", None)
    assert collect(tmp_path, RECORD).results is None


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("status", "done", "status is 'done'; write one of completed, failed, partial"),
        ("status", None, "status is missing"),
        ("summary", 7, "summary is 7; write a text"),
        ("error", ["x"], "error is a list; write a text"),
        ("findings", {}, "findings is an object; write a list of objects"),
        ("findings", ["x"], "findings[0] is 'x'; write a list of objects"),
        ("artifacts", [1], "artifacts[0] is 1; write a list of texts"),
        ("files_modified", "a", "files_modified is 'a'; write a list of texts"),
        ("follow_ups", [[]], "follow_ups[0] is a list; write a list of objects"),
        ("tokens_used", -1, "tokens_used is -1; write a whole number of 0 or more"),
        ("tokens_used", True, "tokens_used is True"),
        ("tokens_used", 1.5, "tokens_used is 1.5"),
        ("turn_count", "3", "turn_count is '3'"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, field: str, value: Any, said: str) -> None:
    write(tmp_path, {**GOOD, field: value})
    collected = collect(tmp_path, RECORD)
    assert collected.results is None
    assert len(collected.problems) == 1
    assert collected.problems[0].startswith(f"results.json: {said}")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"7",
        b"{",
        b'{"status": "completed", "tokens_used": NaN}',
        b'{"status": "completed", "tokens_used": 1e999}',
        b'{"status": "completed", "status": "failed"}',
        b'{"status": "completed", "findings": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"status": "completed", "summary": "\xff"}',
    ],
)
def test_what_is_not_strict_json_is_refused_with_a_sentence(tmp_path: Path, data: bytes) -> None:
    write(tmp_path, data)
    collected = collect(tmp_path, RECORD)
    assert collected.results is None
    assert collected.problems[0].startswith("results.json")


def test_an_enormous_count_is_taken_for_the_budget_to_clamp(tmp_path: Path) -> None:
    write(tmp_path, {**GOOD, "tokens_used": 10**18})
    results = collect(tmp_path, RECORD).results
    assert results is not None
    assert results["tokens_used"] == 10**18


def test_odd_kinds_of_file_are_refused_without_reading(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text('{"status": "completed", "summary": "canary"}')
    path = tmp_path / "results.json"
    seen = []
    for plant in (
        lambda: os.mkfifo(path),
        path.mkdir,
        lambda: path.symlink_to(secret),
        lambda: path.symlink_to(path),
        lambda: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 1 << 30),
    ):
        plant()
        collected = collect(tmp_path, RECORD)
        assert collected.results is None
        assert len(collected.problems) == 1
        seen.append(collected.problems[0])
        path.rmdir() if path.is_dir() else path.unlink()
    assert "canary" not in "".join(seen)
    assert "is a link" in seen[2]
    assert "1073741824 bytes; at most 8388608" in seen[4]


def test_results_that_changed_after_the_end_are_refused(tmp_path: Path) -> None:
    data = json.dumps(GOOD).encode()
    seal = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    record = dataclasses.replace(RECORD, results=seal)
    write(tmp_path, data)
    assert collect(tmp_path, record).results == GOOD
    write(tmp_path, {**GOOD, "summary": "forged"})
    assert "changed after its worker ended" in collect(tmp_path, record).problems[0]
    (tmp_path / "results.json").unlink()
    assert "is gone now" in collect(tmp_path, record).problems[0]


def test_deliverables_are_non_empty_regular_files_inside_artifacts(tmp_path: Path) -> None:
    worker = tmp_path / "worker"
    artifacts = worker / "artifacts"
    (artifacts / "sub").mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("secret")
    (worker / "x").write_text("beside")
    (artifacts / "report.md").write_text("x")
    (artifacts / "sub" / "deep.json").write_text("{}")
    (artifacts / "empty").touch()
    (artifacts / "folder").mkdir()
    (artifacts / "link").symlink_to(outside / "x")
    (artifacts / "away").symlink_to(outside)
    os.mkfifo(artifacts / "pipe")
    good = ["report.md", "sub/deep.json"]
    bad = ["empty", "folder", "link", "away/x", "pipe", "../x", "sub/../../x", str(outside / "x")]
    bad += ["", ".", "none", "nul\0", "sub//deep.json"]
    collected = collect(worker, RECORD, good + bad)
    assert list(collected.deliverables) == good
    assert list(collected.missing_deliverables) == bad


def test_a_heartbeat_is_read_whatever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat.json"
    assert read_heartbeat(path) == (0, None)
    path.touch()
    os.utime(path, ns=(1, 4_070_908_800_000_000_000))  # 2099
    assert read_heartbeat(path) == (4_070_908_800_000_000_000, None)
    path.write_text('{"tokens_used": 5, "progress": 0.5}')
    assert read_heartbeat(path).document == {"tokens_used": 5, "progress": 0.5}
    for text in ("{", "[]", '{"tokens_used": NaN}', '{"a": 1, "a": 2}'):
        path.write_text(text)
        assert read_heartbeat(path).document is None
        assert read_heartbeat(path).mtime_ns > 0
    path.write_bytes(b" " * 65537)
    assert read_heartbeat(path) == (0, None)
    path.unlink()
    os.mkfifo(path)
    assert read_heartbeat(path) == (0, None)
    path.unlink()
    path.symlink_to("/etc/hostname")
    assert read_heartbeat(path) == (0, None)
