"""Keeps secrets out of everything that a scan writes.

An analyzer says where a secret stands; this module turns that into a hint that a person can
recognise it by, and remembers the value, in memory only, so that it can be blotted out of every
snippet and message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["LITERAL", "SecretsSeen", "hint_of", "is_placeholder"]

_SHOWN_CHARACTERS = 4
_SHORT = 12
LITERAL = re.compile(r"""(?P<quote>["'])(?P<value>(?:\\.|(?!(?P=quote)).){6,400})(?P=quote)""")
_PLACEHOLDER = re.compile(
    r"""(?ix)
    ^(?: none | null | true | false | undefined | password | passwd | secret | token | changeme
       | .{0,3} | x{3,} | \*+ | \.+ | todo | your[-_ ].* | .*[<{$%].* | .*placeholder.*
       | .*example.* | .*dummy.* | test(?:ing)? | default | [a-z_]+ | [a-z]+(?:[-_. ][a-z]+)* )$
    """
)


def is_placeholder(value: str) -> bool:
    """Whether a quoted value is a word, a name or a template rather than a secret."""
    return _PLACEHOLDER.match(value.strip()) is not None


def hint_of(secret: str) -> str:
    """What may be shown of a secret: its first characters and its length, of a short one the
    length.
    """
    if len(secret) < _SHORT:
        return f"{len(secret)} characters"
    return f"{secret[:_SHOWN_CHARACTERS]}…, {len(secret)} characters"


class SecretsSeen:
    """Values to blot out, the longest first, so that one inside another leaves no end behind."""

    def __init__(self) -> None:
        self._values: set[str] = set()

    def add(self, value: str) -> None:
        """Remember one value; values of fewer than six characters would blot out ordinary words."""
        if len(value) >= 6:
            self._values.add(value)

    def add_literals(self, line: str) -> None:
        """Remember each quoted text of a source line in which a password was seen."""
        for match in LITERAL.finditer(line):
            # A plain word would be blotted out of file names and of everybody's code.
            if not is_placeholder(match["value"]):
                self.add(match["value"])

    def blot(self, value: Any) -> Any:
        """The same text, list or mapping with every remembered value replaced by its hint."""
        if isinstance(value, str):
            for secret in sorted(self._values, key=len, reverse=True):
                if secret in value:
                    value = value.replace(secret, f"[secret: {hint_of(secret)}]")
            return value
        if isinstance(value, Mapping):
            return {name: self.blot(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.blot(item) for item in value]
        return value
