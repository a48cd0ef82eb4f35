"""What a daemon says of its own health: the table of conditions, and which of them stand.

Whoever waits for something shows a `Sign` of it at each look, for as long as it waits; a condition
stands when a sign has been there for long enough. Signs come from `control`; nothing is read here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["CONDITIONS", "Change", "Condition", "Health", "Sign", "Standing"]


@dataclass(frozen=True, slots=True)
class Condition:
    """What a condition means. A `degrading` one makes the daemon say `degraded`, others are only
    told. A `patient` one stands once a sign has lasted for `daemon.stuck_after`, others at once.
    """

    degrading: bool
    patient: bool
    meaning: str
    remedy: str


#: The gravest first: the first that stands is the daemon's `cause`.
CONDITIONS = {
    "journal_unwritable": Condition(
        True,
        False,
        "The disk takes no lines of the journal. Nothing new starts; running workers go on.",
        "Make space, or make the file system writable; it is tried again twice a second.",
    ),
    "loop_stalled": Condition(
        True,
        False,
        "One turn of the control loop took longer than `daemon.stall_after`. Its stack is in the "
        "log.",
        "Look at the disk under the journal, and at the stack in the log.",
    ),
    "effect_stuck": Condition(
        True,
        True,
        "Something that was to be done beside the loop does not come back: a disk or network file "
        "system that hangs. Under systemd the watchdog is no longer fed.",
        "Look at the file system that the cause names; then restart cortexd. Workers live on.",
    ),
    "publish_failing": Condition(
        True,
        True,
        "What changed cannot be written into the published files, so that they are old.",
        "Make coordination/ writable, or make space. `cortex events` still tells what happens.",
    ),
    "starts_stuck": Condition(
        True,
        True,
        "A worker that has its tokens and its slot does not start.",
        "Restart cortexd: running workers are adopted, and the start is made anew.",
    ),
    "starts_failing": Condition(
        True,
        False,
        "The machine is short of what a start needs (processes, memory, descriptors, space), or "
        "nothing claims what is started. Until a worker starts again.",
        "Raise the limit that the cause names, or run fewer workers at once. For a start that is "
        "never claimed: restart cortexd; running workers are adopted.",
    ),
    "ends_stuck": Condition(
        True,
        True,
        "A worker that has ended is not collected, or one that was told to end does not.",
        "Look at its process and its folder; a process in uninterruptible sleep waits for a disk.",
    ),
    "drops_stuck": Condition(
        True,
        True,
        "A file lies in the inbox and is not taken up.",
        "Close it in whatever still has it open, or correct what the cause names.",
    ),
    "reserve_asked": Condition(
        False,
        False,
        "Critical work waits for a person's yes before the emergency reserve pays for it.",
        "`cortex get approvals -o wide` shows the price; answer with `cortex approve ID` or "
        "`cortex deny ID`.",
    ),
    "reserve_open": Condition(
        False,
        False,
        "The emergency reserve pays for critical work. Until the last worker that it pays has "
        "ended.",
        "None is needed. `cortex budget` shows who opened it and for what; "
        "`cortex budget --set-total N` gives the pool more.",
    ),
    "upkeep_failing": Condition(
        False,
        False,
        "Checkpoint, archive or clean-up failed. Nothing is lost; it is tried again.",
        "See what the cause says of the disk.",
    ),
    "definitions_unusable": Condition(
        False,
        False,
        "A master, a worker type, a persona or the budget cannot be used as it is written; what "
        "was read before stays in force.",
        "Correct the file; `cortex validate` checks it.",
    ),
    "file_events_missing": Condition(
        False,
        False,
        "The system gives no file events; drops and edits are found by looking each second or two.",
        "Raise fs.inotify.max_user_watches, or keep the home on a local file system.",
    ),
    "clock_jumped": Condition(
        False,
        False,
        "The wall clock was set. Timeouts do not notice; times in the journal never go back.",
        "None is needed. Check what sets the clock, if this comes again.",
    ),
}


@dataclass(frozen=True, slots=True)
class Sign:
    """Something that is amiss now, or merely not done yet. `key` names this one thing and its
    present step, so that progress begins a new patience; `after_s` is patience beside the usual.
    """

    condition: str
    key: str
    cause: str
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Standing:
    """A condition that stands, since when, and why."""

    name: str
    cause: str
    since: str
    since_s: float

    @property
    def condition(self) -> Condition:
        """Its line in the table."""
        return CONDITIONS[self.name]


@dataclass(frozen=True, slots=True)
class Change:
    """A condition that began, or one that ended after so many seconds."""

    standing: Standing
    began: bool
    lasted_s: float = 0.0


class Health:
    """The conditions of one daemon, from look to look."""

    def __init__(self) -> None:
        self._first_seen: dict[tuple[str, str], float] = {}
        self._standing: dict[str, Standing] = {}

    @property
    def standing(self) -> list[Standing]:
        """What stands, the gravest first."""
        return [self._standing[name] for name in CONDITIONS if name in self._standing]

    @property
    def degraded(self) -> Standing | None:
        """The gravest condition that makes the daemon degraded."""
        return next((found for found in self.standing if found.condition.degrading), None)

    def stands(self, name: str) -> bool:
        """Whether this condition stands."""
        return name in self._standing

    def look(
        self, signs: Iterable[Sign], clock_s: float, at: str, patience_s: float
    ) -> list[Change]:
        """Holds what is seen now against what stood; what began and what ended by it.

        `clock_s` is a clock that rests while the daemon does not run, `at` the time for people.
        """
        seen: dict[tuple[str, str], float] = {}
        causes: dict[str, list[str]] = {}
        for sign in signs:
            place = sign.condition, sign.key
            seen[place] = first = self._first_seen.get(place, clock_s)
            wanted = patience_s if CONDITIONS[sign.condition].patient else 0.0
            if clock_s - first >= wanted + sign.after_s:
                causes.setdefault(sign.condition, []).append(sign.cause)
        self._first_seen = seen
        return [*self._end(causes, clock_s), *self._begin(causes, clock_s, at)]

    def _end(self, causes: dict[str, list[str]], clock_s: float) -> list[Change]:
        over = [found for name, found in self._standing.items() if name not in causes]
        for found in over:
            del self._standing[found.name]
        return [Change(found, began=False, lasted_s=clock_s - found.since_s) for found in over]

    def _begin(self, causes: dict[str, list[str]], clock_s: float, at: str) -> list[Change]:
        changes = []
        for name, said in causes.items():
            before = self._standing.get(name)
            cause = said[0] if len(said) == 1 else f"{said[0]}, and {len(said) - 1} more"
            since, since_s = (at, clock_s) if before is None else (before.since, before.since_s)
            self._standing[name] = found = Standing(name, cause, since, since_s)
            if before is None:
                changes.append(Change(found, began=True))
        return changes
