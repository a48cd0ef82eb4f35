"""docs/workflows.md does what it says: its commands run, and print what stands below them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortex.model.paths import HomePaths
from live_home import mentioning

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "workflows.md"
#: Commands that only look, and so are asked again until they show what the page shows.
LOOKING = re.compile(r"(cortex (get|why|events|status|describe)|ls)\b")
LIMIT_S = 100.0


def commands() -> list[tuple[str, list[str]]]:
    """Each block of commands, and the lines that the page shows below it."""
    fences = re.findall(r"^```(bash|text)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    found: list[tuple[str, list[str]]] = []
    for language, text in fences:
        if language == "bash":
            found.append((text, []))
        else:
            found[-1][1].extend(text.splitlines())
    return found


def is_shown(line: str, output: str) -> bool:
    """Whether a line stands in the output; `…` is anything, white space counts once."""
    words = [re.escape(word).replace("…", ".*") for word in line.split()]
    return re.search("^" + r"\s+".join(words) + r"\s*$", output, re.MULTILINE) is not None


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder to follow the page in; what it started is ended."""
    yield tmp_path
    with contextlib.suppress(OSError, ValueError):
        os.kill(int(HomePaths(tmp_path / "fleet").pid.read_text()), signal.SIGTERM)
    end = time.monotonic() + 20
    while mentioning(tmp_path / "fleet") and time.monotonic() < end:
        time.sleep(0.05)  # between two looks
    for pid in mentioning(tmp_path / "fleet"):
        os.kill(pid, signal.SIGKILL)


def run(text: str, folder: Path) -> str:
    """What a block prints, in the home once there is one."""
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith("CORTEX_")
    }
    names = {f"GIT_{who}_{what}": "ada@example.org" for who in ("AUTHOR", "COMMITTER")
             for what in ("NAME", "EMAIL")}  # fmt: skip
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    home = folder / "fleet"
    with (folder / "printed").open("wb") as printed:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=home if home.exists() else folder,
            env={**variables, **names, "PATH": path, "CORTEX": str(REPOSITORY), "COLUMNS": "250"},
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            timeout=LIMIT_S,
        )
    output = (folder / "printed").read_text(errors="replace")
    assert done.returncode == 0 or LOOKING.match(text), f"{text}\n{output}"
    return output


def follow(text: str, shown: list[str], folder: Path) -> None:
    """Runs a block; if it only looks, until it shows what the page shows."""
    end = time.monotonic() + LIMIT_S
    while True:
        output = run(text, folder)
        missing = [line for line in shown if not is_shown(line, output)]
        if not missing:
            return
        looks = all(LOOKING.match(line) for line in text.splitlines() if "report" not in line)
        assert looks and time.monotonic() < end, f"{text}\nis to show {missing} in\n{output}"
        time.sleep(0.1)  # between two looks


@pytest.mark.timeout(400)
def test_the_page_can_be_followed_from_top_to_bottom(folder: Path) -> None:
    for text, shown in commands():
        follow(text, shown, folder)
    home = folder / "fleet"
    for name in ("scan.html", "emergency.html"):
        assert "</html>" in (home / name).read_text()
