"""Laws of merging, ranking and grouping findings, for any list of findings in any order."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cortex.decide.findings import group, merge, merge_workers, rank
from cortex.decide.report import report_files
from cortex.model.findings import (
    CONFIDENCES,
    DEPENDENCY_FAMILY,
    SEVERITIES,
    Finding,
    severity_counts,
)

RAW = st.fixed_dictionaries(
    {
        "tool": st.sampled_from(["bandit", "ruff", "ast-grep"]),
        "rule": st.sampled_from(["R1", "R2", "R3"]),
        "message": st.sampled_from(["one", "two"]),
        "severity": st.sampled_from(SEVERITIES),
        "confidence": st.sampled_from(CONFIDENCES),
        "cwe": st.sampled_from(["CWE-78", "CWE-79", None, 502]),
        "family": st.sampled_from(["a", "b", DEPENDENCY_FAMILY, None]),
        "file": st.sampled_from(["x.py", "y.py"]),
        "line": st.integers(0, 3),
        "repository": st.sampled_from(["/r1", "/r2"]),
    },
    optional={"package": st.sampled_from(["p", "q"]), "aliases": st.just(["CVE-1"])},
)
FINDINGS = st.lists(RAW, max_size=25)


@given(FINDINGS, st.randoms(use_true_random=False))
def test_the_order_of_reports_does_not_change_the_merged_list(
    raw: list[dict[str, Any]], shuffle: random.Random
) -> None:
    mixed = list(raw)
    shuffle.shuffle(mixed)
    assert merge(mixed) == merge(raw)


@given(FINDINGS)
def test_merging_a_merged_list_changes_nothing(raw: list[dict[str, Any]]) -> None:
    once = merge(raw)
    assert merge(once) == once


@given(FINDINGS)
def test_merging_twice_the_same_reports_is_merging_them_once(raw: list[dict[str, Any]]) -> None:
    assert merge(raw + raw) == merge(raw)


@given(FINDINGS)
def test_merging_loses_no_tool_no_rule_and_no_place(raw: list[dict[str, Any]]) -> None:
    merged = merge(raw)
    assert len(merged) <= len(raw)

    def places(findings: list[Any]) -> set[tuple[str, str, int]]:
        return {(f["repository"], f["file"], f["line"]) for f in findings}

    assert places(merged) == places(raw)
    assert {t for f in merged for t in f["tools"]} == {f["tool"] for f in raw}
    assert {r for f in merged for r in f["rules"]} == {f["rule"] for f in raw}


@given(FINDINGS)
def test_the_worst_severity_reported_survives_and_leads(raw: list[dict[str, Any]]) -> None:
    merged = merge(raw)
    if raw:
        worst = min((f["severity"] for f in raw), key=SEVERITIES.index)
        assert merged[0]["severity"] == worst
    order = [SEVERITIES.index(f["severity"]) for f in merged]
    assert order == sorted(order)
    assert sum(severity_counts(merged).values()) == len(merged)


@given(FINDINGS)
def test_ranking_is_idempotent_and_keeps_every_finding(raw: list[dict[str, Any]]) -> None:
    merged: list[Finding] = merge(raw)
    assert rank(reversed(merged)) == merged


@given(FINDINGS, st.integers(1, 6))
def test_every_finding_is_in_exactly_one_group(raw: list[dict[str, Any]], limit: int) -> None:
    merged = merge(raw)
    groups = group(merged, limit)
    assert sum(g.count for g in groups) == len(merged)
    assert all(g.count == len(g.fingerprints) for g in groups)
    assert len(groups) <= limit + 1
    assert len({g.key for g in groups}) == len(groups)
    assert [g.is_rest for g in groups] == [False] * min(limit, len(groups)) + [True] * (
        len(groups) > limit
    )


@given(FINDINGS)
def test_a_group_keeps_its_key_when_more_places_show_the_same_problem(
    raw: list[dict[str, Any]],
) -> None:
    before = {g.key for g in group(merge(raw), 1000)}
    more = [{**f, "line": f["line"] + 100} for f in raw]
    assert {g.key for g in group(merge(raw + more), 1000)} == before


@given(FINDINGS)
def test_findings_without_a_repository_take_their_workers(raw: list[dict[str, Any]]) -> None:
    bare = [{k: v for k, v in f.items() if k != "repository"} for f in raw]
    assert all(f["repository"] == "/srv/app" for f in merge_workers([("/srv/app", bare)]))


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
FIELDS = sorted(Finding.__annotations__)
RUN_FIELDS = ("what", "state", "reason", "seconds", "files", "findings", "version", "applicable")
ROW = {"id": "task-001", "title": "t", "status": "completed", "type": "scan", "priority": "low"}


@given(
    st.lists(st.dictionaries(st.sampled_from(FIELDS), ANY), max_size=4),
    st.sampled_from([DEPENDENCY_FAMILY, "a"]),
    ANY | st.lists(st.dictionaries(st.sampled_from(RUN_FIELDS), ANY), max_size=3),
)
def test_whatever_a_worker_wrote_becomes_a_report_and_groups(
    raw: list[dict[str, Any]], family: str, runs: Any
) -> None:
    """Results are a stranger's; a report that cannot be made holds its task for ever."""
    if isinstance(runs, list):
        runs = [{"name": "x", **run} if isinstance(run, dict) else run for run in runs]
    rows = [{"family": family, "package": "p", "fixed_version": "1", **row} for row in raw]
    found = merge_workers([("/r", rows)])
    assert merge(found) == found
    report_files(ROW, [], found, [("/r", {"analyzers": runs})])
    for each in group(found, 2):
        json.dumps(each.remedy)
        assert all(isinstance(text, str) for text in (*each.files, *each.fingerprints))
        assert "\n" not in each.title
