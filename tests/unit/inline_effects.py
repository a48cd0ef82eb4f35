"""Effects that run where they stand, for tests of what the daemon decides and hands out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cortex.control.effects import Done, Post, outcome


class InlineEffects:
    """`control.effects.Effects` without a thread: `run` returns when the work is done."""

    def __init__(self, post: Post) -> None:
        self._post = post

    def run(self, lane: str, work: Callable[[], Any], then: Done) -> None:
        del lane
        result = outcome(work)
        self._post(lambda: then(result))

    def close(self) -> None:
        """Nothing is ever left over."""
