"""The systemd unit of one home: its name, and its text made from the packaged template.

Only texts and paths; nothing is written, and no service manager is asked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from cortex.home.templates import installed_data
from cortex.model.errors import HomeError

__all__ = ["escape_path", "quoted_program", "unit_name", "unit_text"]

TEMPLATE = "packaging/systemd/cortexd@.service"
#: UNIT_NAME_MAX of systemd, with its final NUL.
_NAME_BYTES = 256
_KEPT = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:_.")


def escape_path(path: Path) -> str:
    """An absolute path as `systemd-escape --path` writes it (systemd.unit(5)): `/srv/a-b` is
    `srv-a\\x2db`.
    """
    parts = [part for part in str(path).split("/") if part]
    if not parts:
        return "-"
    text = "-".join("".join(_escaped(byte) for byte in os.fsencode(part)) for part in parts)
    return f"\\x2e{text[1:]}" if text[0] == "." else text


def _escaped(byte: int) -> str:
    return chr(byte) if byte in _KEPT else f"\\x{byte:02x}"


def unit_name(home: Path) -> str:
    """The name of a home's unit. HomeError where systemd knows no name so long."""
    name = f"cortexd@{escape_path(home)}.service"
    if len(name) >= _NAME_BYTES:
        raise HomeError(
            f"{home}: the path is too long for the name of a systemd unit ({len(name)} of "
            f"{_NAME_BYTES - 1} bytes); serve the home under a shorter path"
        )
    return name


def unit_text(program: Path, user: str | None) -> str:
    """The unit that starts `program` as `user`; None: for the service manager of a user."""
    values: dict[str, str | None] = {
        "ExecStart": f"{quoted_program(program)} --home %f --log-format json",
        "User": user,
    }
    if user is None:
        values["WantedBy"] = "default.target"
    path = installed_data() / TEMPLATE
    try:
        template = path.read_text(encoding="utf-8")
    except OSError as error:
        raise HomeError(
            f"{path}: the unit's template cannot be read ({error.strerror}); install cortexd again"
        ) from None
    return _with(template, values)


def _with(template: str, values: Mapping[str, str | None]) -> str:
    """The template with each key's one line replaced, or left out for None."""
    lines = []
    for line in template.splitlines():
        key = line.partition("=")[0]
        if key not in values:
            lines.append(line)
        elif (value := values[key]) is not None:
            lines.append(f"{key}={value}")
    return "\n".join(lines) + "\n"


def quoted_program(program: Path) -> str:
    """A path as a word of ExecStart (systemd.service(5)): neither a specifier nor a variable."""
    text = str(program).replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[\w./+@:,=%$-]+", text, re.ASCII):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
