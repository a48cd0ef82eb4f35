"""Findings as SARIF and Markdown, and the groups that fix tasks are made of."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cortex.decide.findings import group, merge
from cortex.decide.report import report_files
from cortex.model.findings import Finding, fingerprint, normalise
from cortex.model.report import ToolRun, findings_markdown, to_sarif


def finding(**fields: Any) -> Finding:
    return normalise(
        {"tool": "bandit", "rule": "B602", "severity": "high", "cwe": "CWE-78", **fields}
    )


def test_two_tools_that_see_one_line_become_one_finding_of_both() -> None:
    merged = merge(
        [
            {"tool": "ruff", "rule": "S602", "cwe": 78, "file": "a.py", "line": 3},
            {"tool": "bandit", "rule": "B602", "cwe": "CWE-78", "path": "a.py", "line_number": 3,
             "severity": "HIGH"},
        ]
    )  # fmt: skip
    assert len(merged) == 1
    assert merged[0]["tools"] == ["bandit", "ruff"]
    assert merged[0]["rules"] == ["B602", "S602"]
    assert merged[0]["severity"] == "high"
    assert merged[0]["family"] == "command-injection"


def test_two_advisories_of_one_pin_stay_two_findings() -> None:
    pin = {"family": "vulnerable-dependency", "package": "p", "file": "r.txt", "line": 1}
    merged = merge([{**pin, "rule": "GHSA-1"}, {**pin, "rule": "GHSA-2"}])
    assert [f["rule"] for f in merged] == ["GHSA-1", "GHSA-2"]


@pytest.mark.parametrize(
    "place",
    [
        {},
        {"file": "tests/test_a.py", "line": 6, "rule": "test-failed", "family": "failing-test"},
        {"file": "README.md", "line": 2, "rule": "broken-link", "family": "documentation-link"},
    ],
)
def test_two_problems_of_one_rule_in_one_line_stay_two(place: dict[str, Any]) -> None:
    said = [{**place, "title": title} for title in ("the first", "the second", "the first")]
    assert sorted(found["title"] for found in merge(said)) == ["the first", "the second"]


def test_one_advisory_under_two_names_is_one_finding() -> None:
    pin = {"family": "vulnerable-dependency", "package": "p", "file": "r.txt", "line": 1}
    merged = merge(
        [
            {**pin, "tool": "a", "rule": "GHSA-1", "aliases": ["CVE-1"]},
            {**pin, "tool": "b", "rule": "PYSEC-1", "aliases": ["CVE-1"]},
        ]
    )
    assert len(merged) == 1
    assert merged[0]["tools"] == ["a", "b"]


@pytest.mark.parametrize(
    "raw",
    [{}, {"line": "x", "severity": 7, "cwe": {}, "tools": None}, {"message": "", "cwe": [79]}],
)
def test_any_mapping_becomes_a_finding_with_every_field(raw: dict[str, Any]) -> None:
    normal = normalise(raw, "/srv/app")
    assert set(normal) >= {"fingerprint", "tool", "tools", "rule", "title", "severity", "file"}
    assert normal["repository"] == "/srv/app"
    assert normalise(normal) == normal


def test_white_space_does_not_change_a_fingerprint_and_a_second_copy_has_its_own() -> None:
    assert fingerprint("f", "a.py", "  x =  1") == fingerprint("f", "a.py", "x = 1")
    assert fingerprint("f", "a.py", "x = 1", 1) != fingerprint("f", "a.py", "x = 1", 0)


def test_a_group_is_one_repository_and_family_or_one_package() -> None:
    findings = merge(
        [
            finding(repository="/a", file="x.py", line=1),
            finding(repository="/a", file="y.py", line=2, severity="medium"),
            finding(repository="/b", file="x.py", line=1),
            *(
                normalise({"family": "vulnerable-dependency", "package": "jinja2", "rule": rule,
                           "repository": "/a", "file": "r.txt", "line": 2, "severity": "critical",
                           "fixed_version": fix})
                for rule, fix in (("GHSA-1", "2.9.6"), ("GHSA-2", "2.11.3"))
            ),
        ]
    )  # fmt: skip
    groups = group(findings, 10)
    assert [(g.repository, g.package, g.family, g.count) for g in groups] == [
        ("/a", "jinja2", "vulnerable-dependency", 2),
        ("/a", None, "command-injection", 2),
        ("/b", None, "command-injection", 1),
    ]
    assert groups[0].title == "Upgrade jinja2 to 2.11.3 in a: 2 advisories"
    assert groups[1].title.endswith(": 2 places in 2 files of a")
    assert groups[2].title.endswith(": 1 place in x.py of b")
    assert groups[0].severity == "critical"


def test_titles_tell_repositories_of_one_name_apart_and_stay_short() -> None:
    places = ["/srv/one/app.git", "/srv/two/app", f"/srv/{'long' * 20}", "https://x.example/y/lib/"]
    findings = merge(finding(repository=place, file="x.py", line=1) for place in places)
    titles = [found.title.rpartition(" of ")[2] for found in group(findings, 10)]
    nowhere = group(merge([finding(repository="", file="x.py", line=1)]), 10)
    assert nowhere[0].title.endswith(": 1 place in x.py")
    assert sorted(titles) == ["lib", f"{'long' * 9}lon…", "one/app", "two/app"]


def test_past_the_limit_the_rest_is_one_group_and_low_findings_can_be_left_out() -> None:
    findings = merge(
        finding(cwe=None, family=f"f{n}", file="x.py", line=n, severity="low" if n else "high")
        for n in range(5)
    )
    groups = group(findings, 2)
    assert [g.count for g in groups] == [1, 1, 3]
    assert groups[-1].is_rest
    assert [g.severity for g in group(findings, 2, at_least="medium")] == ["high"]
    with pytest.raises(ValueError, match="at_least"):
        group(findings, 2, at_least="terrible")


def test_sarif_gives_each_repository_its_own_base() -> None:
    findings = merge(
        [
            finding(repository="/srv/a b", file="ü x.py", line=2, snippet="x"),
            finding(repository="/srv/c", file="y.py", line=0),
        ]
    )
    run = to_sarif(findings)["runs"][0]
    assert run["originalUriBaseIds"] == {
        "%SRCROOT%": {"uri": "file:///srv/a%20b/"},
        "%SRCROOT1%": {"uri": "file:///srv/c/"},
    }
    first, second = (result["locations"][0]["physicalLocation"] for result in run["results"])
    assert {first["artifactLocation"]["uri"], second["artifactLocation"]["uri"]} == {
        "%C3%BC%20x.py",
        "y.py",
    }
    assert sum("region" in place for place in (first, second)) == 1


def test_sarif_says_what_was_not_audited() -> None:
    tool = ToolRun(
        name="osv-audit", what="pins", scan_type="dependencies", state="not_audited",
        reason="no advisories", seconds=0.0, files=1, findings=0, version=None, applicable=True,
    )  # fmt: skip
    run = to_sarif([], [tool])["runs"][0]
    notes = run["invocations"][0]["toolExecutionNotifications"]
    assert notes[0]["message"]["text"] == "osv-audit: not_audited: no advisories"
    assert "**not audited**: no advisories" in findings_markdown([], title="x", tool_runs=[tool])


def test_markdown_does_not_let_a_repository_write_markup_or_terminal_codes() -> None:
    text = findings_markdown(
        [finding(file="a`b.py", line=1, message="\x1b[31m<script>**\n# x", title="[t](u)")],
        title="T",
    )
    assert "\x1b" not in text
    assert "<script>" not in text.replace(r"\<script\>", "")
    assert "`a'b.py:1`" in text
    assert r"\[t\](u)" in text


def test_markdown_counts_what_it_does_not_show() -> None:
    findings = merge(finding(file="a.py", line=n) for n in range(1, 6))
    text = findings_markdown(findings, title="T", limit=2)
    assert "**5 findings** in 1 file: 5 high." in text
    assert "3 more findings" in text


def test_a_tasks_report_lets_no_worker_write_markup_or_terminal_codes() -> None:
    hostile = "<script>alert(1)</script>\x1b[31m `x` \u202e"
    row = {"id": "task-001", "title": hostile, "status": "failed", "reason": hostile,
           "type": "command", "priority": "low", "command": hostile, "source": "x"}  # fmt: skip
    result = {"worker_id": "worker-cmd-001", "step": "main", "status": "failed", "duration_s": 1,
              "tokens_used": 0, "result_location": "a", "error": hostile,
              "summary": hostile}  # fmt: skip
    finding = normalise(
        {"rule": hostile, "file": hostile, "title": hostile, "tool": hostile}, "/srv/a"
    )
    for findings in ([], [finding]):
        text = report_files(row, [result], findings, [])["report.md"].decode()
        outside = re.sub(r"`[^`]*`", "", text)
        assert "<script>" not in outside.replace("\\<", "")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_what_a_command_found_is_not_said_to_be_found_by_unknown() -> None:
    text = findings_markdown([finding(tool=None, file="a.py", line=1)], title="T")
    assert "B602" in text and "found by" not in text
