"""Proves the installed program on this machine: real workers, and a daemon that is killed again
and again at random moments.

Everything happens in a scratch home. What is random comes from one seed; when the kernel does what
does not, so that two drills with one seed are alike and not the same.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from cortex.care.drill_checks import Evidence, Verdict, judge
from cortex.care.full_disk import try_full_disk
from cortex.care.scratch import Scratch

__all__ = ["Drill", "Plan", "Progress", "Report"]

_SETTINGS = """
# The home of a drill; nothing in it matters.
[daemon]
runtime_dir = "home"
[limits]
tools = 8
[workers]
backoff = "200ms"
grace = "500ms"
[retention]
archive_over = 100000
"""
_TICK_S = 0.02
_AGAIN_S = 0.3
#: The share of the time in which things are stirred; the rest is for all of it to end.
_STIRRING = 0.6
#: How often a daemon is killed as it starts up, and how often it stays away afterwards.
_EARLY, _AWAY = 0.25, 0.3
_QUIET_S = 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How hard the drill is. `seconds` is the longest that it may take until all has ended."""

    seed: int
    tasks: int = 40
    kills: int = 8
    seconds: float = 45.0
    full_disk: bool = True
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a drill is, for whoever watches."""

    what: str
    kills: int
    dropped: int
    ended: int
    elapsed_s: float


@dataclass(slots=True)
class Report:
    """What a drill found. `kept` is the scratch home where a promise was broken."""

    verdicts: list[Verdict] = field(default_factory=list)
    elapsed_s: float = 0.0
    kept: Path | None = None
    not_tried: str = ""

    @property
    def broken(self) -> bool:
        """Whether any promise was broken."""
        return any(verdict.violations for verdict in self.verdicts)


class Drill:
    """One drill; `watch` is called with its progress a few times a second."""

    def __init__(self, plan: Plan, watch: Callable[[Progress], None] = lambda _: None) -> None:
        self._plan = plan
        self._watch = watch
        self._chance = random.Random(plan.seed)
        self._began = time.monotonic()
        self.folder = Path(tempfile.mkdtemp(prefix="cortex-drill-", dir=plan.folder))
        self._scratch = Scratch(self.folder / "home", _SETTINGS)
        self._evidence = Evidence([], self.folder / "ran", deaths=self._scratch.deaths)
        self._tasks = [self._task(number) for number in range(plan.tasks)]
        self._ended = 0
        self._quiet_since: float | None = None
        self._started = self._lives_s = 0.0
        self._served: float | None = None
        self._early = False

    def run(self) -> Report:
        """The whole drill. Its folder goes away again unless a promise was broken."""
        report = Report()
        try:
            self._stir()
            if not self._settle():
                report.verdicts.append(self._too_slow())
            self._scratch.stop()
            self._tell("looking at what is left")
            report.verdicts += judge(self._scratch.paths, self._evidence)
            self._fill_a_disk(report)
        finally:
            self._scratch.close()
            report.elapsed_s = time.monotonic() - self._began
            if report.broken:
                report.kept = self._scratch.root
            else:
                shutil.rmtree(self.folder, ignore_errors=True)
        return report

    def _task(self, number: int) -> dict[str, Any]:
        """A task that ends well, fails and is tried again, has steps, or uses tokens."""
        chance = self._chance
        begin = f'echo "$CORTEX_WORKER_ID" >> {self._evidence.ran}'
        work = f"{begin}; sleep {chance.uniform(0.02, 0.9):.2f}"
        task: dict[str, Any] = {"id": f"drill-{number:03d}", "title": f"drill {number}"}
        kind = chance.choice(("plain", "plain", "tokens", "fails", "steps", "children"))
        if kind == "tokens":
            results = json.dumps({"status": "completed", "tokens_used": chance.randrange(400)})
            task |= {"command": f"{work}; echo '{results}' > \"$CORTEX_RESULTS\""}
            task |= {"token_budget": 500}
        elif kind == "fails":
            task |= {"command": f"{work}; exit 3", "retries": 1}
        elif kind == "steps":
            steps = [{"name": "one", "command": work}]
            task |= {"workers": [*steps, {"name": "two", "needs": ["one"], "command": work}]}
        elif kind == "children":
            task |= {"command": f"{begin}; (setsid sleep 300 &) ; sleep 0.1"}
        else:
            task |= {"command": work}
        task["priority"] = chance.choice(("medium", "high", "critical"))
        return task

    def _stir(self) -> None:
        """Drops, edits and kills, mixed up, until all of them are done or time runs short."""
        plan, chance = self._plan, self._chance
        span = min(plan.seconds * 0.4, plan.kills + 2.0)
        deeds: list[tuple[float, Callable[[], bool]]] = []
        for task in self._tasks:
            deeds.append((chance.uniform(0.0, span * 0.8), partial(self._drop, task)))
        for number in range(max(1, plan.tasks // 8)):
            deeds.append((chance.uniform(span * 0.2, span), partial(self._edit, number)))
        self._start()
        began = time.monotonic()
        while deeds or self._evidence.kills < plan.kills:
            now = time.monotonic() - began
            short = now > plan.seconds * _STIRRING
            due = [deed for deed in deeds if short or deed[0] <= now]
            deeds = [deed for deed in deeds if deed not in due]
            # An edit needs something published: it comes again.
            deeds += [(now + _AGAIN_S, deed) for _, deed in due if not deed() and not short]
            if short:
                return
            self._perhaps_kill()
            if not self._scratch.runs:
                self._start()
            self._tell("dropping, editing, killing")
            time.sleep(_TICK_S)

    def _drop(self, task: dict[str, Any]) -> bool:
        self._scratch.drop(task)
        self._evidence.dropped.append(str(task["id"]))
        return True

    def _edit(self, number: int) -> bool:
        """Another title for a task that no edit has touched yet; False if there is none."""
        rows = [str(row["id"]) for row in self._scratch.rows()]
        free = [ident for ident in rows if ident not in self._evidence.edits]
        if not free:
            return False
        ident, title = self._chance.choice(free), f"edited by hand {number}"
        if self._scratch.edit_title(ident, title):
            self._evidence.edits[ident] = title
        return ident in self._evidence.edits

    def _start(self) -> None:
        """Starts the daemon, and chooses when it will be killed: now and then as it starts up."""
        self._scratch.start()
        self._started, self._served = time.monotonic(), None
        self._early = self._chance.random() < _EARLY
        self._lives_s = self._chance.uniform(0.0, 1.2)

    def _perhaps_kill(self) -> None:
        """kill -9 once the daemon has lived as long as was chosen; it may stay away for a while."""
        if self._evidence.kills >= self._plan.kills:
            return
        now = time.monotonic()
        if self._served is None and self._scratch.published():
            self._served = now
        since = self._started if self._early else self._served
        if since is None or now - since < self._lives_s:
            return
        self._scratch.kill()
        self._evidence.kills += 1
        if self._chance.random() < _AWAY:
            time.sleep(self._chance.uniform(0.0, 0.5))
        self._start()

    def _settle(self) -> bool:
        """Waits until everything has ended; whether it did in time."""
        deadline = self._began + self._plan.seconds
        names = set(self._evidence.dropped)

        def over() -> bool:
            if not self._scratch.runs:
                self._start()
            rows = self._scratch.rows()
            ended = {str(row["id"]) for row in rows if row.get("ended_at")}
            self._ended = len(ended & names)
            self._tell("waiting for the rest")
            edits = self._evidence.edits.values()
            waits = set(edits) - {str(row.get("title")) for row in rows}
            # An edit that lies in the file is not taken up before the next daemon has published.
            settled = self._scratch.is_idle() and self._scratch.serves()
            return names <= ended and settled and (not waits or self._refused())

        return self._scratch.until(over, deadline)

    def _refused(self) -> bool:
        """Edits that are not taken up have their time to arrive in rejected/."""
        if self._quiet_since is None:
            self._quiet_since = time.monotonic()
        return time.monotonic() - self._quiet_since > _QUIET_S

    def _too_slow(self) -> Verdict:
        left = len(self._evidence.dropped) - self._ended
        return Verdict(
            "time",
            f"{self._plan.seconds:.0f} s were not enough",
            [f"{left} tasks had not ended (or had not settled) after {self._plan.seconds:.0f} s"],
        )

    def _fill_a_disk(self, report: Report) -> None:
        if not self._plan.full_disk:
            report.not_tried = "left out (--no-full-disk)"
            return
        self._tell("filling a small disk")
        found = try_full_disk(self.folder / "small", 60.0)
        if isinstance(found, str):
            report.not_tried = found
        else:
            report.verdicts.append(found)

    def _tell(self, what: str) -> None:
        self._watch(
            Progress(
                what,
                self._evidence.kills,
                len(self._evidence.dropped),
                self._ended,
                time.monotonic() - self._began,
            )
        )
