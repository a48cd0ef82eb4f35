"""`cortex top`: everything at a glance, live: budget, masters, workers, queue."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from cortex.cli.options import HomeOption, note_without_daemon, open_home
from cortex.cli.terminal import colours

__all__ = ["EXAMPLES", "top"]

EXAMPLES = """
  cortex top            q or Ctrl-C ends it
  cortex top --once     one picture, for a log or a mail
"""


def top(
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
    home: HomeOption = None,
) -> None:
    """Watch everything live: tokens of masters, workers and reserve, progress, queue, efficiency.

    Redrawn when the published files change, and each second for the clocks. q ends it.
    """
    from rich.console import Console

    from cortex.cli.dashboard import picture

    place = open_home(home)
    console = Console(no_color=not colours(), highlight=False)
    if once or not sys.stdout.isatty():
        note_without_daemon(place, "the files are shown as it left them")
        console.print(picture(place, console.width, None))
        return
    from rich.live import Live

    with _quit_on_q(), Live(console=console, screen=True, auto_refresh=False) as live:
        try:
            for _ in place.changes(every_s=1.0):
                live.update(picture(place, console.width, console.height), refresh=True)
        except KeyboardInterrupt:
            return


@contextmanager
def _quit_on_q() -> Iterator[None]:
    """While it is open, a typed q does what Ctrl-C does."""
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        threading.Thread(target=_read_keys, args=(descriptor,), daemon=True).start()
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _read_keys(descriptor: int) -> None:
    while key := os.read(descriptor, 1):
        if key in b"qQ":
            os.kill(os.getpid(), signal.SIGINT)
            return
