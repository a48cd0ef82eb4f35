"""The scripts that a person runs first: they say what is wrong, and work where people have them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

REPOSITORY = Path(__file__).parents[2]
SCRIPTS = sorted(
    path
    for folder in ("scripts", "bench")
    for path in (REPOSITORY / folder).iterdir()
    if path.is_file() and not path.suffix
)
#: What setup calls before it has found a Python; nothing else is on the path of a bare machine.
BARE = ("bash", "cat", "cksum", "dirname", "env", "flock", "grep", "id", "mkdir", "rm", "stat")
SOMEONE = 65534


@pytest.fixture
def checkout() -> Iterator[Path]:
    """A checkout of nothing but the set-up, in a path with spaces."""
    with TemporaryDirectory(prefix="cortex test ") as folder:
        root = Path(folder) / "a checkout"
        shutil.copytree(REPOSITORY / "scripts", root / "scripts")
        (root / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
            '[project]\nname = "nothing"\nversion = "1"\n'
        )
        Path(folder).chmod(0o755)
        yield root


def run_setup(root: Path, env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(root / "scripts" / "setup"), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, cwd="/")


def run_setup_as_ordinary_user(root: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [str(root / "scripts" / "setup")]
    user = SOMEONE if os.geteuid() == 0 else None
    return subprocess.run(
        command, env=env, capture_output=True, text=True, cwd="/", user=user, group=user
    )


def without(module: str, root: Path) -> dict[str, str]:
    """The environment of a Python that has no such module, as Debian ships its own."""
    broken = root / "broken"
    broken.mkdir()
    (broken / f"{module}.py").write_text("raise ImportError('left out by the distribution')\n")
    return {"PATH": os.environ["PATH"], "PYTHON": sys.executable, "PYTHONPATH": str(broken)}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_can_be_run_and_says_what_it_is_for(script: Path) -> None:
    if script.read_text().startswith("#!"):
        assert os.access(script, os.X_OK), f"chmod +x {script}"
        assert script.read_text().splitlines()[1].startswith("# "), "its second line is its purpose"


def test_the_shell_scripts_pass_the_shells_own_linter() -> None:
    linter = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if linter is None:
        pytest.skip("shellcheck is not installed")
    scripts = [path for path in SCRIPTS if path.read_text().startswith("#!/usr/bin/env bash")]
    found = subprocess.run([linter, *scripts], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_setup_without_a_python_names_the_command_that_installs_one(checkout: Path) -> None:
    tools = checkout / "bin"
    tools.mkdir()
    for name in BARE:
        (tools / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    done = run_setup(checkout, {"PATH": str(tools)})
    assert done.returncode == 2, done
    assert "apt-get install -y python3 python3-venv" in done.stderr


def test_setup_for_an_ordinary_user_prints_the_one_command_that_is_missing(checkout: Path) -> None:
    done = run_setup_as_ordinary_user(checkout, without("ensurepip", checkout))
    assert done.returncode == 2, done
    assert "sudo apt-get install" in done.stderr
    assert "python3-venv" in done.stderr
    assert not (checkout / ".venv").exists()


def test_setup_shows_what_pip_said_and_fails_with_it(checkout: Path) -> None:
    env = {
        "PATH": os.environ["PATH"],
        "PYTHON": sys.executable,
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "HOME": str(checkout),
    }
    done = run_setup(checkout, env)
    assert done.returncode == 1, done
    assert "hatchling" in done.stderr, "pip's own words"
    assert "pip install failed" in done.stderr
    assert not (checkout / ".venv" / ".cortex-run").exists(), "it would count as set up"


def test_setup_refuses_a_word_that_it_does_not_know(checkout: Path) -> None:
    done = run_setup(checkout, {"PATH": os.environ["PATH"]}, "everything")
    assert done.returncode == 2, done
    assert "known: dev, packages" in done.stderr


def test_bench_without_a_name_lists_what_there_is() -> None:
    done = subprocess.run([REPOSITORY / "scripts" / "bench"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "drain" in done.stderr


def test_fetched_packages_are_pinned_to_the_byte() -> None:
    pins = (REPOSITORY / "scripts" / "quickstart-packages.txt").read_text().splitlines()
    packages = [line for line in pins if line and not line.startswith("#")]
    assert packages
    for line in packages:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+ --hash=sha256:[0-9a-f]{64}", line), line
