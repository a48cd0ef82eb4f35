"""Reads what a worker left behind: results.json, its deliverables, its heartbeat.

All of it is a stranger's: links are not followed, nothing blocks, sizes are bounded, and every
refusal is a sentence with file and field. What the results mean is for `decide.review`.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cortex.model.strict_json import JsonProblem, parse
from cortex.runtime.executor import ExitRecord

__all__ = ["Collected", "Heartbeat", "collect", "read_heartbeat"]

RESULTS_BYTES_AT_MOST = 8 * 1024 * 1024
HEARTBEAT_BYTES_AT_MOST = 64 * 1024
_PROBLEMS_AT_MOST = 20
_STATUSES = ("completed", "failed", "partial")
_LISTS_OF_TEXT = ("artifacts", "files_modified")
_LISTS_OF_OBJECTS = ("findings", "follow_ups")
_COUNTS = ("tokens_used", "turn_count")
_TEXTS = ("summary", "error")
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Collected:
    """What was found of one attempt.

    `results` is None where there is no results.json, and where it was refused; `problems` then
    says why, in sentences that name file and field. `deliverables` are the declared names that
    exist as non-empty regular files in artifacts/, `missing_deliverables` the others.
    """

    results: dict[str, Any] | None
    problems: tuple[str, ...]
    deliverables: tuple[str, ...]
    missing_deliverables: tuple[str, ...]


class Heartbeat(NamedTuple):
    """`mtime_ns` only tells whether it changed; its date may be anything. 0: none to be read.

    `document` is what the worker wrote, None where it only touched the file or wrote no object.
    """

    mtime_ns: int
    document: dict[str, Any] | None


def collect(
    worker_dir: str | Path,
    record: ExitRecord | None,
    deliverables: Sequence[str] = (),
    *,
    max_bytes: int = RESULTS_BYTES_AT_MOST,
) -> Collected:
    """Read an ended worker's folder. Never raises for what a worker can do; never blocks on it.

    Reads at most `max_bytes`: for an effect thread. With a record, results that were exchanged
    or removed after the worker's end are refused by their hash.
    """
    folder = Path(worker_dir)
    problems: list[str] = []
    results = _read_results(folder / "results.json", record, max_bytes, problems)
    present = [name for name in deliverables if _is_delivered(folder, name)]
    return Collected(
        results=None if problems else results,
        problems=tuple(problems[:_PROBLEMS_AT_MOST]),
        deliverables=tuple(present),
        missing_deliverables=tuple(name for name in deliverables if name not in present),
    )


def read_heartbeat(path: str | Path) -> Heartbeat:
    """The heartbeat file as it is now; whatever is no regular file of up to 64 kB is none."""
    try:
        mtime_ns, data = _read_regular(Path(path), HEARTBEAT_BYTES_AT_MOST)
    except (OSError, _RefusedError):
        return Heartbeat(0, None)
    if not data.strip():
        return Heartbeat(mtime_ns, None)
    try:
        document = parse(data)
    except JsonProblem:
        return Heartbeat(mtime_ns, None)  # half-written, perhaps; a sign of life all the same
    return Heartbeat(mtime_ns, document if isinstance(document, dict) else None)


class _RefusedError(Exception):
    """Why a file is not read, as the end of a sentence that starts with its name."""


def _read_regular(path: Path, max_bytes: int) -> tuple[int, bytes]:
    """(mtime_ns, content) of a regular file; raises OSError or _RefusedError."""
    descriptor = os.open(path, _OPEN_FLAGS)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _RefusedError("is no regular file; write it as one")
        if status.st_size > max_bytes:
            raise _RefusedError(f"has {status.st_size} bytes; at most {max_bytes} are read")
        pieces = []
        left = max_bytes
        while left > 0 and (piece := os.read(descriptor, min(left, 1 << 20))):
            pieces.append(piece)
            left -= len(piece)
        return status.st_mtime_ns, b"".join(pieces)
    finally:
        os.close(descriptor)


def _read_results(
    path: Path, record: ExitRecord | None, max_bytes: int, problems: list[str]
) -> dict[str, Any] | None:
    sealed = record.results if record is not None else None
    try:
        _, data = _read_regular(path, max_bytes)
    except FileNotFoundError:
        if sealed is not None:
            problems.append("results.json was there at the worker's end, and is gone now")
        return None
    except _RefusedError as refusal:
        problems.append(f"results.json {refusal}")
        return None
    except OSError as problem:
        link = path.is_symlink()
        why = "is a link; write a regular file" if link else f"cannot be read: {problem.strerror}"
        problems.append(f"results.json {why}")
        return None
    if sealed is not None and _was_exchanged(sealed, data):
        problems.append("results.json was changed after its worker ended")
        return None
    return _parse_results(data, max_bytes, problems)


def _was_exchanged(sealed: dict[str, Any], data: bytes) -> bool:
    expected = sealed.get("sha256")
    return expected is not None and hashlib.sha256(data).hexdigest() != expected


def _parse_results(data: bytes, max_bytes: int, problems: list[str]) -> dict[str, Any] | None:
    try:
        document = parse(data, max_bytes=max_bytes)
    except JsonProblem as problem:
        problems.append(f"results.json: {problem}")
        return None
    if not isinstance(document, dict):
        problems.append("results.json holds no JSON object; write one with status and summary")
        return None
    problems += [f"results.json: {sentence}" for sentence in _wrong_fields(document)]
    return document


def _wrong_fields(document: dict[str, Any]) -> Iterable[str]:
    """One sentence for each field that is not what the contract (spec section C) says."""
    status = document.get("status")
    if status not in _STATUSES:
        yield f"status is {_shown(status)}; write one of {', '.join(_STATUSES)}"
    for name in _TEXTS:
        value = document.get(name)
        if value is not None and not isinstance(value, str):
            yield f"{name} is {_shown(value)}; write a text"
    for name in _COUNTS:
        value = document.get(name)
        if value is not None and not _is_count(value):
            yield f"{name} is {_shown(value)}; write a whole number of 0 or more"
    for name in _LISTS_OF_TEXT:
        yield from _wrong_list(name, document.get(name), str, "texts")
    for name in _LISTS_OF_OBJECTS:
        yield from _wrong_list(name, document.get(name), dict, "objects")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _wrong_list(name: str, value: object, kind: type, plural: str) -> Iterable[str]:
    if value is None:
        return
    if not isinstance(value, list):
        yield f"{name} is {_shown(value)}; write a list of {plural}"
        return
    for place, item in enumerate(value):
        if not isinstance(item, kind):
            yield f"{name}[{place}] is {_shown(item)}; write a list of {plural}"
            return


def _shown(value: object) -> str:
    """A value for a sentence: short, and on one line."""
    if value is None:
        return "missing"
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "an object"
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_delivered(folder: Path, name: str) -> bool:
    """True if `name` is a non-empty regular file in artifacts/, with no link on the way to it."""
    parts = name.split("/")
    if not name or "\0" in name or any(part in ("", ".", "..") for part in parts):
        return False
    opened: list[int] = []
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        opened.append(os.open(folder, flags))
        for part in ["artifacts", *parts[:-1]]:
            opened.append(os.open(part, flags, dir_fd=opened[-1]))
        status = os.stat(parts[-1], dir_fd=opened[-1], follow_symlinks=False)
    except (OSError, UnicodeError):
        return False
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return stat.S_ISREG(status.st_mode) and status.st_size > 0
