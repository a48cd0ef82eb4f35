"""What the machine offers: events, containment, sandboxes, limits, clocks. Looked at, not changed.

Small programs are run to try a sandbox; each has a limit of its own and none outlives the look.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from shutil import which

from cortex.care.finding import Finding
from cortex.model.times import format_duration
from cortex.runtime.containment import Means, probe

__all__ = ["clocks", "containment", "events", "limits", "sandboxes", "system"]

_RUN_S = 1.0
#: landlock_create_ruleset(2); the same number on every architecture.
_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_VERSION = 1
_FEW_FILES = 256
_YEARS = (2024, 2100)
_KERNEL = (5, 4)


def system() -> Iterator[Finding]:
    """Kernel and cores."""
    release = platform.release()
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    cores = len(os.sched_getaffinity(0))
    what = f"{platform.system()} {release}, {cores} core{'s' if cores != 1 else ''}"
    if platform.system() != "Linux" or numbers < _KERNEL:
        remedy = "Cortex needs Linux 5.4 or newer."
        yield Finding("machine", "system", what, "problem", remedy)
    else:
        yield Finding("machine", "system", what)
    if os.geteuid() == 0:
        remedy = "Workers have its rights: run cortexd as a user of its own (docs/how-to.md)."
        yield Finding("machine", "user", "root", "warn", remedy)
    else:
        yield Finding("machine", "user", f"uid {os.geteuid()}")


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def events() -> Iterator[Finding]:
    """Limits of inotify, and how much of them this user has in use."""
    base = "/proc/sys/fs/inotify"
    watches, instances = _number(f"{base}/max_user_watches"), _number(f"{base}/max_user_instances")
    if watches is None or instances is None:
        remedy = "Drops are found by looking, each second or two."
        yield Finding("machine", "inotify", "none", "warn", remedy)
        return
    used_instances, used_watches = _inotify_use()
    told = (
        f"{used_instances} of {instances} instances and {used_watches} of {watches} watches in use"
    )
    if instances - used_instances < 2 or watches - used_watches < 8:
        remedy = "Raise fs.inotify.max_user_instances and max_user_watches, or drops take longer."
        yield Finding("machine", "inotify", told, "warn", remedy)
    else:
        yield Finding("machine", "inotify", told)


def _inotify_use() -> tuple[int, int]:
    """(instances, watches) of this user's processes, as far as it may look."""
    instances = watches = 0
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if process.stat().st_uid != os.geteuid():
                continue
            for entry in os.scandir(process / "fd"):
                if str(Path(entry.path).readlink()) == "anon_inode:inotify":
                    instances += 1
                    info = (process / "fdinfo" / entry.name).read_text(encoding="ascii")
                    watches += info.count("inotify wd:")
        except OSError:
            continue
    return instances, watches


def containment() -> Iterator[Finding]:
    """What ends a worker's whole tree, and what is left open."""
    means: Means = probe()
    first, *rest = means.sentences()
    gap = " ".join(rest)
    level = "ok" if means.leaves_no_orphans else "warn"
    yield Finding("workers", "containment", first, "warn" if gap else level, gap)  # type: ignore[arg-type]
    bound = {"cgroup": "per worker", "rlimit": "by rlimits", "nothing": "not at all"}
    what = (
        f"processes are limited {bound[means.limits_processes]}, memory "
        f"{bound[means.limits_memory]}"
    )
    yield Finding("workers", "limits", what)
    groups = f"delegated: {', '.join(means.cgroups)}" if means.cgroups else "none delegated"
    yield Finding("workers", "cgroups", groups)


def sandboxes() -> Iterator[Finding]:
    """What could keep a worker away from other files: bubblewrap, user namespaces, landlock."""
    program = which("bwrap")
    if program is None:
        yield Finding("workers", "bwrap", "not installed; workers have their user's rights")
    elif _runs([program, "--ro-bind", "/", "/", "--unshare-pid", "true"]):
        yield Finding("workers", "bwrap", program)
    else:
        what = f"{program} is there and does not run"
        remedy = "It needs user namespaces, or to be setuid root."
        yield Finding("workers", "bwrap", what, "warn", remedy)
    unshare = which("unshare")
    if unshare is not None:
        can = _runs([unshare, "--user", "--map-root-user", "true"])
        yield Finding("workers", "user namespaces", "can be made" if can else "cannot be made")
    version = _landlock()
    yield Finding("workers", "landlock", f"version {version}" if version else "not in this kernel")


def _runs(command: list[str]) -> bool:
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=_RUN_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _landlock() -> int:
    """The version of the kernel's landlock; 0 without (landlock_create_ruleset(2))."""
    try:
        answer = ctypes.CDLL(None).syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION)
    except (OSError, AttributeError):
        return 0
    return max(0, int(answer))


def limits() -> Iterator[Finding]:
    """Open files and processes that this user may have."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    told = "unlimited" if files == resource.RLIM_INFINITY else f"{files:,}"
    if 0 <= files < _FEW_FILES:
        remedy = "Raise it (ulimit -n, LimitNOFILE=): starts wait when they are used up."
        yield Finding("machine", "open files", told, "warn", remedy)
    else:
        yield Finding("machine", "open files", told)
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    told = "unlimited" if processes == resource.RLIM_INFINITY else f"{processes:,}"
    if 0 <= processes < _FEW_FILES:
        remedy = "Raise it (ulimit -u, LimitNPROC=): starts wait when they are used up."
        yield Finding("machine", "processes", told, "warn", remedy)
    else:
        yield Finding("machine", "processes", told)


def clocks() -> Iterator[Finding]:
    """Wall clock, time zone, and how long this machine slept since it booted."""
    now = datetime.now().astimezone()
    told = f"{now:%Y-%m-%d %H:%M:%S}, zone {now.tzname()}"
    if not _YEARS[0] <= now.year <= _YEARS[1]:
        remedy = "Set the clock: periods, schedules and dated folders follow it."
        yield Finding("machine", "clock", told, "problem", remedy)
    else:
        yield Finding("machine", "clock", told)
    boot, running = time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic()
    slept = max(0.0, boot - running)
    told = f"up {format_duration(boot)}" + (
        f", {format_duration(slept)} of it asleep; timeouts stand still meanwhile"
        if slept > 1
        else ""
    )
    yield Finding("machine", "uptime", told)
