"""Masters and worker types as files: what loads unchanged, and where a wrong one is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cortex.model.definitions import (
    MasterDefinition,
    WorkerTypeDefinition,
    read_front_matter,
    read_master,
    read_worker_type,
)
from cortex.model.errors import DefinitionError
from cortex.model.personas import PersonaDefinition

AGENTS = Path(__file__).parents[3] / "agents"

SUBAGENT = """\
---
name: code-reviewer
description: Code review specialist. Use it: after writing code. <example>user: "done"</example>
tools: Read, Grep, Glob, Bash
model: sonnet
color: blue
---

You are a senior code reviewer. When invoked:

1. Run git diff
---
2. Focus on modified files
"""


def master(front: str) -> MasterDefinition:
    return read_master(f"---\n{front}\n---\nprompt\n", Path("agents/masters/m.md"))


def worker(front: str) -> WorkerTypeDefinition:
    return read_worker_type(f"---\n{front}\n---\nprompt\n", Path("agents/prompts/workers/w.md"))


# --- other people's files


def test_a_subagent_file_is_a_worker_type_as_it_is() -> None:
    kind = read_worker_type(SUBAGENT, Path("agents/prompts/workers/code-reviewer.md"))
    assert (kind.name, kind.short) == ("code-reviewer-worker", "code-reviewer")
    assert kind.description.startswith("Code review specialist. Use it: after")
    assert kind.description.endswith('user: "done"</example>')
    assert kind.tools == ["Read", "Grep", "Glob", "Bash"]
    assert kind.model == "sonnet"
    assert kind.model_extra == {"color": "blue"}
    assert (kind.token_budget, kind.timeout, kind.runtime) == (8000, 900, "auto")
    assert kind.prompt.startswith("You are a senior code reviewer.")
    assert kind.prompt.endswith("---\n2. Focus on modified files\n")


@pytest.mark.parametrize(
    "front",
    [
        "name: a\ndescription: it's: fine",
        "name: a\ndescription: 50% more: # not a comment",
        "name: a\ndescription: [draft] reviews: all",
        "name: a\ndescription: use when: x\ntools: Read\nmodel: opus: 4",
        'name: a\ndescription: "quoted": and more',
        "name: a\ndescription: @mentions and `ticks`",
        "name: a\ndescription: use when: x\ntools:\n  - Read\n  - Grep",
        "name: a\ndescription: use when: x\n\n# a comment\ntools: Read",
    ],
)
def test_plain_text_behind_a_key_is_text_whatever_yaml_makes_of_it(front: str) -> None:
    kind = worker(front)
    written = front.split("description: ")[1].split("\n", maxsplit=1)[0]
    assert kind.description == written
    assert kind.name == "a-worker"


def test_an_empty_key_is_as_good_as_none() -> None:
    kind = worker("name: a\ndescription:\ntools:\nmodel:")
    assert (kind.description, kind.tools, kind.model) == ("", [], None)


def test_windows_line_ends_and_a_byte_order_mark_do_not_matter() -> None:
    text = "\ufeff" + SUBAGENT.replace("\n", "\r\n")
    assert read_worker_type(text, Path("x.md")).tools == ["Read", "Grep", "Glob", "Bash"]


def test_a_file_without_a_name_is_called_as_its_file() -> None:
    kind = read_worker_type("---\ndescription: d\n---\n", Path("agents/prompts/workers/linter.md"))
    assert kind.name == "linter-worker"
    assert read_master("---\nroutes: x\n---\n", Path("ops.md")).name == "ops-master"


# --- the files that are shipped


@pytest.mark.parametrize("path", sorted((AGENTS / "masters").glob("*.md")), ids=lambda p: p.stem)
def test_the_shipped_masters_load(path: Path) -> None:
    made = read_master(path.read_text(), path)
    assert made.name == path.stem
    assert made.routes
    assert made.prompt.strip()


def test_the_shipped_masters_budgets_are_the_documented_day() -> None:
    made = [read_master(path.read_text(), path) for path in (AGENTS / "masters").glob("*.md")]
    budgets = {m.name: (m.budget.allocated, m.budget.worker_pool) for m in made}
    assert budgets == {
        "coordinator-master": (50_000, 30_000),
        "security-master": (30_000, 15_000),
        "development-master": (30_000, 20_000),
    }


@pytest.mark.parametrize(
    ("name", "tokens", "minutes"),
    [
        ("scan", 8_000, 15),
        ("fix", 5_000, 20),
        ("implementation", 10_000, 45),
        ("analysis", 5_000, 15),
        ("test", 6_000, 20),
        ("review", 5_000, 15),
        ("pr", 4_000, 10),
        ("documentation", 6_000, 20),
    ],
)
def test_the_shipped_worker_types_have_the_documented_budgets(
    name: str, tokens: int, minutes: int
) -> None:
    path = AGENTS / f"prompts/workers/{name}-worker.md"
    kind = read_worker_type(path.read_text(), path)
    assert (kind.token_budget, kind.timeout) == (tokens, minutes * 60)


# --- wrong ones

#: Each line repeats the one before it ten times: 10^9 values in all.
LAUGHS = "a0: &a0 [x]\n" + "\n".join(
    f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]" for number in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no front matter", r"m\.md:1: starts without a front matter"),
        ("", r"m\.md:1: starts without a front matter"),
        ("---\nname: a\n", r"m\.md:1: the front matter has no closing ---"),
        ("---\n- a\n- b\n---\n", r"m\.md:2: the front matter is not a list of `key: value`"),
        ("---\njust text\n---\n", r"m\.md:2: the front matter is not a list of `key: value`"),
        ("---\nname: a\nroutes: [a, b\n---\n", r"m\.md:\d: "),
        ("---\nname: a\nroutes:\n\t- a\n---\n", r"m\.md:\d: "),
        (f"---\nname: a\nroutes: {'[' * 20_000}\n---\n", r"m\.md:2: nested deeper than 64 levels"),
        ("---\nplans: &a [{steps: *a}]\n---\n", r"m\.md:2: nested deeper than 64 levels"),
        (f"---\n{LAUGHS}\nroutes: *a8\n---\n", r"m\.md:2: more than 100,000 values, aliases"),
    ],
)
def test_a_file_without_a_usable_front_matter_says_where(text: str, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        read_master(text, Path("m.md"))


@pytest.mark.parametrize(
    ("front", "says"),
    [
        ("name: a\nrouts: [x]", "m.md:3: routs: no such key; did you mean routes?"),
        ("name: a\nbudget: {allocated: -1}", "m.md:3: budget.allocated: "),
        ("name: a\nbudget:\n  alocated: 1", "did you mean allocated?"),
        ("name: a\nplans: [{types: [x], steps: []}]", "m.md:3: plans.0.steps: "),
        (
            "name: a\nplans:\n  - types: [x]\n    steps: [{name: s, worker_type: scan, need: b}]",
            "m.md:5: plans.0.steps.0.need: no such key; did you mean needs?",
        ),
        (
            "name: a\nplans: [{types: [x], steps: [{name: s, worker_type: w, needs: [t]}]}]",
            "'s' needs 't', which is not in the plan",
        ),
        (
            "name: a\nplans: [{types: [x], steps: [{name: s, worker_type: w, needs: [s]}]}]",
            "s → s need each other in a circle",
        ),
        (
            "name: a\nplans: [{types: [x], steps: [{name: s, worker_type: w, needs: [t]},"
            " {name: t, worker_type: w, needs: [s]}]}]",
            "need each other in a circle",
        ),
        (
            "name: a\nplans: [{types: [x], steps: [{name: s, worker_type: w},"
            " {name: s, worker_type: v}]}]",
            "two of them are named 's'",
        ),
        (
            "name: a\nplans: [{types: [x], steps: [{name: s/t, worker_type: w}]}]",
            "'s/t' is no name",
        ),
        ("name: a/b", "m.md:2: name: 'a/b"),
        ("name: a\nroutes: [x]\nname: b", "m.md:4: name: stands twice; keep one of them"),
        (
            "name: a\nplans: [{types: [x], steps: [{name: s, worker_type: w, name: t}]}]",
            "m.md:3: plans.0.steps.0.name: stands twice",
        ),
        ("description: a: b\nroutes: [x]\nroutes: [y]", "m.md:4: routes: stands twice"),
        ("name: 5", "m.md:2: name: "),
        ("name: a\nfollow_ups: [{types: [x]}]", "m.md:3: follow_ups.0.to: is missing"),
        (
            "name: a\nfollow_ups: [{types: [x], to: b, min_severity: bad}]",
            "m.md:3: follow_ups.0.min",
        ),
    ],
)
def test_a_wrong_master_is_named_by_file_line_and_field(front: str, says: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        read_master(f"---\n{front}\n---\n", Path("m.md"))
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("front", "says"),
    [
        ("name: a\ntimeout: soon", "w.md:3: timeout: 'soon' is not a duration; write it like"),
        ("name: a\ntoken_budget: -5", "w.md:3: token_budget: "),
        ("name: a\ntoken_budget: many", "w.md:3: token_budget: "),
        ("name: ../../x", "w.md:2: name: '../../x"),
        ("name: a\nshort_type: a/b", "w.md:3: short_type: 'a/b' is no name"),
        ("name: a\ndeliverables: [../x]", "w.md:3: deliverables"),
        ("name: a\ndeliverables: [/etc/x]", "w.md:3: deliverables"),
        ("name: a\nresults_schema: 5", "w.md:3: results_schema: "),
        ("name: a\ntimeout: 5m\ntimeout: 6m", "w.md:4: timeout: stands twice"),
    ],
)
def test_a_wrong_worker_type_is_named_by_file_line_and_field(front: str, says: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        worker(front)
    assert says in str(refused.value)


def test_names_are_brought_into_the_form_of_files() -> None:
    made = master("name: ops\nspawns: scan, impl\nfollow_ups: [{types: [x], to: development}]")
    assert (made.name, made.spawns) == ("ops-master", ["scan-worker", "implementation-worker"])
    assert made.follow_ups[0].to == "development-master"


def test_the_body_is_everything_behind_the_front_matter() -> None:
    data, body = read_front_matter("---\na: 1\n---\n\nx\n---\ny\n", Path("x.md"))
    assert (data, body) == ({"a": 1}, "x\n---\ny\n")


@pytest.mark.parametrize("model", [MasterDefinition, WorkerTypeDefinition, PersonaDefinition])
def test_every_key_of_a_file_ends_a_description_that_runs_over_lines(model: Any) -> None:
    keys = set(model.model_fields) - {"prompt", "path", "called"}
    for key in keys - {"description"}:
        text = f"---\ndescription: says: much\n  {key}\n{key}: [open\nname: x\n---\n"
        with pytest.raises(DefinitionError):
            read_front_matter(text, Path("x.md"))


def test_a_slip_behind_a_description_is_refused_with_its_line() -> None:
    text = "---\nname: greeter\ndescription: Greets.\nroutes: [greet\nspawns: [scan]\n---\n"
    with pytest.raises(DefinitionError, match=r"greeter\.md:[45]: "):
        read_master(text, Path("greeter.md"))
    text = "---\nname: spelling\ndescription: Looks.\ncommand: [a, b\ntoken_budget: 0\n---\n"
    with pytest.raises(DefinitionError, match=r"spelling\.md:[45]: "):
        read_worker_type(text, Path("spelling.md"))
