"""What `cortex budget` says beside its table."""

from __future__ import annotations

from typing import Any

import pytest

from cortex.cli.budget import alert_lines


@pytest.mark.parametrize(("held", "now"), [(60_000, "92%"), (0, "0%")])
def test_an_alert_says_what_was_and_how_full_the_fund_is_now(held: int, now: str) -> None:
    document: dict[str, Any] = {
        "worker_pool": {"total": 65_000, "allocated_to_workers": held, "spent": 0},
        "alerts": ["pool:alert", "pool:escalation", "odd"],
    }
    ((text, colour),) = alert_lines(document)
    assert text == (
        "alert in this period: the worker pool was filling up, then nearly used up; "
        f"{now} of it is in use now"
    )
    assert colour == ("yellow" if held else "dim")
