"""The last good text of each file under agents/, so that one which is spoilt stays in force over a
restart too.

One small file of the daemon's own, written when definitions change. It is never synced: what a
power cut leaves of it is read as far as it is whole, and without it a spoilt file is in force no
longer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

__all__ = ["keep_last_good", "last_good"]


def last_good(path: Path) -> dict[str, str]:
    """The kept texts by their file's path in the home; none where nothing whole is kept."""
    try:
        kept = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(kept, dict):
        return {}
    return {name: text for name, text in kept.items() if isinstance(text, str)}


def keep_last_good(path: Path, texts: Mapping[str, str]) -> None:
    """Keeps these texts in place of what was kept; a full disk keeps the old ones."""
    if last_good(path) == texts:
        return
    aside = path.with_suffix(".new")
    with suppress(OSError):
        aside.write_text(json.dumps(texts, ensure_ascii=False, indent=1), encoding="utf-8")
        aside.replace(path)
