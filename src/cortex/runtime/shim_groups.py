"""Control groups: one for each shim that needs one, with its limits, and the end of all in it.

Loaded in every shim, so it imports next to nothing. Cortex never moves itself or anybody who is
not its own, and makes groups only where the system leaves them to it: systemd says so by a mark
on the group (`Delegate=yes`); on a machine without systemd root may.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from contextlib import suppress

from cortex.runtime.processes import write_proc

PREFIX = "cortex-"
_SYSTEMD = "/run/systemd/system"  # sd_booted(3)
_DELEGATED = ("user.delegate", "trusted.delegate")  # systemd.resource-control(5)
_END_BOUND_S = 5.0
_PAUSE_S = 0.01


class Place:
    """Where groups of workers may be made.

    `unified` is a folder of cgroup v2, or None; `own` is this process's group there. `pids` and
    `memory` are the folders whose groups have that controller, of v1 or v2; None where it cannot
    be had.
    """

    __slots__ = ("memory", "own", "pids", "unified")

    def __init__(
        self,
        unified: str | None = None,
        own: str | None = None,
        pids: str | None = None,
        memory: str | None = None,
    ) -> None:
        self.unified = unified
        self.own = own
        self.pids = pids
        self.memory = memory

    @property
    def folders(self) -> list[str]:
        """Each folder once; empty where no group can be had."""
        return list(dict.fromkeys(one for one in (self.unified, self.pids, self.memory) if one))


def find_place() -> Place:
    """Where this process may make groups. Reads only; raises nothing."""
    try:
        return _find_place()
    except (OSError, ValueError, IndexError):
        return Place()


def _find_place() -> Place:
    has_systemd = os.path.isdir(_SYSTEMD)
    mounts = mounts_of(read_whole("/proc/self/mountinfo"))
    unified, own, pids, memory = None, None, None, None
    for line in read_whole("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            own = _folder(mounts.get("", ""), path)
            unified = _unified_place(own, path == "/", has_systemd) if own else None
        elif not has_systemd:
            pids = _own_folder(mounts, "pids", controllers, path) or pids
            memory = _own_folder(mounts, "memory", controllers, path) or memory
    if unified is not None:
        offered = read_whole(f"{unified}/cgroup.subtree_control").split()
        offered += (
            read_whole(f"{unified}/cgroup.controllers").split() if _may_enable(unified) else []
        )
        pids = pids or (unified if "pids" in offered else None)
        memory = memory or (unified if "memory" in offered else None)
    return Place(unified, own, pids, memory)


def mounts_of(mountinfo: str) -> dict[str, str]:
    """Controller ("" for v2) to "POINT\\0ROOT", which tells where a group's path is found."""
    found = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind = after.partition(" ")[0]
        if kind not in ("cgroup", "cgroup2"):
            continue  # a mount whose source is empty has a word less
        root, point = before.split()[3:5]
        names = [""] if kind == "cgroup2" else after.split()[-1].split(",")
        found.update(dict.fromkeys(names, f"{point}\0{root}"))
    return found


def _folder(mount: str, path: str) -> str | None:
    """The folder of a group; None where it is not mounted."""
    point, _, root = mount.partition("\0")
    if not point:
        return None
    inside = path[len(root) :] if root != "/" and path.startswith(root) else path
    folder = f"{point}/{inside.strip('/')}".rstrip("/")
    return folder if os.path.isdir(folder) else None


def _own_folder(mounts: dict[str, str], wanted: str, controllers: str, path: str) -> str | None:
    if wanted not in controllers.split(","):
        return None
    folder = _folder(mounts.get(wanted, ""), path)
    return folder if folder and os.access(folder, os.W_OK) else None


def _unified_place(own: str, is_root: bool, has_systemd: bool) -> str | None:
    """Beside our own group where that is a subgroup of what was left to us, else below it."""
    candidates = [own] if is_root else [own.rpartition("/")[0], own]
    for folder in candidates:
        if os.access(f"{folder}/cgroup.procs", os.W_OK) and _is_delegated(folder):
            return folder
    return own if not has_systemd and os.access(f"{own}/cgroup.procs", os.W_OK) else None


def _is_delegated(folder: str) -> bool:
    for name in _DELEGATED:
        with suppress(OSError):
            if os.getxattr(folder, name) == b"1":
                return True
    return False


def _may_enable(folder: str) -> bool:
    """Whether controllers may be passed on from here: nobody may live in the group itself.

    The root group is the exception (cgroups(7), "no internal processes"). A group that passes
    controllers on takes no process any more, so systemd could not start the daemon's next run in
    it: that is why the daemon must have a subgroup of its own for limits.
    """
    return not os.path.exists(f"{folder}/cgroup.type") or not read_whole(f"{folder}/cgroup.procs")


class Group:
    """The group of one shim, in every hierarchy that is of use. Made by `enter`."""

    def __init__(self, place: Place, name: str) -> None:
        self._place = place
        self.folders = [f"{folder}/{name}" for folder in place.folders]
        self._name = name
        self._limits: dict[str, int | None] = {"processes": None, "memory": None}
        self._met = (0, 0)

    def enter(self) -> None:
        """Make the group, if need be, and move this process in. Raises OSError."""
        for folder in self._place.folders:
            if folder == self._place.unified:
                _pass_on(folder, [self._place.pids == folder, self._place.memory == folder])
            with suppress(FileExistsError):
                os.mkdir(f"{folder}/{self._name}")
            write_proc(f"{folder}/{self._name}/cgroup.procs", "0")

    def leave(self) -> None:
        """Go back to where the daemon is, and remove the group; it stays where that fails."""
        for folder in self._place.folders:
            back = self._place.own if folder == self._place.unified else folder
            with suppress(OSError):
                write_proc(f"{back}/cgroup.procs", "0")
        remove(self.folders)

    def limit(self, processes: int | None, memory_bytes: int | None) -> None:
        """Hold what is in it to these limits; the shim itself comes on top. Raises OSError."""
        wanted = {"processes": processes, "memory": memory_bytes}
        if wanted != {"processes": None, "memory": None}:
            self._met = self._count_met()
        if wanted == self._limits:
            return
        if self._place.pids:
            room = "max" if processes is None else str(processes + 1)
            write_proc(f"{self._place.pids}/{self._name}/pids.max", room)
        if self._place.memory:
            folder = f"{self._place.memory}/{self._name}"
            is_v2 = self._place.memory == self._place.unified
            none = "max" if is_v2 else "-1"
            name = "memory.max" if is_v2 else "memory.limit_in_bytes"
            write_proc(f"{folder}/{name}", none if memory_bytes is None else str(memory_bytes))
        self._limits = wanted

    def limits_met(self) -> list[str]:
        """What came of each limit since it was set, as sentences without a full stop."""
        if self._limits == {"processes": None, "memory": None}:
            return []
        refused, ended = (
            now - then for now, then in zip(self._count_met(), self._met, strict=True)
        )
        met = []
        if refused > 0:
            met.append(f"{self._limits['processes']} processes: {refused} more were refused")
        if ended > 0:
            met.append(f"memory of {self._limits['memory']} bytes: the kernel ended a process")
        return met

    def _count_met(self) -> tuple[int, int]:
        """(starts refused, processes ended for want of memory) in this group so far."""
        pids, memory = f"{self._place.pids}/{self._name}", f"{self._place.memory}/{self._name}"
        is_v2 = self._place.memory == self._place.unified
        file = "memory.events" if is_v2 else "memory.oom_control"
        return _counter(f"{pids}/pids.events", "max"), _counter(f"{memory}/{file}", "oom_kill")

    def binds(self) -> tuple[bool, bool]:
        """Whether it can limit processes, and memory."""
        return self._place.pids is not None, self._place.memory is not None


def _pass_on(folder: str, wanted: list[bool]) -> None:
    for name, is_wanted in zip(("pids", "memory"), wanted, strict=True):
        if is_wanted and name not in read_whole(f"{folder}/cgroup.subtree_control").split():
            write_proc(f"{folder}/cgroup.subtree_control", f"+{name}")


def members(folders: list[str]) -> set[int]:
    """The processes in these groups, as pids of this process's namespace."""
    found: set[int] = set()
    for folder in folders:
        found.update(int(word) for word in read_whole(f"{folder}/cgroup.procs").split())
    return found - {0}  # 0: a process of a namespace outside ours


def end_all(folders: list[str]) -> int:
    """SIGKILL all in these groups and remove them; how many processes that were.

    The group itself is killed where the kernel can (cgroup.kill, Linux 5.14); elsewhere it is
    forbidden to fork first, so that one pass reaches everybody.
    """
    ended: set[int] = set()
    deadline_s = time.monotonic() + _END_BOUND_S
    while (living := members(folders)) and time.monotonic() < deadline_s:
        ended |= living
        _kill_once(folders, living)
        time.sleep(_PAUSE_S)
    remove(folders)
    return len(ended)


def _kill_once(folders: list[str], living: set[int]) -> None:
    for folder in folders:
        with suppress(OSError):
            write_proc(f"{folder}/cgroup.kill", "1")
            return
        with suppress(OSError):
            write_proc(f"{folder}/pids.max", "0")
    for pid in living:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def remove(folders: list[str]) -> bool:
    """Remove empty groups; False if somebody is still in one."""
    gone = True
    for folder in folders:
        try:
            os.rmdir(folder)
        except OSError as problem:
            gone = gone and problem.errno == errno.ENOENT
    return gone


def sweep(place: Place, prefix: str) -> None:
    """Remove the empty groups whose names begin so: their shims are gone."""
    for folder in place.folders:
        with suppress(OSError):
            remove([f"{folder}/{name}" for name in os.listdir(folder) if name.startswith(prefix)])


def is_ours(folder: str) -> bool:
    """True if the path can be a group that this module made."""
    name = folder.rpartition("/")[2]
    return (
        name.startswith(PREFIX) and ".." not in folder and os.path.exists(f"{folder}/cgroup.procs")
    )


def _counter(path: str, name: str) -> int:
    for line in read_whole(path).splitlines():
        word, _, number = line.partition(" ")
        if word == name and number.isdigit():
            return int(number)
    return 0


def read_whole(path: str) -> str:
    """All of it; one read(2) of a file under /proc or a group gives a page at most."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
