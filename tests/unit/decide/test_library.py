"""Masters and worker types as they lie in a home: read again when they change, never lost."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from cortex.decide.catalog import Catalog
from cortex.masters.library import Library
from cortex.model.paths import HomePaths
from tests.unit.deciding import REPOSITORY, RUNTIMES


@pytest.fixture
def library(tmp_path: Path) -> Library:
    shutil.copytree(REPOSITORY / "agents", tmp_path / "agents")
    return Library(HomePaths(tmp_path), dict(RUNTIMES))


def read(library: Library) -> Catalog:
    catalog = library.refresh()
    assert catalog is not None
    return catalog


def test_the_shipped_files_make_a_catalog_and_are_read_once(library: Library) -> None:
    catalog = read(library)
    assert set(catalog.masters) == {"coordinator-master", "development-master", "security-master"}
    assert len(catalog.types) >= 12
    assert library.problems == {}
    assert library.refresh() is None


def test_a_new_master_is_a_file_and_no_code(library: Library) -> None:
    read(library)
    (library.paths.masters / "content.md").write_text("---\nroutes: [blog-post]\n---\nWrite.")
    found = read(library).route("blog-post")
    assert found is not None and found.name == "content-master"


def test_a_removed_file_is_gone(library: Library) -> None:
    read(library)
    (library.paths.prompts / "pr-worker.md").unlink()
    assert "pr-worker" not in read(library).types


def test_a_broken_edit_is_told_and_the_last_good_version_stays_in_force(library: Library) -> None:
    read(library)
    path = library.paths.masters / "security-master.md"
    good = path.read_text()
    path.write_text(good.replace("routes:", "rootes:"))
    assert "security-master" in read(library).masters
    assert "rootes: no such key; did you mean routes?" in library.problems[path]
    assert library.refresh() is None, "told once"
    path.write_text(good)
    assert "security-master" in read(library).masters
    assert library.problems == {}


def test_a_file_that_was_never_good_is_told_and_hides_no_other(library: Library) -> None:
    path = library.paths.prompts / "broken.md"
    path.write_bytes(b"---\nname: \xff\n---\n")
    assert "scan-worker" in read(library).types
    assert str(path) in library.problems[path]
    path.unlink()
    read_again = library.refresh()
    assert read_again is None or "scan-worker" in read_again.types
    assert library.problems == {}


def test_two_files_of_one_name_are_told_and_the_one_called_so_stays(library: Library) -> None:
    second = library.paths.prompts / "a-copy.md"
    second.write_text("---\nname: scan\ntoken_budget: 1\n---\n")
    assert read(library).types["scan-worker"].token_budget == 8_000
    assert "scan-worker" in library.problems[second]
    assert str(library.paths.prompts / "scan-worker.md") in library.problems[second]
    second.unlink()
    assert read(library).types["scan-worker"].token_budget == 8_000
    assert library.problems == {}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("routes: [blog-post, security-scan]", "routes: 'security-scan' is routed to security-"),
        ("default_route: true", "default_route: what nobody lists is routed to coordinator-"),
    ],
)
def test_a_route_that_an_earlier_master_has_is_told_and_stays_with_that_one(
    library: Library, written: str, said: str
) -> None:
    before = read(library)
    path = library.paths.masters / "zeal.md"
    path.write_text(f"---\nname: zeal\n{written}\n---\nWrite.")
    catalog = read(library)
    assert f"zeal.md:3: {said}" in library.problems[path]
    for route in ("security-scan", "never-heard-of"):
        assert catalog.route(route) == before.route(route)
    path.write_text("---\nname: zeal\nroutes: [blog-post]\n---\nWrite.")
    read(library)
    assert library.problems == {}


def test_a_subagent_file_joins_the_catalog_as_it_is(library: Library) -> None:
    text = "---\nname: code-reviewer\ndescription: Use it: always\ntools: Read, Grep\n---\nReview."
    (library.paths.prompts / "code-reviewer.md").write_text(text)
    kind = read(library).types["code-reviewer-worker"]
    assert (kind.tools, kind.description) == (["Read", "Grep"], "Use it: always")


def test_a_fifo_among_the_files_is_told_and_nobody_waits_for_it(library: Library) -> None:
    """The control thread reads them: it would stand still until somebody wrote into the FIFO."""
    fifo = library.paths.masters / "pipe.md"
    os.mkfifo(fifo)
    (library.paths.masters / "content.md").write_text("---\nroutes: [blog-post]\n---\nWrite.")
    assert read(library).route("blog-post") is not None
    assert "no regular file" in library.problems[fifo]


@pytest.mark.parametrize(
    "front",
    [
        "updated: !!timestamp soon",
        "default_route: !!bool maybe",
        "retries: !!int ''",
        "runtime: 0x" + "f" * 4000,
        "plans: [{types: [a], steps: [{name: a, worker_type: scan, runtime: 0x"
        + "f" * 4000
        + "}]}]",
        "updated: 2025-02-30",
    ],
    ids=lambda front: front[:24],
)
def test_no_value_of_a_file_ends_its_reader(library: Library, front: str) -> None:
    """Each was an exception that ended the daemon, and the next one at its start."""
    paths = [folder / "odd.md" for folder in (library.paths.masters, library.paths.prompts)]
    for path in paths:
        path.write_text(f"---\nname: odd\n{front}\n---\n")
    assert "scan-worker" in read(library).types
    assert any(str(path) in library.problems.get(path, "") for path in paths)


def test_a_date_that_is_none_is_text_where_the_rest_is_read_as_text(library: Library) -> None:
    text = "---\nname: odd\ndescription: Use it: always\nupdated: 2025-02-30\n---\n"
    (library.paths.prompts / "odd.md").write_text(text)
    assert read(library).types["odd-worker"].description == "Use it: always"


def test_a_file_that_comes_back_as_it_was_is_no_longer_told_of(library: Library) -> None:
    read(library)
    path, aside = library.paths.masters / "security-master.md", library.paths.masters / "aside"
    path.rename(aside)
    path.write_bytes(b"\xff")
    library.refresh()
    assert "cannot be read" in library.problems[path]
    aside.rename(path)
    library.refresh()
    assert library.problems == {}


def test_a_link_to_a_file_that_is_no_longer_there_is_told_of(
    library: Library, tmp_path: Path
) -> None:
    target = tmp_path / "elsewhere.md"
    target.write_text("---\nname: odd\n---\n")
    link = library.paths.prompts / "odd.md"
    link.symlink_to(target)
    assert "odd-worker" in read(library).types
    target.unlink()
    library.refresh()
    assert "cannot be read" in library.problems[link]
    assert library.broken[link].in_force == "odd-worker"
    link.unlink()
    assert "odd-worker" not in read(library).types
    assert library.problems == {}
