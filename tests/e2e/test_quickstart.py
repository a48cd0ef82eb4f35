"""The quickstart, run as a person runs it, on small repositories of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from cortex.home import Home, daemon_of
from cortex.model.paths import HomePaths

T = TypeVar("T")
VULNERABLE = """import hashlib
import subprocess


def run(command):
    return subprocess.call(command, shell=True)


def digest(text):
    return hashlib.md5(text).hexdigest()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return tmp_path / "project"


@pytest.fixture
def repositories(tmp_path: Path) -> list[Path]:
    """Two with the same planted problems, and one that is clean."""
    made = []
    for name, text in (("shop", VULNERABLE), ("blog", VULNERABLE), ("empty", "VALUE = 1\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tool.py").write_text(text)
        (tmp_path / name / "requirements.txt").write_text("jinja2==2.10\n")
        made.append(tmp_path / name)
    return made


@pytest.fixture
def run(project: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a quickstart; whatever a failed test leaves of it is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: Path | str) -> subprocess.Popen[str]:
        env = {name: value for name, value in os.environ.items() if name[:7] != "CORTEX_"}
        process = subprocess.Popen(
            [sys.executable, "-m", "cortex.cli.quickstart", "--project", project, *arguments],
            env={**env, "COLUMNS": "80"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(30)


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    return process.communicate(timeout=100)


def home_of(project: Path) -> Home:
    return Home(project / ".quickstart" / "home")


def until(condition: Callable[[], T], what: str, limit_s: float = 30.0) -> T:
    """The first true value of the condition."""
    deadline = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {limit_s} s"
        time.sleep(0.02)  # between two looks
    return value


def assert_nothing_is_left(project: Path) -> None:
    home = home_of(project)
    assert not daemon_of(home.paths).running
    assert not [row for row in home.workers() if row.get("status") in ("spawning", "running")]
    mark = str(home.root).encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        assert mark not in command or int(folder.name) == os.getpid(), command


def test_planted_problems_are_found_ranked_and_handed_to_development(
    run: Callable[..., subprocess.Popen[str]], project: Path, repositories: list[Path]
) -> None:
    process = run(*repositories)
    out, err = finish(process)
    assert process.returncode == 0, out + err
    assert "\x1b" not in out, "plain text in a pipe"
    report = out.partition("\nFindings\n")[2].partition("\nLook for yourself\n")[0]
    assert max(len(line) for line in report.splitlines()) <= 80
    findings = out.partition("\nFindings\n")[2].partition("\nAnalyzers\n")[0]
    assert re.search(r"^ +1 (critical|high) +(shop|blog)  tool\.py:6$", findings, re.M)
    assert "tools agree: bandit" in findings
    assert "CWE-78" in findings
    analyzers = out.partition("\nAnalyzers\n")[2].partition("\nHandoff\n")[0]
    assert "bandit" in analyzers
    assert "not audited" in analyzers, "dependencies without advisories"
    handoff = out.partition("\nHandoff\n")[2].partition("\nBudget\n")[0]
    assert "handoff-001" in handoff
    assert "development-master" in handoff
    assert "waits for: " in handoff
    assert "0 tokens used" in out
    assert_nothing_is_left(project)


def test_the_places_that_it_names_exist_and_hold_the_same_findings(
    run: Callable[..., subprocess.Popen[str]], project: Path, repositories: list[Path]
) -> None:
    out, _ = finish(run(*repositories))
    section = out.partition("\nLook for yourself\n")[2].partition("\n\n")[0]
    places = dict(line.split(maxsplit=1) for line in section.strip().splitlines())
    assert all(Path(path).exists() for path in places.values()), places
    rows = json.loads(Path(places["findings"]).read_bytes())["findings"]
    places_found = {(Path(row["repository"]).name, row["file"], row["line"]) for row in rows}
    assert {("shop", "tool.py", 6), ("blog", "tool.py", 6)} <= places_found


def test_a_second_run_scans_anew_and_sees_what_was_mended(
    run: Callable[..., subprocess.Popen[str]], project: Path, repositories: list[Path]
) -> None:
    first, _ = finish(run(repositories[0]))
    assert "tool.py:6" in first
    (repositories[0] / "tool.py").write_text("VALUE = 1\n")
    process = run(repositories[0])
    second, _ = finish(process)
    assert process.returncode == 0, second
    assert "tool.py:6" not in second
    statuses = {row["status"] for row in home_of(project).tasks()}
    assert statuses <= {"completed", "cancelled"}, "the fix tasks of both runs are cancelled"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_being_stopped_in_the_middle_leaves_nothing_running(
    run: Callable[..., subprocess.Popen[str]],
    project: Path,
    repositories: list[Path],
    number: signal.Signals,
) -> None:
    process = run(*repositories)
    home = home_of(project)
    until(lambda: home.paths.pid.exists() and home.workers(), "a worker")
    process.send_signal(number)
    out, err = finish(process)
    assert process.returncode == 130, out + err
    assert f"Stopping ({number.name})" in out
    assert "no process of it is left" in out
    assert "Traceback" not in err
    assert_nothing_is_left(project)
    assert all(row["status"] in ("completed", "cancelled") for row in home.tasks())


def test_a_daemon_that_dies_is_told_with_the_end_of_its_log(
    run: Callable[..., subprocess.Popen[str]], project: Path, repositories: list[Path]
) -> None:
    process = run(*repositories)
    paths = HomePaths(home_of(project).root)
    pid = until(lambda: daemon_of(paths).pid, "the daemon's pid")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    out, err = finish(process)
    assert process.returncode == 1, out + err
    assert "cortexd ended with status -9; the end of" in err
    assert "Traceback" not in err


def test_a_second_quickstart_beside_a_running_daemon_says_who_serves_the_home(
    run: Callable[..., subprocess.Popen[str]], project: Path, repositories: list[Path]
) -> None:
    process = run(*repositories)
    paths = HomePaths(home_of(project).root)
    pid = until(lambda: daemon_of(paths).pid, "the daemon's pid")
    os.kill(process.pid, signal.SIGSTOP)
    other = run(*repositories)
    _, err = finish(other)
    os.kill(process.pid, signal.SIGCONT)
    assert other.returncode == 1
    assert f"`kill {pid}`" in err
    finish(process)
    assert process.returncode == 0, "the first one is not disturbed"


def test_a_path_that_is_not_there_is_a_usage_error_and_starts_nothing(
    run: Callable[..., subprocess.Popen[str]], project: Path, tmp_path: Path
) -> None:
    process = run(tmp_path / "nowhere")
    _, err = finish(process)
    assert process.returncode == 2
    assert "nowhere does not exist" in err
    assert not project.exists()


def test_without_anything_to_scan_it_says_what_to_name(
    run: Callable[..., subprocess.Popen[str]], project: Path
) -> None:
    process = run()
    _, err = finish(process)
    assert process.returncode == 1
    assert "scripts/quickstart PATH" in err
