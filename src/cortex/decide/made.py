"""What the workers of a task made, for a person who is to review it: verdicts, findings, branches.

Taken from the state, in which the workers' results are a summary; the results themselves lie in
their folders.
"""

from __future__ import annotations

from typing import Any

from cortex.decide.branches import branch_rows
from cortex.model.branches import result_of_plan
from cortex.model.state import State, Task, Worker
from cortex.model.words import counted, listed

__all__ = ["made", "made_words"]

Made = dict[str, Any]
#: So many steps and branches are listed; the number of findings counts them all.
_LISTED = 20
_SUMMARY_LENGTH = 200


def made(state: State, task: Task) -> Made:
    """`findings` in all, the `branches` that the plan comes to, and of each step that is done
    `verdict`, `findings`, `summary` and the folder where the whole of it lies."""
    done = [state.workers.get(step.worker_id or "") for step in task.steps if step.status == "done"]
    workers = [worker for worker in done if worker is not None]
    needs = {step.name: step.needs for step in task.steps}
    handed_over = {(one.step, one.repository or "") for one in workers if one.branches}
    results = result_of_plan(needs, (), handed_over)
    branches = [
        row["name"]
        for worker in workers
        if (worker.step, worker.repository or "") in results
        for row in branch_rows(worker)
    ]
    return {
        "findings": sum(worker.findings for worker in workers),
        "branches": branches[:_LISTED],
        "steps": [_step(worker) for worker in workers[-_LISTED:]],
    }


def _step(worker: Worker) -> Made:
    row = {
        "name": worker.step,
        "verdict": worker.verdict,
        "findings": worker.findings,
        "summary": (worker.summary or "")[:_SUMMARY_LENGTH],
        "result_location": worker.folder,
    }
    return {name: value for name, value in row.items() if value}


def made_words(found: Made) -> str:
    """The same in one line: `review says request_changes; 3 findings; cortex/task-001/join`."""
    said = [f"{row['name']} says {row['verdict']}" for row in found["steps"] if "verdict" in row]
    parts = [
        ", ".join(said[-3:]),
        counted(found["findings"], "finding") if found["findings"] else "no findings",
        listed(found["branches"], 3),
    ]
    return "; ".join(part for part in parts if part)
