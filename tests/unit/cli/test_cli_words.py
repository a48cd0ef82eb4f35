"""Words of the command line that once said something else than what was meant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cortex.cli.narrate import phrase
from cortex.cli.verbs import what_is_cancelled
from cortex.home import Home
from cortex.model.errors import RequestError
from cortex.model.requests import parse_request
from cortex.model.state import Approval, Schedule, Step


def dropped(sample: Any) -> list[Any]:
    return [json.loads(path.read_bytes()) for path in sorted(sample.paths.inbox.glob("[!.]*"))]


@pytest.fixture
def answered(sample: Any) -> Any:
    """A home with one approval, which a person answered."""
    asked = Approval("approval-001", "task-001", "dear", sample.at(400), "assigned")
    asked.status, asked.answered_at, asked.comment = "approved", sample.at(420), "go on"
    sample.state.approvals[asked.id] = asked
    sample.publish()
    return sample


def test_answered_approvals_are_not_none(cortex: Any, answered: Any) -> None:
    ran = cortex("get", "approvals")
    assert "no approvals yet" not in ran.err
    assert "no approval waits for an answer; 1 answered: cortex get approvals --all" in ran.err


def test_closed_escalations_are_shown_to_who_asks_for_all(cortex: Any, sample: Any) -> None:
    assert "escalation-001" in cortex("get", "escalations").out
    sample.state.escalations["escalation-001"].status = "closed"
    sample.publish()
    ran = cortex("get", "escalations")
    assert ran.out == ""
    assert "no escalation waits for an answer; 1 answered: cortex get esc" in ran.err
    assert "escalation-001" in cortex("get", "escalations", "--all").out
    assert "escalation-001" in cortex("get", "escalations", "--status", "closed").out


def test_without_any_approval_there_are_none_yet(cortex: Any) -> None:
    assert "no approvals yet" in cortex("get", "approvals").err


def test_an_answered_approval_is_not_answered_again(cortex: Any, answered: Any) -> None:
    ran = cortex("deny", "approval-001")
    assert ran.code == 1
    assert "approval-001 was approved already" in ran.err
    assert "go on" in ran.err
    assert dropped(answered) == []


def test_a_link_says_that_nothing_new_was_made() -> None:
    event = {"event": "task_linked", "task_id": "task-002", "source": "scan2"}
    assert phrase(event) == "scan2 brings nothing new: task-002 stands for it"


@pytest.mark.parametrize(
    ("alert", "words"),
    [
        ("pool:alert", "the worker pool is filling up"),
        ("pool:escalation", "the worker pool is nearly used up"),
        ("reserve:alert", "the emergency reserve is filling up"),
        ("pool:reserve_next", "the worker pool is so full that the emergency reserve is next"),
        ("master:security:alert", "the security master is filling up"),
        ("odd", "odd"),
    ],
)
def test_an_alert_is_told_in_words(alert: str, words: str) -> None:
    assert phrase({"event": "alert_raised", "alert": alert}) == f"alert: {words}"


@pytest.mark.parametrize(
    ("reason", "is_told"),
    [
        ("step run failed after 3 attempts: exit 2", True),
        ("step run failed after 1 attempt: the timeout of 5s was over", False),
        ("step main failed: used 900 tokens of 500", False),
    ],
)
def test_only_a_command_that_failed_by_itself_is_hinted_at_its_folder(
    cortex: Any, sample: Any, reason: str, is_told: bool
) -> None:
    sample.state.tasks["tests-nightly"].reason = reason
    sample.publish()
    assert ("empty folder" in cortex("why", "tests-nightly").out) == is_told


def test_a_failed_step_shows_its_last_worker_and_its_attempts(cortex: Any, sample: Any) -> None:
    task = sample.state.tasks["task-001"]
    task.steps[0] = Step("scan-app", "scan-worker", status="failed", attempt=1)
    sample.publish()
    lines = cortex("describe", "task-001").out.splitlines()
    (row,) = (line for line in lines if line.split()[:2] == ["scan-app", "failed"])
    assert row.split()[3:5] == ["worker-scan-001", "1"]


def test_the_parts_of_a_feature_are_told_by_name(cortex: Any, sample: Any) -> None:
    parts = [{"name": "api", "paths": ["src/api"]}, {"name": "pages", "needs": ["api"]}, "odd"]
    sample.state.tasks["task-001"].scope = {"repository": "shop", "parts": parts}
    sample.publish()
    out = cortex("describe", "task-001").out
    assert "repository shop, parts api, pages (after api), odd\n" in out


def test_describe_tells_what_a_task_handed_over(cortex: Any, sample: Any) -> None:
    worker = sample.state.workers["worker-scan-001"]
    worker.review = "accepted"
    folder = sample.root / worker.folder
    folder.mkdir(parents=True)
    request = {"state": "opened", "target": "main", "url": "https://x.example/1\x1b[2J"}
    branches = [{"name": "cortex/task-001/scan-app", "commits": 2, "bundle": "a.bundle"}]
    results = {"pull_request": request, "branches": branches}
    (folder / "results.json").write_text(json.dumps(results))
    sample.publish()
    out = cortex("describe", "task-001").out
    delivered = out.partition("Delivered\n")[2]
    assert "  scan-app  pull request opened for main\n" in delivered
    assert "branch cortex/task-001/scan-app, 2 commits, in a.bundle\n" in delivered
    assert "https://x.example/1" in delivered
    assert "\x1b" not in out


def test_a_schedules_fields_stand_apart_and_no_is_not_told(cortex: Any, sample: Any) -> None:
    schedule = Schedule("schedule-001", "daily@09:00", "UTC", sample.at(0), 0.0, 0.0, 0.0)
    schedule.repositories = ["/srv/app"]
    sample.state.schedules[schedule.id] = schedule
    sample.publish()
    text = cortex("describe", "schedule-001").out
    assert "repositories /srv/app" in text
    assert "False" not in text


def test_a_type_is_found_by_its_short_name(cortex: Any) -> None:
    ran = cortex("get", "types", "scan")
    assert ran.code == 0
    assert "scan-worker" in ran.out


def test_submit_can_be_quiet(cortex: Any, sample: Any) -> None:
    ran = cortex("submit", "--title", "x", "--quiet")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert len(dropped(sample)) == 1


def test_a_cancel_of_what_has_ended_says_what_it_did(sample: Any) -> None:
    home = Home(sample.root)
    told = what_is_cancelled(home, "tests-nightly", cascade=True)
    assert told == "tests-nightly has ended (failed); the open tasks that came out of it cancelled"
    assert what_is_cancelled(home, "task-001", cascade=True) == "task-001 cancelled"


def test_an_empty_list_of_repositories_is_told_in_words() -> None:
    with pytest.raises(RequestError) as refused:
        parse_request({"type": "security-scan", "scope": {"repositories": []}})
    assert refused.value.field == "scope.repositories"
    assert refused.value.message == "is empty"
    assert refused.value.hint == "name at least one, or leave it out"
