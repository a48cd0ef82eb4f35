"""How the daemon speaks: structlog, for people on a terminal, as JSON lines for machines."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["make_log"]


def make_log(log_format: str) -> Any:
    """A logger on stderr; `auto` is `console` on a terminal and `json` elsewhere."""
    import structlog

    if log_format == "auto":
        log_format = "console" if sys.stderr.isatty() else "json"
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    if log_format == "console":
        processors.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()))
    else:
        processors.append(structlog.processors.JSONRenderer(ensure_ascii=False))
    structlog.configure(
        processors=processors,
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    return structlog.get_logger()
