"""A turn that does not end is noticed while it lasts; the watching thread sleeps otherwise."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from cortex.control.stalling import StallWatch

LIMIT_S = 10.0


class Log:
    """Keeps what is said, and lets a test wait for it."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.spoken = threading.Event()

    def error(self, event: str, **fields: Any) -> None:
        self.said.append((event, fields))
        self.spoken.set()


def wakeups(name: str) -> int:
    """How often the thread of this name gave up the processor of its own will."""
    for thread in threading.enumerate():
        if thread.name == name:
            status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
            return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    raise AssertionError(f"no thread {name}")


def a_turn_that_waits(stall: StallWatch, event: threading.Event) -> None:
    stall.turn_begins()
    assert event.wait(LIMIT_S)
    stall.turn_ended()


def test_a_turn_that_does_not_end_is_logged_with_its_stack_while_it_lasts() -> None:
    log = Log()
    stall = StallWatch(0.1, log)
    stall.start()
    a_turn_that_waits(stall, log.spoken)
    stall.stop()
    (event, fields), (ended, _) = log.said
    assert event == "a turn of the loop does not end"
    assert "a_turn_that_waits" in fields["stack"]
    assert ended == "a stalled turn has ended"
    [sign] = stall.signs(60.0)
    assert sign.condition == "loop_stalled"


def test_quick_turns_never_wake_the_watching_thread() -> None:
    log = Log()
    stall = StallWatch(5.0, log)
    stall.start()
    before = wakeups("stall-watch")
    longest_s = 0.0
    for _ in range(10_000):
        began_s = time.monotonic()
        stall.turn_begins()
        stall.turn_ended()
        longest_s = max(longest_s, time.monotonic() - began_s)
    # A few are its own, before it sleeps for the first time.
    assert wakeups("stall-watch") < before + 100
    stall.stop()
    assert log.said == [] or longest_s > 4.0


def test_an_idle_loop_is_no_stalled_turn() -> None:
    took_s = 1.0
    while took_s >= 0.04:  # or it is the machine that stalled
        log = Log()
        stall = StallWatch(0.05, log)
        stall.start()
        began_s = time.monotonic()
        stall.turn_begins()
        stall.turn_ended()
        took_s = time.monotonic() - began_s
        was_told = log.spoken.wait(0.3)
        stall.stop()
    assert not was_told
