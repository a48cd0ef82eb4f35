"""`python -m cortex.worker.batch`: runs the spec's command once for each of its items, in order.

Each item has a process, a folder, an outcome and a line of artifacts/items.jsonl of its own, which
is on disk before the next one begins. A later attempt runs what no earlier one has completed, and
last of all what an earlier one was at when it ended. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortex.model.words import counted, listed
from cortex.worker.contract import ContractError, Worker, read_worker
from cortex.worker.draining import drain

_RESULTS_LIMIT_BYTES = 1024 * 1024
#: Of each item; the worker's log has a limit of its own.
_OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024
_NAMED = 5
Record = dict[str, Any]


@dataclass(slots=True)
class Past:
    """What earlier attempts say: the records of completed items, and items that were begun."""

    done: dict[int, Record] = field(default_factory=dict)
    begun: set[int] = field(default_factory=set)


def main() -> int:
    """Run the batch that the environment describes; 0 once results.json says how it went."""
    try:
        worker = read_worker()
    except ContractError as problem:
        sys.stderr.write(f"cortex.worker.batch: {problem}\n")
        return 2
    items = [str(item) for item in worker.spec.get("items") or ()]
    first = int(worker.spec.get("first_item") or 0)
    past = _past(worker.spec.get("earlier") or ())
    numbers = range(first + 1, first + len(items) + 1)
    by_number = dict(zip(numbers, items, strict=True))
    left = [number for number in numbers if number not in past.done]
    left.sort(key=lambda number: number in past.begun)
    records = {number: past.done[number] for number in numbers if number in past.done}
    worker.artifacts_dir.mkdir(parents=True, exist_ok=True)
    with (worker.artifacts_dir / "items.jsonl").open("ab") as journal:
        for number in left:
            told = f"{len(records)} of {len(items)} items done"
            worker.heartbeat.beat(len(records) / len(items), told)
            _note(journal, {"number": number, "item": by_number[number], "status": "begun"})
            records[number] = _run(worker, number, by_number[number])
            _note(journal, records[number])
            os.fdatasync(journal.fileno())
    _conclude(worker, [records[number] for number in numbers])
    return 0


def _past(folders: object) -> Past:
    past = Past()
    for folder in folders if isinstance(folders, list) else ():
        for record in _records(Path(str(folder)) / "artifacts" / "items.jsonl"):
            number = record.get("number")
            if not isinstance(number, int):
                continue
            if record.get("status") == "begun":
                past.begun.add(number)
            elif record.get("status") == "completed":
                past.done[number] = record
            else:
                past.begun.discard(number)  # it came to an end, and is tried in its turn
    return past


def _records(path: Path) -> Iterator[Record]:
    """The lines of a journal of items; the last one may be torn."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            yield record


def _note(journal: Any, record: Record) -> None:
    journal.write(json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    journal.flush()


def _run(worker: Worker, number: int, item: str) -> Record:
    """Runs one item to its end; its record."""
    folder = worker.artifacts_dir / "items" / f"{number:04d}"
    folder.mkdir(parents=True, exist_ok=True)
    results = folder / "results.json"
    env = {
        **os.environ,
        "CORTEX_ITEM": item,
        "CORTEX_ITEM_NUMBER": str(number),
        "CORTEX_ARTIFACTS": str(folder),
        "CORTEX_RESULTS": str(results),
    }
    _tell(f"--- item {number}: {item}")
    record: Record = {"number": number, "item": item, "worker_id": worker.worker_id}
    started_s = time.monotonic()
    try:
        code = _start(_argv(worker.spec, item), env, folder / "output.txt")
    except OSError as problem:
        error = f"cannot be started: {problem}"
        _tell(error)
        record |= {"status": "failed", "permanent": True, "error": error}
    else:
        record |= _outcome(code, results)
    record["duration_s"] = round(time.monotonic() - started_s, 3)
    if not any(folder.iterdir()):
        folder.rmdir()
    return record


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _argv(spec: Mapping[str, Any], item: str) -> list[str]:
    """The program of one item. A shell line gets the item by its environment alone, for text that
    is pasted into a line would be read as a part of it."""
    scope = spec.get("scope")
    command = spec.get("command") or (scope.get("command") if isinstance(scope, dict) else None)
    if isinstance(command, str):
        return ["/bin/sh", "-c", command]
    return [str(word).replace("{item}", item) for word in command or ()]


def _start(argv: list[str], env: dict[str, str], output: Path) -> int:
    """Runs a program; what it writes goes to the log and to a file of its own."""
    process = subprocess.Popen(
        argv,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
    )
    room = _OUTPUT_LIMIT_BYTES
    with contextlib.ExitStack() as stack:
        kept = None
        for chunk in drain(process):
            kept = kept or stack.enter_context(output.open("wb"))
            if len(chunk) <= room:
                kept.write(chunk)
            elif room >= 0:
                kept.write(chunk[:room] + b"\n... the rest is left out ...\n")
            room = room - len(chunk) if len(chunk) <= room else -1
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
    return process.returncode


def _outcome(code: int, results: Path) -> Record:
    """What came of a process, by its exit and by what it says itself."""
    said = _said(results)
    ended = {"exit_code": code} if code >= 0 else {"exit_signal": -code}
    failed = code != 0 or said.get("status") == "failed"
    error = said.get("error") or (f"exit {code}" if code > 0 else f"signal {-code}" if code else "")
    record: Record = {"status": "failed" if failed else "completed", **ended}
    if failed:
        record["error"] = str(error or said.get("summary") or "it says that it failed")[:300]
    if said.get("summary"):
        record["summary"] = str(said["summary"])[:300]
    if isinstance(said.get("tokens_used"), int):
        record["tokens_used"] = said["tokens_used"]
    if isinstance(said.get("findings"), list):
        record["findings"] = said["findings"]
    return record


def _said(results: Path) -> Mapping[str, Any]:
    """What an item's results.json says; of one that cannot be read, that it failed, and why."""
    try:
        handle = os.open(results, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            about = os.fstat(handle)
            if not stat.S_ISREG(about.st_mode) or about.st_size > _RESULTS_LIMIT_BYTES:
                raise ValueError(f"is no plain file of at most {_RESULTS_LIMIT_BYTES} bytes")
            said = json.load(file)
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError as problem:
        return _unread(f"is no JSON: {problem}")
    except (OSError, ValueError, RecursionError) as problem:
        is_link = isinstance(problem, OSError)
        return _unread("is no plain file" if is_link else str(problem))
    return said if isinstance(said, dict) else _unread("holds no object")


def _unread(why: str) -> Mapping[str, Any]:
    return {"status": "failed", "error": f"its results.json {why}"}


def _conclude(worker: Worker, records: list[Record]) -> None:
    """results.json of the whole batch; tokens are those of this attempt alone."""
    failed = [record for record in records if record["status"] != "completed"]
    own = [record for record in records if record.get("worker_id") == worker.worker_id]
    worker.heartbeat.tokens_used = sum(record.get("tokens_used") or 0 for record in own)
    findings = [one for record in records for one in record.get("findings") or ()]
    rows = [{k: v for k, v in record.items() if k != "findings"} for record in records]
    if not failed:
        before = len(records) - len(own)
        summary = f"{counted(len(records), 'item')} done"
        summary += f", {before} of them before" if before else ""
        worker.write_results(
            "completed", summary, findings=findings, artifacts=["items.jsonl"], items=rows
        )
        return
    named = listed([f"{r['item'][:60]} ({r.get('error')})" for r in failed], _NAMED)
    error = f"{len(failed)} of {len(records)} items failed: {named}"
    worker.write_results(
        "failed",
        error,
        findings=findings,
        artifacts=["items.jsonl"],
        error=error,
        items=rows,
        permanent=all(record.get("permanent") for record in failed),
    )


if __name__ == "__main__":
    sys.exit(main())
