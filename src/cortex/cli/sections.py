"""The parts of what `describe` prints: fields, plan, workers, files, events."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex.cli.ages import age, ago
from cortex.cli.consent import offered_steps, price
from cortex.cli.events import print_line
from cortex.cli.kinds import worker_time, worker_tokens
from cortex.cli.table import Column, Row, Table, status_colour
from cortex.cli.terminal import clean, colours, one_line, paint
from cortex.cli.why import print_hint, print_wait
from cortex.home.planned import planned_by, proposed_steps

if TYPE_CHECKING:
    from cortex.home import Home
    from cortex.home.causes import Explanation

__all__ = ["anything", "approval", "events", "handoff", "task", "worker", "workers_of"]

_RECENT = 10
_MOST_FILES = 25


def _head(text: str) -> None:
    print(f"\n{paint(text, 'bold', on=colours())}")


def _fields(pairs: Iterable[tuple[str, object]]) -> None:
    for name, value in pairs:
        if value not in (None, "", [], {}):
            print(f"  {name:<11} {one_line(_text(value))}")


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    return str(value)


def _scope(value: object) -> object:
    """A scope whose parts are told by their names and what they need."""
    if not isinstance(value, dict) or not isinstance(value.get("parts"), list):
        return value
    return {**value, "parts": ", ".join(_part(part) for part in value["parts"])}


def _part(part: object) -> str:
    if not isinstance(part, dict):
        return str(part)
    needs = " and ".join(map(str, part.get("needs") or ()))
    return f"{part.get('name')} (after {needs})" if needs else str(part.get("name"))


def _status(row: Row, explanation: Explanation) -> None:
    status = str(row.get("status"))
    text = paint(status, *status_colour(status), on=colours())
    also = [word for word in ("partial", "hold") if row.get(word)]
    if explanation.subject.archived:
        also.append("archived")
    print(f"  {'status':<12}{text}{' (' + ', '.join(also) + ')' if also else ''}")
    print_wait(explanation)


def _command(value: object) -> str | None:
    if isinstance(value, list):
        import shlex

        return shlex.join(map(str, value))
    return None if value is None else str(value)


def task(home: Home, row: Row, explanation: Explanation) -> None:
    """A task: what it is, its plan, its attempts, what it found and where that lies."""
    _status(row, explanation)
    _fields(
        [
            ("reason", row.get("reason")),
            ("summary", row.get("summary")),
            ("type", row.get("type")),
            ("priority", row.get("priority")),
            ("master", row.get("assigned_to")),
            ("mode", row.get("execution_mode")),
            ("planned by", planned_by(row)),
            ("command", _command(row.get("command"))),
            ("items", row.get("items") and f"{row['items']}, the command for each of them"),
            ("scope", _scope(row.get("scope"))),
            ("deadline", row.get("deadline")),
            ("needs", row.get("needs")),
            ("key", row.get("key")),
            ("source", row.get("source")),
            ("created", ago(row.get("created_at")) if row.get("created_at") else None),
            ("ended", ago(row.get("ended_at")) if row.get("ended_at") else None),
            ("took", _took(row)),
            ("tokens", _tokens(row)),
            ("findings", _counts(row.get("findings"))),
            ("came from", row.get("caused_by") or row.get("parent")),
            ("led to", row.get("follow_ups")),
            ("handoff", row.get("handoff_id")),
        ]
    )
    print_hint(row)
    _unknown(row)
    workers = workers_of(home, row)
    steps = [_tried(step, workers) for step in row.get("steps") or [] if isinstance(step, dict)]
    if steps:
        _head("Plan")
        _table(_STEP_COLUMNS, steps)
    proposed = proposed_steps(row)
    if proposed:
        _head("Plan, not begun")
        _table(_PROPOSED_COLUMNS, proposed)
    known = [one.get("told") for one in row.get("known") or [] if isinstance(one, dict)]
    if known:
        _head("Found again, and not filed again")
        for told in known:
            print(f"  {one_line(told)}")
    for asked in home.approvals():
        if asked.get("task_id") == row.get("id") and asked.get("status") == "pending":
            _offer(asked, f"A yes to {one_line(asked.get('approval_id'))} starts")
            _to_review(asked)
    if workers:
        _head("Workers")
        _table(_WORKER_COLUMNS, workers)
    _delivered(home, workers)
    if any(one.get("branches") for one in workers):
        print(f"  `cortex fetch {one_line(row.get('id'))}` takes the branches into a repository")
    _files(home, row.get("result_location"), [one.get("result_location") for one in workers])


def approval(_home: Home, row: Row, explanation: Explanation) -> None:
    """A question to a person: what about, at what price, and the plan that a yes starts."""
    _status(row, explanation)
    _fields(
        [
            ("task", row.get("task_id")),
            ("step", row.get("step")),
            ("gate", row.get("gate")),
            ("reason", row.get("reason")),
            ("price", price(row)),
            ("comment", row.get("comment")),
            ("created", ago(row.get("created_at")) if row.get("created_at") else None),
            ("answered", row.get("answered_at")),
        ]
    )
    _offer(row, "A yes starts")
    _to_review(row)


def _to_review(row: Row) -> None:
    """What the workers made that a person is to review."""
    made = row.get("to_review")
    if not isinstance(made, dict):
        return
    _head("To review")
    branches = made.get("branches") or []
    _fields([("findings", made.get("findings") or "none"), ("branches", branches)])
    _table(_REVIEWED_COLUMNS, [step for step in made.get("steps") or [] if isinstance(step, dict)])
    if branches:
        names = " ".join(one_line(name) for name in branches[:3])
        print(f"  `cortex fetch {names}` takes what it came to into a repository")


def _offer(row: Row, head: str) -> None:
    """The plan that waits for a yes, and what it may cost."""
    steps = offered_steps(row)
    if not steps:
        return
    _head(f"{head} {price(row)}")
    _table(_OFFERED_COLUMNS, steps)
    left = row["would_start"].get("workers", 0) - len(steps)
    if left > 0:
        print(f"  … {left} more")


def _delivered(home: Home, workers: list[Row]) -> None:
    """Branches and pull requests of accepted workers; their files are listed with all others."""
    from cortex.home.delivered import delivered_by

    rows = [
        {"step": one.step, "what": what}
        for one in delivered_by(home, workers)
        for what in (*one.said, *([one.url] if one.url else []))
    ]
    if rows:
        _head("Delivered")
        width = max(len(one_line(row["step"])) for row in rows)
        for row in rows:
            print(f"  {one_line(row['step']):<{width}}  {one_line(row['what'])}")


def _tried(step: Row, workers: list[Row]) -> Row:
    """A step with its last worker, which a failed one's row no longer names, and its attempts."""
    made = [one for one in workers if one.get("step") == step.get("name")]
    if not made:
        return step
    last = {"worker_id": made[-1].get("worker_id"), "attempt": made[-1].get("attempt")}
    return {**last, **step, "attempt": max(last["attempt"] or 1, step.get("attempt") or 1)}


def _unknown(row: Row) -> None:
    """Fields that came with the task and mean nothing here: perhaps slips of the pen."""
    from cortex.model.owners import TASK_OWNERS

    strange = {name: value for name, value in row.items() if name not in TASK_OWNERS}
    if strange:
        _head("Fields that mean nothing here")
        _fields((f"{name} ", value) for name, value in strange.items())


def _tokens(row: Row) -> str:
    """The bill, beside what was quoted and what the workers may take at most."""
    plan, quote = row.get("worker_plan") or {}, row.get("quote") or {}
    used = f"{row.get('tokens_used', 0):,} used"
    if not quote.get("p90"):
        return f"{used} of {plan.get('estimated_tokens', 0):,}"
    return f"{used}; quoted {quote['p50']:,} to {quote['p90']:,}, at most {quote['budget']:,}"


def _counts(found: object) -> object:
    if isinstance(found, dict):
        return ", ".join(f"{count} {severity}" for severity, count in found.items() if count)
    return found


def _took(row: Row) -> str | None:
    return age(row.get("started_at"), row["ended_at"]) if row.get("ended_at") else None


def worker(home: Home, row: Row, explanation: Explanation) -> None:
    """A worker: its attempt, its tokens, its end and its folder."""
    _status(row, explanation)
    beat = row.get("last_heartbeat")
    _fields(
        [
            ("reason", row.get("error")),
            ("summary", row.get("summary")),
            ("type", row.get("worker_type")),
            ("task", row.get("task_id")),
            ("step", row.get("step")),
            ("attempt", row.get("attempt")),
            ("retry of", row.get("retry_of")),
            ("spawned by", row.get("spawned_by") or row.get("master_agent")),
            ("repository", row.get("repository")),
            ("runtime", row.get("runtime")),
            ("tokens", f"{worker_tokens(row)} {row.get('fund', '')} {row.get('metering', '')}"),
            ("progress", _progress(row)),
            ("started", ago(row.get("spawned_at")) if row.get("spawned_at") else None),
            ("time", worker_time(row)),
            ("ends by", row.get("timeout_at")),
            ("heartbeat", ago(beat) if beat else None),
            ("phase", row.get("phase")),
            ("exit code", row.get("exit_code")),
            ("signal", row.get("exit_signal")),
            ("review", row.get("review")),
            ("findings", row.get("findings")),
        ]
    )
    _files(home, row.get("result_location"), [])


def _progress(row: Row) -> str | None:
    if not isinstance(row.get("progress"), int | float):
        return row.get("message")
    return f"{row['progress']:.0%} {row.get('message') or ''}"


def handoff(home: Home, row: Row, explanation: Explanation) -> None:
    """A handoff: from whom to whom, what for, and the receiver's tasks."""
    _status(row, explanation)
    context = row.get("context") if isinstance(row.get("context"), dict) else {}
    _fields(
        [
            ("from", row.get("from_agent")),
            ("to", row.get("to_agent")),
            ("task", row.get("task_id")),
            ("out of", row.get("source_task")),
            ("created", ago(row.get("created_at"))),
            ("accepted", row.get("accepted_at")),
            ("ended", row.get("ended_at")),
            ("reason", row.get("reason")),
            ("summary", (context or {}).get("summary")),
        ]
    )
    issues = (context or {}).get("priority_issues")
    if isinstance(issues, list) and issues:
        _head("Priority issues")
        for issue in issues[:15]:
            print(f"  {one_line(_text(issue) if not isinstance(issue, dict) else _issue(issue))}")
    led_to = [one for one in home.tasks() if one.get("handoff_id") == row.get("handoff_id")]
    if led_to:
        _head("Tasks")
        kind_columns = [Column("ID", lambda one: one.get("id")), _STATUS, _TITLE]
        _table(kind_columns, led_to)


def _issue(issue: dict[str, Any]) -> str:
    names = ("severity", "title", "message", "repository", "file", "line")
    words = [issue.get(name) for name in names]
    told = " ".join(str(word) for word in words if word is not None)
    return told or json.dumps(issue)


def anything(_home: Home, row: Row, explanation: Explanation) -> None:
    """The fields of a row that has no form of its own."""
    _status(row, explanation)
    told = {name: value for name, value in row.items() if name != "status" and name[-3:] != "_id"}
    told = {name: value for name, value in told.items() if value is not False}
    _fields((name.removesuffix("_at"), value) for name, value in told.items())
    _fields([("task", row.get("task_id"))])


def workers_of(home: Home, row: Row) -> list[Row]:
    """The rows of a task's workers, oldest first, archived ones too."""
    published = {str(one.get("worker_id")): one for one in home.workers()}
    rows = []
    for ident in map(str, row.get("workers") or ()):
        found = published.get(ident) or home.worker(ident)
        if found is not None:
            rows.append(found)
    return rows


def _files(home: Home, location: object, folders: Iterable[object]) -> None:
    """What lies in a result folder that a person would look at, and the folders of workers."""
    names: list[str] = []
    for path in _inside(home, location).rglob("*") if location else ():
        if path.is_file() and not path.name.startswith("."):
            names.append(str(path.relative_to(home.root)))
    names.sort()
    names += [f"{folder}/" for folder in folders if folder and _inside(home, folder).is_dir()]
    if names:
        _head("Files")
        for name in names[:_MOST_FILES]:
            print(clean(f"  {name}"))
        if len(names) > _MOST_FILES:
            print(f"  … {len(names) - _MOST_FILES} more")


def _inside(home: Home, location: object) -> Path:
    """The folder of a published location, which never lies outside of the home."""
    parts = Path(str(location)).parts
    return home.paths.logs / "none" if ".." in parts else home.root.joinpath(*parts)


def events(explanation: Explanation) -> None:
    """The last lines of the journal that concern the subject."""
    lines = [*explanation.chain, *explanation.history][-_RECENT:]
    if lines:
        _head("Events")
        for line in lines:
            print_line(line, "  ")


def _table(columns: Iterable[Column], rows: list[Row]) -> None:
    table = Table(list(columns), rows, "  ")
    print(table.head())
    for row in rows:
        print(table.line(row))


_STATUS = Column(
    "STATUS", lambda row: row.get("status"), colour=lambda row: status_colour(row.get("status"))
)
_TITLE = Column("TITLE", lambda row: row.get("title"))
_STEP_COLUMNS = (
    Column("STEP", lambda row: row.get("name")),
    _STATUS,
    Column("TYPE", lambda row: row.get("worker_type")),
    Column("WORKER", lambda row: row.get("worker_id")),
    Column("TRY", lambda row: row.get("attempt"), right=True),
    Column("NEEDS", lambda row: _text(row.get("needs") or "")),
    Column("REASON", lambda row: row.get("reason")),
)
_OFFERED_COLUMNS = (
    Column("STEP", lambda row: row.get("name")),
    Column("TYPE", lambda row: row.get("worker_type")),
    Column("NEEDS", lambda row: _text(row.get("needs") or "")),
    Column("REPOSITORY", lambda row: row.get("repository")),
)
_REVIEWED_COLUMNS = (
    Column("STEP", lambda row: row.get("name")),
    Column("VERDICT", lambda row: row.get("verdict")),
    Column("FINDINGS", lambda row: row.get("findings"), right=True),
    Column("FOLDER", lambda row: row.get("result_location")),
    Column("SUMMARY", lambda row: row.get("summary")),
)
_PROPOSED_COLUMNS = (
    Column("STEP", lambda row: row.get("name")),
    Column("TYPE", lambda row: row.get("worker_type")),
    Column("NEEDS", lambda row: _text(row.get("needs") or "")),
    Column("SCOPE", lambda row: _text(row.get("scope") or "")),
)
_WORKER_COLUMNS = (
    Column("WORKER", lambda row: row.get("worker_id")),
    _STATUS,
    Column("STEP", lambda row: row.get("step")),
    Column("TOKENS", worker_tokens, right=True),
    Column("TIME", worker_time, right=True),
    Column(
        "NOTE",
        lambda row: next(
            (row[name] for name in ("error", "message", "waiting_for", "summary") if row.get(name)),
            None,
        ),
    ),
)
