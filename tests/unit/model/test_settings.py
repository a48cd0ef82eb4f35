"""cortex.toml: every key, its default, its overrides, and what is said of a wrong one."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from cortex.model.errors import SettingsError
from cortex.model.settings import Settings, default_text, load_settings


def load(folder: Path, text: str = "", **environ: str) -> Settings:
    path = folder / "cortex.toml"
    path.write_text(text)
    return load_settings(path, environ)


def refusal(folder: Path, text: str = "", **environ: str) -> str:
    with pytest.raises(SettingsError) as refused:
        load(folder, text, **environ)
    return str(refused.value)


def uncommented(text: str) -> str:
    """The default file with the # of every key removed; comments have no ` = ` after one word."""
    return re.sub(r"(?m)^# (?=\[?[a-z_.]+\]? *(?:=|#))", "", text)


def test_a_missing_file_means_the_defaults(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "cortex.toml", {}) == Settings()


def test_the_default_file_says_nothing_until_a_line_is_changed(tmp_path: Path) -> None:
    assert load(tmp_path, default_text()) == Settings()


def test_every_key_of_the_default_file_is_right_and_has_the_default(tmp_path: Path) -> None:
    text = uncommented(default_text())
    loaded = load(tmp_path, text)
    assert loaded.model_copy(update={"masters": {}}) == Settings()
    data = tomllib.loads(text)
    for name, field in Settings.model_fields.items():
        if name != "masters":
            assert isinstance(field.annotation, type)
            assert set(data[name]) == set(field.annotation.model_fields), name
    assert set(data["masters"]["security"]) == {
        "enabled",
        "worker_mode",
        "allocated",
        "worker_pool",
    }


def test_the_default_day_is_the_documented_one() -> None:
    budget = Settings().budget
    assert (budget.total, budget.emergency_reserve) == (200_000, 25_000)
    assert (budget.alert_at, budget.escalate_at) == (0.75, 0.9)
    limits = Settings().limits
    assert (limits.agents, limits.agents_per_task) == (10, 3)
    assert [Settings().tools_limit(cores) for cores in (1, 4, 16)] == [4, 4, 16]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[budgets]\ntotal = 5", "budgets: no such key; did you mean budget?"),
        ("[budget]\ntotl = 5", "budget.totl: no such key; did you mean total?"),
        ("[budget]\nzzz = 5", "budget.zzz: no such key; known here: total, emergency_reserve"),
        ("[masters.security]\nenable = false", "did you mean enabled?"),
        ("[budget]\ntotal = -5", "budget.total: "),
        ("[budget]\ntotal = 'much'", "budget.total: must be a whole number, is the text 'much'"),
        ("[budget]\nresets_at = '25:00'", "budget.resets_at: "),
        ("[budget]\ntimezone = 'Mars/Base'", "'Mars/Base' is no time zone; write one like"),
        ("[budget]\ntimezone = '../etc'", "is no time zone"),
        ("[workers]\nbackoff = 'soon'", "write it like 90s, 15m or 1h30m"),
        ("[limits]\nper_type = { scan = 0 }", "limits.per_type.scan-worker: "),
        ("[limits.per_type]\nscan = 1\nscan-worker = 2", "names one thing twice"),
        ("[masters.a]\n[masters.a-master]\n", "names one thing twice"),
        ("[spawn]\nadaptive_steps = [[3, 0]]", "spawn.adaptive_steps"),
        ("[spawn]\naging = inf", "spawn.aging: "),
        ("[spawn]\naging = nan", "spawn.aging: "),
        ("[daemon]\nresync = 0", "daemon.resync: "),
        ("budget = 5", "budget: "),
        ("[budget\n", "not valid TOML"),
        ("[budget]\ntotal = 1\ntotal = 2", "not valid TOML"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_file_and_remedy(
    tmp_path: Path, text: str, says: str
) -> None:
    message = refusal(tmp_path, text)
    assert message.startswith(f"{tmp_path}/cortex.toml: ")
    assert says in message


def test_every_wrong_key_is_named_at_once(tmp_path: Path) -> None:
    message = refusal(tmp_path, "[budget]\ntotl = 5\n[limits]\nagent = 3")
    assert len(message.splitlines()) == 2


def test_a_folder_in_the_files_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "cortex.toml").mkdir()
    with pytest.raises(SettingsError, match=r"cortex\.toml: cannot be read"):
        load_settings(tmp_path / "cortex.toml", {})


def test_variables_override_the_file_key_by_key(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        "[budget]\ntotal = 5\nperiod = 'weekly'",
        CORTEX_BUDGET_TOTAL="100000",
        CORTEX_WORKERS_BACKOFF="90s",
        CORTEX_WORKERS_ACCEPT_PARTIAL="false",
        CORTEX_SCAN_AUDIT_ONLINE="1",
        CORTEX_LIMITS_AGENTS="4",
        CORTEX_HOME="/elsewhere",
        CORTEX_WORKER_ID="worker-scan-001",
    )
    assert (loaded.budget.total, loaded.budget.period) == (100_000, "weekly")
    assert loaded.workers.backoff == 90.0
    assert loaded.workers.accept_partial is False
    assert loaded.scan.audit_online is True
    assert loaded.limits.agents == 4


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("CORTEX_BUDGET_TOTAL", "lots", "CORTEX_BUDGET_TOTAL: "),
        ("CORTEX_WORKERS_ACCEPT_PARTIAL", "perhaps", "CORTEX_WORKERS_ACCEPT_PARTIAL: "),
        ("CORTEX_LIMITS_PER_TYPE", "scan=3", "CORTEX_LIMITS_PER_TYPE: "),
        (
            "CORTEX_BUDGET_TOTL",
            "5",
            "CORTEX_BUDGET_TOTL: no such variable; did you mean CORTEX_BUDGET_TOTAL?",
        ),
    ],
)
def test_a_wrong_variable_is_named_instead_of_the_file(
    tmp_path: Path, variable: str, value: str, says: str
) -> None:
    message = refusal(tmp_path, "", **{variable: value})
    assert says in message
    assert "cortex.toml" not in message


def test_a_variable_over_a_section_that_is_none_is_refused_too(tmp_path: Path) -> None:
    assert "budget: " in refusal(tmp_path, "budget = 5", CORTEX_BUDGET_TOTAL="7")


@pytest.mark.parametrize("name", ["security", "security-master"])
def test_masters_are_named_with_or_without_their_ending(tmp_path: Path, name: str) -> None:
    loaded = load(tmp_path, f"[masters.{name}]\nenabled = false\nallocated = 7")
    assert loaded.masters["security"].allocated == 7


def test_settings_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().budget.total = 5  # type: ignore[misc]
