"""Subagent files in the shapes that people have them in: each is a worker type as it is.

The shapes are those of files in public repositories; the texts are our own.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cortex.masters.library import Library
from cortex.model.definitions import WorkerTypeDefinition, read_worker_type
from cortex.model.errors import DefinitionError
from cortex.model.ids import is_user_id
from cortex.model.paths import HomePaths
from tests.unit.deciding import REPOSITORY

BODY = "You look after migrations.\n\n---\n\nBelow a rule.\n"


def read(front: str, name: str = "sample.md", body: str = BODY) -> WorkerTypeDefinition:
    return read_worker_type(f"---\n{front}\n---\n\n{body}", Path("agents/prompts/workers") / name)


#: Front matter → what must be read of it.
SHAPES = {
    "the four keys": (
        "name: migration-guard\ndescription: Checks migrations.\ntools: Read, Grep\nmodel: opus",
        {"name": "migration-guard-worker", "tools": ["Read", "Grep"], "model": "opus"},
    ),
    "a colon in the description": (
        "name: m\ndescription: Use it so: before a release: always\ncolor: red",
        {"description": "Use it so: before a release: always"},
    ),
    "examples with escaped line ends": (
        'name: m\ndescription: Use when a table changes. Examples:\\n\\n<example>\\nuser: "add a '
        "column\"\\nassistant: 'I ask the migration guard'\\n</example>\nmodel: inherit",
        {"model": "inherit"},
    ),
    "examples on lines of their own": (
        "name: m\ndescription: Use when a table changes. Examples:\n\n<example>\nContext: a new "
        'column\nuser: "add it"\nassistant: "asks the guard"\n<commentary>why: because'
        "</commentary>\n</example>\nmodel: sonnet\ntools: Read, Edit",
        {"model": "sonnet", "tools": ["Read", "Edit"]},
    ),
    "an indented list under a plain description": (
        "name: m\ndescription: Watches tables. Use when:\n  - a column is new\n  - one goes\n"
        "model: haiku",
        {"model": "haiku"},
    ),
    "a block": (
        "name: m\ndescription: |\n  Watches tables.\n\n  user: x\n  more: y\ntools:\n  - Read\n"
        "  - mcp__db__query",
        {
            "description": "Watches tables.\n\nuser: x\nmore: y\n",
            "tools": ["Read", "mcp__db__query"],
        },
    ),
    "a folded block": (
        "name: m\ndescription: >-\n  Watches\n  tables.",
        {"description": "Watches tables."},
    ),
    "quotes with quotes in them": (
        'name: "m"\ndescription: "Says \\"no\\" often: that is its work"\nmodel: \'opus\'',
        {"description": 'Says "no" often: that is its work', "model": "opus"},
    ),
    "a quoted beginning": (
        'name: m\ndescription: "Guard" of the tables: careful',
        {"description": '"Guard" of the tables: careful'},
    ),
    "tools with arguments": (
        "name: m\ndescription: d\ntools: Bash(git diff:*, git log:*), Read, Task(helper)",
        {"tools": ["Bash(git diff:*, git log:*)", "Read", "Task(helper)"]},
    ),
    "all tools": ('name: m\ndescription: d\ntools: "*"', {"tools": ["*"]}),
    "an unquoted star": ("name: m\ndescription: d\ntools: *", {"tools": ["*"]}),
    "no tools": ("name: m\ndescription: d\ntools: []", {"tools": []}),
    "tools as switches": (
        "description: d\nmode: subagent\ntools:\n  write: false\n  bash: true",
        {"name": "sample-worker", "tools": ["bash"]},
    ),
    "everything that there is": (
        "name: m\ndescription: d\ndisallowedTools: Write, Edit\npermissionMode: plan\nmaxTurns: 9\n"
        "skills:\n  - sql\nmcpServers:\n  - db\n  - files: {command: npx, args: [-y, x]}\nhooks:\n"
        "  PreToolUse:\n    - matcher: Bash\n      hooks: [{type: command, command: ./check.sh}]\n"
        "memory: project\nbackground: true\neffort: high\nisolation: worktree\ncolor: '#ff8800'",
        {"tools": []},
    ),
    "other alphabets": (
        "name: wächter\ndescription: Prüft Migrationen — „sorgfältig“ 🛡️",
        {"name": "wachter-worker", "description": "Prüft Migrationen — „sorgfältig“ 🛡️"},
    ),
    "a comment behind the name": (
        "name: m  # lower case, please\ndescription: d",
        {"name": "m-worker"},
    ),
    "spaces and a tab at the ends of lines": (
        "name: m   \ndescription: d: e  \t\ntools: Read , Grep ,  ",
        {"name": "m-worker", "description": "d: e", "tools": ["Read", "Grep"]},
    ),
    "a name for people": (
        "name: Migration Guard (v2)\ndescription: d",
        {"name": "migration-guard-v2-worker", "called": "Migration Guard (v2)"},
    ),
    "upper case and underscores": (
        "name: Migration_Guard\ndescription: d",
        {"name": "Migration_Guard-worker", "called": ""},
    ),
    "a name of which little is left": (
        "name: XX-数据库守卫\ndescription: d",
        {"name": "sample-worker", "called": "XX-数据库守卫"},
    ),
    "a plugin's prefix": (
        "name: acme:guard\ndescription: d",
        {"name": "acme-guard-worker", "called": "acme:guard"},
    ),
    "no name and no description": ("model: opus", {"name": "sample-worker", "description": ""}),
    "values of other kinds": (
        "name: m\ndescription: 2024\nmodel: 4.1\nversion: 1.0.0\nupdated: 2025-01-02",
        {"description": "2024", "model": "4.1"},
    ),
    "a key that stands twice": (
        "name: m\ndescription: d\ntools: Read\ntools: Read, Grep",
        {"tools": ["Read", "Grep"]},
    ),
    "a list of models": (
        "name: m\ndescription: [one, two]\nmodel: [a, b]",
        {"description": "one\ntwo", "model": "a\nb"},
    ),
}


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.replace(" ", "-"))
def test_a_subagent_file_is_a_worker_type_unchanged(shape: str, end: str) -> None:
    front, wanted = SHAPES[shape]
    text = f"---\n{front}\n---\n\n{BODY}".replace("\n", end)
    kind = read_worker_type(text, Path("agents/prompts/workers/sample.md"))
    assert {key: getattr(kind, key) for key in wanted} == wanted
    assert kind.prompt == BODY
    assert is_user_id(kind.name)
    assert is_user_id(kind.short)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.replace(" ", "-"))
def test_the_library_takes_it_too_and_has_nothing_to_say(shape: str, tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "agents", tmp_path / "agents")
    library = Library(HomePaths(tmp_path), {})
    front = SHAPES[shape][0]
    (library.paths.prompts / "sample.md").write_text(f"---\n{front}\n---\n{BODY}")
    catalog = library.refresh()
    assert catalog is not None
    assert library.problems == {}
    assert read(front).name in catalog.types


def test_long_descriptions_are_kept_to_the_end() -> None:
    kind = read(SHAPES["examples on lines of their own"][0])
    assert kind.description.startswith("Use when a table changes. Examples:\n\n<example>\nContext:")
    assert kind.description.endswith("<commentary>why: because</commentary>\n</example>")
    kind = read(SHAPES["an indented list under a plain description"][0])
    assert kind.description.splitlines()[1:] == ["  - a column is new", "  - one goes"]


def test_keys_of_other_programs_are_kept() -> None:
    kind = read(SHAPES["everything that there is"][0])
    kept = kind.model_extra or {}
    assert (kept["permissionMode"], kept["maxTurns"], kept["skills"]) == ("plan", 9, ["sql"])
    assert kept["hooks"]["PreToolUse"][0]["matcher"] == "Bash"


def test_a_mark_and_empty_lines_before_the_front_matter_do_not_matter() -> None:
    text = f"\ufeff\n\n--- \nname: m\ndescription: d\n---\t\n{BODY}"
    assert read_worker_type(text, Path("x.md")).name == "m-worker"


@pytest.mark.parametrize("name", ["../m", "a/b", "a\\b", '"a\\0b"'])
def test_a_name_that_looks_like_a_path_is_refused(name: str) -> None:
    with pytest.raises(DefinitionError, match=r"x\.md:2: name: .* is no name"):
        read_worker_type(f"---\nname: {name}\n---\n", Path("x.md"))


def test_our_own_keys_keep_their_meaning_beside_those_of_others() -> None:
    with pytest.raises(DefinitionError, match=r"sample\.md:3: timeout: "):
        read("name: m\ntimeout: soon\npermissionMode: plan")


def test_a_name_for_people_is_told_by_validate(tmp_path: Path) -> None:
    from cortex.cli.checks import check_file

    path = tmp_path / "guard.md"
    path.write_text("---\ndescription: d\nname: Migration Guard\n---\n")
    (problem,) = check_file(path)
    assert problem.is_warning
    assert str(problem) == (
        f"{path}:3: name: 'Migration Guard' is no name of a worker type; it is used as "
        "migration-guard-worker"
    )
