"""`cortex service`: the unit that it writes is one that systemd reads without a word."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cortex.home import create_home
from cortex.home.service_unit import escape_path, quoted_program, unit_name, unit_text
from cortex.model.errors import HomeError
from live_home import BIN

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose path needs escaping."""
    return create_home(tmp_path / "a fleet-1").root.resolve()


def cortex(home: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "cortex", "service", *arguments, "--home", home],
        capture_output=True,
        text=True,
        env=os.environ | env,
    )


def verify(file: Path, *options: str) -> str:
    """What systemd has to say of a unit: an unknown key is exit status 0 and a line on stderr."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")
    ran = subprocess.run(
        [program, "verify", "--man=no", *options, file],
        capture_output=True,
        text=True,
        env=os.environ | {"XDG_RUNTIME_DIR": str(file.parent)},
    )
    return ran.stderr + (f"exit status {ran.returncode}" if ran.returncode else "")


def test_the_written_unit_is_one_that_systemd_has_nothing_to_say_of(
    home: Path, tmp_path: Path
) -> None:
    done = cortex(home, "install", "--unit-dir", str(tmp_path / "units"))
    assert done.returncode == 0, done.stderr
    [unit] = (tmp_path / "units").iterdir()
    assert unit.name == unit_name(home)
    assert verify(unit) == ""
    broken = unit.with_name("cortexd@broken.service")
    broken.write_text(unit.read_text().replace("KillMode=", "KilMode="))
    assert "KilMode" in verify(broken)


def test_the_packaged_template_is_one_that_systemd_has_nothing_to_say_of(tmp_path: Path) -> None:
    """It names a program that this machine need not have: the tree that is looked at has one."""
    packaged = REPOSITORY / "packaging/systemd/cortexd@.service"
    program = tmp_path / "usr/bin/cortexd"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    for needed in ("sysinit", "basic", "shutdown"):
        (units / f"{needed}.target").write_text(f"[Unit]\nDescription={needed}\n")
    unit = units / "cortexd@srv-fleet.service"
    unit.write_bytes(packaged.read_bytes())
    root = f"--root={tmp_path}"
    assert verify(unit, root) == ""
    program.chmod(0o644)
    assert "/usr/bin/cortexd is not executable" in verify(unit, root)


def test_a_users_unit_names_no_user_and_starts_with_the_users_manager(
    home: Path, tmp_path: Path
) -> None:
    done = cortex(home, "install", "--user", "--dry-run", XDG_CONFIG_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "User=" not in done.stdout
    assert "WantedBy=default.target" in done.stdout
    assert str(tmp_path / "systemd/user" / unit_name(home)) in done.stderr
    assert not (tmp_path / "systemd").exists()
    unit = tmp_path / unit_name(home)
    unit.write_text(done.stdout)
    assert verify(unit, "--user") == ""


def test_a_restart_can_cost_no_worker(home: Path) -> None:
    lines = cortex(home, "install", "--dry-run").stdout.splitlines()
    assert {
        "Type=notify",
        "KillMode=process",
        "OOMPolicy=continue",
        "Delegate=yes",
        "RuntimeDirectory=cortexd/%i",
        "RuntimeDirectoryPreserve=yes",
        "Restart=on-failure",
    } <= set(lines)


def test_the_unit_differs_from_the_packaged_one_in_program_and_user_alone(home: Path) -> None:
    packaged = (REPOSITORY / "packaging/systemd/cortexd@.service").read_text().splitlines()
    written = cortex(home, "install", "--dry-run", "--run-as", "somebody").stdout.splitlines()
    differing = [new for old, new in zip(packaged, written, strict=True) if old != new]
    assert differing == [
        f"ExecStart={BIN / 'cortexd'} --home %f --log-format json",
        "User=somebody",
    ]


def test_installing_again_changes_nothing_and_uninstalling_leaves_nothing(
    home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "units"
    for _ in range(2):
        assert cortex(home, "install", "--unit-dir", str(folder)).returncode == 0
    assert len(list(folder.iterdir())) == 1
    assert cortex(home, "uninstall", "--unit-dir", str(folder)).returncode == 0
    assert list(folder.iterdir()) == []
    again = cortex(home, "uninstall", "--unit-dir", str(folder))
    assert again.returncode == 1
    assert "no such unit" in again.stderr


def test_the_status_of_what_is_not_installed_is_a_failure(home: Path, tmp_path: Path) -> None:
    done = cortex(home, "status", "--unit-dir", str(tmp_path))
    assert done.returncode == 1
    assert "not installed" in done.stderr


def test_a_folder_that_cannot_be_written_is_named(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = cortex(home, "install", "--unit-dir", str(tmp_path / "file"))
    assert done.returncode == 1
    assert str(tmp_path / "file") in done.stderr


PATHS = ("/", "/srv/fleet", "/srv/a-b", "/srv/a b/ä", "/.hidden/x", "/srv/50%/$HOME", "//srv///x/")


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_escaped_as_systemd_does_it(path: str) -> None:
    program = shutil.which("systemd-escape")
    if program is None:
        pytest.skip("systemd-escape is not installed: apt-get install systemd")
    ran = subprocess.run([program, "--path", path], capture_output=True, text=True, check=True)
    assert escape_path(Path(path)) == ran.stdout.strip()


def test_a_path_that_no_unit_can_be_named_after_is_refused() -> None:
    with pytest.raises(HomeError, match="too long"):
        unit_name(Path("/srv") / ("x" * 250))


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/opt/bin/cortexd", "/opt/bin/cortexd"),
        ("/opt/50%/cortexd", "/opt/50%%/cortexd"),
        ("/opt/a b/cortexd", '"/opt/a b/cortexd"'),
        ('/opt/"/$x/cortexd', '"/opt/\\"/$$x/cortexd"'),
    ],
)
def test_a_program_is_one_word_of_the_unit(path: str, word: str) -> None:
    assert quoted_program(Path(path)) == word
    assert f"ExecStart={word} --home" in unit_text(Path(path), "root")


def test_what_only_a_person_can_correct_has_an_exit_status_of_its_own(home: Path) -> None:
    """RestartPreventExitStatus of the unit: other failures are tried again for ever."""
    (home / "cortex.toml").write_text("[limits]\ntoolz = 1\n")
    ran = subprocess.run([BIN / "cortexd", "--home", home], capture_output=True, timeout=30)
    assert ran.returncode == 78
    assert b"toolz" in ran.stderr
    ran = subprocess.run([BIN / "cortexd", "--home", "/nowhere"], capture_output=True, timeout=30)
    assert ran.returncode == 1
