"""`cortex edit` with real editors, which are programs like any other, on a real daemon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from live_home import BIN, LiveHome

Row = dict[str, Any]


class Editors:
    """Scripts that stand for somebody at an editor; one for each time that it is opened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = folder / "count"

    def script(self, *turns: str) -> str:
        """The path of an editor that does these Python statements, with `text` in and out."""
        for number, turn in enumerate(turns):
            (self.folder / f"turn-{number}.py").write_text(turn)
        program = self.folder / "editor.py"
        program.write_text(
            "import pathlib, sys\n"
            f"folder = pathlib.Path({str(self.folder)!r})\n"
            "count = folder / 'count'\n"
            "number = int(count.read_text()) if count.exists() else 0\n"
            "count.write_text(str(number + 1))\n"
            "path = pathlib.Path(sys.argv[1])\n"
            "text = path.read_text()\n"
            "(folder / f'seen-{number}').write_text(text)\n"
            "turn = folder / f'turn-{number}.py'\n"
            "scope = {'text': text}\n"
            "exec(turn.read_text() if turn.exists() else '', scope)\n"
            "path.write_text(scope['text'])\n"
        )
        return f"{sys.executable} {program}"

    def seen(self, number: int) -> str:
        """What the person saw when it was opened for that time, from 0."""
        return (self.folder / f"seen-{number}").read_text()

    @property
    def opened(self) -> int:
        """How often."""
        return int(self.count.read_text()) if self.count.exists() else 0


@pytest.fixture
def editors(tmp_path: Path) -> Editors:
    folder = tmp_path / "editors"
    folder.mkdir()
    return Editors(folder)


def cortex(live: LiveHome, editor: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    temporary = live.root / "tmp"
    temporary.mkdir(exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if k != "VISUAL" and k[:7] != "CORTEX_"}
    environment |= {"EDITOR": editor, "TMPDIR": str(temporary), "CORTEX_HOME": str(live.root)}
    return subprocess.run(
        [str(BIN / "cortex"), "edit", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def kept(live: LiveHome) -> list[Path]:
    return sorted((live.root / "tmp").iterdir())


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_task_is_changed_in_an_editor(live: LiveHome, editors: Editors, form: str) -> None:
    live.run("job", "sleep 60", note="mine")
    live.until_running("job")
    old, new = ("priority: medium", "priority: high")
    if form == "json":
        old, new = '"priority": "medium"', '"priority": "high"'
    editor = editors.script(f"text = text.replace({old!r}, {new!r})")
    ran = cortex(live, editor, "job", "-o", form, "-m", "it is urgent")
    assert (ran.returncode, ran.stdout.strip()) == (0, "job changed: priority"), ran.stderr
    live.until(lambda: live.task("job")["priority"] == "high", "published")
    line = next(line for line in live.lines() if line.events[-1]["event"] == "task_edited")
    assert (line.by, line.why) == ("person", "it is urgent")
    assert "status: cancelled ends it" in editors.seen(0)
    assert "note" in editors.seen(0)
    assert kept(live) == []
    assert live.running("job")


def test_unchanged_or_empty_does_nothing(live: LiveHome, editors: Editors) -> None:
    live.run("job", "true")
    live.until_ended("job")
    before = len(live.lines())
    for turn in ("", "text = ''", "text = '# only this' + chr(10)"):
        editors.count.unlink(missing_ok=True)
        ran = cortex(live, editors.script(turn), "job")
        assert (ran.returncode, ran.stdout.strip()) == (0, "nothing was changed"), ran.stderr
    assert len([e for e in live.lines()[before:] if e.by == "person"]) == 0
    assert kept(live) == []


def test_what_is_refused_comes_back_with_the_reason_and_the_text(
    live: LiveHome, editors: Editors
) -> None:
    live.run("job", "sleep 60")
    live.until_running("job")
    editor = editors.script(
        "text = text.replace('priority: medium', 'priority: urgent') + 'note: mine' + chr(10)",
        "text = text.replace('priority: urgent', 'priority: low')",
    )
    ran = cortex(live, editor, "job")
    assert (ran.returncode, editors.opened) == (0, 2), ran.stderr
    second = editors.seen(1)
    assert second.startswith("# It was not taken up:")
    assert "priority" in second.split("Correct it")[0]
    assert "note: mine" in second
    live.until(lambda: live.task("job").get("note") == "mine", "both went in")
    assert live.task("job")["priority"] == "low"


def test_a_text_that_is_no_yaml_comes_back_with_its_line(live: LiveHome, editors: Editors) -> None:
    live.run("job", "sleep 60", hold=True)
    live.until(lambda: live.task("job"), "there")
    editor = editors.script("text += 'oh: [dear' + chr(10)")
    ran = cortex(live, editor, "job")
    assert (ran.returncode, editors.opened) == (1, 2)
    (path,) = kept(live)
    assert f"your text is in {path}" in ran.stderr
    assert "oh: [dear" in path.read_text()
    assert "line " in editors.seen(1).split("Correct it")[0]
    assert live.tasks()[0]["status"] == "pending"


@pytest.mark.parametrize(
    ("editor", "said", "drops"),
    [
        ("sed -i s/pending/completed/", "only its workers' results make a task completed", 1),
        ("sed -i -e s/pending/odd/ -e '/^title/s/.*/title: [open/'", "line ", 0),
        ("sed -i 's/^priority: .*/&x/'", "priority", 10),
    ],
)
def test_an_editor_that_nobody_sits_at_is_not_asked_for_ever(
    live: LiveHome, editor: str, said: str, drops: int
) -> None:
    live.run("job", "sleep 60", hold=True)
    live.until(lambda: live.task("job"), "there")
    ran = cortex(live, editor, "job")
    assert ran.returncode == 1
    (path,) = kept(live)
    assert f"your text is in {path}" in ran.stderr
    assert said in ran.stderr, "whoever did not see the text is told the reason"
    assert any(word in path.read_text() for word in ("status: completed", "[open", "mediumx"))
    live.until(lambda: len(live.errors()) == drops, "each refusal lies beside its file")
    assert live.task("job")["status"] == "pending"


def test_an_editor_that_fails_or_is_missing_loses_no_text(live: LiveHome) -> None:
    live.run("job", "sleep 60", hold=True)
    live.until(lambda: live.task("job"), "there")
    for editor, said in (("false", "ended with 1"), ("/nowhere/ed", "cannot be started")):
        ran = cortex(live, editor, "job")
        assert ran.returncode == 1
        assert said in ran.stderr
    assert len(kept(live)) == 2
    assert "priority: medium" in kept(live)[0].read_text()


def test_budget_handoffs_and_schedules_are_edited_too(live: LiveHome, editors: Editors) -> None:
    turn = "text = text.replace('total_budget: 200000', 'total_budget: 260000')"
    assert cortex(live, editors.script(turn), "budget").returncode == 0
    live.until(lambda: live.read("token-budget")["total_budget"] == 260_000, "more")
    live.drop({"kind": "schedule", "id": "nightly", "schedule": "daily@09:00", "command": "true"})
    live.until(lambda: live.read("schedules")["scheduled_workers"], "a schedule")
    editors.count.unlink()
    ran = cortex(live, editors.script("text = text.replace('09:00', '10:00')"), "nightly")
    assert ran.returncode == 0, ran.stderr
    live.until(
        lambda: live.read("schedules")["scheduled_workers"][0]["schedule"] == "daily@10:00", "later"
    )


def test_a_task_is_cancelled_by_its_status_and_held_by_hold(
    live: LiveHome, editors: Editors
) -> None:
    live.run("job", "sleep 60")
    live.until_running("job")
    assert cortex(
        live, editors.script("text = text.replace('hold: false', 'hold: true')"), "job"
    ).returncode == 0  # fmt: skip
    live.until(lambda: live.task("job")["status"] == "paused", "held")
    editors.count.unlink()
    turn = "text = text.replace('status: paused', 'status: cancelled')"
    assert cortex(live, editors.script(turn), "job").returncode == 0
    assert live.until_ended("job")[0]["status"] == "cancelled"


def test_without_a_daemon_the_change_waits_and_is_taken_up_later(
    live: LiveHome, editors: Editors
) -> None:
    live.run("job", "true", hold=True)
    live.until(lambda: live.task("job"), "there")
    live.stop()
    turn = "text = text.replace('title: ', 'title: later ')"
    ran = cortex(live, editors.script(turn), "job")
    assert ran.returncode == 0
    assert "no daemon runs" in ran.stderr
    live.start()
    live.until(lambda: str(live.task("job").get("title")).startswith("later"), "taken up")


def test_an_id_that_nothing_has_is_said(live: LiveHome) -> None:
    ran = cortex(live, "false", "nobody")
    assert ran.returncode == 1
    assert "nobody" in ran.stderr


def test_the_drop_of_an_edit_can_be_written_by_hand(live: LiveHome) -> None:
    live.run("job", "sleep 60", hold=True)
    live.until(lambda: live.task("job"), "there")
    seq = live.read("task-queue")["journal_seq"]
    drop = {"kind": "edit", "file": "task-queue.json", "journal_seq": seq}
    live.drop(drop | {"tasks": [{"id": "job", "title": "renamed"}]}, "good.json")
    live.until(lambda: live.task("job")["title"] == "renamed", "renamed")
    live.drop(drop | {"tasks": [{"id": "job", "title": "x", "reason": "y"}]}, "bad.json")
    error = live.until(lambda: live.errors().get("bad.json"), "refused whole") or {}
    assert {part["field"] for part in error["refused"]} == {"title", "reason"}
    assert json.loads((live.paths.rejected / "bad.json").read_bytes())["kind"] == "edit"
    assert live.task("job")["title"] == "renamed"
