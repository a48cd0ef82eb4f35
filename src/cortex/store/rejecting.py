"""How a drop leaves `.intake/`: unlinked once its journal line is durable, or kept whole in
`rejected/` beside the reason. Everything here may be repeated after a crash.
"""

import contextlib
import json
import zlib
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from cortex.model.failpoints import failpoint
from cortex.model.paths import HomePaths
from cortex.model.seams import Disk
from cortex.store.disk import write_all
from cortex.store.drop import Drop, Problem, quoted, short_name

__all__ = ["ERROR_ENDING", "error_document", "finish", "reject", "reject_file"]

ERROR_ENDING = ".error.json"
_MAX_ERROR_BYTES = 64 * 1024


def finish(disk: Disk, drops: Iterable[Drop]) -> None:
    """Removes the intake files of drops whose journal lines are durable."""
    failpoint("drop.before_unlink")
    disk.remove_all([drop.intake_path for drop in drops])
    failpoint("drop.unlinked")


def reject(
    disk: Disk, paths: HomePaths, refused: Iterable[tuple[Drop, Problem]], at: str
) -> list[Path]:
    """Moves refused drops to `rejected/`, each after its reason; returns where they lie now.

    Repeating it is harmless: the receipt in the reason says which file it belongs to.
    """
    return _place_all(
        disk,
        paths.rejected,
        [(drop.intake_path, drop.name, drop.receipt, problem) for drop, problem in refused],
        at,
    )


def reject_file(
    disk: Disk, paths: HomePaths, source: Path, name: str, problem: Problem, at: str, receipt: str
) -> Path:
    """Moves any file that is not a drop (a hand edit, say) to `rejected/NAME` with its reason.

    `receipt` must be unique; with the same one a repetition is harmless.
    """
    return _place_all(disk, paths.rejected, [(source, name, receipt, problem)], at)[0]


def error_document(name: str, problem: Problem, at: str, receipt: str) -> bytes:
    """What stands in NAME.error.json: file, reason, field, line, hint, at, receipt."""
    fields = asdict(problem)
    parts = {key: list(fields.pop(key)) for key in ("refused", "taken")}
    document = {
        "file": quoted(name),
        "reason": fields["reason"],
        "field": fields["field"],
        "line": fields["line"],
        "hint": fields["hint"],
        **{key: value for key, value in parts.items() if value},
        "at": at,
        "receipt": receipt,
    }
    return (json.dumps(document, indent=2) + "\n").encode()


def _place_all(
    disk: Disk, folder: Path, refused: Iterable[tuple[Path, str, str, Problem]], at: str
) -> list[Path]:
    """Puts files, given by (where they lie, name, receipt, problem), into the folder. The reasons
    are durable before any file moves: a power cut leaves no file without one."""
    disk.mkdir(folder)
    moves = [
        (source, _write_reason(disk, folder, name, receipt, problem, at))
        for source, name, receipt, problem in refused
    ]
    if not moves:
        return []
    disk.fsync_dir(folder)
    failpoint("reject.reasons_durable")
    for source, target in moves:
        # Gone from the source when an earlier try has moved it.
        with contextlib.suppress(FileNotFoundError):
            disk.rename_new(source, target)
            failpoint("reject.moved")
    disk.fsync_dir(folder)
    return [target for _, target in moves]


def _write_reason(
    disk: Disk, folder: Path, name: str, receipt: str, problem: Problem, at: str
) -> Path:
    """Where the file will lie that the reason is for."""
    target = _place(disk, folder, name, receipt)
    draft = folder / _draft_name(receipt)
    _write_synced(disk, draft, error_document(name, problem, at, receipt))
    disk.rename(draft, folder / (target.name + ERROR_ENDING))
    return target


def _place(disk: Disk, folder: Path, name: str, receipt: str) -> Path:
    """A name in the folder that is free, or that an earlier try took for the same receipt."""
    limit = 255 - len(ERROR_ENDING)
    cut = short_name(name, limit)
    dot = cut.rfind(".") if cut.rfind(".") > 0 else len(cut)
    number = 1
    candidate = cut
    while True:
        error_path = folder / (candidate + ERROR_ENDING)
        is_ours = _receipt_of(disk, error_path) == receipt
        if is_ours or not (_exists(disk, error_path) or _exists(disk, folder / candidate)):
            return folder / candidate
        number += 1
        extra = f"-{number}"
        stem = short_name(cut[:dot], limit - len(extra) - len(cut[dot:].encode("utf-8", "replace")))
        candidate = f"{stem}{extra}{cut[dot:]}"


def _receipt_of(disk: Disk, path: Path) -> str | None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if disk.stat(path).kind == "file" and disk.stat(path).size <= _MAX_ERROR_BYTES:
            receipt = json.loads(disk.read(path)).get("receipt")
            return receipt if isinstance(receipt, str) else None
    return None


def _exists(disk: Disk, path: Path) -> bool:
    try:
        disk.stat(path)
    except FileNotFoundError:
        return False
    return True


def _draft_name(receipt: str) -> str:
    """Equal for a repetition, so that drafts of crashed tries don't pile up."""
    return f".{zlib.crc32(receipt.encode('utf-8', 'backslashreplace')):08x}.tmp"


def _write_synced(disk: Disk, path: Path, data: bytes) -> None:
    disk.remove_all([path])
    handle = disk.create(path)
    try:
        write_all(disk, handle, data)
        disk.fdatasync(handle)
    finally:
        disk.close(handle)
