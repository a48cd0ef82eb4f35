"""Why things are as they are, out of the journal and the documents."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sample_home import SampleHome

from cortex.home import Home
from cortex.home.causes import explain
from cortex.home.drops import find_drop
from cortex.home.story import story_of
from cortex.model.errors import HomeError
from cortex.model.state import Approval, Task


@pytest.fixture(autouse=True)
def _daemon(sample: SampleHome, run_daemon: Callable[[Path], None]) -> None:
    run_daemon(sample.root)


def test_the_chain_leads_from_the_dropped_file_over_the_parent_to_the_task(home: Home) -> None:
    explanation = explain(home, "task-002")
    assert explanation.source == "scan-3f2a.json"
    assert explanation.ancestors == ["task-001"]
    assert [line.by for line in explanation.chain] == ["inbox", "coordinator-master"]
    assert explanation.history[0].why == "worker-scan-001 found 3 things to fix"


def test_what_came_after_the_subject_is_not_told_as_its_cause(
    home: Home, sample: SampleHome
) -> None:
    end = {"event": "task_ended", "task_id": "task-001", "status": "completed"}
    sample.log(900, "security-master", "all steps are done", end)
    assert "all steps are done" not in [line.why for line in explain(home, "task-002").chain]


def test_a_blocked_task_says_what_to_configure_and_since_when(home: Home) -> None:
    wait = explain(home, "task-002").wait
    assert wait is not None
    assert "configure one in cortex.toml" in wait.reason
    assert wait.since is not None
    assert "configuring" in wait.freed_by[0]


def test_a_task_waits_for_its_workers_by_name(home: Home) -> None:
    wait = explain(home, "task-001").wait
    assert wait is not None
    assert any("worker-scan-002" in way and "running" in way for way in wait.freed_by)
    assert any("worker-scan-003" in way and "1 of 1" in way for way in wait.freed_by)


def test_a_task_history_has_the_lines_of_its_workers(home: Home) -> None:
    whys = [line.why for line in explain(home, "task-001").history]
    assert "worker-scan-001 completed: done" in whys
    assert "1 of 1 workers of this type run" in whys


def test_a_worker_short_of_tokens_is_told_the_three_ways_out(
    home: Home, sample: SampleHome
) -> None:
    sample.waiting["worker-scan-003"] = "needs 8000 tokens, the pool has 10 available"
    sample.publish()
    wait = explain(home, "worker-scan-003").wait
    assert wait is not None
    assert any("--set-total" in way for way in wait.freed_by)
    assert any("reset" in way for way in wait.freed_by)


@pytest.mark.parametrize(
    ("has", "larger", "size"),
    [
        ("the worker pool is 65,000 in all", "--set-total {}`, 35,000 more", "65,000"),
        ("security has 30,000 of its own in all", "`allocated` of 100000", "30,000"),
    ],
)
def test_a_task_beyond_the_budget_is_told_what_would_pay_for_it(
    home: Home, sample: SampleHome, has: str, larger: str, size: str
) -> None:
    task = sample.state.tasks["task-002"]
    task.status = "blocked"
    task.blocked_on = f"step main needs 100,000 tokens for one worker; {has}"
    sample.publish()
    wait = explain(home, "task-002").wait
    assert wait is not None and wait.reason == task.blocked_on
    more, less, _ = wait.freed_by
    assert larger.format(sample.state.budget.total + 35_000) in more
    assert f"`cortex edit task-002`: a `token_budget` of {size} or less" in less


def test_a_paused_fleet_is_the_reason_that_is_told(home: Home, sample: SampleHome) -> None:
    sample.paused = True
    sample.publish()
    wait = explain(home, "worker-scan-003").wait
    assert wait is not None
    assert wait.reason == "the fleet is paused"


def test_a_task_that_needs_another_names_it_with_its_status(home: Home, sample: SampleHome) -> None:
    task = sample.state.tasks["task-002"]
    task.status, task.needs, task.blocked_on = "pending", ["task-001"], None
    sample.publish()
    wait = explain(home, "task-002").wait
    assert wait is not None
    assert wait.freed_by == ("task-001 (in_progress) to complete",)


def test_a_worker_short_of_tokens_names_who_holds_them_and_the_smallest_total(
    home: Home, sample: SampleHome
) -> None:
    sample.waiting["worker-scan-003"] = "needs 8000 tokens, the pool has 10 available"
    sample.publish()
    wait = explain(home, "worker-scan-003").wait
    assert wait is not None
    available = home.budget()["worker_pool"]["available"]
    short = max(0, 8000 - available)
    total = home.budget()["total_budget"] + short
    assert any(f"--set-total {total}" in way for way in wait.freed_by)


def test_a_full_limit_is_named_with_its_key_and_who_fills_it(
    home: Home, sample: SampleHome
) -> None:
    (sample.root / "cortex.toml").write_text("[limits.per_type]\nscan = 1\n")
    sample.waiting["worker-scan-003"] = "a free slot"
    sample.publish()
    wait = explain(home, "worker-scan-003").wait
    assert wait is not None
    assert wait.reason == "a free slot: limits.per_type scan-worker allows 1, and 1 run"
    assert "the end of worker-scan-002 of task-001" in wait.freed_by[0]
    assert "limits.per_type scan-worker in cortex.toml" in wait.freed_by[-1]


@pytest.mark.parametrize("told", ["", ", and a free slot"])
def test_a_worker_that_lacks_tokens_and_a_slot_names_both(
    home: Home, sample: SampleHome, told: str
) -> None:
    (sample.root / "cortex.toml").write_text("[limits.per_type]\nscan = 1\n")
    sample.waiting["worker-scan-003"] = f"needs 60000 tokens, the pool has 10 available{told}"
    sample.publish()
    wait = explain(home, "worker-scan-003").wait
    assert wait is not None
    assert wait.reason == (
        "needs 60000 tokens, the pool has 10 available; "
        "and a free slot: limits.per_type scan-worker allows 1, and 1 run"
    )
    assert any("--set-total" in way for way in wait.freed_by)
    assert any(way.startswith("and for the slot: the end of worker-") for way in wait.freed_by)


def test_a_worker_short_of_its_masters_own_tokens_is_told_of_those(
    home: Home, sample: SampleHome
) -> None:
    sample.waiting["worker-scan-003"] = "needs 8000 tokens of security's own, 0 are free"
    sample.state.budget.masters["security"].used = 30_000
    sample.publish()
    wait = explain(home, "worker-scan-003").wait
    assert wait is not None
    assert "`allocated` of 38000 in the file of the security master, or more" in wait.freed_by
    assert not any("--set-total" in way for way in wait.freed_by)


def test_a_need_that_failed_is_to_be_tried_again(home: Home, sample: SampleHome) -> None:
    task = sample.state.tasks["task-002"]
    task.status, task.needs, task.blocked_on = "pending", ["task-001"], None
    sample.state.tasks["task-001"].status = "failed"
    sample.publish()
    wait = explain(home, "task-002").wait
    assert wait is not None
    assert "`cortex retry task-001`" in wait.freed_by[0]
    assert "`cortex cancel task-002`" in wait.freed_by[1]


def test_a_daemon_in_trouble_is_told_first(home: Home) -> None:
    path = home.paths.task_queue
    queue = json.loads(path.read_bytes())
    queue["daemon"] = {"status": "degraded", "cause": "no space left"}
    path.write_text(json.dumps(queue))
    wait = explain(home, "task-002").wait
    assert wait is not None
    assert "no space left" in wait.freed_by[0]


def test_a_refused_drop_is_found_by_its_name(home: Home) -> None:
    (home.paths.rejected / "odd.json").write_text("{")
    reason = {"reason": "not JSON", "line": 3, "hint": "close the brace", "at": None}
    (home.paths.rejected / "odd.json.error.json").write_text(json.dumps(reason))
    (home.paths.inbox / "fresh.json").write_text("{}")
    odd, fresh = find_drop(home, "odd.json"), find_drop(home, "fresh.json")
    assert odd is not None
    assert fresh is not None
    assert (odd.status, odd.reason) == ("rejected", "not JSON (line 3)")
    assert odd.freed_by[0] == "close the brace"
    assert fresh.status == "pending"
    for name in ("nothing.json", "", "../x", ".hidden", "*"):
        assert find_drop(home, name) is None


def test_a_refused_edit_is_made_again_in_its_file_and_a_drop_of_that_name_is_dropped_again(
    home: Home,
) -> None:
    receipts = {"task-queue-4.json": "task-queue.json.412 53 18 17", "task-queue.json": "0004-x"}
    for name, receipt in receipts.items():
        told = {"file": "task-queue.json", "reason": "no", "hint": "so", "receipt": receipt}
        (home.paths.rejected / f"{name}.error.json").write_text(json.dumps(told))
    edit, drop = (find_drop(home, name) for name in receipts)
    assert edit is not None
    assert drop is not None
    assert edit.freed_by[1] == "then: make the change again in coordination/task-queue.json"
    assert drop.freed_by[1].endswith("cp coordination/rejected/task-queue.json coordination/inbox/")


def test_what_is_held_waits_since_it_was_held_and_not_since_its_last_edit(
    home: Home, sample: SampleHome
) -> None:
    held = {"event": "task_edited", "task_id": "task-002", "fields": {"hold": True}}
    titled = {"event": "task_edited", "task_id": "task-002", "fields": {"title": "new"}}
    sample.log(900, "person", "held", held)
    sample.log(950, "person", "renamed", titled)
    sample.state.tasks["task-002"].hold = True
    sample.publish()
    wait = explain(home, "task-002").wait
    assert wait is not None
    assert str(wait.since)[:19] == sample.at(900)[:19]
    sample.log(960, "person", "paused", {"event": "task_paused", "task_id": "task-002"})
    sample.log(970, "person", "renamed", titled)
    sample.state.tasks["task-002"].status = "paused"
    sample.publish()
    paused = explain(home, "task-002").wait
    assert paused is not None
    assert str(paused.since)[:19] == sample.at(960)[:19]


def test_an_ended_task_waits_for_nothing(home: Home) -> None:
    assert explain(home, "tests-nightly").wait is None


def test_tasks_that_caused_each_other_in_a_circle_end_the_walk(
    home: Home, sample: SampleHome
) -> None:
    sample.state.tasks["task-001"].caused_by = "task-002"
    sample.publish()
    assert explain(home, "task-002").ancestors


def test_an_unknown_id_is_named(home: Home) -> None:
    with pytest.raises(HomeError, match="task-404"):
        explain(home, "task-404")


def test_in_a_paused_fleet_a_task_waits_for_its_running_worker_first(
    home: Home, sample: SampleHome
) -> None:
    sample.paused = True
    sample.publish()
    wait = explain(home, "task-001").wait
    assert wait is not None
    assert wait.reason == "its workers"
    assert wait.freed_by[0].startswith("the end of worker-scan-002")
    assert "`cortex resume`" in wait.freed_by[-1]


def test_what_is_blocked_can_be_corrected_or_cancelled_too(home: Home) -> None:
    wait = explain(home, "task-002").wait
    assert wait is not None
    assert any("`cortex edit task-002`" in way for way in wait.freed_by)
    assert any("`cortex cancel task-002`" in way for way in wait.freed_by)


def test_a_dropped_file_that_was_taken_up_leads_to_its_tasks(home: Home) -> None:
    assert [row["id"] for row in home.made_of("scan-3f2a.json")] == ["task-001"]
    assert home.made_of("scan-3f2a") == []


def test_an_answer_of_a_journal_that_names_no_task_is_found_by_its_approval(
    home: Home, sample: SampleHome
) -> None:
    asked = Approval("approval-001", "task-001", "dear", sample.at(400), "assigned")
    asked.status, asked.answered_at = "approved", sample.at(420)
    sample.state.approvals[asked.id] = asked
    sample.publish()
    answer = {"event": "approval_answered", "approval_id": asked.id, "status": "approved"}
    sample.log(1000, "person", "it is worth it", answer)
    assert ("person", "it is worth it") in [
        (line.by, line.why) for line in explain(home, "task-001").history
    ]
    (told,) = story_of(home, "task-001").asked
    assert told["answered_by"] == "person"


def test_what_waits_for_its_handoff_is_freed_by_accepting_that_and_not_by_resume(
    home: Home, sample: SampleHome
) -> None:
    fix = sample.state.tasks["task-002"]
    fix.status, fix.hold, fix.blocked_on = "pending", True, None
    child = Task("task-003", "Fix one", "remediation", "medium", sample.at(700), parent=fix.id)
    child.hold = True
    sample.state.tasks[child.id] = child
    sample.publish()
    for ident in (fix.id, child.id):
        wait = explain(home, ident).wait
        assert wait is not None
        assert wait.freed_by[0] == "`cortex handoff accept handoff-001`"
        assert not any("resume" in way for way in wait.freed_by)


def test_a_worker_waits_for_a_paused_fleet_since_the_pause(home: Home, sample: SampleHome) -> None:
    for at_s, paused in ((800, True), (850, False), (900, True)):
        sample.log(at_s, "person", "lunch", {"event": "fleet_paused", "paused": paused})
    sample.paused = True
    sample.publish()
    wait = explain(home, "worker-scan-003").wait
    assert wait is not None
    assert str(wait.since)[:19] == sample.at(900)[:19]


def test_a_blocked_parent_names_the_children_that_lack_something(
    home: Home, sample: SampleHome
) -> None:
    fix = sample.state.tasks["task-002"]
    fix.children, fix.blocked_on = ["task-003"], "0 of its 1 tasks; task-003: no model"
    child = Task("task-003", "Fix one", "remediation", "medium", sample.at(700), parent=fix.id)
    sample.state.tasks[child.id] = child
    sample.publish()
    wait = explain(home, "task-002").wait
    assert wait is not None
    assert wait.freed_by[0] == "the end of task-003: `cortex why task-003`"
