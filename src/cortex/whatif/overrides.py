"""Settings with some keys changed for once: `limits.tools=8` over a home's cortex.toml.

A key that is not known is refused with the nearest known one, as in the file itself.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from cortex.model.errors import SettingsError
from cortex.model.settings import MasterSettings, Settings
from cortex.model.wrong_fields import wrong_fields

__all__ = ["known_keys", "override"]

#: Names that the published files use for a setting.
_ALSO = {"budget.total_budget": "budget.total"}


def known_keys() -> list[str]:
    """Every key that can be changed, like `limits.tools`, without those of single masters."""
    keys = []
    for section, field in Settings.model_fields.items():
        model = field.annotation
        if section != "masters" and model is not None:
            keys += [f"{section}.{key}" for key in model.model_fields]
    return keys


def override(settings: Settings, changes: Sequence[str]) -> tuple[Settings, dict[str, Any]]:
    """The settings under `KEY=VALUE` changes, and the changes by their full key.

    Raises SettingsError that names the change, and the nearest known key or what is wrong.
    """
    data = settings.model_dump()
    made: dict[str, Any] = {}
    for change in changes:
        key, equals, text = change.partition("=")
        key = _ALSO.get(key.strip(), key.strip())
        if not equals or not key:
            raise SettingsError(f"{change!r} is no KEY=VALUE, like limits.tools=8")
        _check_key(key)
        made[key] = _value(text.strip())
        _put(data, key.split("."), made[key])
    try:
        return Settings.model_validate(data), made
    except ValidationError as error:
        wrong = wrong_fields(error, Settings, data)
        raise SettingsError("\n".join(map(str, wrong)), wrong) from None


def _check_key(key: str) -> None:
    section, _, rest = key.partition(".")
    if section == "masters":
        known = [f"masters.NAME.{name}" for name in MasterSettings.model_fields]
        name = rest.partition(".")[2]
        if name not in MasterSettings.model_fields:
            raise SettingsError(f"{key}: unknown; known here: {', '.join(known)}")
        return
    known = known_keys()
    tables = ("limits.per_master.", "limits.per_type.", "limits.per_runtime.")
    if key in known or key.startswith(tables):
        return
    near = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean {near[0]}?" if near else "docs/settings.md lists the keys"
    raise SettingsError(f"{key}: unknown setting; {hint}")


def _value(text: str) -> Any:
    """The value as TOML has it; a bare word is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _put(data: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        data = data.setdefault(name, {})
    data[path[-1]] = value
