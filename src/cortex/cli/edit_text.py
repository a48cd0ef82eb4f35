"""The text that `cortex edit` shows: what may be changed as YAML or JSON, the rest as comments.

Also back: which fields of a text that somebody wrote are changed. Editors and drops are not here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cortex.model.errors import CortexError
from cortex.model.owners import ANSWER_OWNERS, schedule_owner, task_owner

if TYPE_CHECKING:
    from cortex.home import Home

__all__ = ["Subject", "body_of", "find_subject", "read_text", "text_of"]

Row = dict[str, Any]
_STATUS = {
    "tasks": "cancelled ends it, pending runs a failed or cancelled one again, paused holds it",
    "handoffs": "accepted or rejected; a reason may stand beside it",
    "escalations": "closed when it is settled; a comment may stand beside it",
    "approvals": "approved or denied; a comment may stand beside it",
}
_ABOUT = {
    "tasks": "type, scope, execution_mode, command, runtime, token_budget and timeout change until "
    "a worker of it has started.\nFields of your own may be added; a line that is taken out is "
    "taken out of the task.",
    "budget": "The difference goes to the worker pool; down as far as tokens are not committed.",
}
#: Offered for a task although its row leaves them out while they say nothing.
_OFFERED = ("title", "priority", "status", "type", "scope", "execution_mode", "deadline",
            "retries", "hold")  # fmt: skip


class NotReadableError(CortexError):
    """The text is no object that could be a row."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One row of a published file: what may be changed of it, and the rest."""

    ident: str
    file: str
    journal_seq: int
    list_name: str
    key: str
    editable: Row
    shown: Row

    def as_of_now(self, home: Home) -> Subject:
        """The same text against the newest version: whoever saves it again has seen the reason."""
        found = find_subject(home, self.ident)
        return self if found is None else replace(self, journal_seq=found.journal_seq)

    def request(self, changes: Row) -> Row:
        """The drop that asks for these changes."""
        head = {"kind": "edit", "file": self.file, "journal_seq": self.journal_seq}
        if self.list_name == "budget":
            return head | changes
        return head | {self.list_name: [{self.key: self.ident, **changes}]}


def find_subject(home: Home, ident: str) -> Subject | None:
    """The row of that id in the published files, with the version it stands in."""
    if ident == "budget":
        document = home.budget()
        if "total_budget" not in document:
            return None
        own = {"total_budget": document["total_budget"]}
        rest = {k: v for k, v in document.items() if k not in own}
        return Subject("budget", "token-budget.json", _seq(document), "budget", "", own, rest)
    for file, document in (
        ("task-queue.json", home.queue()),
        ("handoffs.json", home.transfers()),
        ("schedules.json", {**_schedules(home)}),
    ):
        for name, key in _KEYS[file]:
            for row in document.get(name) or ():
                if isinstance(row, dict) and row.get(key) == ident:
                    return _subject(file, _seq(document), name, key, row)
    return None


_KEYS = {
    "task-queue.json": (("tasks", "id"),),
    "handoffs.json": (
        ("handoffs", "handoff_id"),
        ("escalations", "escalation_id"),
        ("approvals", "approval_id"),
    ),
    "schedules.json": (("scheduled_workers", "id"),),
}


def _schedules(home: Home) -> Row:
    from cortex.home.documents import read_document

    return read_document(home.paths.schedules) or {}


def _seq(document: Row) -> int:
    seq = document.get("journal_seq")
    return seq if isinstance(seq, int) else 0


def _subject(file: str, seq: int, name: str, key: str, row: Row) -> Subject:
    editable = {k: v for k, v in row.items() if _is_editable(name, k)}
    if name == "tasks":
        offered = {k: row.get(k, _BLANK.get(k)) for k in _OFFERED}
        editable = offered | editable
    elif name != "scheduled_workers":
        editable.setdefault("reason" if name == "handoffs" else "comment", None)
    shown = {k: v for k, v in row.items() if k not in editable}
    return Subject(str(row[key]), file, seq, name, key, editable, shown)


_BLANK: Row = {"hold": False}


def _is_editable(name: str, field: str) -> bool:
    if name == "tasks":
        return task_owner(field) in ("person", "before start", "verb")
    if name == "scheduled_workers":
        return schedule_owner(field) == "person"
    return ANSWER_OWNERS[name].get(field) == "verb" and not (
        name == "escalations" and field == "reason"
    )


# --- to text


def text_of(
    subject: Subject, is_json: bool, problem: str | None = None, written: bytes | None = None
) -> str:
    """The text to open: first what went wrong, then what somebody wrote, or the row."""
    if written is not None:
        body = body_of(written)
    elif is_json:
        body = json.dumps(subject.editable, indent=2, ensure_ascii=False) + "\n"
    else:
        body = _yaml(subject.editable)
    return _comment(_head(subject, problem)) + body


def _head(subject: Subject, problem: str | None) -> str:
    lines = []
    if problem is not None:
        lines += ["It was not taken up:", *(f"  {line}" for line in problem.splitlines())]
        lines += ["Correct it and save; leave it as it is to give up.", ""]
    lines.append(f"{subject.ident} of {subject.file}. Change what stands below these comments,")
    lines.append("save and leave. Unchanged or empty: nothing is done. Lines with # say nothing.")
    if subject.list_name in _STATUS:
        lines += ["", f"status: {_STATUS[subject.list_name]}"]
    lines += _ABOUT.get(subject.list_name, "").splitlines()
    if subject.shown:
        lines += ["", "Only to be read:"]
        lines += [f"  {line}" for line in _yaml(subject.shown).splitlines()]
    return "\n".join(lines)


def _comment(text: str) -> str:
    return "".join(f"# {line}".rstrip() + "\n" for line in text.splitlines())


def _yaml(value: Row) -> str:
    import yaml

    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100))


def body_of(written: bytes) -> str:
    """The text below the comments that it begins with."""
    lines = written.decode("utf-8", "replace").splitlines(keepends=True)
    while lines and lines[0].startswith("#"):
        del lines[0]
    return "".join(lines)


# --- and back


def read_text(subject: Subject, written: bytes, is_json: bool) -> Row:
    """The fields that are changed, as a row; a line that was taken out is null. Empty: none is.

    Raises NotReadableError with the line for what is no object.
    """
    from cortex.model.strict_json import JsonProblem, parse, parse_yaml

    text = body_of(written)
    if not text.strip():
        return {}
    skipped = written.decode("utf-8", "replace").count("\n") - text.count("\n")
    try:
        value = (parse if is_json else parse_yaml)(text.encode())
    except JsonProblem as problem:
        line = f"line {problem.line + skipped}: " if problem.line else ""
        raise NotReadableError(f"{line}{problem.message}") from None
    if not isinstance(value, dict):
        raise NotReadableError("the text is no object: one `name: value` a line belongs here")
    changes = {k: v for k, v in value.items() if k not in subject.editable}
    changes |= {k: v for k, v in value.items() if v != subject.editable.get(k)}
    for name, old in subject.editable.items():
        if name not in value and old not in (None, False, "", [], {}):
            changes[name] = None
    return {k: v for k, v in changes.items() if not (v is None and subject.editable.get(k) is None)}
