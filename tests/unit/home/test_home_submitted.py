"""What became of a drop, as its sender finds it out."""

import json
from functools import cached_property
from pathlib import Path

import pytest

from cortex.home import create_home
from cortex.home.submit import Receipt, drop, find_outcome
from cortex.model.paths import HomePaths

CLAIMED = "inbox/.intake/3-retry-1.json"


class _RefusedMeanwhile(HomePaths):
    """A home whose daemon refuses the drop just as its sender looks whether it still waits."""

    @cached_property
    def intake(self) -> Path:
        (self.rejected / "retry-1.json.error.json").write_text('{"reason": "it is completed"}')
        (self.coordination / CLAIMED).rename(self.rejected / "retry-1.json")
        return self.inbox / ".intake"


def test_a_refusal_that_comes_between_two_looks_is_not_taken_for_done(tmp_path: Path) -> None:
    paths = _RefusedMeanwhile(create_home(tmp_path / "home").root)
    claimed = paths.coordination / CLAIMED
    for folder in (paths.rejected, claimed.parent):
        folder.mkdir(parents=True, exist_ok=True)
    claimed.write_text('{"kind": "retry", "task_id": "task-001"}')
    outcome = find_outcome(paths, Receipt("retry-1.json", "retry"))
    assert outcome is not None
    assert outcome.rejection == {"reason": "it is completed"}


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("nightly.yaml", "kind: schedule\nschedule: daily@09:00\ncommand: 'true'\n", "schedule"),
        ("stop.json", json.dumps({"kind": "pause"}), "pause"),
        ("go.jsonl", '{"kind": "resume"}\n{"kind": "resume", "task_id": "a"}\n', "resume"),
        ("both.jsonl", '{"kind": "resume"}\n{"title": "a"}\n', "task"),
        ("task.yaml", "title: a\n", "task"),
        ("broken.json", "{", "task"),
    ],
)
def test_the_kind_of_a_dropped_file_is_read_out_of_it(
    tmp_path: Path, name: str, text: str, kind: str
) -> None:
    paths = HomePaths(create_home(tmp_path / "home").root)
    assert drop(paths, text.encode(), name).kind == kind
