"""Prints what programs read: JSON, YAML and plain names. Tables are elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

__all__ = ["print_json", "print_json_line", "print_names", "print_yaml"]


def print_json(value: Any) -> None:
    """Indented JSON; on a terminal no byte of it can be a control character."""
    print(json.dumps(value, indent=2, ensure_ascii=sys.stdout.isatty()))


def print_json_line(value: Any) -> None:
    """One object on one line, at once."""
    print(json.dumps(value, ensure_ascii=sys.stdout.isatty()), flush=True)


def print_yaml(value: Any) -> None:
    """Block YAML in the order of the fields."""
    import yaml

    print(yaml.safe_dump(value, sort_keys=False, allow_unicode=not sys.stdout.isatty()), end="")


def print_names(names: Iterable[object]) -> None:
    """One name a line."""
    for name in names:
        print(str(name).replace("\n", " "))
