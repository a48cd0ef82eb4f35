"""cortex.toml: every key, its default, its meaning, and CORTEX_* overrides.

A key that is not known is an error with the nearest known name, because a misspelt limit that is
silently ignored is a runaway bill. What the settings mean for a decision is not here.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from cortex.model.errors import Place, SettingsError, WrongField
from cortex.model.ids import master_key, worker_type_name
from cortex.model.times import parse_duration
from cortex.model.wrong_fields import wrong_fields

__all__ = [
    "Approvals",
    "Budget",
    "Daemon",
    "Limits",
    "MasterSettings",
    "Retention",
    "Scan",
    "Settings",
    "Spawn",
    "Workers",
    "default_text",
    "load_settings",
]


_TIME_OF_DAY = r"([01]\d|2[0-3]):[0-5]\d"


def _seconds(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else value


Duration = Annotated[float, BeforeValidator(_seconds), Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]
Tokens = Annotated[int, Field(ge=0, le=10**15)]
Positive = Annotated[int, Field(ge=1, le=100_000)]


def _by(name_of: Callable[[str], str]) -> Callable[[Any], Any]:
    """Brings a table's keys into the form that decisions look them up by."""

    def rename(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        named = {name_of(key): inner for key, inner in value.items()}
        if len(named) < len(value):
            raise ValueError(f"names one thing twice; keep one of each: {', '.join(value)}")
        return named

    return rename


_ByMaster = BeforeValidator(_by(master_key))
_ByType = BeforeValidator(_by(worker_type_name))


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Daemon(_Section):
    """How the daemon itself runs."""

    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="console for a terminal, JSON lines elsewhere"
    )
    resync: Duration = Field(
        1.0, gt=0, le=60, description="how often everything live is looked at, events or not"
    )
    publish_interval: Duration = Field(
        0.05, gt=0, le=10, description="the published files change at most this often"
    )
    stuck_after: Duration = Field(
        30.0, gt=0, description="work that is due and does not move for so long shows as degraded"
    )
    stall_after: Duration = Field(
        10.0, gt=0, description="a turn of the control loop that takes longer has stalled"
    )
    runtime_dir: str = Field(
        "auto",
        description="where liveness locks and claims lie: auto (a tmpfs of the system where there "
        "is one), home (.state/attempts), or a folder",
    )


class Budget(_Section):
    """The token budget of one period; what each published number means is in docs/budget.md."""

    total: Tokens = Field(200_000, description="masters + worker pool + emergency reserve")
    emergency_reserve: Tokens = Field(25_000, description="for critical tasks only")
    trigger_threshold: Share = Field(
        0.9, description="share of the pool in use at which people are told the reserve is next"
    )
    period: Literal["daily", "weekly", "monthly"] = Field(
        "daily", description="how long a budget lasts"
    )
    resets_at: str = Field(
        "00:00",
        description="local time of the reset",
        json_schema_extra={"pattern": f"^{_TIME_OF_DAY}$"},
    )
    timezone: str = Field("UTC", description="time zone of the reset, as in Europe/Berlin")
    reserve_needs_approval: bool = Field(
        False, description="the reserve opens for a critical task only once a person said yes"
    )
    reallocate_steps: int = Field(
        1, ge=0, le=10, description="how often a period an idle master's tokens may move"
    )
    alert_at: Share = Field(0.75, description="share of a fund in use that raises an alert, once")
    escalate_at: Share = Field(0.9, description="share that raises an escalation, once")

    @field_validator("resets_at")
    @classmethod
    def _time_of_day(cls, value: str) -> str:
        if not re.fullmatch(_TIME_OF_DAY, value):
            raise ValueError(f"{value!r} is no time of day; write it like 06:30")
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{value!r} is no time zone; write one like Europe/Berlin") from None
        return value


class Limits(_Section):
    """How many workers run at once, and how many may come of one task."""

    agents: Positive = Field(10, description="agents in all")
    agents_per_task: Positive = Field(3, description="agents of one task; a critical one: agents")
    tools: int = Field(0, ge=0, le=100_000, description="tools and commands; 0: max(4, cores)")
    per_master: Annotated[dict[str, Positive], _ByMaster] = Field(
        default_factory=dict, description="by master, as in { security = 4 }"
    )
    per_type: Annotated[dict[str, Positive], _ByType] = Field(
        default_factory=dict, description="by worker type, as in { scan = 3 }"
    )
    per_runtime: dict[str, Positive] = Field(
        default_factory=dict, description="by runtime, as in { command = 2 }"
    )
    per_repository: int = Field(0, ge=0, le=100_000, description="of one repository; 0: no limit")
    steps_per_plan: Positive = Field(50, description="of a plan that a model proposes")
    attempts_per_lineage: int = Field(
        2000,
        ge=0,
        description="workers of a task and of all that came of it, in all; then a yes is needed",
    )
    tokens_per_lineage: Tokens = Field(0, description="the same in tokens; 0: no limit")


class Spawn(_Section):
    """When and how many workers are started."""

    policy: Literal["on_demand", "adaptive", "learned"] = Field(
        "on_demand",
        description="adaptive: as many at once as the depth of the queue says; learned: at most "
        "that, and no more than were seen to end more work",
    )
    adaptive_steps: list[tuple[Positive, Positive]] = Field(
        default=[(3, 1), (10, 3)],
        description="[below this depth, this many]; at and past the last: min(adaptive_max, depth)",
    )
    adaptive_max: Positive = Field(5, description="the most that adaptive starts at once")
    batch: Positive = Field(
        20, description="items of a task that one worker takes one after another, at most"
    )
    aging: Duration = Field(
        1800.0, gt=0, description="waiting this long lifts work by one priority, up to high"
    )
    claim_timeout: Duration = Field(10.0, gt=0, description="a start without a claim is given up")


class Workers(_Section):
    """What every worker gets, unless its type or task says otherwise."""

    retries: int = Field(2, ge=0, le=20, description="further attempts after a failed one")
    retry_timeouts: int = Field(1, ge=0, le=20, description="further attempts after a timeout")
    backoff: Duration = Field(2.0, description="before the first retry; doubles each time")
    backoff_max: Duration = Field(300.0, description="no retry waits longer")
    grace: Duration = Field(5.0, description="between TERM and KILL")
    containment: Literal["auto", "namespace", "cgroup", "none"] = Field(
        "auto",
        description="what holds a worker's processes together: auto (the best that the machine "
        "allows), or only a pid namespace, a control group, or the shim",
    )
    log_limit: int = Field(
        64 * 1024 * 1024, ge=4096, description="bytes of a worker's output that are kept"
    )
    results_limit: int = Field(
        8 * 1024 * 1024, ge=1024, description="bytes of results.json that are read"
    )
    memory_limit: int = Field(
        0,
        ge=0,
        description="bytes: of the whole tree in a control group, else each process's address "
        "space; 0: none",
    )
    file_limit: int = Field(0, ge=0, description="largest file in bytes; 0: none")
    process_limit: int = Field(
        0,
        ge=0,
        description="processes of one worker, or of the user where that cannot be had; 0: none",
    )
    accept_partial: bool = Field(True, description="a partial result counts as done")


class Scan(_Section):
    """What the zero-token scan may use."""

    advisories_dir: str = Field(
        "", description="folder of OSV advisories (JSON); empty: pins are listed, not audited"
    )
    audit_online: bool = Field(False, description="ask the package index's advisory service")


class Approvals(_Section):
    """What waits for a person's yes before it starts."""

    types: list[str] = Field(default_factory=list, description="tasks of these types")
    tokens_above: Tokens = Field(
        0,
        description="tasks whose workers' p90 is more tokens than this (those of the tools runtime "
        "use none); 0: none",
    )
    workers_above: int = Field(0, ge=0, description="tasks of more workers than this; 0: none")
    deadline: Duration = Field(
        0.0, description="no answer for so long is escalated, once; the task stays; 0: never"
    )
    waiting_at_most: int = Field(
        0, ge=0, description="with so many of one type waiting, no other of it starts; 0: no limit"
    )


class Retention(_Section):
    """How long ended work stays where."""

    archive_after: Duration = Field(86_400.0, description="ended tasks leave task-queue.json")
    archive_over: int = Field(
        500, ge=0, le=1_000_000, description="ended tasks kept there at most, youngest first"
    )
    retention_days: int = Field(
        30, ge=1, le=3650, description="dated logs, reports and refused drops are kept this long"
    )


class MasterSettings(_Section):
    """Overrides for one master, under [masters.NAME]; None keeps the master file's value."""

    enabled: bool = Field(True, description="false: its tasks wait as blocked")
    worker_mode: bool = Field(True, description="false: its tasks run in direct mode")
    allocated: Tokens | None = Field(None, description="its own tokens a period")
    worker_pool: Tokens | None = Field(None, description="its share of the worker pool")


class Settings(_Section):
    """The whole of cortex.toml."""

    daemon: Daemon = Daemon()
    budget: Budget = Budget()
    limits: Limits = Limits()
    spawn: Spawn = Spawn()
    workers: Workers = Workers()
    scan: Scan = Scan()
    approvals: Approvals = Approvals()
    retention: Retention = Retention()
    masters: Annotated[dict[str, MasterSettings], _ByMaster] = Field(default_factory=dict)

    def tools_limit(self, cores: int) -> int:
        """How many tools and commands run at once on a machine of so many cores."""
        return self.limits.tools or max(4, cores)


def load_settings(path: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of a cortex.toml (defaults where it is missing) under CORTEX_* overrides.

    `CORTEX_BUDGET_TOTAL=100000` overrides `[budget] total`. Raises SettingsError that names file
    or variable, key, and the nearest known name or what a right value looks like.
    """
    data: dict[str, Any] = {}
    if path.exists():
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:  # TOML that is none, other text than UTF-8, a number too long
            raise SettingsError(f"{path}: not valid TOML: {error}", [_not_toml(error)]) from None
        except OSError as error:
            raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    origin = _override(data, os.environ if environ is None else environ)
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        raise _refusal(path, error, data, origin) from None


def _not_toml(error: ValueError) -> WrongField:
    """What the parser says, with its line apart."""
    found = re.fullmatch(r"(.*) \(at line (\d+), column \d+\)", str(error))
    if found is None:
        return WrongField(f"not valid TOML: {error}")
    return WrongField(f"not valid TOML: {found[1]}", line=int(found[2]))


def _override(data: dict[str, Any], environ: Mapping[str, str]) -> dict[Place, str]:
    """Lays CORTEX_SECTION_KEY variables over the file's data; returns which key came from where."""
    origin: dict[Place, str] = {}
    _check_variables(environ)
    for section, model in _sections().items():
        for key, field in model.model_fields.items():
            variable = f"CORTEX_{section}_{key}".upper()
            if variable not in environ or not isinstance(data.setdefault(section, {}), dict):
                continue
            text: Any = environ[variable]
            if bool in (field.annotation, *get_args(field.annotation)):
                text = {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
            data[section][key] = text
            origin[section, key] = variable
    return origin


def _check_variables(environ: Mapping[str, str]) -> None:
    """Refuses variables of a section that name no key: a misspelt limit is no limit."""
    known = {
        f"CORTEX_{section}_{key}".upper()
        for section, model in _sections().items()
        for key in model.model_fields
    }
    prefixes = tuple(f"CORTEX_{section}_".upper() for section in _sections())
    wrong = []
    for variable in sorted(environ):
        if variable.startswith(prefixes) and variable not in known:
            near = difflib.get_close_matches(variable, known, 1)
            hint = f"did you mean {near[0]}?" if near else "docs/settings.md lists them"
            wrong.append(WrongField("no such variable", hint=hint, source=variable))
    if wrong:
        raise SettingsError("\n".join(map(str, wrong)), wrong)


def _sections() -> dict[str, type[_Section]]:
    return {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, _Section)
    }


def _refusal(
    path: Path, error: ValidationError, data: dict[str, Any], origin: Mapping[Place, str]
) -> SettingsError:
    wrong = [
        replace(one, source=origin.get(one.place[:2]))
        for one in wrong_fields(error, Settings, data)
    ]
    lines = [str(one) if one.source else f"{path}: {one}" for one in wrong]
    return SettingsError("\n".join(lines), wrong)


def default_text() -> str:
    """A cortex.toml with every key, its meaning and its default, all commented out."""
    lines = [
        "# Settings of this Cortex home. Every key has the default that stands here;",
        "# remove the # of a line to change it. CORTEX_SECTION_KEY in the environment",
        "# overrides a key: CORTEX_BUDGET_TOTAL=100000.",
    ]
    for name, section in _sections().items():
        lines += ["", f"# {(section.__doc__ or '').strip()}", f"[{name}]"]
        for key, field in section.model_fields.items():
            lines.append(f"# {field.description}")
            lines.append(f"# {key} = {_toml(field.get_default(call_default_factory=True))}")
    lines += ["", "# [masters.security]   # overrides for one master"]
    for key, field in MasterSettings.model_fields.items():
        default = field.get_default()
        value = _toml(default) if default is not None else "30000"
        lines.append(f"# {key} = {value}   # {field.description}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{}"
    return str(value)
