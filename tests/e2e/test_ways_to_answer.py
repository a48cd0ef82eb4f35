"""A person answers what waits: by a dropped file, by an edit of handoffs.json, by the command."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from live_home import BIN, LiveHome

SETTINGS = "[workers]\nbackoff = 0.1\ngrace = 0.5\n[approvals]\ndeadline = 0.2\n"
#: What a scan worker writes that found one thing.
FOUND = {
    "status": "completed",
    "summary": "one finding",
    "findings": [
        {"rule": "sql", "title": "SQL", "message": "m", "severity": "high", "file": "a.py",
         "line": 1, "cwe": "CWE-89"}
    ],
}  # fmt: skip
KEYS = {"approvals": "approval_id", "escalations": "escalation_id", "handoffs": "handoff_id"}


def by_drop(home: LiveHome, name: str, ident: str, status: str, words: str) -> None:
    """What is asked for by a file in the inbox."""
    said = {KEYS[name]: ident, "reason": words}
    if name == "handoffs":
        home.drop({"kind": "handoff", "status": status, **said})
    else:
        home.drop({"kind": "deny" if status == "denied" else "approve", **said})


def by_edit(home: LiveHome, name: str, ident: str, status: str, words: str) -> None:
    """The same by the status of its row, saved as editors do."""
    content = home.read("handoffs")
    (row,) = (row for row in content[name] if row[KEYS[name]] == ident)
    row.update({"status": status, "reason" if name == "handoffs" else "comment": words})
    path = home.paths.coordination / "handoffs.json"
    aside = path.with_name(".handoffs.json.swp")
    aside.write_text(json.dumps(content, indent=2))
    aside.replace(path)


def by_command(home: LiveHome, name: str, ident: str, status: str, words: str) -> None:
    """The same by `cortex`."""
    verb = {"accepted": ["handoff", "accept"], "rejected": ["handoff", "reject"],
            "denied": ["deny"]}.get(status, ["approve"])  # fmt: skip
    command = [str(BIN / "cortex"), "--home", str(home.root), *verb, ident, "--reason", words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


Answer = Callable[[LiveHome, str, str, str, str], None]
WAYS = pytest.mark.parametrize("say", [by_drop, by_edit, by_command])


def row_of(home: LiveHome, name: str, ident: str) -> dict[str, Any]:
    return next((row for row in home.read("handoffs")[name] if row[KEYS[name]] == ident), {})


@pytest.fixture
def home(make_home: Any) -> LiveHome:
    """A home in which approvals are overdue at once, and a person answers for development."""
    made: LiveHome = make_home(settings=SETTINGS)
    path = made.paths.masters / "development-master.md"
    text = path.read_text()
    path.write_text(text.replace("accept_handoffs: true", "accept_handoffs: false"))
    made.start()
    return made


def until_reminded(home: LiveHome, ident: str) -> tuple[str, str]:
    """(approval, escalation) of a task that nobody answered in time."""
    (event,) = home.until(lambda: home.events("approval_overdue", task_id=ident), "overdue")
    approval, escalation = event["approval_id"], event["escalation_id"]
    home.until(
        lambda: row_of(home, "approvals", approval).get("escalation_id") == escalation, "told"
    )
    assert row_of(home, "escalations", escalation)["status"] == "open"
    home.until(lambda: home.task(ident).get("status") == "awaiting_approval", "its task tells it")
    return approval, escalation


def until_status(home: LiveHome, name: str, ident: str, status: str) -> None:
    home.until(lambda: row_of(home, name, ident).get("status") == status, f"{ident} {status}")


@WAYS
@pytest.mark.parametrize(("status", "after"), [("approved", "completed"), ("denied", "cancelled")])
def test_an_approval_is_reminded_of_and_answered(
    home: LiveHome, say: Answer, status: str, after: str
) -> None:
    home.run("asks", "true", approval=True)
    approval, escalation = until_reminded(home, "asks")
    say(home, "approvals", approval, status, "as agreed")
    home.until_ended("asks")
    assert home.task("asks")["status"] == after
    until_status(home, "approvals", approval, status)
    assert row_of(home, "approvals", approval)["comment"] == "as agreed"
    until_status(home, "escalations", escalation, "closed")
    assert len(home.events("escalation_raised")) == 1, "it was told once"


@WAYS
def test_an_escalation_is_answered(home: LiveHome, say: Answer) -> None:
    home.run("asks", "true", approval=True)
    _, escalation = until_reminded(home, "asks")
    say(home, "escalations", escalation, "closed", "I am at it")
    until_status(home, "escalations", escalation, "closed")
    assert home.task("asks")["status"] == "awaiting_approval", "the answer is still owed"


@WAYS
@pytest.mark.parametrize("status", ["accepted", "rejected"])
def test_a_handoff_is_answered(home: LiveHome, say: Answer, status: str) -> None:
    command = f"printf %s '{json.dumps(FOUND)}' > \"$CORTEX_RESULTS\""
    step = {"name": "scan", "worker_type": "scan-worker", "command": command}
    scope = {"repository": str(home.root / "agents")}
    home.drop({"id": "scan", "type": "scan", "scope": scope, "workers": [step]})
    home.until_ended("scan")
    handoff = home.task("scan")["handoff_id"]
    until_status(home, "handoffs", handoff, "pending")
    say(home, "handoffs", handoff, status, "as agreed")
    until_status(home, "handoffs", handoff, status)
    task = row_of(home, "handoffs", handoff)["task_id"]
    expected = "blocked" if status == "accepted" else "cancelled"
    home.until(lambda: home.task(task)["status"] == expected, expected)
    raised = [event["escalation"]["subject"] for event in home.events("escalation_raised")]
    told = "development-master rejected handoff-001 of security-master"
    assert raised == ([told] if status == "rejected" else [])
