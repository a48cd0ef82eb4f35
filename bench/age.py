"""What a home costs that ran many tasks: how soon it serves, how large its hot files are, how long
the commands take that look for something old.

The past is written by deciding alone (`cortex.testing.aged`); what is measured is the real program.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cortex.home import create_home
from cortex.model.paths import HomePaths
from cortex.testing.aged import grow

__all__ = ["main"]

BIN = Path(sys.executable).parent
_LIMIT_S = 60.0
_SETTLE_S = 3.0


def main() -> int:
    """Writes the home, measures it and an empty one, and prints a table."""
    options = _options()
    cores, load = os.cpu_count(), os.getloadavg()[0]
    print(f"{cores} cores, Python {sys.version.split()[0]}, load {load:.1f} at the start")
    with tempfile.TemporaryDirectory(prefix="cortex-age-") as folder:
        empty = HomePaths(create_home(Path(folder) / "empty").root.resolve())
        paths = HomePaths(create_home(Path(folder) / "aged").root.resolve())
        # What is measured should not be removed meanwhile.
        paths.settings.write_text("[retention]\nretention_days = 3650\n")
        began = time.monotonic()
        home = grow(paths, options.tasks, over=timedelta(days=options.days))
        took = time.monotonic() - began
        print(
            f"{options.tasks:,} tasks over {options.days:g} days, {home.lines:,} journal lines, "
            f"{_megabytes(paths.journal):.0f} MB of journal, {_megabytes(paths.archive):.0f} MB of "
            f"archive; written in {took:.0f} s\n"
        )
        _print_starts(empty, paths, options.rounds)
        _print_commands(paths, options)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/age", description=__doc__)
    parser.add_argument("tasks", nargs="?", type=int, default=100_000, metavar="N")
    parser.add_argument("--days", type=float, default=30.0, help="over which they ran (30)")
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement (5)")
    return parser.parse_args()


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


# --- starts


def _print_starts(empty: HomePaths, paths: HomePaths, rounds: int) -> None:
    fresh = [_start(empty)[0] for _ in range(rounds)]
    starts = [_start(paths) for _ in range(rounds)]
    print(f"{'':<28}{'median':>10}{'worst':>10}")
    for name, seconds in (("empty home serves after", fresh),
                          ("this one serves after", [start for start, _ in starts])):  # fmt: skip
        print(f"{name:<28}{statistics.median(seconds):>8.2f} s{max(seconds):>8.2f} s")
    print(f"{'its daemon is resident with':<28}{starts[-1][1]:>7.0f} MB\n")
    for path in (*paths.documents, paths.checkpoint):
        print(f"{path.name:<28}{path.stat().st_size / 1000:>7.0f} kB")
    print()


def _start(paths: HomePaths) -> tuple[float, float]:
    """(seconds until the daemon has published, MB resident a moment later)."""
    argv = [str(BIN / "cortexd"), "--home", str(paths.root)]
    began = time.monotonic()
    daemon = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _serves(paths, daemon.pid):
            if daemon.poll() is not None or time.monotonic() - began > _LIMIT_S:
                raise RuntimeError(f"no daemon serves {paths.root}")
            time.sleep(0.005)
        seconds = time.monotonic() - began
        time.sleep(_SETTLE_S)
        status = Path(f"/proc/{daemon.pid}/status").read_text(encoding="ascii")
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(_LIMIT_S)
    return seconds, int(resident.split()[1]) / 1024


def _serves(paths: HomePaths, pid: int) -> bool:
    try:
        about = json.loads(paths.task_queue.read_bytes()).get("daemon") or {}
    except (OSError, ValueError):
        return False
    return bool(about.get("pid") == pid)


# --- commands


def _print_commands(paths: HomePaths, options: argparse.Namespace) -> None:
    old = f"task-{max(1, options.tasks // 3):03d}"
    moment = datetime.now(UTC) - timedelta(days=options.days / 2)
    at = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    for arguments in (
        ("get", old),
        ("describe", old),
        ("why", old),
        ("logs", old),
        ("events", old),
        ("get", f"worker-cmd-{max(1, options.tasks // 3):03d}"),
        ("get", "tasks"),
        ("replay", "--at", at),
    ):
        seconds = [_command(paths, arguments) for _ in range(options.rounds)]
        name = "cortex " + " ".join(arguments)
        print(f"{name:<44}{statistics.median(seconds):>6.2f} s{max(seconds):>8.2f} s")


def _command(paths: HomePaths, arguments: tuple[str, ...]) -> float:
    argv = [str(BIN / "cortex"), *arguments, "--home", str(paths.root)]
    began = time.monotonic()
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr}")
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
