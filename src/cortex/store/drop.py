"""What a dropped file holds: names, formats and the values inside. Touches no disk."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex.model.strict_json import JsonProblem, parse_file

__all__ = [
    "MAX_DROP_BYTES",
    "Drop",
    "Problem",
    "intake_name",
    "is_left_alone",
    "quoted",
    "read_payloads",
    "short_name",
    "split_intake_name",
]

MAX_DROP_BYTES = 4 * 1024 * 1024
_NAME_BYTES = 255
_NUMBER_LENGTH = 10
# What is left of a name when `NUMBER-` stands before it or `.error.json` after it.
_SHORT_NAME_BYTES = _NAME_BYTES - _NUMBER_LENGTH - 1

_IGNORED_ENDINGS = ("~", ".swp", ".swo", ".swx", ".tmp", ".part", ".partial", ".crdownload")
#: Characters at the beginning and at the end of a sentence that quotes what strangers wrote.
_TOLD = 350, 150


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a drop is refused: a sentence, the place if there is one, and what to do next.

    Of an edit parts may be refused, each with its place and both values, and others `taken`.
    """

    reason: str
    line: int | None = None
    field: str | None = None
    hint: str | None = None
    refused: tuple[dict[str, Any], ...] = ()
    taken: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("reason", "field", "hint"):
            text = getattr(self, name)
            if text is not None:
                object.__setattr__(self, name, _told(text))


@dataclass(frozen=True, slots=True)
class Drop:
    """One claimed file. Either `payloads` or `problem` is set.

    `receipt` is unique and fit for the journal: the intake name, with what is not printable
    escaped. `lines` has the line (from 1) on which each payload begins. `sha256` is empty where
    the content was not read.
    """

    number: int
    name: str
    receipt: str
    intake_path: Path
    payloads: tuple[dict[str, Any], ...] | None
    lines: tuple[int, ...]
    problem: Problem | None
    sha256: str
    size: int


def is_left_alone(name: str) -> bool:
    """Names of editors and copy tools that are not finished with a file."""
    # `#` is Emacs' #autosave#. The empty 4913 with which vim probes a folder is gone long before
    # an empty file is refused.
    return name[0] in ".#" or name.endswith(_IGNORED_ENDINGS)


def quoted(name: str) -> str:
    """The name as text that any terminal and any JSON reader can take."""
    if name.isprintable():
        return name
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in name
    )


def _told(text: str) -> str:
    """The text as journal, log and error file may have it: printable, and cut in its middle."""
    start, end = _TOLD
    if len(text) > start + end:
        text = f"{text[:start]}…{text[-end:]}"
    return quoted(text)


def short_name(name: str, limit: int = _SHORT_NAME_BYTES) -> str:
    """The name cut to `limit` bytes in its middle, so that its ending still tells the format."""
    raw = name.encode("utf-8", "surrogateescape")
    if len(raw) <= limit:
        return name
    dot = name.rfind(".")
    ending = name[dot:] if dot > 0 and len(name) - dot <= 12 else ""
    stem = raw[: limit - len(ending.encode("utf-8", "surrogateescape"))]
    while stem and stem[-1] & 0xC0 == 0x80:
        stem = stem[:-1]
    if stem and stem[-1] >= 0xC0:
        stem = stem[:-1]
    return stem.decode("utf-8", "surrogateescape") + ending


def intake_name(number: int, name: str) -> str:
    """`NUMBER-NAME`: sorts by number, and never longer than a name may be."""
    return f"{number:0{_NUMBER_LENGTH}d}-{short_name(name)}"


def split_intake_name(name: str) -> tuple[int, str] | None:
    """Number and name of an intake file; None if it is not one of ours."""
    number, dash, rest = name[:_NUMBER_LENGTH], name[_NUMBER_LENGTH : _NUMBER_LENGTH + 1], name[11:]
    if dash != "-" or not rest or not (number.isascii() and number.isdigit()):
        return None
    return int(number), rest


def read_payloads(
    name: str, data: bytes
) -> tuple[tuple[dict[str, Any], ...], tuple[int, ...]] | Problem:
    """The objects in the file's bytes with their lines, by the name's ending; or the problem."""
    try:
        values = [
            (line or 1, value) for line, value in parse_file(name, data, max_bytes=MAX_DROP_BYTES)
        ]
    except JsonProblem as problem:
        return Problem(problem.message, problem.line, problem.field, _hint(problem))
    for line, value in values:
        if not isinstance(value, dict):
            return Problem(
                f"a {_kind(value)} stands where an object belongs",
                line,
                hint='write one object like {"title": "…"}; in a .jsonl file one on each line',
            )
    payloads = tuple(value for _, value in values if isinstance(value, dict))
    return payloads, tuple(line for line, _ in values)


def content_hash(data: bytes) -> str:
    """SHA-256 of the file's bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def _hint(problem: JsonProblem) -> str:
    if "UTF-8" in problem.message:
        return "convert the file (iconv -t UTF-8) and drop it again"
    return "correct the file and drop it again"


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "truth value"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "list"
