"""What helps a task that lacks means: what can be provided in this version, and what else can be
done where nothing can.

Told by the daemon's own words for what is missing; which steps the task brought, by its journal.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cortex.home.freeing import larger_fund
from cortex.home.waiting import has_ended
from cortex.model.ids import worker_type_name

if TYPE_CHECKING:
    from cortex.home.client import Home
    from cortex.home.documents import Row
    from cortex.model.journal_line import Line

__all__ = ["asks_too_much", "blocked_ways"]

_NAMED = 3
_GOES_ON = "; it goes on by itself then"
_NO_FILE = re.compile(r"worker type (\S+) has no file")
_NO_MASTER = re.compile(r"its master (\S+) has no file")
_SWITCHED_OFF = re.compile(r"is switched off: (\S+) in cortex\.toml")
_NO_ROUTE = re.compile(r"no master takes tasks of type")
_LACKS = re.compile(r"step \S+ lacks ")
_TOO_MUCH = re.compile(
    r"needs ([\d,]+) tokens for one worker; (?:the worker pool is|(\S+) has) ([\d,]+) "
)
_NO_COMMAND = re.compile(r"is to run a command, and names none")
#: No model can be asked in this version, and so nothing can be configured that would think.
_NO_MODEL = re.compile(r"runtime 'agent' is not configured|needs thought")
_OTHER_RUNTIME = re.compile(r"runtime \S+ is not configured|has no tools runtime")


def asks_too_much(reason: str) -> bool:
    """Whether a task waits because a worker of it asks for more than a budget ever has."""
    return _TOO_MUCH.search(reason) is not None


def blocked_ways(home: Home, task: Row, reason: str, history: list[Line]) -> tuple[str, ...]:
    """What would free a blocked task, the best first; an end to waiting is the last."""
    ident = str(task.get("id"))
    ways = _of_children(home, task) or [
        *_planned_again(task),
        *_provided(home, ident, reason),
        *(
            _dropped_again(reason)
            if _brought_steps(ident, history)
            else _edited(home, task, reason)
        ),
    ]
    return (*ways, f"or an end to waiting: `cortex cancel {ident}`")


def _planned_again(task: Row) -> list[str]:
    """A task whose planning was given up is planned again once what it asks for is changed."""
    planning = task.get("planning")
    if not isinstance(planning, dict) or planning.get("status") != "given up" or task.get("steps"):
        return []
    edit = f"`cortex edit {task.get('id')}`"
    return [f"{edit}: another `scope`, and a {planning.get('by')} is asked for a plan again"]


def _of_children(home: Home, task: Row) -> list[str]:
    """A task with children goes on when they do: each says for itself what it lacks."""
    names = [str(child) for child in task.get("children") or ()]
    left = [name for name in names if not has_ended(str((home.task(name) or {}).get("status")))]
    ways = [f"the end of {name}: `cortex why {name}`" for name in left[:_NAMED]]
    if len(left) > _NAMED:
        ways.append(f"and of {len(left) - _NAMED} more: `cortex get tasks --task {task['id']}`")
    return ways


def _provided(home: Home, ident: str, reason: str) -> list[str]:
    """What somebody could put there."""
    if found := _TOO_MUCH.search(reason):
        tokens, size = (int(found[number].replace(",", "")) for number in (1, 3))
        fund = f"master:{found[2]}" if found[2] else "pool"
        return [larger_fund(home, fund, size, tokens - size)]
    if found := _NO_FILE.search(reason):
        return [f"a file for it, agents/prompts/workers/{found[1]}.md{_GOES_ON}"]
    if found := _NO_MASTER.search(reason):
        return [f"its master's file, agents/masters/{found[1]}.md{_GOES_ON}"]
    if found := _SWITCHED_OFF.search(reason):
        return [f"`{found[1]} = true` in cortex.toml, and a restart of cortexd"]
    if _NO_ROUTE.search(reason):
        return [f"a route for its type in a file of agents/masters/{_GOES_ON}"]
    if _LACKS.search(reason):
        return [f"what it lacks, and then `cortex retry {ident}`"]
    known = (_NO_MODEL, _OTHER_RUNTIME, _NO_COMMAND)
    return (
        [] if any(one.search(reason) for one in known) else [f"configuring what it names{_GOES_ON}"]
    )


def _edited(home: Home, task: Row, reason: str) -> list[str]:
    """What another field of the task would change."""
    edit = f"`cortex edit {task.get('id')}`"
    if _NO_COMMAND.search(reason):
        return [f"{edit}: the `command` that it is to run"]
    if found := _TOO_MUCH.search(reason):
        where = "or of its plan's step or worker type where these say one"
        return [f"{edit}: a `token_budget` of {found[3]} or less, {where}"]
    if not (_NO_MODEL.search(reason) or _OTHER_RUNTIME.search(reason)):
        return [f"{edit}, if it asks for the wrong thing"]
    ways = []
    if task.get("runtime") not in (None, "auto") and task.get("command") is not None:
        ways.append(f"{edit}: another `runtime`, such as auto")
    if task.get("command") is None and _has_tools(home, str(task.get("type"))):
        what = "and in `scope` what its program is to do and what proves it"
        ways.append(f"{edit}: `runtime: tools`, {what} (docs/worker-types.md)")
    return [*ways, f"{edit}: a `command` that does it"]


def _dropped_again(reason: str) -> list[str]:
    """Steps that a task brought are not edited: what was dropped is dropped anew."""
    if _NO_FILE.search(reason):
        return ["or dropping it again with a worker type that is there"]
    if _LACKS.search(reason):
        return []
    if found := _TOO_MUCH.search(reason):
        return [f"or dropping it again with a `token_budget` of {found[3]} or less"]
    return ["dropping it again with steps that run a `command`, or whose type has a tools program"]


def _brought_steps(ident: str, history: list[Line]) -> bool:
    for line in history:
        for event in line.events:
            record = event.get("task")
            if isinstance(record, dict) and record.get("id") == ident:
                return bool(record.get("plan"))
    return False


def _has_tools(home: Home, task_type: str) -> bool:
    """Whether the worker type that is named like the task has a program of the tools runtime."""
    from cortex.model.definitions import read_worker_type
    from cortex.model.errors import CortexError

    path = home.paths.prompts / f"{worker_type_name(task_type)}.md"
    try:
        return bool(read_worker_type(path.read_text(encoding="utf-8"), path).tools_runtime)
    except (OSError, ValueError, CortexError):
        return False
