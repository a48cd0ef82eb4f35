"""Path claims: which workers may not run side by side because they would write the same files.

A worker of a type that writes claims the paths of its scope in its repository, or all of it. Claims
of one task never hold each other back: its plan says what is merged and when.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from cortex.model.state import Worker

__all__ = ["WHOLE", "claims_of", "in_the_way", "overlap"]

#: The claim of a worker whose scope names no paths.
WHOLE = "."


def claims_of(paths: Sequence[str] | None) -> list[str]:
    """What a writing worker claims, for the paths of its scope; a pattern counts as its folder."""
    return sorted({_folder(path) for path in paths or [WHOLE]})


def _folder(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", WHOLE)]
    literal = itertools.takewhile(lambda part: not any(sign in part for sign in "*?["), parts)
    return "/".join(literal) or WHOLE


def overlap(these: Sequence[str], those: Sequence[str]) -> tuple[str, str] | None:
    """The first pair of claims of which one lies in the other, or None."""
    return next((pair for pair in itertools.product(these, those) if _nested(*pair)), None)


def _nested(one: str, other: str) -> bool:
    if WHOLE in (one, other) or one == other:
        return True
    return one.startswith(f"{other}/") or other.startswith(f"{one}/")


def in_the_way(worker: Worker, live: Iterable[Worker]) -> Worker | None:
    """The live worker of another task whose claim this one would have to share, if there is one."""
    if not worker.claims:
        return None
    for other in live:
        alone = other.task_id == worker.task_id or other.repository != worker.repository
        if not alone and overlap(worker.claims, other.claims):
            return other
    return None
