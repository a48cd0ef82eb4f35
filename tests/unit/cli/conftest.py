"""Runs `cortex` in this process, on homes that the sample writes."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

# The sample home is shared with the tests of home/.
sys.path.insert(0, str(Path(__file__).parents[1] / "home"))

from sample_home import SampleHome, security_scan

from cortex.cli import options
from cortex.cli.main import main


@dataclass
class Ran:
    code: int
    out: str
    err: str


Cortex = Callable[..., Ran]


@pytest.fixture
def sample(tmp_path: Path) -> SampleHome:
    """A home in the middle of a security scan, with no daemon."""
    return security_scan(tmp_path / "home")


@pytest.fixture
def cortex(
    sample: SampleHome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cortex:
    """Call it with the arguments of a command; it means the sample's home."""
    monkeypatch.setenv("CORTEX_HOME", str(sample.root))
    monkeypatch.setattr(options, "_before_command", {})

    def run(*arguments: str, stdin: str = "") -> Ran:
        monkeypatch.setattr(sys, "argv", ["cortex", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return Ran(int(caught.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def run_daemon() -> Iterator[Callable[[Path], None]]:
    """Call it with a home's folder: from then on its lock is held, until the test ends."""
    import fcntl

    with ExitStack() as stack:

        def hold(root: Path) -> None:
            file = stack.enter_context((root / ".state/lock").open("w"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

        yield hold
