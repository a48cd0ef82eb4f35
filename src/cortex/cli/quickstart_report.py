"""The quickstart's one report: what was found, by which analyzers, what follows, and what it cost.

Everything comes out of files in the home that a person may open as well; nothing is decided here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex.cli.terminal import one_line
from cortex.model.findings import SEVERITIES, severity_counts

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from cortex.home import Home

__all__ = ["heading", "print_report", "shown_path"]

Row = dict[str, Any]

_SEVERITY_STYLES = {
    "critical": "bold white on red",
    "high": "bold red",
    "medium": "yellow",
    "low": "cyan",
    "info": "dim",
}
_STATE_STYLES = {"clean": "green", "findings": "yellow", "not_audited": "magenta", "error": "red"}
_SHOWN_TASKS = 6
_GRID_REPOSITORIES = 4


def print_report(home: Home, task: Row, console: Console, *, limit: int = 15) -> None:
    """Prints findings, analyzers, handoff and budget of an ended scan task."""
    findings = _findings(home, task)
    names = _repository_names(task, findings)
    runs = _analyzer_runs(home, task)
    heading(console, "Findings")
    _print_counts(console, findings, names)
    _print_top(console, findings, names, limit)
    heading(console, "Analyzers")
    _print_analyzers(console, runs, names)
    heading(console, "Handoff")
    _print_handoff(home, task, console)
    heading(console, "Budget")
    _print_budget(home, console)


def heading(console: Console, text: str) -> None:
    """A section's head."""
    console.print(f"\n{text}", style="bold", markup=False, highlight=False)


def shown_path(path: Path | str) -> str:
    """The path as a person who stands here would type it: relative where that is shorter."""
    absolute = Path(path).absolute()
    try:
        return str(absolute.relative_to(Path.cwd())) or "."
    except ValueError:
        return str(absolute)


# --- reading


def _findings(home: Home, task: Row) -> list[Row]:
    path = home.root / str(task.get("result_location") or "") / "findings.json"
    document = _read(path)
    rows = document.get("findings") if isinstance(document, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _analyzer_runs(home: Home, task: Row) -> list[tuple[str, list[Row]]]:
    """(repository, what each analyzer reported of its own run), one pair a worker that ended."""
    runs = []
    for result in task.get("worker_results") or []:
        path = home.root / str(result.get("result_location")) / "artifacts" / "scan_results.json"
        document = _read(path)
        found = document.get("analyzers") if isinstance(document, dict) else None
        if isinstance(found, list):
            rows = [row for row in found if isinstance(row, dict)]
            runs.append((str(result.get("repository") or ""), rows))
    return runs


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _repository_names(task: Row, findings: Sequence[Row]) -> dict[str, str]:
    """What each repository is called here: its folder's name, or two folders' if two share it."""
    scope = task.get("scope") or {}
    paths = scope.get("repositories") or [scope.get("repository")]
    paths = dict.fromkeys([*paths, *(row.get("repository") for row in findings)])
    known = [str(path).rstrip("/") for path in paths if path]
    shared = Counter(path.rpartition("/")[2] for path in known)
    names = {}
    for path in known:
        parts = path.split("/")
        names[path] = one_line(parts[-1] if shared[parts[-1]] == 1 else "/".join(parts[-2:]))
    return names


def _name(names: dict[str, str], repository: object) -> str:
    path = str(repository or "").rstrip("/")
    return names.get(path, one_line(path))


# --- printing


def _table(*heads: str, right: Sequence[str] = ()) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    for head in heads:
        table.add_column(head, justify="right" if head in right else "left", overflow="fold")
    return table


def _indented(console: Console, thing: Any) -> None:
    from rich.padding import Padding

    console.print(Padding(thing, (0, 0, 0, 2), expand=False))


def _print_counts(console: Console, findings: Sequence[Row], names: dict[str, str]) -> None:
    from rich.text import Text

    table = _table("repository", *SEVERITIES, right=SEVERITIES)
    for path, name in names.items():
        own = [row for row in findings if str(row.get("repository")).rstrip("/") == path]
        counts = severity_counts(own)
        cells = [
            Text(str(counts[severity]) if counts[severity] else "-", _style(counts, severity))
            for severity in SEVERITIES
        ]
        table.add_row(Text(name, "bold"), *cells)
    _indented(console, table)


def _style(counts: dict[str, int], severity: str) -> str:
    return _SEVERITY_STYLES[severity] if counts[severity] else "dim"


def _print_top(
    console: Console, findings: Sequence[Row], names: dict[str, str], limit: int
) -> None:
    from rich.text import Text

    if not findings:
        console.print("\n  Nothing was found.")
        return
    console.print()
    for number, row in enumerate(findings[:limit], 1):
        severity = str(row.get("severity"))
        tools = [one_line(tool) for tool in row.get("tools") or []]
        place = f"{_name(names, row.get('repository'))}  {one_line(row.get('file'))}"
        line = Text(f"{number:>4} ", "dim")
        line.append(f"{severity:<9}", _SEVERITY_STYLES.get(severity, ""))
        line.append(place, "bold")
        line.append(f":{row['line']}" if row.get("line") else "")
        console.print(line, soft_wrap=not console.is_terminal)
        rules = ", ".join(one_line(rule) for rule in row.get("rules") or [row.get("rule")])
        source = f"{' + '.join(tools)} ({rules}{', ' + row['cwe'] if row.get('cwe') else ''})"
        agree = f"{len(tools)} tools agree: " if len(tools) > 1 else ""
        what = Text(one_line(row.get("message") or row.get("title")))
        what.append(f"\n{agree}{source}", "dim")
        console.print(_under(what))
    if len(findings) > limit:
        console.print(f"\n  and {len(findings) - limit} more, in the report files named below")


def _under(text: Any) -> Any:
    from rich.padding import Padding

    return Padding(text, (0, 0, 0, 14), expand=False)


def _print_analyzers(
    console: Console, runs: Sequence[tuple[str, list[Row]]], names: dict[str, str]
) -> None:
    from rich.text import Text

    if not runs:
        console.print("  No worker left a report of its analyzers.")
        return
    grid: dict[str, dict[str, Row]] = {}
    for repository, rows in runs:
        for row in rows:
            grid.setdefault(one_line(row.get("name")), {})[repository] = row
    repositories = [repository for repository, _ in runs]
    wide = len(repositories) > _GRID_REPOSITORIES
    heads = ["states"] if wide else [_name(names, repository) for repository in repositories]
    table = _table("analyzer", *heads)
    for name, by_repository in grid.items():
        if wide:
            table.add_row(Text(name, "bold"), _tally(by_repository))
        else:
            cells = [_state(by_repository.get(repository)) for repository in repositories]
            table.add_row(Text(name, "bold"), *cells)
    _indented(console, table)
    for reason in _reasons(grid, names, len(repositories)):
        _indented(console, Text(reason, "dim"))


def _tally(by_repository: dict[str, Row]) -> str:
    states = Counter(_state(row).plain.partition(" (")[0] for row in by_repository.values())
    return ", ".join(f"{count} {state}" for state, count in states.most_common())


def _state(row: Row | None) -> Any:
    from rich.text import Text

    if row is None or row.get("applicable") is False:
        return Text("-", "dim")
    state = str(row.get("state"))
    if state == "not_audited":
        return Text("not audited", _STATE_STYLES[state])
    seconds = f" ({row['seconds']:.1f}s)" if row.get("seconds") else ""
    words = f"{row.get('findings')} found" if state == "findings" else state
    return Text(words, _STATE_STYLES.get(state, "")).append(seconds, "dim")


def _reasons(grid: dict[str, dict[str, Row]], names: dict[str, str], total: int) -> list[str]:
    """Why what was not audited was not, and why what failed did: each once."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for name, by_repository in grid.items():
        for repository, row in by_repository.items():
            if row.get("state") in ("not_audited", "error") and row.get("applicable") is not False:
                key = (name, str(row["state"]), one_line(row.get("reason") or "no reason given"))
                places.setdefault(key, []).append(_name(names, repository))
    lines = []
    for (name, state, reason), where in places.items():
        inside = "" if len(where) == total else f" in {', '.join(where)}"
        lines.append(f"{name} {state.replace('_', ' ')}{inside}: {reason}")
    return lines


def _print_handoff(home: Home, task: Row, console: Console) -> None:
    from rich.text import Text

    ident = task.get("handoff_id")
    handoff = next((row for row in home.handoffs() if row.get("handoff_id") == ident), None)
    if handoff is None:
        known = ", ".join(one_line(other) for other in task.get("follow_ups") or [])
        words = f"No new one: open already as {known}." if known else "None was needed."
        _indented(console, Text(words))
        return
    offered = str(handoff.get("task_id"))
    line = Text("  ").append(str(ident), "bold")
    line.append(f"  {handoff.get('from_agent')} → {handoff.get('to_agent')}")
    line.append(f", {handoff.get('status')}", "yellow")
    console.print(line)
    parent = home.task(offered) or {"id": offered}
    children = [child for child in map(home.task, parent.get("children") or []) if child]
    table = _table("task", "status", "what")
    for row in [parent, *children[:_SHOWN_TASKS]]:
        table.add_row(
            Text(str(row.get("id")), "bold"),
            Text(str(row.get("status")), "yellow"),
            one_line(row.get("title")),
        )
    _indented(console, table)
    if len(children) > _SHOWN_TASKS:
        console.print(f"  and {len(children) - _SHOWN_TASKS} more fix tasks")
    waits = [row.get("blocked_on") or row.get("waiting_for") for row in children or [parent]]
    for reason in dict.fromkeys(one_line(reason) for reason in waits if reason):
        _indented(console, Text(f"waits for: {reason}", "dim"))


def _print_budget(home: Home, console: Console) -> None:
    budget = home.budget()
    pool, reserve = budget.get("worker_pool") or {}, budget.get("emergency_reserve") or {}
    table = _table(
        "", "total", "in use", "spent", "free", right=("total", "in use", "spent", "free")
    )
    held, spent = int(pool.get("allocated_to_workers") or 0), int(pool.get("spent") or 0)
    table.add_row("worker pool", *_numbers(pool.get("total"), held, spent, pool.get("available")))
    total = int(reserve.get("total") or 0)
    held, spent = int(reserve.get("allocated") or 0), int(reserve.get("spent") or 0)
    table.add_row("emergency reserve", *_numbers(total, held, spent, total - held - spent))
    _indented(console, table)
    used = (budget.get("usage_metrics") or {}).get("total_tokens_used_today", 0)
    console.print(f"  {used:,} tokens used today: these analyzers need no model.", highlight=False)


def _numbers(*values: object) -> list[str]:
    return [f"{value:,}" if isinstance(value, int) else "-" for value in values]
