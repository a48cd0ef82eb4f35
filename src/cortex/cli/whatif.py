"""`cortex whatif`: recorded days decided again under other settings, beside what happened."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cortex.cli.moments import HOW, parse_moment
from cortex.cli.options import HomeOption, fail_usage, open_home
from cortex.cli.printing import print_json
from cortex.cli.telling import hanging
from cortex.cli.terminal import clean, colours, one_line, paint

if TYPE_CHECKING:
    from cortex.whatif.compare import Comparison
    from cortex.whatif.figures import Figures

__all__ = ["EXAMPLES", "whatif"]

EXAMPLES = """
  cortex whatif --set budget.total=100000 --since 2d
  cortex whatif --set limits.tools=8 --set spawn.policy=adaptive
  cortex whatif --since 2025-11-01 --until 2025-11-02 --set workers.retries=0
  cortex whatif                     how well a rerun tells what happened
"""

_SHOWN = 5


def _complete_keys(incomplete: str) -> list[str]:
    from cortex.whatif.overrides import known_keys

    return [f"{key}=" for key in known_keys() if key.startswith(incomplete)]


def whatif(
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-s",
            metavar="KEY=VALUE",
            help="A setting of cortex.toml, like limits.tools=8; may stand more than once.",
            autocompletion=_complete_keys,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help=f"From then on ({HOW}); else from the start."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="TIME", help="Up to then; else to the last line."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    home: HomeOption = None,
) -> None:
    """Decide recorded days again under other settings.

    Takes what came in and how long attempts took and what they used out of the journal, and lets
    the same deciding code run over it in virtual time. Prints what happened beside what would have
    happened, and what that assumes. Writes nothing, starts nothing; equal input, equal answer.
    """
    from cortex.whatif.compare import compare

    now = datetime.now(UTC)
    since_s, until_s = _moment(since, "--since", now), _moment(until, "--until", now)
    if since_s is not None and until_s is not None and until_s <= since_s:
        raise fail_usage("--until: lies before --since")
    comparison = compare(open_home(home).paths, changes or [], since_s, until_s)
    if as_json:
        print_json(_as_json(comparison))
    else:
        _print(comparison)


def _moment(text: str | None, option: str, now: datetime) -> float | None:
    if text is None:
        return None
    try:
        return parse_moment(text, now)
    except ValueError as error:
        raise fail_usage(f"{option}: {error}") from None


def _print(comparison: Comparison) -> None:
    on = colours()
    changed = ", ".join(f"{key} = {value}" for key, value in comparison.changes.items())
    title = f"What if {changed}" if changed else "The same days decided again, nothing changed"
    print(paint(one_line(title), "bold", on=on))
    print(f"{comparison.start} to {comparison.end}")
    if comparison.moved_start:
        print(hanging("", comparison.moved_start))
    print()
    other = "what if" if changed else "again"
    print(paint(f"{'':<26}{'happened':>12}{other:>12}", "dim", on=on))
    for name, happened, would, differs in _rows(comparison.happened, comparison.would):
        line = f"{name:<26}{happened:>12}{would:>12}"
        print(paint(line, "bold", on=on and differs))
    if comparison.otherwise:
        print()
        _print_otherwise(comparison)
    print()
    for lead, texts in (("Assumed  ", comparison.assumed), ("Checked  ", [comparison.check])):
        for text in texts:
            print(hanging(lead, clean(text)))
            lead = " " * len(lead)  # noqa: PLW2901


def _print_otherwise(comparison: Comparison) -> None:
    count = len(comparison.otherwise)
    print(f"{count} task{'s' if count != 1 else ''} would have ended otherwise:")
    for ident, before, after in comparison.otherwise[:_SHOWN]:
        print(one_line(f"  {ident}: {before}, what if: {after}"))
    if count > _SHOWN:
        print(f"  … {count - _SHOWN} more; --json lists them")


def _rows(happened: Figures, would: Figures) -> list[tuple[str, str, str, bool]]:
    rows = []
    for name, value in _figures():
        before, after = value(happened), value(would)
        if before == after == "0" and name not in ("tasks completed", "tokens used"):
            continue
        rows.append((name, before, after, before != after))
    return rows


def _figures() -> list[tuple[str, Any]]:
    from cortex.model.percentile import percentile

    def number(name: str) -> Any:
        return lambda figures: f"{getattr(figures, name):,}"

    def status(name: str) -> Any:
        return lambda figures: f"{figures.statuses[name]:,}"

    def seconds(name: str, share: int) -> Any:
        return lambda figures: _length(percentile(getattr(figures, name), share))

    return [
        ("tasks accepted", number("accepted")),
        ("tasks completed", status("completed")),
        ("tasks failed", status("failed")),
        ("tasks cancelled", status("cancelled")),
        ("open at the end", number("open")),
        ("attempts started", number("attempts")),
        ("wait to start, p50", seconds("waits_s", 50)),
        ("wait to start, p90", seconds("waits_s", 90)),
        ("task to its end, p50", seconds("spans_s", 50)),
        ("task to its end, p90", seconds("spans_s", 90)),
        ("tokens used", number("tokens")),
        ("refused, low priority", number("refused")),
        ("reserve opened", number("reserve_opened")),
        ("budget alerts", number("alerts")),
        ("escalations", number("escalations")),
        ("deadlines missed", number("deadlines_missed")),
    ]


def _length(seconds: float | None) -> str:
    from cortex.model.times import format_duration

    return "-" if seconds is None else format_duration(max(0.0, seconds))


def _as_json(comparison: Comparison) -> dict[str, Any]:
    return {
        "from": comparison.start,
        "to": comparison.end,
        "changes": comparison.changes,
        "happened": _figures_json(comparison.happened),
        "would": _figures_json(comparison.would),
        "unchanged": _figures_json(comparison.unchanged),
        "otherwise": [
            {"task_id": ident, "happened": before, "would": after}
            for ident, before, after in comparison.otherwise
        ],
        "assumed": comparison.assumed,
        "checked": comparison.check,
        "alike_share": comparison.alike_share,
        "wait_error_s": comparison.wait_error_s,
    }


def _figures_json(figures: Figures) -> dict[str, Any]:
    from cortex.model.percentile import percentile

    def rounded(values: list[float], share: int) -> float | None:
        value = percentile(values, share)
        return None if value is None else round(value, 3)

    return {
        "tasks_accepted": figures.accepted,
        "tasks_completed": figures.statuses["completed"],
        "tasks_failed": figures.statuses["failed"],
        "tasks_cancelled": figures.statuses["cancelled"],
        "tasks_open": figures.open,
        "attempts": figures.attempts,
        "wait_p50_s": rounded(figures.waits_s, 50),
        "wait_p90_s": rounded(figures.waits_s, 90),
        "span_p50_s": rounded(figures.spans_s, 50),
        "span_p90_s": rounded(figures.spans_s, 90),
        "tokens_used": figures.tokens,
        "refused": figures.refused,
        "reserve_opened": figures.reserve_opened,
        "alerts": figures.alerts,
        "escalations": figures.escalations,
        "deadlines_missed": figures.deadlines_missed,
    }
