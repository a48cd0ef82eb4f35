"""E1: three repositories at once, one ranked report, one handoff, and fixes where a tool can."""

from __future__ import annotations

import json
from pathlib import Path

from live_home import MakeHome
from workflows import SCAN_SETTINGS, children_of, example, git, proposals, repositories

LIMIT_S = 200.0


def test_three_scans_at_once_become_one_report_one_handoff_and_ready_patches(
    make_home: MakeHome, tmp_path: Path
) -> None:
    live = make_home(settings=SCAN_SETTINGS)
    live.start()
    repos = repositories(tmp_path / "repositories", 3)
    heads = [git(repo, "rev-parse", "HEAD") for repo in repos]
    live.drop(example("scan.yaml", tmp_path / "repositories"))
    (row,) = live.until_ended("scan", limit_s=LIMIT_S)
    assert row["status"] == "completed", row
    story = [event["event"] for line in live.lines() for event in line.events]
    assert story[: story.index("worker_ended")].count("worker_spawning") == 3, "at once"

    findings = json.loads((live.report_of("scan") / "findings.json").read_bytes())["findings"]
    ranks = [("critical", "high", "medium", "low", "info").index(f["severity"]) for f in findings]
    assert ranks == sorted(ranks)
    assert {Path(f["repository"]) for f in findings} == set(repos)
    (handoff,) = live.read("handoffs")["handoffs"]
    assert (handoff["status"], handoff["to_agent"]) == ("accepted", "development-master")

    by_tools = [
        child["id"] for child in children_of(live, "scan") if child.get("runtime") == "tools"
    ]
    assert len(by_tools) == 3
    fixed = live.until_ended(*by_tools, limit_s=LIMIT_S)
    for fix in fixed:
        assert fix["status"] == "completed", fix
        repo = Path(fix["scope"]["repository"])
        git(repo, "am", "--quiet", *map(str, proposals(live, fix)))
        assert "jinja2==2.10.1" in (repo / "requirements.txt").read_text()
    assert [git(repo, "rev-parse", "HEAD~1") for repo in repos] == heads, "nothing else was done"
    others = [child for child in children_of(live, "scan") if child["id"] not in by_tools]
    assert len(others) == 3
    for child in others:
        assert child["status"] == "blocked"
        assert "agent" in child["blocked_on"], "it says what is missing"
    used = live.assert_books()["usage_metrics"]["total_tokens_used_today"]
    assert used == 0


def test_with_one_slot_the_same_scan_finds_the_same_one_after_the_other(
    make_home: MakeHome, tmp_path: Path
) -> None:
    repositories(tmp_path / "repositories", 2)
    found = []
    for slots in (1, 4):
        live = make_home(f"home-{slots}", settings=f"{SCAN_SETTINGS}[limits]\ntools = {slots}\n")
        live.start()
        task = example("scan.yaml", tmp_path / "repositories")
        task["scope"]["repositories"].pop()
        live.drop(task)
        live.until_ended("scan", limit_s=LIMIT_S)
        most, alive = 0, 0
        for line in live.lines():
            for event in line.events:
                if "-scan-" in event.get("worker_id", ""):
                    alive += {"worker_spawning": 1, "worker_ended": -1}.get(event["event"], 0)
                most = max(most, alive)
        assert most == (1 if slots == 1 else 2)
        report = json.loads((live.report_of("scan") / "findings.json").read_bytes())
        found.append(report["findings"])
        live.drop(
            {"kind": "cancel", "task_id": live.task("scan")["follow_ups"][0], "cascade": True}
        )
        live.until_idle()
    assert found[0] == found[1] != []
