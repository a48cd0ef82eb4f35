"""The packaged unit under a real systemd, booted in a container of its own by systemd-nspawn.

Its root is a tmpfs: of this machine it sees /usr, the interpreter and this checkout, read-only, and
one folder of the test's. Canary files on both sides show that this is so. Never boot a systemd by
unshare(1) alone: it would clean this machine's /tmp and write its /etc/machine-id.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
INSIDE = Path(__file__).with_name("systemd_inside.py")
#: Not below /tmp, which systemd empties when it boots.
WORK = Path("/cortex-work")
LIMIT_S = 110
DRIVER = """\
[Unit]
Description=Drives the service
SuccessAction=exit-force
FailureAction=exit-force

[Service]
Type=oneshot
Environment=PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={paths}
ExecStart={python} {inside} {work} {canary}
StandardOutput=file:{work}/driver.log
StandardError=inherit
"""


def nothing_to_boot() -> str | None:
    if os.geteuid() != 0:
        return "only root can boot a container"
    if shutil.which("systemd-nspawn") is None or not Path("/usr/lib/systemd/systemd").exists():
        return "systemd-nspawn is not installed: apt-get install systemd-container"
    if not Path("/sys/fs/cgroup").is_mount():
        return "no control groups are mounted here, as in a chroot"
    return None


def boot(folder: Path, canary: Path) -> dict[str, Any]:
    """Boots, waits until the driver has ended, and gives its report."""
    work = folder / "work"
    work.mkdir()
    unit = folder / "driver.service"
    paths = ":".join(path for path in sys.path if path)
    unit.write_text(
        DRIVER.format(python=sys.executable, inside=INSIDE, work=WORK, canary=canary, paths=paths)
    )
    needed = {REPOSITORY, *(Path(prefix) for prefix in (sys.prefix, sys.base_prefix))}
    shown = [path for path in needed if not path.is_relative_to("/usr")]
    command = [
        "systemd-nspawn",
        "--quiet",
        "--directory=/",
        "--volatile=yes",
        "--register=no",
        "--keep-unit",
        "--private-network",
        "--console=pipe",
        f"--machine=cortex-{os.getpid()}",
        f"--bind={work}:{WORK}",
        f"--bind-ro={unit}:/etc/systemd/system/{unit.name}",
        *(f"--bind-ro={path}" for path in sorted(shown)),
        "--boot",
        "--",
        f"--unit={unit.name}",
    ]
    booted = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S
    )
    report = work / "report.json"
    log = work / "driver.log"
    said = booted.stdout[-4000:] + booted.stderr[-2000:]
    assert report.exists(), said + (log.read_text() if log.exists() else "")
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def test_workers_outlive_every_way_in_which_a_service_stops(tmp_path: Path) -> None:
    problem = nothing_to_boot()
    if problem is not None:
        pytest.skip(problem)
    canary = tmp_path / "canary"
    canary.touch()
    machine = Path("/etc/machine-id")
    before = machine.read_bytes() if machine.exists() else None
    report = boot(tmp_path, canary)
    assert not report["canary"], "the container saw this machine's /tmp"
    assert not report["can_write_usr"]
    assert canary.exists()
    assert (machine.read_bytes() if machine.exists() else None) == before
    for place in ("/tmp", "/etc", "/run", "/var"):
        assert not Path(place, "canary-of-the-container").exists()
    assert "failed" not in report, report["failed"] + report["error"]
    assert list(report["took_s"])[-1] == "as_a_user"
