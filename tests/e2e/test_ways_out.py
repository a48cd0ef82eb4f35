"""The ways out that `cortex why` names are right: each that is taken here does free its task."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from live_home import BIN, LiveHome, MakeHome


def cortex(home: LiveHome, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "cortex"), "--home", str(home.root), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "NO_COLOR": "1", **env},
    )


def waits(home: LiveHome, ident: str) -> tuple[str, str]:
    """(what it waits for, what would free it), as text."""
    done = cortex(home, "why", ident, "-o", "json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)["waits_for"]
    return told["reason"], "\n".join(told["freed_by"])


def edited(home: LiveHome, ident: str, script: str) -> None:
    """`cortex edit` with a person at the editor, who is a sed script."""
    editor = Path(home.root) / "editor.sh"
    editor.write_text(f"#!/bin/sh\nsed -i '{script}' \"$1\"\n")
    editor.chmod(0o755)
    done = cortex(home, "edit", ident, EDITOR=str(editor), VISUAL=str(editor))
    assert done.returncode == 0, done.stderr + done.stdout


def blocked(home: LiveHome, ident: str) -> None:
    home.until(lambda: home.task(ident).get("status") == "blocked", f"{ident} is blocked")


def test_what_cannot_be_configured_is_not_advised_and_what_is_advised_frees(
    live: LiveHome,
) -> None:
    live.drop({"id": "thought", "type": "implementation", "title": "Add X"})
    live.drop({"id": "agent", "command": "true", "runtime": "agent"})
    live.drop({"id": "mend", "type": "remediation", "scope": {"repository": "/nowhere"}})
    live.drop(
        {
            "id": "plan",
            "workers": [
                {"name": "a", "worker_type": "docs", "command": "true"},
                {"name": "b", "runtime": "agent", "command": "true"},
            ],
        }
    )
    live.drop({"id": "typed", "workers": [{"name": "a", "worker_type": "mutation"}]})
    for ident in ("thought", "agent", "mend", "plan", "typed"):
        blocked(live, ident)

    for ident in ("thought", "agent", "mend"):
        _, ways = waits(live, ident)
        assert "configuring" not in ways
        assert f"`cortex edit {ident}`: a `command` that does it" in ways
        assert f"`cortex cancel {ident}`" in ways
    assert "`runtime: tools`" not in waits(live, "thought")[1], "it has no tools program"
    assert "`runtime: tools`" in waits(live, "mend")[1]
    assert "docs/worker-types.md" in waits(live, "mend")[1]

    _, ways = waits(live, "plan")
    assert "cortex edit" not in ways, "the steps that it brought cannot be edited"
    assert "dropping it again" in ways
    assert "`cortex cancel plan`" in ways

    _, ways = waits(live, "typed")
    assert "agents/prompts/workers/mutation-worker.md" in ways

    edited(live, "thought", '$acommand: "true"')
    edited(live, "agent", "s/^runtime:.*/runtime: auto/")
    live.until_ended("thought", "agent")
    assert {live.task(one)["status"] for one in ("thought", "agent")} == {"completed"}
    scan = (live.paths.prompts / "scan-worker.md").read_text()
    text = scan.replace("name: scan-worker", "name: mutation-worker")
    (live.paths.prompts / "mutation-worker.md").write_text(text)
    live.until(lambda: live.task("typed")["status"] != "blocked", "it goes on by itself")


def test_a_misspelt_worker_type_is_refused_with_what_was_meant(live: LiveHome) -> None:
    live.drop({"id": "slip", "workers": [{"name": "a", "worker_type": "scna"}]}, "slip.json")
    error = live.until(lambda: live.errors().get("slip.json"), "it is refused")
    assert error["field"] == "workers.0.worker_type"
    assert "did you mean 'scan-worker'?" in error["hint"]
    assert "agents/prompts/workers/scna-worker.md" in error["hint"]


def test_more_tokens_than_the_whole_pool_wait_for_no_reset(live: LiveHome) -> None:
    live.run("huge", "true", token_budget=70_000)
    live.run("urgent", "true", token_budget=70_000, priority="critical")
    live.until(lambda: live.task("huge").get("blocked_on"), "it is blocked")
    reason, ways = waits(live, "huge")
    assert "needs 70,000 tokens for one worker; the worker pool is 65,000 in all" in reason
    assert "the reset" not in ways
    assert "`cortex budget --set-total 205000`" in ways
    assert "`cortex edit huge`: a `token_budget` of 65,000 or less" in ways
    live.until(lambda: live.task("urgent").get("waiting_for"), "it waits, and people are told")
    reason, ways = waits(live, "urgent")
    assert "more than the whole pool of 65,000" in reason
    assert "the reset" not in ways
    assert "`cortex edit urgent`: a `token_budget` of 65000 or less" in ways
    edited(live, "huge", "s/^token_budget:.*/token_budget: 65000/")
    live.until_ended("huge")


def test_a_drain_is_freed_by_resume_and_a_claim_by_the_end_of_its_holder(
    make_home: MakeHome, tmp_path: Path
) -> None:
    home = make_home(settings="[limits]\ntools = 4\n")
    text = (home.paths.prompts / "scan-worker.md").read_text()
    text = text.replace("name: scan-worker", "name: writer-worker\nwrites: true")
    (home.paths.prompts / "writer-worker.md").write_text(text)
    home.start()
    scope = {"repository": str(tmp_path), "paths": ["src"]}
    step = {"name": "a", "worker_type": "writer", "command": "sleep 300"}
    home.drop({"id": "first", "scope": scope, "workers": [step]})
    home.until_running("first")
    home.drop({"id": "second", "scope": scope, "workers": [step]})
    home.until(lambda: "works on" in str(home.task("second").get("waiting_for")), "it waits")
    _, ways = waits(home, "second")
    assert "the end of worker-scan-001 of first" in ways
    assert "[limits]" not in ways

    home.drop({"kind": "drain"})
    home.run("third", "true")
    home.until(lambda: "drains" in str(home.task("third").get("waiting_for")), "it waits")
    _, ways = waits(home, "third")
    assert ways.startswith("`cortex resume`")
    assert "the next cortexd" in ways
    assert "[limits]" not in ways
    assert cortex(home, "resume").returncode == 0
    home.until_ended("third")


def test_a_paused_fleet_is_waited_for_since_it_was_paused(live: LiveHome) -> None:
    live.run("held", "true", hold=True)
    live.until(lambda: live.task("held"), "it is here")
    live.drop({"kind": "pause"})
    paused = live.until(
        lambda: [
            one for one in live.lines() if any(e["event"] == "fleet_paused" for e in one.events)
        ],
        "the fleet is paused",
    )
    live.run("late", "true")
    live.until(lambda: "paused" in str(live.task("late").get("waiting_for")), "it waits")
    told = json.loads(cortex(live, "why", "late", "-o", "json").stdout)["waits_for"]
    assert told["since"] > paused[0].at, "it came later"
    live.drop({"kind": "resume", "task_id": "held"})
    live.until(lambda: "paused" in str(live.task("held").get("waiting_for")), "it waits too")
    live.drop({"kind": "resume"})
    live.until_ended("held", "late")


def test_backpressure_names_the_questions_that_wait(make_home: MakeHome) -> None:
    home = make_home(settings="[approvals]\nwaiting_at_most = 1\n")
    home.start()
    home.run("one", "true", approval=True)
    home.until(lambda: home.task("one").get("status") == "awaiting_approval", "it asks")
    home.run("two", "true")
    home.until(lambda: "answer" in str(home.task("two").get("waiting_for")), "it waits")
    _, ways = waits(home, "two")
    assert "`cortex approve approval-001`" in ways
    assert "`cortex deny approval-001`" in ways
    assert cortex(home, "approve", "approval-001").returncode == 0
    home.until_ended("two")
