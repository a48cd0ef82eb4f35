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


def a_turn_that_waits_for(event: threading.Event) -> None:
    assert event.wait(LIMIT_S)


def test_a_turn_that_does_not_end_is_logged_with_its_stack_while_it_lasts() -> None:
    log = Log()
    stall = StallWatch(0.1, log)
    stall.start()
    stall.turn_begins()
    a_turn_that_waits_for(log.spoken)
    stall.turn_ended()
    stall.stop()
    (event, fields), (ended, _) = log.said
    assert event == "a turn of the loop does not end"
    assert "a_turn_that_waits_for" in fields["stack"]
    assert ended == "a stalled turn has ended"
    [sign] = stall.signs(60.0)
    assert sign.condition == "loop_stalled"


def test_quick_turns_never_wake_the_watching_thread() -> None:
    log = Log()
    stall = StallWatch(5.0, log)
    stall.start()
    end = time.monotonic() + LIMIT_S
    before = -1
    while (now := wakeups("stall-watch")) != before:  # until it sleeps
        before = now
        assert time.monotonic() < end
        time.sleep(0.02)
    for _ in range(10_000):
        stall.turn_begins()
        stall.turn_ended()
    assert wakeups("stall-watch") == before
    stall.stop()
    assert log.said == []
    assert list(stall.signs(60.0)) == []


def test_an_idle_loop_is_no_stalled_turn() -> None:
    log = Log()
    stall = StallWatch(0.05, log)
    stall.start()
    stall.turn_begins()
    stall.turn_ended()
    assert not log.spoken.wait(0.3)
    stall.stop()
