"""Decisions about the budget as a whole: configuring it, periods, totals, reallocation, alerts.

Each function returns journal events, or raises RequestError where a person's wish cannot be met.
Granting tokens to one worker is `admit`; the arithmetic of a move is `ledger`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cortex.model.errors import RequestError
from cortex.model.settings import Settings
from cortex.model.state import Budget, MasterFund, State

__all__ = [
    "change_total",
    "configure",
    "largest_remainder",
    "period_of",
    "reallocate",
    "reset",
    "total_used",
]

Event = dict[str, Any]
#: A step is a tenth of what a master is configured to have, and it keeps a half of that.
STEPS = 10
FLOOR = 2


def largest_remainder(weights: dict[str, int], total: int) -> dict[str, int]:
    """Splits `total` in proportion to the weights so that the parts add up to it exactly.

    The largest fractional remainders get the odd units (Hamilton's method); names break ties.
    """
    whole = sum(weights.values())
    if not weights:
        return {}
    if whole == 0:
        weights, whole = dict.fromkeys(weights, 1), len(weights)
    parts = {name: total * weight // whole for name, weight in weights.items()}
    rest = total - sum(parts.values())
    order = sorted(weights, key=lambda name: (-(total * weights[name] % whole), name))
    for name in order[:rest]:
        parts[name] += 1
    return parts


def configure(
    state: State, settings: Settings, funds: dict[str, tuple[int, int]], now: float
) -> list[Event]:
    """Events that bring the ledger to the settings, or none where it is already there.

    `funds` maps a master's key to its (allocated, pool share). Raises RequestError where work in
    hand already holds more than the new numbers leave.
    """
    wanted = {
        "total": settings.budget.total,
        "reserve": settings.budget.emergency_reserve,
        "period": settings.budget.period,
        "timezone": settings.budget.timezone,
        "resets_at": settings.budget.resets_at,
        "trigger_threshold": settings.budget.trigger_threshold,
        "funds": {name: list(pair) for name, pair in sorted(funds.items())},
    }
    budget = state.budget
    if budget.settings == wanted:
        return []
    # A total that a person set stays, until cortex.toml has another one than before.
    is_new = budget.settings.get("total") != settings.budget.total
    total = settings.budget.total if is_new else budget.total
    pool = total - settings.budget.emergency_reserve
    pool -= sum(allocated for allocated, _ in funds.values())
    shares = largest_remainder({name: share for name, (_, share) in funds.items()}, max(pool, 0))
    _check_room(budget, pool, settings.budget.emergency_reserve, funds)
    start, end = period_of(settings, now)
    same_period = budget.settings.get("period") == wanted["period"] and budget.resets_at > now
    return [
        {
            "event": "budget_configured",
            "total": total,
            "pool_total": pool,
            "reserve_total": settings.budget.emergency_reserve,
            "trigger_threshold": settings.budget.trigger_threshold,
            "period": settings.budget.period,
            "timezone": settings.budget.timezone,
            "period_start": None if same_period else start,
            "resets_at": None if same_period else end,
            "masters": {
                name: {"allocated": allocated, "share": shares[name]}
                for name, (allocated, _) in funds.items()
            },
            "settings": wanted,
        }
    ]


def _check_room(budget: Budget, pool: int, reserve: int, funds: dict[str, tuple[int, int]]) -> None:
    committed = budget.pool_allocated + budget.pool_spent
    if pool < committed:
        raise RequestError(
            f"leaves a worker pool of {pool}, and {committed} are already held or spent",
            field="budget.total",
            hint="raise budget.total, or give masters or the reserve less",
        )
    if reserve < budget.reserve_allocated + budget.reserve_spent:
        raise RequestError(
            f"is below the {budget.reserve_allocated + budget.reserve_spent} already opened",
            field="budget.emergency_reserve",
        )
    for name, fund in budget.masters.items():
        committed = fund.used + fund.reserved
        if committed > funds.get(name, (0, 0))[0]:
            raise RequestError(
                f"is below the {committed} that {name} already holds or has used",
                field=f"masters.{name}.allocated",
            )


def period_of(settings: Settings, now: float) -> tuple[float, float]:
    """(start, end) of the period around `now`, seconds since 1970, in the configured time zone."""
    zone = ZoneInfo(settings.budget.timezone)
    hour, minute = (int(part) for part in settings.budget.resets_at.split(":"))
    local = datetime.fromtimestamp(now, UTC).astimezone(zone)
    start = local.replace(hour=hour, minute=minute, second=0, microsecond=0, fold=0)
    if settings.budget.period == "weekly":
        start -= timedelta(days=start.weekday())
    elif settings.budget.period == "monthly":
        start = start.replace(day=1)
    if start.timestamp() > now:
        start = _shift(start, settings.budget.period, -1)
    return start.timestamp(), _shift(start, settings.budget.period, 1).timestamp()


def _shift(start: datetime, period: str, count: int) -> datetime:
    """The same wall time one period on; days of 23 or 25 hours are whole days."""
    if period == "monthly":
        month = start.month - 1 + count
        return start.replace(year=start.year + month // 12, month=month % 12 + 1)
    return start + timedelta(days=count * (7 if period == "weekly" else 1))


def is_over(budget: Budget, now: float) -> bool:
    """Whether a new period begins at the wall time `now`: at the old one's end, or where the clock
    was set back by more than a whole period, which else would last until it has caught up."""
    if not budget.resets_at:
        return False
    length_s = budget.resets_at - budget.period_start
    return now >= budget.resets_at or now < budget.period_start - length_s


def reset(
    state: State, settings: Settings, now: float, used: dict[str, int] | None = None
) -> list[Event]:
    """The event that opens a new period; live workers carry over what they have left.

    `used` gives live workers' usage so far, charged to the period that ends. Reallocations are
    undone as far as what is held leaves room.
    """
    budget = state.budget
    start, end = period_of(settings, now)
    charged = {}
    held = 0
    for ident in state.live:
        worker = state.workers[ident]
        so_far = (used or {}).get(ident, worker.tokens_used)
        charged[ident] = max(worker.charged, min(so_far, worker.reserved))
        if worker.fund == "pool":
            held += worker.reserved - charged[ident]
    base = {name: fund.configured_share for name, fund in budget.masters.items()}
    allocated = {name: fund.configured for name, fund in budget.masters.items()}
    short = held - (budget.total - budget.reserve_total - sum(allocated.values()))
    for name, fund in budget.masters.items():
        kept = max(0, min(short, fund.configured - fund.allocated))
        short -= kept
        allocated[name] -= kept
    pool_total = budget.total - budget.reserve_total - sum(allocated.values())
    shares = base
    if pool_total != sum(base.values()):
        shares = largest_remainder(base, pool_total)
    return [
        {
            "event": "budget_reset",
            "period_start": start,
            "resets_at": end,
            "pool_total": pool_total,
            "charged": charged,
            "masters": {
                name: {"allocated": allocated[name], "share": shares[name]} for name in base
            },
            "ended_period": {
                "pool_spent": budget.pool_spent,
                "reserve_spent": budget.reserve_spent,
                "masters_used": {name: fund.used for name, fund in budget.masters.items()},
                "charged_to_running": sum(charged.values()),
            },
        }
    ]


def change_total(state: State, total: int) -> list[Event]:
    """The event of a person's new total: the difference goes to the worker pool, by share."""
    budget = state.budget
    pool_total = budget.pool_total + total - budget.total
    committed = budget.pool_allocated + budget.pool_spent
    if pool_total < committed:
        raise _too_low(budget, total, committed)
    moved = budget.pool_total - sum(fund.configured_share for fund in budget.masters.values())
    now_shares = {name: fund.share for name, fund in budget.masters.items()}
    base_shares = {name: fund.configured_share for name, fund in budget.masters.items()}
    shares = largest_remainder(now_shares, pool_total)
    base = largest_remainder(base_shares, max(0, pool_total - moved))
    return [
        {
            "event": "budget_changed",
            "total": total,
            "pool_total": pool_total,
            "shares": {name: [shares[name], base[name]] for name in shares},
        }
    ]


def _too_low(budget: Budget, total: int, committed: int) -> RequestError:
    """Names what holds the tokens below which the total cannot go, and how each part is lowered."""
    given = budget.total - budget.pool_total
    held, ways = [], []
    if given:
        held.append(f"{given} are the masters' own allocations and the reserve")
        ways.append(
            "lower `allocated` of [masters.NAME] and `emergency_reserve` of [budget] in "
            "cortex.toml and restart cortexd"
        )
    if committed:
        held.append(f"{committed} are held by work in progress or spent in this period")
        ways.append("cancel work, or wait for the reset")
    return RequestError(
        f"{total} is too low: {' and '.join(held)}",
        field="total_budget",
        hint=f"the lowest total now is {given + committed}; to go lower, {', or '.join(ways)}",
    )


def reallocate(
    state: State, settings: Settings, master: str, short: int, busy: set[str]
) -> list[Event]:
    """Steps of tokens from idle masters' own allocations to another's share of the pool (B4).

    The donor is the idle master with most free tokens, a step is a tenth of its configured
    allocation, and it keeps at least half of that. Nothing moves unless it covers `short` within
    the steps that are left in this period.
    """
    budget = state.budget
    given = dict.fromkeys(budget.masters, 0)
    events: list[Event] = []

    def free(name: str) -> tuple[int, str]:
        fund = budget.masters[name]
        return fund.allocated - fund.used - given[name], name

    while short > 0:
        donors = [
            name
            for name, fund in budget.masters.items()
            if name not in busy and name != master and fund.reserved == 0
            if _step(fund, given[name]) > 0
        ]
        left = settings.budget.reallocate_steps - budget.moved_steps - len(events)
        if left <= 0 or not donors or master not in budget.masters:
            return []
        donor = max(donors, key=free)
        tokens = _step(budget.masters[donor], given[donor])
        given[donor] += tokens
        short -= tokens
        events.append(
            {"event": "tokens_reallocated", "from": donor, "to": master, "tokens": tokens}
        )
    return events


def _step(fund: MasterFund, given: int) -> int:
    """What a master gives in one step, after it has given so much; 0 where that is too much."""
    step = fund.configured // STEPS
    kept = max(-(-fund.configured // FLOOR), fund.used + fund.reserved)
    return step if step <= fund.allocated - given - kept else 0


def total_used(state: State, live_used: dict[str, int] | None = None) -> tuple[int, int]:
    """(tokens used this period in all, of these on the masters' own allocations)."""
    budget = state.budget
    own = sum(fund.used for fund in budget.masters.values())
    running = 0
    for ident in state.live:
        worker = state.workers[ident]
        so_far = min((live_used or {}).get(ident, worker.tokens_used), worker.reserved)
        running += max(0, so_far - worker.charged)
    return own + budget.pool_spent + budget.reserve_spent + running + budget.overrun, own
