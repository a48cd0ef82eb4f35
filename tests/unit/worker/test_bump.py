"""Another version of a dependency in each kind of file, with not a byte else changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortex.worker.tools.bump import bump, is_at_least
from cortex.worker.tools.source_files import read_tree


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("requirements.txt", "Jinja2==2.10\r\nx==2.10\n", "Jinja2==2.10.1\r\nx==2.10\n"),
        ("requirements.txt", "jinja2[i18n] == 2.10 ; python_version>'3'\n",
         "jinja2[i18n] == 2.10.1 ; python_version>'3'\n"),
        ("requirements/dev.txt", "  jinja2===2.10\n", "  jinja2===2.10.1\n"),
        ("constraints.txt", "not-jinja2==2.10\njinja2==2.10", "not-jinja2==2.10\njinja2==2.10.1"),
        ("pyproject.toml", '[project]\ndependencies = ["jinja2==2.10", "x"]\n',
         '[project]\ndependencies = ["jinja2==2.10.1", "x"]\n'),
        ("pyproject.toml", '[tool.poetry.dependencies]\njinja2 = "2.10"\n',
         '[tool.poetry.dependencies]\njinja2 = "2.10.1"\n'),
        ("setup.cfg", "[options]\ninstall_requires =\n    jinja2==2.10\n",
         "[options]\ninstall_requires =\n    jinja2==2.10.1\n"),
    ],
)  # fmt: skip
def test_an_exact_pin_is_exchanged(tmp_path: Path, file: str, before: str, after: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(before.encode())
    made = bump(read_tree(str(tmp_path)), "PyPI", "jinja2", "2.10.1")
    assert path.read_bytes() == after.encode()
    assert (made.changed, made.left, made.locks) == ([file], [], [])
    assert bump(read_tree(str(tmp_path)), "PyPI", "jinja2", "2.10.1").is_there_already


@pytest.mark.parametrize("operator", ["", "^", "~", ">="])
def test_the_operator_of_a_node_range_stays(tmp_path: Path, operator: str) -> None:
    text = '{"dependencies": {"a-lodash": "1.0.0",\n "lodash": "%s"}}'
    (tmp_path / "package.json").write_text(text % f"{operator}4.17.10")
    made = bump(read_tree(str(tmp_path)), "npm", "lodash", "4.17.12")
    assert made.changed == ["package.json"]
    assert (tmp_path / "package.json").read_text() == text % f"{operator}4.17.12"


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("jinja2>=2.0\n", True),
        ("jinja2\n", True),
        ("jinja2<2.10\n", False),
        ("jinja2==2.*\n", True),
    ],
)
def test_a_range_is_left_alone_and_said_where_it_shuts_the_version_out(
    tmp_path: Path, text: str, there: bool
) -> None:
    (tmp_path / "requirements.txt").write_text(text)
    made = bump(read_tree(str(tmp_path)), "PyPI", "jinja2", "2.10.1")
    assert made.is_there_already is there
    assert bool(made.left) is not there
    assert (tmp_path / "requirements.txt").read_text() == text


def test_a_later_version_is_never_taken_back(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("jinja2==3.1\n")
    assert bump(read_tree(str(tmp_path)), "PyPI", "jinja2", "2.10.1").is_there_already
    assert not bump(read_tree(str(tmp_path)), "PyPI", "flask", "1").present


@pytest.mark.parametrize(
    ("version", "wanted", "answer"),
    [("4.17.10", "4.17.9", True), ("4.9.0", "4.10.0", False), ("1.0.0-rc1", "1.0.0", True)],
)
def test_node_versions_are_compared_by_their_numbers(
    version: str, wanted: str, answer: bool
) -> None:
    assert is_at_least("npm", version, wanted) is answer
