"""The journal tells which definitions are in force: each change of one is an event, and no more."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from cortex.cli.narrate import line_text
from cortex.decide.catalog import Catalog
from cortex.decide.definitions import definition_changes
from cortex.decide.evolve import evolve
from cortex.masters.library import Library
from cortex.model.journal_line import Line
from cortex.model.paths import HomePaths
from cortex.model.state import State
from tests.unit.deciding import REPOSITORY, RUNTIMES

AT = "2026-11-21T10:00:00.000Z"


class Told:
    """What a daemon would tell of a home's definitions, look by look."""

    def __init__(self, root: Path) -> None:
        shutil.copytree(REPOSITORY / "agents", root / "agents")
        self.paths = HomePaths(root)
        self.state = State()
        self.start()

    def start(self) -> None:
        """Another daemon, which has the state as a checkpoint has it."""
        self.library = Library(self.paths, dict(RUNTIMES))
        self.catalog = Catalog()
        self.state = State.from_json(self.state.to_json())

    def look(self) -> list[dict[str, Any]]:
        self.catalog = self.library.refresh() or self.catalog
        events = definition_changes(self.state, self.catalog)
        evolve(self.state, self.state.seq + 1, AT, events)
        return events


@pytest.fixture
def told(tmp_path: Path) -> Told:
    made = Told(tmp_path)
    made.look()
    return made


def test_the_first_look_tells_all_and_the_next_daemon_nothing(tmp_path: Path) -> None:
    told = Told(tmp_path)
    changes = told.look()
    assert {event["change"] for event in changes} == {"added"}
    assert {(event["kind"], event["name"]) for event in changes} == set(told.catalog.files)
    assert told.look() == []
    told.start()
    assert told.look() == []


def test_an_edit_is_told_with_the_file_and_the_hash_of_its_bytes(told: Told) -> None:
    path = told.paths.masters / "security-master.md"
    path.write_text(path.read_text().replace("\n", "\r\n") + "More.\n")
    (event,) = told.look()
    assert event == {
        "event": "definition_changed",
        "kind": "master",
        "name": "security-master",
        "change": "changed",
        "file": "agents/masters/security-master.md",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    assert told.look() == []


def test_a_broken_edit_changes_nothing_until_it_is_mended_or_the_daemon_starts_anew(
    told: Told,
) -> None:
    path = told.paths.masters / "security-master.md"
    good = path.read_text()
    path.write_text(good.replace("routes:", "rootes:"))
    assert told.look() == [], "the last good version is in force"
    (broken,) = told.library.broken.values()
    assert broken.in_force == "security-master"
    told.start()
    (event,) = told.look()
    assert (event["name"], event["change"]) == ("security-master", "removed")
    (broken,) = told.library.broken.values()
    assert broken.in_force is None
    path.write_text(good)
    (event,) = told.look()
    assert (event["name"], event["change"]) == ("security-master", "added")


def test_a_file_that_is_renamed_or_removed_is_told(told: Told) -> None:
    path = told.paths.prompts / "scan-worker.md"
    path.rename(told.paths.prompts / "scanning.md")
    (event,) = told.look()
    assert (event["name"], event["change"]) == ("scan-worker", "changed")
    assert event["file"] == "agents/prompts/workers/scanning.md"
    (told.paths.prompts / "scanning.md").unlink()
    (event,) = told.look()
    assert (event["kind"], event["name"], event["change"]) == (
        "worker type",
        "scan-worker",
        "removed",
    )
    assert "worker type/scan-worker" not in told.state.definitions


def test_one_that_does_not_count_is_not_told(told: Told) -> None:
    (told.paths.prompts / "a-copy.md").write_text("---\nname: scan\npersona: nobody\n---\n")
    assert told.look() == []
    assert "rename one" in told.library.problems[told.paths.prompts / "a-copy.md"]


def test_of_two_masters_with_one_route_the_first_by_file_name_gets_it(told: Told) -> None:
    (told.paths.masters / "a.md").write_text("---\nname: zebra\nroutes: [audit]\n---\n")
    told.look()
    found = told.catalog.route("audit")
    assert found is not None and found.name == "zebra-master"


def test_a_state_of_an_older_version_knows_no_definitions_and_is_told_all(told: Told) -> None:
    data = told.state.to_json()
    del data["definitions"]
    told.state = State.from_json(data)
    assert len(told.look()) == len(told.catalog.files)


@pytest.mark.parametrize(("count", "says"), [(1, "master m0 added (m0.md)"), (4, "4 added")])
def test_a_line_of_many_changes_tells_their_number(count: int, says: str) -> None:
    events = [
        {"event": "definition_changed", "kind": "master", "name": f"m{n}", "change": "added",
         "file": f"m{n}.md", "sha256": ""}
        for n in range(count)
    ]  # fmt: skip
    assert says in line_text(Line(1, "", 0, AT, "daemon", "why", events, ""))[2]
