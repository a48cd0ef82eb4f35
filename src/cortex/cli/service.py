"""`cortex service`: cortexd under systemd, for one home: install, uninstall, status.

Writes one unit file and calls `systemctl`; what stands in the unit is the packaged template's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cortex.cli import exits
from cortex.cli.options import HomeOption, fail_usage, open_home
from cortex.cli.terminal import clean, note, one_line
from cortex.model.errors import HomeError

if TYPE_CHECKING:
    from cortex.home import Home

__all__ = ["EXAMPLES", "service"]

EXAMPLES = """
  sudo cortex service install --home /srv/fleet    as its owner, at boot
  cortex service install --user       yours alone, without root
  cortex service install --dry-run    print the unit, change nothing
  cortex service status
  sudo cortex service uninstall       workers live on
"""

_SYSTEM_UNITS = Path("/etc/systemd/system")
_BOOTED = Path("/run/systemd/system")  # sd_booted(3)
_SHOWN = ("ActiveState", "SubState", "MainPID", "NRestarts", "StatusText", "Result")


class Action(StrEnum):
    """What is to be done with the service."""

    install = "install"
    uninstall = "uninstall"
    status = "status"


Chosen = Annotated[Action, typer.Argument(metavar="ACTION", help="install, uninstall or status.")]
User = Annotated[
    bool, typer.Option("--user", help="Of your own service manager, not the system's.")
]
RunAs = Annotated[
    str | None,
    typer.Option("--run-as", metavar="NAME", help="The user that serves; else the home's owner."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the unit and where it would go.")]
NoStart = Annotated[bool, typer.Option("--no-start", help="Write and enable it, start nothing.")]
UnitDir = Annotated[
    str | None,
    typer.Option(
        "--unit-dir", metavar="DIR", help="Write the unit there, and call no systemctl: for images."
    ),
]


def service(
    action: Chosen,
    user: User = False,
    run_as: RunAs = None,
    dry_run: DryRun = False,
    no_start: NoStart = False,
    unit_dir: UnitDir = None,
    home: HomeOption = None,
) -> None:
    """Let systemd run cortexd for this home: at boot, again after a failure, watched.

    Workers outlive every stop and restart of the service.
    """
    from cortex.home.service_unit import unit_name, unit_text

    place = open_home(home)
    if user and run_as is not None:
        raise fail_usage("--run-as is for the system's service manager; leave --user out")
    name = unit_name(place.root.resolve())
    file = _folder(user, unit_dir) / name
    systemctl = _Systemctl(user, called=unit_dir is None)
    if action is Action.status:
        raise typer.Exit(_status(systemctl, name, file))
    if action is Action.uninstall:
        _uninstall(systemctl, name, file)
        return
    text = unit_text(_program(), None if user else run_as or _owner(place.root))
    if dry_run:
        note(f"would be {file}")
        print(text, end="")
        return
    _install(place, systemctl, file, text, start=not no_start)
    if user:
        _note_lingering()


def _folder(user: bool, unit_dir: str | None) -> Path:
    if unit_dir is not None:
        return Path(unit_dir)
    if not user:
        return _SYSTEM_UNITS
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "systemd" / "user"


def _program() -> Path:
    """The cortexd of this installation. HomeError where it has none."""
    beside = Path(sys.executable).with_name("cortexd")
    found = beside if beside.exists() else shutil.which("cortexd")
    if found is None:
        raise HomeError(f"no cortexd beside {sys.executable} or on PATH; install cortexd again")
    return Path(found)


def _owner(root: Path) -> str:
    """The name of the user whom the home belongs to."""
    import pwd

    uid = root.stat().st_uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


class _Systemctl:
    """The service manager's command; says nothing where none is to be called, or none runs."""

    def __init__(self, user: bool, *, called: bool) -> None:
        self._command = ["systemctl", "--user"] if user else ["systemctl"]
        self.here = called and _BOOTED.is_dir() and shutil.which("systemctl") is not None

    def __call__(self, *arguments: str) -> None:
        """Runs it; HomeError with what it said where it fails."""
        if not self.here:
            return
        ran = subprocess.run(
            [*self._command, *arguments], capture_output=True, text=True, check=False
        )
        if ran.returncode != 0:
            said = one_line(ran.stderr or ran.stdout or f"exit status {ran.returncode}")
            raise HomeError(f"systemctl {' '.join(arguments)}: {said}")

    def properties(self, name: str) -> dict[str, str]:
        """What it knows of a unit; empty where it does not run."""
        if not self.here:
            return {}
        ran = subprocess.run(
            [*self._command, "show", f"--property={','.join(_SHOWN)}", name],
            capture_output=True,
            text=True,
            check=False,
        )
        return dict(line.split("=", 1) for line in ran.stdout.splitlines() if "=" in line)


def _install(home: Home, systemctl: _Systemctl, file: Path, text: str, *, start: bool) -> None:
    active = systemctl.properties(file.name).get("ActiveState") == "active"
    daemon = home.daemon()
    if start and systemctl.here and daemon.running and not active:
        raise HomeError(
            f"a cortexd serves {home.root} already, pid {daemon.pid}; stop it first "
            f"(kill {daemon.pid}): its workers live on, and the service adopts them"
        )
    changed = not file.is_file() or file.read_text(encoding="utf-8") != text
    if changed:
        _write(file, text)
    systemctl("daemon-reload")
    systemctl("enable", file.name)
    if start:
        systemctl("restart" if changed and active else "start", file.name)
    done = "installed, enabled" + (" and started" if start else "")
    note(f"{file} {done if systemctl.here else 'written; no service manager was called'}")


def _write(file: Path, text: str) -> None:
    """Whole or not at all. HomeError where it cannot be written."""
    draft = file.with_name(f".{file.name}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        draft.chmod(0o644)
        draft.replace(file)
    except OSError as error:
        hint = "; as root, or with --user" if isinstance(error, PermissionError) else ""
        raise HomeError(f"{file} cannot be written: {error.strerror}{hint}") from None


def _uninstall(systemctl: _Systemctl, name: str, file: Path) -> None:
    if not file.is_file():
        raise HomeError(f"{file}: no such unit; `cortex service install` makes it")
    systemctl("disable", "--now", name)
    try:
        file.unlink()
    except OSError as error:
        raise HomeError(f"{file} cannot be removed: {error.strerror}") from None
    systemctl("daemon-reload")
    note(f"{file} removed; running workers go on, and the next cortexd adopts them")


def _status(systemctl: _Systemctl, name: str, file: Path) -> int:
    """0 while the service is active."""
    if not file.is_file():
        note(f"{name} is not installed ({file})")
        return exits.FAILED
    known = systemctl.properties(name)
    if not known:
        note(f"{file} is installed, but no systemd runs here")
        return exits.FAILED
    print(f"{name}: {known['ActiveState']} ({known['SubState']}), pid {known['MainPID']}")
    print(f"restarts {known['NRestarts']}, last result {known['Result']}")
    if known.get("StatusText"):
        print(clean(known["StatusText"]))
    return exits.OK if known["ActiveState"] == "active" else exits.FAILED


def _note_lingering() -> None:
    """A user's manager ends with the last session, and all its processes with it."""
    import getpass

    name = getpass.getuser()
    if not Path("/var/lib/systemd/linger", name).exists():
        note(f"the service and its workers end when {name} logs out; "
             f"`loginctl enable-linger {name}` keeps them")  # fmt: skip
