"""Ten thousand tasks through one daemon: its memory and its descriptors stay what they were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cortex.model.journal_line import read_whole_lines
from live_home import LiveHome, MakeHome

TASKS = 10_000
A_FILE = 250
#: Tasks that may be under way at once: more would measure the pile, not the age.
UNDER_WAY = 500
#: Everything that grows with what is kept (archive_over, caches) has grown by then.
WARM = 4_000
GROWTH_KB = 12_000
DESCRIPTORS = 4
LIMIT_S = 400.0


class Ends:
    """Counts ended tasks by what the journal has grown."""

    def __init__(self, home: LiveHome) -> None:
        self._folder = home.paths.journal
        self._read: dict[Path, int] = {}
        self.completed = self.others = 0

    def count(self) -> int:
        for segment in sorted(self._folder.glob("*.jsonl")):
            with segment.open("rb") as file:
                file.seek(self._read.get(segment, 0))
                lines, size = read_whole_lines(file.read())
            self._read[segment] = self._read.get(segment, 0) + size
            for event in (event for line in lines for event in line.events):
                if event["event"] == "task_ended":
                    completed = event["status"] == "completed"
                    self.completed += completed
                    self.others += not completed
        return self.completed + self.others


def memory_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.timeout(900)
def test_memory_and_descriptors_are_flat_over_ten_thousand_tasks(make_home: MakeHome) -> None:
    home = make_home(settings="[retention]\narchive_over = 300\n[limits]\ntools = 8\n")
    pid = home.start()
    ends = Ends(home)
    seen: dict[int, tuple[int, int]] = {}
    for dropped in range(0, TASKS, A_FILE):
        text = "\n".join([json.dumps({"command": ["true"]})] * A_FILE)
        home.drop(text, f"batch-{dropped:05d}.jsonl")
        home.until(
            lambda most=dropped + A_FILE - UNDER_WAY: ends.count() >= most,  # type: ignore[misc]
            f"{dropped} tasks have ended",
            LIMIT_S,
        )
        seen[ends.completed] = (memory_kb(pid), descriptors(pid))
    home.until(lambda: ends.count() == TASKS, "all have ended", LIMIT_S)
    assert ends.others == 0
    home.until_idle()
    seen[TASKS] = (memory_kb(pid), descriptors(pid))
    warm = [figures for count, figures in seen.items() if count >= WARM]
    growth = seen[TASKS][0] - warm[0][0]
    assert growth < GROWTH_KB, seen
    assert max(count for _, count in warm) <= warm[0][1] + DESCRIPTORS, seen
    home.until(lambda: not list(home.paths.attempts.iterdir()), "all attempts are cleared away")
