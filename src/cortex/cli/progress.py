"""Shows tasks while they run: a live view on a terminal, plain lines anywhere else.

Reads the published documents whenever they change, and returns how the tasks ended. It asks for
nothing and changes nothing; a daemon that stops does not take it along without a word.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cortex.cli import exits
from cortex.cli.ages import elapsed_s
from cortex.cli.table import status_colour
from cortex.cli.terminal import one_line
from cortex.model.times import format_duration

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from cortex.home import Home

__all__ = ["follow_tasks"]

Row = dict[str, Any]

_TICK_S = 1.0
_ABSENT_S = 2.0
_SETTLE_S = 1.5
_UNKNOWN_S = 5.0
_ENDED_TASK = frozenset({"completed", "failed", "cancelled"})
_ENDED_WORKER = frozenset(
    {"completed", "failed", "timeout", "budget_exhausted", "cancelled", "rejected", "lost"}
)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The followed tasks and their workers, as published at one moment."""

    tasks: dict[str, Row]
    workers: list[Row]
    missing: tuple[str, ...]

    @property
    def ended(self) -> bool:
        return not self.missing and all(
            row.get("status") in _ENDED_TASK for row in self.tasks.values()
        )

    @property
    def has_live_workers(self) -> bool:
        return any(row.get("status") not in _ENDED_WORKER for row in self.workers)

    @property
    def exit_code(self) -> int:
        done = all(row.get("status") == "completed" for row in self.tasks.values())
        return exits.OK if done else exits.FAILED


def follow_tasks(
    home: Home, task_ids: Sequence[str], console: Console, *, timeout_s: float | None = None
) -> int:
    """Shows the tasks until all have ended, and returns the exit code: 0 if all completed, 1 if one
    failed, was cancelled or is not known, 3 after `timeout_s` seconds, 4 once no daemon has run for
    two seconds.
    """
    view = _view(console)
    asked: set[str] = set()
    start = present = open_at = time.monotonic()
    # Closed here: left to the garbage collector, its end would swallow a Ctrl-C that arrives in it.
    changes: Any = home.follow(every_s=_TICK_S)
    with view, closing(changes):
        for _ in changes:
            seen = _look(home, task_ids)
            view.show(seen)
            for text in _asks(home, seen):
                if text not in asked:
                    asked.add(text)
                    view.note(text)
            now = time.monotonic()
            open_at = open_at if seen.ended else now
            # The documents are published one after another: the workers' may be a moment behind.
            if seen.ended and (not seen.has_live_workers or now - open_at >= _SETTLE_S):
                return seen.exit_code
            if timeout_s is not None and now - start >= timeout_s:
                return exits.TIMEOUT
            if home.daemon().running:
                present = now
            elif now - present >= _ABSENT_S:
                view.note("no daemon runs any more; the task goes on when one does")
                return exits.NO_DAEMON
            if seen.missing and now - start >= _UNKNOWN_S:
                view.note(f"there is no task {', '.join(seen.missing)}")
                return exits.FAILED
    return exits.FAILED


def _look(home: Home, task_ids: Sequence[str]) -> _Seen:
    rows = {ident: home.task(ident) for ident in task_ids}
    tasks = {ident: row for ident, row in rows.items() if row is not None}
    workers = [row for row in home.workers() if row.get("task_id") in tasks]
    workers.sort(key=lambda row: str(row.get("worker_id")))
    missing = tuple(ident for ident, row in rows.items() if row is None)
    return _Seen(tasks, workers, missing)


def _asks(home: Home, seen: _Seen) -> list[str]:
    """What only a person can end, with the commands that end it; one text for each."""
    pending = [row for row in home.approvals() if row.get("status") == "pending"]
    texts = []
    for row in pending:
        if row.get("task_id") in seen.tasks:
            name, asks = one_line(row.get("approval_id")), one_line(row.get("reason"))
            texts.append(
                f"{row['task_id']} asks for a yes or no ({name}): {asks}\n"
                f"  cortex approve {name}\n  cortex deny {name}"
            )
    for ident, row in seen.tasks.items():
        status = row.get("status")
        if status == "blocked":
            waits = one_line(row.get("blocked_on") or "it lacks something")
            texts.append(f"{ident} goes on when that is there: {waits}\n  cortex cancel {ident}")
        elif status == "paused" or (row.get("hold") and status not in _ENDED_TASK):
            word = "paused" if status == "paused" else "held"
            texts.append(f"{ident} is {word} until a person lets it go\n  cortex resume {ident}")
    return texts


def _view(console: Console) -> _Screen | _Lines:
    if console.is_terminal and not console.is_dumb_terminal:
        return _Screen(console)
    return _Lines(console)


# --- words


def _task_words(row: Row) -> str:
    """What a task's line says after its status."""
    if row.get("status") in ("failed", "cancelled"):
        return one_line(row.get("reason") or row.get("summary") or row.get("title") or "")
    waits = row.get("blocked_on") or row.get("waiting_for")
    if waits and row.get("status") not in _ENDED_TASK:
        return one_line(f"waits for {waits}")
    return one_line(row.get("summary") or row.get("title") or "")


def _worker_words(row: Row) -> str:
    """What a worker is doing, what it waits for, or how it ended."""
    status = row.get("status")
    if status == "completed":
        return one_line(row.get("summary") or "completed")
    if status in _ENDED_WORKER:
        return one_line(f"{status}: {row.get('error') or 'no reason given'}")
    if row.get("waiting_for"):
        return one_line(f"waits for {row['waiting_for']}")
    return one_line(row.get("message") or row.get("phase") or status or "")


def _subject(row: Row) -> str:
    """The step's name; where the task is one step, its repository's."""
    step = str(row.get("step") or "")
    repository = str(row.get("repository") or "").rstrip("/").rpartition("/")[2]
    return one_line(repository or step if step in ("", "main") else step)


def _tokens(row: Row) -> str:
    used = int(row.get("tokens_used") or 0)
    budget = row.get("token_budget") or row.get("estimated_tokens")
    return f"{_thousands(used)}/{_thousands(int(budget))}" if budget else ""


def _thousands(count: int) -> str:
    return f"{count / 1000:.3g}k" if count >= 1000 else str(count)


def _elapsed(row: Row) -> str:
    passed = row.get("duration_s")
    if passed is None and row.get("status") not in _ENDED_WORKER:
        passed = elapsed_s(row.get("spawned_at"))
    return "" if passed is None else format_duration(float(passed))


def _progress(row: Row) -> float | None:
    """From 0 to 1; None as long as a worker has not said anything."""
    if row.get("status") == "completed":
        return 1.0
    value = row.get("progress")
    return min(1.0, max(0.0, float(value))) if isinstance(value, int | float) else None


# --- plain lines


class _Lines:
    """One line for each change of a status, and for each quarter of the way; no control codes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, tuple[object, ...]] = {}

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, seen: _Seen) -> None:
        """Prints what is new."""
        for ident, row in seen.tasks.items():
            if row.get("status") not in _ENDED_TASK:
                self._say(ident, ident, row.get("status"), _task_words(row))
        for row in seen.workers:
            ident = str(row.get("worker_id"))
            quarter = int((_progress(row) or 0.0) * 4)
            words = [_subject(row), f"{quarter * 25}%" if 0 < quarter < 4 else ""]
            words += [_worker_words(row), _elapsed(row) if row.get("duration_s") else ""]
            text = "  ".join(word for word in words if word)
            self._say(ident, ident, row.get("status"), text, quarter)
        for ident, row in seen.tasks.items():
            if row.get("status") in _ENDED_TASK:
                self._say(ident, ident, row.get("status"), _task_words(row))

    def note(self, text: str) -> None:
        """Prints a sentence about the view itself."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _say(self, key: str, ident: str, status: object, text: str, *more: object) -> None:
        state = (status, *more)
        if self._said.get(key) != state:
            self._said[key] = state
            self.note(f"{ident:<16} {status!s:<17} {text}".rstrip())


# --- a terminal


class _Screen:
    """A view that is drawn again in place; clocks go on between changes."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        self._console = console
        self._seen: _Seen | None = None
        self._live = Live(
            console=console,
            get_renderable=self._draw,
            refresh_per_second=8,
            vertical_overflow="crop",
        )

    def __enter__(self) -> _Screen:
        self._live.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._live.__exit__(*details)

    def show(self, seen: _Seen) -> None:
        """Draws the new state."""
        self._seen = seen
        self._live.refresh()

    def note(self, text: str) -> None:
        """Prints a sentence above the view."""
        self._live.console.print(text, markup=False, highlight=False)

    def _draw(self) -> RenderableType:
        from rich.console import Group
        from rich.constrain import Constrain

        if self._seen is None:
            return Group()
        # Room for the `^C` that a terminal echoes: it would wrap and shift what is drawn next.
        view = Group(self._tasks(self._seen), self._workers(self._seen))
        return Constrain(view, self._console.width - 3)

    def _tasks(self, seen: _Seen) -> Table:
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2), expand=True)
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        for ident, row in seen.tasks.items():
            status = str(row.get("status"))
            style = " ".join(status_colour(status))
            grid.add_row(Text(ident, "bold"), Text(status, style), Text(_task_words(row)))
        return grid

    def _workers(self, seen: _Seen) -> Table:
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1), expand=True)
        for _ in range(3):
            grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, justify="right")
        grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        grid.add_column(no_wrap=True, justify="right")
        grid.add_column(no_wrap=True, justify="right")
        room = max(3, self._console.height - len(seen.tasks) - 3)
        for row in _most_telling(seen.workers, room):
            progress = _progress(row)
            grid.add_row(
                f" {one_line(row.get('worker_id'))}",
                Text(_subject(row), "cyan"),
                _bar(row, progress),
                "" if progress is None else f"{progress:.0%}",
                Text(_worker_words(row)),
                Text(_tokens(row), "dim"),
                _elapsed(row),
            )
        if len(seen.workers) > room:
            grid.add_row(f" and {len(seen.workers) - room} more")
        return grid


def _most_telling(workers: list[Row], room: int) -> list[Row]:
    """At most `room` rows in their order; running ones before waiting ones before ended ones."""
    if len(workers) <= room:
        return workers

    def weight(row: Row) -> int:
        if row.get("status") in _ENDED_WORKER:
            return 2
        return 0 if row.get("spawned_at") else 1

    chosen = sorted(range(len(workers)), key=lambda place: (weight(workers[place]), place))[:room]
    return [workers[place] for place in sorted(chosen)]


def _bar(row: Row, progress: float | None) -> RenderableType:
    from rich.progress_bar import ProgressBar

    failed = row.get("status") in _ENDED_WORKER and row.get("status") != "completed"
    pulse = progress is None and bool(row.get("spawned_at")) and not failed
    return ProgressBar(
        total=None if pulse else 1.0,
        completed=progress or 0.0,
        width=10,
        complete_style="red" if failed else "cyan",
        finished_style="green",
        pulse=pulse,
    )
