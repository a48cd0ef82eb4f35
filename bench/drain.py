"""How quickly N commands that do nothing (`true`) go through Cortex, xargs and task-spooler.

Every system runs four at once and starts from nothing; the rounds are interleaved, so that a
machine that is busy with something else disturbs all of them alike. Read ratios, not absolute
numbers; docs/bench.md says what each column means.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cortex_drain import Idle, Run, drain_cortex
from cpu_account import CpuAccount

__all__ = ["main"]

PARALLEL = 4


@dataclass(frozen=True, slots=True)
class System:
    """One of those that are compared."""

    name: str
    drain: Callable[[int, Path], Run]


def main() -> int:
    """Runs what the arguments ask for and prints tables; 0, or 1 if a system lost a job."""
    options = _options()
    if options.install_task_spooler:
        _install_task_spooler()
    _adopt_orphans()
    systems = [System("cortex", _drain_cortex), System(f"xargs -P{PARALLEL}", _drain_xargs)]
    if shutil.which("tsp"):
        systems.append(System(f"tsp -S {PARALLEL}", _drain_tsp))
    else:
        print("task-spooler (tsp) is not installed and left out; --install-task-spooler adds it")
    with tempfile.TemporaryDirectory(prefix="cortex-bench-") as folder:
        _print_machine()
        _compare(systems, options.number, options.rounds, Path(folder))
        if options.sizes:
            _flatness(options.sizes, Path(folder))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/drain", description=__doc__)
    parser.add_argument("number", nargs="?", type=_number, default=1000, metavar="N")
    parser.add_argument("--rounds", type=_number, default=3, help="of each system (3)")
    parser.add_argument(
        "--sizes",
        type=_number,
        nargs="*",
        default=[100, 1000, 10_000],
        help="of the drains whose cost per task is compared (100 1000 10000); none: left out",
    )
    parser.add_argument(
        "--install-task-spooler",
        action="store_true",
        help="install Debian's task-spooler if it is missing; only as root",
    )
    return parser.parse_args()


def _number(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 100_000:
        raise argparse.ArgumentTypeError(f"{value} is not between 1 and 100,000")
    return value


def _install_task_spooler() -> None:
    if shutil.which("tsp"):
        return
    if os.geteuid() != 0:
        sys.exit("drain: --install-task-spooler needs root: sudo apt-get install task-spooler")
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "task-spooler"]
    print(f"drain: {' '.join(command)}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"drain: that failed (exit {done.returncode}):\n{done.stdout}{done.stderr}")


def _print_machine() -> None:
    load = os.getloadavg()[0]
    release = os.uname().release
    version = sys.version.split()[0]
    print(
        f"{os.cpu_count()} cores, Linux {release}, Python {version}, load {load:.1f} at the start"
    )


# --- the systems


def _drain_cortex(number: int, folder: Path) -> Run:
    return drain_cortex(number, folder, PARALLEL)


def _drain_xargs(number: int, folder: Path) -> Run:
    lines = folder / "lines"
    lines.write_text("x\n" * number)
    argv = ["xargs", "-a", str(lines), "-n", "1", "-P", str(PARALLEL), "true"]
    with CpuAccount() as account:
        return Run.of(number, account, lambda: _call(account.command(argv)))


def _drain_tsp(number: int, folder: Path) -> Run:
    """Hands in one job a client call, as its users do, and waits for the last one."""
    socket = folder / "tsp.socket"
    env = {**os.environ, "TS_SOCKET": str(socket), "TS_SLOTS": str(PARALLEL), "TMPDIR": str(folder)}
    lines = folder / "lines"
    lines.write_text("x\n" * number)

    with CpuAccount() as account:

        def drain() -> None:
            _call(account.command(["xargs", "-a", str(lines), "-n", "1", "tsp", "-n", "true"]), env)
            while _busy(env):
                _call(["tsp", "-w"], env)

        try:
            return Run.of(number, account, drain)
        finally:
            _call(["tsp", "-K"], env)
            _reap()


def _adopt_orphans() -> None:
    """Makes this process the parent of what loses its own (prctl(2), PR_SET_CHILD_SUBREAPER): a
    task-spooler server leaves its clients to init, and not every container's init reaps.
    """
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return


def _busy(env: dict[str, str]) -> bool:
    listed = subprocess.run(
        ["tsp", "-l"], env=env, capture_output=True, text=True, check=True
    ).stdout
    return any(" running " in line or " queued " in line for line in listed.splitlines())


def _call(argv: list[str], env: dict[str, str] | None = None) -> None:
    subprocess.run(argv, env=env, stdout=subprocess.DEVNULL, check=True)


# --- tables


def _compare(systems: list[System], number: int, rounds: int, folder: Path) -> None:
    runs: dict[str, list[Run]] = {system.name: [] for system in systems}
    for _ in range(rounds):
        for system in systems:
            runs[system.name].append(system.drain(number, folder))
    ours = runs[systems[0].name]
    print(f"\n{number:,} × true, {PARALLEL} at once, {rounds} rounds, interleaved")
    print(f"{'':<12} {'best':>8} {'median':>8} {'Cortex':>8} {'CPU ms':>8} {'Cortex':>8}")
    print(f"{'':<12} {'jobs/s':>8} {'jobs/s':>8} {'to it':>8} {'a job':>8} {'to it':>8}")
    for system in systems:
        own = runs[system.name]
        speed, cpu = _median_speed(own), _median_cpu(own)
        print(
            f"{system.name:<12} {max(run.speed for run in own):>8.0f} {speed:>8.0f} "
            f"{_median_speed(ours) / speed:>8.2f} {_shown(cpu):>8} "
            f"{_ratio(_median_cpu(ours), cpu):>8}"
        )
    starts = statistics.median(run.start_s for run in ours)
    print(f"Cortex starts on an empty home in {starts:.2f} s; that is not in its jobs/s.")


def _flatness(sizes: list[int], folder: Path) -> None:
    print("\nCortex alone: does a task cost the same in a larger pile?")
    print(f"{'tasks':>8} {'s':>8} {'ms a task':>10} {'CPU ms a task':>14} {'to the first':>13}")
    first: float | None = None
    idle: Idle | None = None
    for size in sizes:
        run = drain_cortex(size, folder, PARALLEL, watch_idle=size == sizes[-1])
        each_ms = run.seconds / size * 1000
        first = first or each_ms
        cpu = None if run.cpu_s is None else run.cpu_s / size * 1000
        ratio = each_ms / first
        print(f"{size:>8,} {run.seconds:>8.2f} {each_ms:>10.2f} {_shown(cpu):>14} {ratio:>13.2f}")
        idle = run.idle or idle
    if idle is not None:
        _print_idle(idle)


def _print_idle(idle: Idle) -> None:
    if idle.settled_s is None:
        print(
            "\nNot idle a minute after the last task; what follows is not that of an idle daemon."
        )
    else:
        print(f"\nIdle {idle.settled_s:.0f} s after the last task.")
    print(
        f"Then, over {idle.seconds:.0f} s: {idle.wakeups_per_s:.1f} wakeups and "
        f"{idle.cpu_ms_per_s:.2f} ms CPU a second, {idle.resident_mb:.0f} MB resident"
    )


def _median_speed(runs: list[Run]) -> float:
    return statistics.median(run.speed for run in runs)


def _median_cpu(runs: list[Run]) -> float | None:
    known = [run.cpu_s / run.number * 1000 for run in runs if run.cpu_s is not None]
    return statistics.median(known) if known else None


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _ratio(ours: float | None, theirs: float | None) -> str:
    return "-" if ours is None or not theirs else f"{ours / theirs:.2f}"


if __name__ == "__main__":
    sys.exit(main())
