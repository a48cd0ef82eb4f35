"""What a person says yes to: how many workers, at what price, and the plan that would start.

Reads the rows of approvals alone; what has no price, such as a conflict, has no words here.
"""

from __future__ import annotations

from typing import Any

from cortex.model.words import counted

__all__ = ["offered_steps", "price"]

Row = dict[str, Any]


def price(row: Row) -> str:
    """The workers and tokens of an approval's offer, and their share of what is left; "" of none.

    The share is that of the p90, as it was when the question was asked. Of the reserve they are
    the workers that it pays, with all that is reserved for them.
    """
    opening = row.get("would_open")
    if isinstance(opening, dict):
        return _of_reserve(opening)
    offer = row.get("would_start")
    if not isinstance(offer, dict):
        return ""
    workers = counted(offer.get("workers") or 0, "worker")
    low, high = offer.get("p50") or 0, offer.get("p90") or 0
    if not high:
        return f"{workers}, no tokens"
    span = f"{high:,}" if low == high else f"{low:,} to {high:,}"
    share = offer.get("share_of_left")
    of_left = f", {share:.0%} of what was left" if isinstance(share, int | float) else ""
    return f"{workers}, {span} tokens{of_left}"


def _of_reserve(offer: Row) -> str:
    paid, waiting = offer.get("workers") or 0, offer.get("waiting") or 0
    workers = (
        f"{paid} of {counted(waiting, 'worker')}" if paid < waiting else counted(paid, "worker")
    )
    share = f"{offer.get('share_of_reserve') or 0:.0%} of what the reserve had left"
    return f"{workers}, {offer.get('tokens') or 0:,} tokens, {share}"


def offered_steps(row: Row) -> list[Row]:
    """The steps of an approval's plan, as far as they are listed."""
    offer = row.get("would_start")
    steps = offer.get("steps") if isinstance(offer, dict) else None
    return [step for step in steps or [] if isinstance(step, dict)]
