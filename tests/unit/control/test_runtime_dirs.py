"""Folders for locks: a home keeps its own, and those of homes that are gone are cleared away."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest

from cortex.control.runtime_dirs import clear_abandoned, runtime_dir_in_use
from cortex.home import create_home
from cortex.model.paths import HomePaths
from cortex.model.settings import Daemon, Settings


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Where the folders lie."""
    return tmp_path / "run"


def settings(base: Path) -> Settings:
    return Settings(daemon=Daemon(runtime_dir=str(base)))


def home_of(tmp_path: Path, name: str) -> HomePaths:
    paths = HomePaths(create_home(tmp_path / name).root)
    paths.state.mkdir(exist_ok=True)
    return paths


def served_once(paths: HomePaths, base: Path) -> Path:
    """The folder of a home that a daemon has served and left."""
    with runtime_dir_in_use(paths, settings(base)) as used:
        return Path(used)


def a_lock(folder: Path, worker: str = "worker-cmd-001") -> Path:
    lock = folder / worker / "lock"
    lock.parent.mkdir()
    lock.touch()
    return lock


def test_a_home_keeps_its_folder_and_says_in_it_whose_it_is(tmp_path: Path, base: Path) -> None:
    paths = home_of(tmp_path, "mine")
    folder = served_once(paths, base)
    assert folder.parent == base
    assert served_once(paths, base) == folder
    assert (folder / "home").read_text() == f"{paths.root}\n"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_was_lost_is_not_made_again_under_its_name(
    tmp_path: Path, base: Path
) -> None:
    paths = home_of(tmp_path, "mine")
    folder = served_once(paths, base)
    shutil.rmtree(folder)
    assert served_once(paths, base) != folder


def test_a_home_that_systemd_serves_from_now_on_keeps_its_folder(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its live workers were started by hand, and their locks lie in the other place."""
    paths = home_of(tmp_path, "mine")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(base / "by-hand"))
    folder = served_once_with(paths, Settings())
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(base / "unit"))
    assert served_once_with(paths, Settings()) == folder


def served_once_with(paths: HomePaths, chosen: Settings) -> Path:
    with runtime_dir_in_use(paths, chosen) as used:
        return Path(used)


def test_folders_of_homes_that_are_gone_are_removed(tmp_path: Path, base: Path) -> None:
    mine = served_once(home_of(tmp_path, "mine"), base)
    gone = home_of(tmp_path, "gone")
    folder = served_once(gone, base)
    a_lock(folder)
    assert clear_abandoned(str(mine)) == []  # its home is there
    shutil.rmtree(gone.root)
    assert clear_abandoned(str(mine)) == [str(folder)]
    assert not folder.exists()
    assert mine.exists()


def test_a_folder_that_its_home_has_given_up_is_removed(tmp_path: Path, base: Path) -> None:
    mine = served_once(home_of(tmp_path, "mine"), base)
    moved = home_of(tmp_path, "moved")
    folder = served_once(moved, base)
    (moved.state / "runtime-dir").write_text(f"{base}/home-0123456789abcdef\n")
    assert clear_abandoned(str(mine)) == [str(folder)]


def test_a_folder_in_which_a_worker_lives_stays(tmp_path: Path, base: Path) -> None:
    mine = served_once(home_of(tmp_path, "mine"), base)
    gone = home_of(tmp_path, "gone")
    folder = served_once(gone, base)
    a_lock(folder, "worker-cmd-001")
    shutil.rmtree(gone.root)
    with a_lock(folder, "worker-cmd-002").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert clear_abandoned(str(mine)) == []
        assert folder.exists()
    assert clear_abandoned(str(mine)) == [str(folder)]


def test_a_folder_that_a_daemon_uses_stays(tmp_path: Path, base: Path) -> None:
    mine = served_once(home_of(tmp_path, "mine"), base)
    gone = home_of(tmp_path, "gone")
    with runtime_dir_in_use(gone, settings(base)) as used:
        shutil.rmtree(gone.root)
        assert clear_abandoned(str(mine)) == []
    assert clear_abandoned(str(mine)) == [used]


def test_what_is_not_known_to_be_a_homes_stays(tmp_path: Path, base: Path) -> None:
    mine = served_once(home_of(tmp_path, "mine"), base)
    unmarked = base / "home-0123456789abcdef"
    unmarked.mkdir()
    (base / "home-made").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "home").write_text("/nowhere\n")
    (base / "home-aaaaaaaaaaaaaaaa").symlink_to(elsewhere)
    assert clear_abandoned(str(mine)) == []
    assert unmarked.exists()
    assert elsewhere.exists()


def test_nothing_is_cleared_by_a_home_that_has_its_locks_in_itself(tmp_path: Path) -> None:
    paths = home_of(tmp_path, "mine")
    with runtime_dir_in_use(paths, Settings(daemon=Daemon(runtime_dir="home"))) as used:
        assert used == str(paths.attempts)
        assert clear_abandoned(used) == []


def test_a_home_that_was_moved_writes_its_new_name(tmp_path: Path, base: Path) -> None:
    paths = home_of(tmp_path, "old")
    folder = served_once(paths, base)
    paths.root.rename(tmp_path / "new")
    assert served_once(HomePaths(tmp_path / "new"), base) == folder
    assert (folder / "home").read_text() == f"{tmp_path / 'new'}\n"


def test_a_home_whose_folder_was_cleared_meanwhile_gets_a_new_one(
    tmp_path: Path, base: Path
) -> None:
    """The home came back while somebody cleared its folder away."""
    paths = home_of(tmp_path, "back")
    folder = served_once(paths, base)
    with ExitStack() as held:
        mark = os.open(folder / "home", os.O_RDONLY)
        held.callback(os.close, mark)
        fcntl.flock(mark, fcntl.LOCK_EX)  # as whoever clears it holds it
        shutil.rmtree(folder)
    again = served_once(paths, base)
    assert again != folder
    assert again.exists()
