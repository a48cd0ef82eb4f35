"""`cortex init` makes homes and refreshes them without taking anybody's work away."""

import json
import os
from pathlib import Path

import pytest

from cortex.home import Home, create_home
from cortex.home.templates import templates
from cortex.model.definitions import read_master, read_worker_type
from cortex.model.errors import HomeError
from cortex.model.settings import Settings, load_settings


def test_a_new_home_has_every_folder_and_template_and_default_settings(tmp_path: Path) -> None:
    created = create_home(tmp_path / "home")
    assert not created.was_home
    for folder in (
        "coordination/inbox",
        "coordination/rejected",
        "coordination/journal",
        "coordination/archive",
        ".state",
        "worker-specs",
        "agents/logs/workers",
        "agents/logs/tasks",
        "agents/personas",
    ):
        assert (created.root / folder).is_dir(), folder
    for name, data in templates().items():
        assert (created.root / name).read_bytes() == data
    assert load_settings(created.root / "cortex.toml", {}) == Settings()
    assert not (created.root / "coordination" / "task-queue.json").exists()


def test_the_copied_masters_and_worker_types_can_be_used(tmp_path: Path) -> None:
    paths = Home(create_home(tmp_path / "home").root).paths
    masters = [read_master(file.read_text(), file).name for file in paths.masters.glob("*.md")]
    assert {"coordinator-master", "security-master", "development-master"} <= set(masters)
    for file in paths.prompts.glob("*.md"):
        read_worker_type(file.read_text(), file)


def test_a_second_init_changes_nothing(tmp_path: Path) -> None:
    root = create_home(tmp_path / "home").root
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    again = create_home(root)
    assert again.was_home
    assert (again.written, again.updated, again.kept, again.left_out) == ([], [], {}, [])
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_what_a_person_changed_is_kept_and_said(tmp_path: Path) -> None:
    root = create_home(tmp_path / "home").root
    mine = root / "agents/masters/security-master.md"
    mine.write_text("---\nname: security\n---\nMine.\n")
    again = create_home(root)
    assert mine.read_text().endswith("Mine.\n")
    assert again.kept == {"agents/masters/security-master.md": False}


def test_an_untouched_copy_of_an_older_version_is_brought_up_to_date(tmp_path: Path) -> None:
    root = create_home(tmp_path / "home").root
    name = "agents/masters/security-master.md"
    _pretend_last_version(root, name, "an older text\n")
    (root / name).write_text("an older text\n")
    assert create_home(root).updated == [name]
    assert (root / name).read_bytes() == templates()[name]


def test_a_changed_copy_of_an_older_version_is_kept_and_said_to_be_outdated(
    tmp_path: Path,
) -> None:
    root = create_home(tmp_path / "home").root
    name = "agents/masters/security-master.md"
    _pretend_last_version(root, name, "an older text\n")
    (root / name).write_text("an older text, changed\n")
    assert create_home(root).kept == {name: True}
    assert (root / name).read_text() == "an older text, changed\n"


def test_a_removed_template_stays_away_until_it_is_wanted_back(tmp_path: Path) -> None:
    root = create_home(tmp_path / "home").root
    name = "agents/masters/development-master.md"
    (root / name).unlink()
    assert create_home(root).left_out == [name]
    assert not (root / name).exists()
    assert create_home(root, restore=True).written == [name]
    assert (root / name).read_bytes() == templates()[name]


def test_files_that_were_there_before_are_not_overwritten(tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / "agents/masters").mkdir(parents=True)
    mine = root / "agents/masters/security-master.md"
    mine.write_text("mine\n")
    assert create_home(root).kept == {"agents/masters/security-master.md": False}
    assert mine.read_text() == "mine\n"


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match=str(tmp_path / "file")):
        create_home(tmp_path / "file" / "home")


def _pretend_last_version(root: Path, name: str, text: str) -> None:
    import hashlib

    manifest = root / ".state/templates.json"
    data = json.loads(manifest.read_text())
    data["sha256"][name] = hashlib.sha256(text.encode()).hexdigest()
    manifest.write_text(json.dumps(data))
    assert os.path.lexists(manifest)


def test_a_place_that_would_tear_the_paths_of_inputs_apart_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="choose another folder"):
        create_home(tmp_path / "a:b")
    assert not (tmp_path / "a:b").exists()
