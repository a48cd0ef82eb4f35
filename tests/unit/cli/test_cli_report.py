"""`cortex report`: the story of a task, in which nothing from outside acts as markup."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.cli.dag import lay_out
from cortex.cli.report_html import story_html
from cortex.cli.report_markdown import story_markdown
from cortex.home.causes import Explanation
from cortex.home.client import Found
from cortex.home.delivered import Delivery
from cortex.home.story import Attempt, Story
from cortex.model.journal_line import Line

EVIL = '<script>alert("x")</script> `a` | b\n# c \x1b[31m'


def story(**fields: Any) -> Story:
    row = {"id": "task-001", "title": EVIL, "status": "failed", "reason": EVIL, **fields}
    explanation = Explanation(Found("task", row), "task-001")
    event = {"event": "task_ended", "task_id": "task-001", "status": "failed"}
    line = Line(7, "0" * 8, 6, "2025-11-01T10:00:00.000Z", EVIL, EVIL, [event], "0" * 8)
    explanation.history = [line]
    steps = [
        {"name": EVIL, "worker_type": EVIL, "status": "done"},
        {"name": "b", "worker_type": "x-worker", "status": EVIL, "needs": [EVIL], "reason": EVIL},
    ]
    attempts = [
        Attempt("worker-x-001", EVIL, "completed", 0.0, 1.0, 4.5, 10, 20, EVIL, None),
        Attempt("worker-x-002", "b", "queued", 4.5, None, None, 0, 20, "", None),
    ]
    finding = {"severity": "high", "title": EVIL, "file": EVIL, "line": 3, "repository": EVIL}
    child = {"id": EVIL, "title": EVIL, "parent": EVIL, "status": EVIL, "blocked_on": EVIL}
    asked = {"approval_id": EVIL, "reason": EVIL, "status": "pending", "comment": EVIL}
    followed = [{"id": EVIL, "title": EVIL}, child]
    handed = Delivery("task-001", EVIL, EVIL, EVIL, (EVIL,), f"javascript:{EVIL}", EVIL, (EVIL,), 3)
    return Story(
        row, explanation, steps, attempts, [finding], followed, [asked], delivered=[handed]
    )


class Tags(HTMLParser):
    """The tags of a page, and whether they close in order."""

    VOID = ("meta", "br", "path", "rect")

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_is_well_formed_and_nothing_in_it_is_anybody_elses() -> None:
    tags = Tags()
    page = story_html(story(), now=10.0)
    tags.feed(page)
    assert tags.open == []
    assert "script" not in tags.seen
    assert tags.seen.count("svg") == 2
    assert "\x1b" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_quote_questions_and_what_became_of_each_child_are_told() -> None:
    told = story(quote={"p50": 1200, "p90": 3400, "budget": 8000}, reason=None, title="t")
    told.asked = [
        {"approval_id": "approval-001", "reason": "dear", "status": "pending"},
        {"escalation_id": "escalation-001", "subject": "short of tokens", "reason": "by 9",
         "status": "closed", "ended_at": "2025-11-01T10:00:00Z"},
    ]  # fmt: skip
    told.followed = [
        {"id": "task-002", "title": "Fix 2", "status": "blocked", "blocked_on": "1 of its 2 tasks"},
        {"id": "task-003", "title": "Fix a", "status": "failed", "parent": "task-002",
         "reason": "no setup"},
    ]  # fmt: skip
    text = story_markdown(told)
    assert "**quoted before**: 1,200 to 3,400 tokens, of a budget of 8,000" in text
    assert "**why**: approval-001: dear" in text
    assert "| escalation-001 | short of tokens: by 9 | closed | 2025-11-01T10:00:00Z |" in text
    assert "- task-002: Fix 2 (blocked: 1 of its 2 tasks)\n  - task-003: Fix a (failed: no" in text
    page = story_html(told, now=10.0)
    for words in ("quoted before", "1,200 to 3,400", "short of tokens: by 9", "no setup"):
        assert words in page


def test_what_was_delivered_is_told_with_its_place_in_both_forms() -> None:
    told = story(title="t", result_location="agents/logs/tasks/2025-11-01/task-001")
    place = "agents/logs/workers/2025-11-01/worker-pr-001/artifacts"
    request = "pull request opened for main: Upgrade a"
    branch = "branch cortex/task-007/fix, 1 commit, in mirrors/shop-1a2b3c4d.git"
    url = "https://forge.example/shop/pull/7"
    files = ("pull_request.md", "body.md", "0001-a.patch")
    told.delivered = [
        Delivery("task-007", "pr", "worker-pr-001", "/srv/shop", (request, branch), url, place,
                 files, 2)
    ]  # fmt: skip
    for text in (story_markdown(told).replace("\\_", "_"), story_html(told, now=10.0)):
        assert "What was delivered" in text
        for words in ("task-007 pr", "shop", request, branch, url, place, *files, "2 more"):
            assert words in text, words
        assert "agents/logs/tasks/2025-11-01/task-001" in text
    assert f'<a href="{url}">' in story_html(told, now=10.0)


def test_a_url_that_is_none_is_no_link() -> None:
    page = story_html(story(), now=10.0)
    assert "href" not in page
    assert "javascript:" in page, "told, as text"


def test_a_long_step_name_takes_two_lines_and_runs_under_nothing() -> None:
    told = story()
    long = "examine-" + "very-long-" * 12 + "name"
    told.steps = [
        {"name": long, "status": "done", "worker_type": "integration-worker"},
        {"name": "W" * 60, "status": "waiting", "needs": [long], "worker_type": "x" * 60},
    ]
    page = story_html(told, now=10.0)
    names = re.findall(r'<text class="name"[^>]* y="(\d+)">([^<]*)<', page)
    assert [text for _, text in names][:2] == [
        "examine-very-long-very-",
        "long-very-long-very-lon…",
    ]
    states = set(re.findall(r'<text class="state"[^>]* y="(\d+)"', page))
    assert not states & {y for y, _ in names}, "a status has a line of its own"
    assert page.count('clip-path="url(#box)"') == 2, "wide letters end at the box"
    assert ">integration<" in page


def test_the_bars_of_the_timeline_are_named_after_their_steps() -> None:
    told = story()
    first, second = told.attempts
    told.attempts = [replace(first, step="scan"), replace(second, step="scan")]
    page = story_html(told, now=10.0)
    labels = re.findall(r'<text class="who"[^>]*>([^<]*)<', page)
    assert labels == ["scan", "scan, try 2"]
    assert "worker-x-001" in page


def test_decisions_leave_out_what_only_says_that_a_worker_started() -> None:
    told = story()
    by, why = "security-master", "start 1 of worker-x-001 for a title"
    told.explanation.history = [
        Line(n, "0" * 8, 6, f"2025-11-01T10:00:0{n}.000Z", by, f"{why} {n}", [event], "0" * 8)
        for n, event in enumerate((
            {"event": "worker_spawning", "worker_id": "worker-x-001"},
            {"event": "worker_running", "worker_id": "worker-x-001"},
            {"event": "worker_queued", "worker_id": "worker-x-002"},
        ))
    ]  # fmt: skip
    for text in (story_html(told, now=10.0), story_markdown(told)):
        assert f"{why} 2" in text
        assert f"{why} 0" not in text
        assert f"{why} 1" not in text
        assert "2 lines that only say what started" in text


def test_steps_that_nothing_connects_stand_side_by_side() -> None:
    told = story()
    told.steps = [{"name": f"s{n}", "status": "done", "needs": []} for n in range(10)]
    page = story_html(told, now=10.0)
    corners = set(re.findall(r'<rect x="(\d+)" y="(\d+)" width="204"', page))
    assert len(corners) == 10
    assert len({y for _, y in corners}) == 3, "ten in rows of four"


def test_markdown_shows_signs_instead_of_obeying_them() -> None:
    text = story_markdown(story())
    assert "<script>" not in text
    assert "\n# c" not in text
    rows = [line for line in text.splitlines() if line.startswith("| worker-x")]
    assert len(rows) == 2
    assert "\\|" in rows[0]


def test_a_report_is_of_a_task_and_says_so(cortex: Any, sample: Any) -> None:
    ran = cortex("report", "task-001")
    assert ran.code == 0
    assert ran.out.startswith("# ")
    assert "## Decisions" in ran.out
    other = cortex("report", "worker-scan-001")
    assert other.code == 1
    assert "a report is about a task" in other.err
    assert cortex("report", "task-999").code == 1


def test_a_page_is_written_whole_to_the_named_file(
    cortex: Any, sample: Any, tmp_path: Path
) -> None:
    page = tmp_path / "story.html"
    assert cortex("report", "task-001", "--file", str(page)).code == 0
    assert page.read_text().startswith("<!doctype html>")
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []
    ran = cortex("report", "task-001", "--file", str(tmp_path / "no" / "x.html"))
    assert ran.code == 1
    assert "cannot be written" in ran.err
    assert cortex("report", "task-001", "--format", "markdown", "--file", str(page)).code == 2


@st.composite
def plans(draw: st.DrawFn) -> dict[str, list[str]]:
    names = [f"s{n}" for n in range(draw(st.integers(0, 9)))]
    return {
        name: draw(st.lists(st.sampled_from(names[:place]), unique=True)) if place else []
        for place, name in enumerate(names)
    }


@given(plans())
def test_steps_stand_apart_and_every_arrow_leads_right_through_free_places(
    needs: dict[str, list[str]],
) -> None:
    layout = lay_out(needs)
    taken = list(layout.places.values())
    taken += [place for route in layout.routes for place in route[1:-1]]
    assert len(set(taken)) == len(taken)
    assert all(column < layout.columns and row < layout.rows for column, row in taken)
    for route in layout.routes:
        assert all(two[0] == one[0] + 1 for one, two in pairwise(route))
    assert len(layout.routes) == sum(map(len, needs.values()))


@pytest.mark.parametrize("needs", [{"a": ["b"], "b": ["a"]}, {"a": ["a"]}, {"a": ["gone"]}])
def test_a_plan_that_cannot_be_is_still_drawn(needs: dict[str, list[str]]) -> None:
    assert set(lay_out(needs).places) == set(needs)
