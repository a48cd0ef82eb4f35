"""The wheel is complete: what it installs works in a home outside of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
FOLDERS = ("agents/masters", "agents/personas", "agents/prompts/workers", "schemas")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, CHECKOUT],
        check=True,
        capture_output=True,
        timeout=300,
    )
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a Python that finds the wheel's cortex before any other."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder)
    return {**os.environ, "PYTHONPATH": str(folder)}


def run(installed: dict[str, str], *words: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-P", *words],
        env=installed,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout


def files_of(root: Path) -> dict[str, bytes]:
    return {
        f"{folder}/{path.name}": path.read_bytes()
        for folder in FOLDERS
        for path in (root / folder).iterdir()
        if path.is_file()
    }


def test_wheel_checkout_and_a_new_home_hold_the_same_files(
    wheel: Path, installed: dict[str, str], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    run(installed, "-m", "cortex.cli.main", "init", home)
    with zipfile.ZipFile(wheel) as packed:
        inside = {
            name.removeprefix("cortex/_data/"): packed.read(name)
            for name in packed.namelist()
            if name.startswith("cortex/_data/")
        }
    unit = "packaging/systemd/cortexd@.service"
    assert inside.pop(unit) == (CHECKOUT / unit).read_bytes()
    assert inside == files_of(CHECKOUT) == files_of(home)


def test_the_installed_wheel_writes_a_unit(installed: dict[str, str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    run(installed, "-m", "cortex.cli.main", "init", home)
    unit = run(
        installed, "-m", "cortex.cli.main", "--home", home, "service", "install", "--dry-run"
    )
    assert "KillMode=process" in unit


def test_the_installed_wheel_runs_a_task_in_a_home_outside_of_the_checkout(
    installed: dict[str, str], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    run(installed, "-m", "cortex.cli.main", "init", home)
    where = run(installed, "-c", "import cortex; print(cortex.__file__)")
    assert not where.startswith(str(CHECKOUT))
    (home / "coordination/inbox/task.json").write_text('{"id": "hello", "command": "echo hi"}')
    with (tmp_path / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-P", "-m", "cortex.serving", "--home", home],
            env=installed,
            stderr=log,
            cwd=tmp_path,
        )
        try:
            published = home / "coordination/task-queue.json"
            deadline = time.monotonic() + 30
            while b'"hello"' not in (published.read_bytes() if published.exists() else b""):
                assert daemon.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)  # between two looks
            done = run(
                installed,
                "-m",
                "cortex.cli.main",
                *("--home", str(home), "wait", "hello", "--timeout", "30s"),
            )
        finally:
            daemon.terminate()
            status = daemon.wait(50)
    assert status == 0
    assert "hello" in done
