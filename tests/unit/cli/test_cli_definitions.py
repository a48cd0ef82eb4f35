"""Masters, worker types and personas: listed, described, and checked against each other."""

from __future__ import annotations

import json
import os
from typing import Any

MASTER = """---
name: welcome
routes: [welcome, scan]
default_route: true
spawns: [greeting]
persona: nobody
planner: planer
plans:
  - types: [welcome]
    review: greeting
    steps:
      - {name: greet, worker_type: greeting}
follow_ups:
  - {types: [welcome], to: developers}
---
Greet.
"""


def test_personas_are_listed_with_who_names_them(cortex: Any, sample: Any) -> None:
    (sample.paths.personas / "kind.md").write_text("---\ncharacter: You are kind.\n---\n")
    (sample.paths.prompts / "greeting.md").write_text("---\npersona: kind\n---\n")
    rows = json.loads(cortex("get", "personas", "-o", "json").out)
    (row,) = [row for row in rows if row["name"] == "kind"]
    assert (row["used_by"], row["description"]) == (["greeting-worker"], "You are kind.")
    assert "greeting-worker" in cortex("get", "persona").out


def test_a_persona_is_described_by_its_file(cortex: Any, sample: Any) -> None:
    (sample.paths.personas / "kind.md").write_text("---\ncharacter: You are kind.\n---\nBe kind.\n")
    ran = cortex("describe", "persona", "kind")
    assert ran.code == 0, ran.err
    assert "agents/personas/kind.md" in ran.out
    assert "Be kind." in ran.out


def test_validate_tells_what_definitions_name_that_is_not_there(cortex: Any, sample: Any) -> None:
    (sample.paths.masters / "welcome.md").write_text(MASTER)
    ran = cortex("validate")
    assert ran.code == 1
    path = "agents/masters/welcome.md"
    for said in (
        f"{path}:6: persona: no persona 'nobody' here; add agents/personas/nobody.md or",
        f"{path}:5: spawns.0: no worker type 'greeting-worker' here; add agents/prompts/workers/",
        f"{path}:7: planner: no worker type 'planer-worker' here",
        f"{path}:14: follow_ups.0.to: no master 'developers-master' here",
        f"{path}:3: routes: 'scan' is routed to security-master already; keep it in one of them",
        f"{path}:4: default_route: what nobody lists is routed to coordinator-master",
    ):
        assert said in ran.out.replace(f"{sample.root}/", ""), said
    assert ran.out.count("no worker type 'greeting-worker'") == 1


def test_a_pipe_among_the_definitions_makes_no_command_wait(cortex: Any, sample: Any) -> None:
    os.mkfifo(sample.paths.masters / "pipe.md")
    (sample.paths.masters / "away.md").symlink_to("nowhere.md")
    ran = cortex("validate")
    assert "agents/masters/pipe.md: is no regular file" in ran.out
    assert "agents/masters/away.md: cannot be read: No such file" in ran.out
    assert "security-master" in cortex("get", "masters").out
    assert cortex("describe", "master", "nobody").code == 1
    assert cortex("describe", "persona", "pipe").code == 1


def test_validate_tells_of_two_files_with_one_name(cortex: Any, sample: Any) -> None:
    (sample.paths.prompts / "another.md").write_text("---\nname: scan\n---\n")
    ran = cortex("validate")
    assert (
        "another.md:2: name: scan-worker is described by scan-worker.md too; rename one" in ran.out
    )


def test_validate_names_the_line_of_a_wrong_persona(cortex: Any, sample: Any) -> None:
    path = sample.paths.personas / "kind.md"
    path.write_text("---\nname: kind\npersonalty: x\n---\n")
    ran = cortex("validate", str(path))
    assert f"{path}:3: personalty: no such key; did you mean personality?" in ran.out


def test_what_a_file_says_that_does_not_count_is_not_told(cortex: Any, sample: Any) -> None:
    """Two files of one name: the one that is not called so routes nothing and spawns nothing."""
    text = "---\nname: security\nroutes: [security-scan, development]\nspawns: [nobody]\n---\n"
    (sample.paths.masters / "another.md").write_text(text)
    ran = cortex("validate")
    assert "another.md:2: name: security-master is described by security-master.md too" in ran.out
    assert "1 problem\n" in ran.out


def test_validate_tells_all_that_is_wrong_with_a_file_line_by_line(
    cortex: Any, sample: Any
) -> None:
    path = sample.root / "cortex.toml"
    path.write_text("[limits]\nagent = 3\n[budget]\ntotal = 'much'\n[limits.per_type]\nscan = 0\n")
    told = [
        line.removeprefix(f"{path}:") for line in cortex("validate", str(path)).out.splitlines()
    ]
    assert told[:-1] == [
        "2: limits.agent: no such key; did you mean agents?",
        "4: budget.total: must be a whole number, is the text 'much'",
        "5: limits.per_type.scan-worker: must be at least 1, is the number 0",
    ]
    assert told[-1].endswith("3 problems")


def test_a_broken_definition_is_listed_and_described_as_that(cortex: Any, sample: Any) -> None:
    path = sample.paths.prompts / "greeting.md"
    path.write_text("---\nname: greeting\ntimeout: soon\n---\n")
    rows = json.loads(cortex("get", "types", "-o", "json").out)
    (row,) = [row for row in rows if row["path"].endswith("greeting.md")]
    assert (row["name"], row["in_force"]) == ("greeting", False)
    assert row["broken"].startswith("line 3: timeout: 'soon' is not a duration")
    assert "broken, not in force; line 3: timeout" in cortex("get", "types").out
    ran = cortex("describe", "type", "greeting")
    assert (ran.code, "line 3: timeout: 'soon'" in ran.out) == (0, True)


def test_masters_that_want_more_tokens_than_there_are_are_told_with_the_file(
    cortex: Any, sample: Any
) -> None:
    (sample.paths.masters / "rich.md").write_text("---\nbudget: {allocated: 500000}\n---\n")
    ran = cortex("validate")
    assert "rich.md:2: budget.allocated: 500,000 of its own; all masters and the reserve" in ran.out
    assert "lower it, or raise budget.total in cortex.toml" in ran.out


def test_validate_tells_of_a_placeholder_that_nothing_fills(cortex: Any, sample: Any) -> None:
    path = sample.paths.prompts / "greeting.md"
    path.write_text(
        "---\ndescription: x\n---\nYou are {{persona}}.\n{{title}} of {{repo}}: ${{secret}}\n"
        "{{ name }} {{scope}}\n"
    )
    ran = cortex("validate", str(path))
    assert ran.code == 0
    told = [line for line in (ran.out + ran.err).splitlines() if "in the place of" in line]
    assert len(told) == 2
    assert "greeting.md:4: nothing is put in the place of {{persona}}" in told[0]
    assert "beside its prompt" in told[0]
    assert "greeting.md:5: nothing is put in the place of {{repo}}" in told[1]
    assert "there are {{title}}, {{repository}}, {{scope}}" in told[1]
