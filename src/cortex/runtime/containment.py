"""What holds workers together on this machine: asked by the doctor and told in the daemon's log.

Finds out and says; the namespaces and groups themselves are made by the nursery and its shims.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cortex.runtime.shim_groups import find_place

__all__ = ["Means", "probe"]

_TRIAL = Path(__file__).with_name("nursery.py")
_TRIAL_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Means:
    """What can be had here. `automatic` is what `workers.containment = "auto"` comes to.

    `namespace` says that each worker can have a pid namespace, with `own_user_namespace` if that
    takes a user namespace too (for anybody but root); `namespace_problem` why not. `cgroups` are
    the folders in which groups of workers can be made. `limits_processes` and `limits_memory` say
    by what the limits of `[workers]` bind: "cgroup" per worker, "rlimit" as docs/worker-contract.md
    tells, "nothing" where they do not bind (process_limit for root).
    """

    automatic: Literal["namespace", "cgroup", "none"]
    namespace: bool
    own_user_namespace: bool
    namespace_problem: str
    cgroups: tuple[str, ...]
    limits_processes: Literal["cgroup", "rlimit", "nothing"]
    limits_memory: Literal["cgroup", "rlimit"]

    @property
    def leaves_no_orphans(self) -> bool:
        """True if no process of a worker can outlive it, whatever it does."""
        return self.automatic != "none"

    def sentences(self) -> list[str]:
        """For people: what holds workers here, and what is left open."""
        return [_HOLDS[self.automatic], *self._gaps()]

    def _gaps(self) -> list[str]:
        gaps = []
        if not self.namespace:
            gaps.append(f"No pid namespace can be had: {self.namespace_problem}.")
        if self.automatic == "none":
            gaps.append(_THE_GAP)
        if self.limits_processes == "nothing":
            gaps.append(
                "workers.process_limit does not bind: the daemon is root and has no control group "
                "with the pids controller. Run it as another user, or in a unit with Delegate=yes "
                "and DelegateSubgroup=daemon."
            )
        return gaps


_HOLDS = {
    "namespace": "Each worker has a pid namespace of its own: the kernel ends all of it.",
    "cgroup": "Each worker has a control group of its own: all of it can be found and ended.",
    "none": "Workers are held together by their shim, and by the nursery if that is killed.",
}
_THE_GAP = (
    "One case is left open: a process that makes a session of its own, drops its environment and "
    "closes what it inherited is not found any more once its worker's shim and the nursery above "
    "it were killed, or the shim while no daemon ran. Allow user namespaces "
    "(user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns), or run cortexd in "
    "a unit with Delegate=yes."
)


def probe() -> Means:
    """What can be had here; some 30 ms, and nothing is left behind. Raises nothing.

    A namespace is really made, by a small process that ends with it: settings alone do not tell.
    """
    namespace, own_user, problem = _try_namespace()
    place = find_place()
    groups = tuple(place.folders)
    automatic: Literal["namespace", "cgroup", "none"] = "none"
    if namespace:
        automatic = "namespace"
    elif groups:
        automatic = "cgroup"
    return Means(
        automatic=automatic,
        namespace=namespace,
        own_user_namespace=own_user,
        namespace_problem=problem,
        cgroups=groups,
        limits_processes="cgroup" if place.pids else _rlimit_for_processes(),
        limits_memory="cgroup" if place.memory else "rlimit",
    )


def _try_namespace() -> tuple[bool, bool, str]:
    command = [sys.executable, "-I", "-S", "-E", str(_TRIAL), "--try"]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=_TRIAL_WAIT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, False, f"it could not be tried: {error}"
    answer = done.stdout.strip()
    if answer in ("plain", "user"):
        return True, answer == "user", ""
    return False, False, answer or f"the trial ended with {done.returncode}"


def _rlimit_for_processes() -> Literal["rlimit", "nothing"]:
    return "nothing" if os.geteuid() == 0 else "rlimit"
