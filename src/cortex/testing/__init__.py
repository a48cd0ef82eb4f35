"""Fakes of the seams, and a seeded simulation of the whole daemon that stands on them.

`FakeClock`, `FakeDisk`, `FakeExecutor` and `FakeModel` are for anybody who tests code against
Cortex; `Simulation` is what `scripts/sim` runs.
"""

from cortex.testing.clock import FakeClock
from cortex.testing.disk import FakeDisk
from cortex.testing.disk_faults import Crash, Fault
from cortex.testing.effects import ScheduledEffects
from cortex.testing.executor import FakeExecutor
from cortex.testing.machine import Behaviour, FakeMachine
from cortex.testing.model import FakeModel
from cortex.testing.simulation import Outcome, Simulation

__all__ = [
    "Behaviour",
    "Crash",
    "FakeClock",
    "FakeDisk",
    "FakeExecutor",
    "FakeMachine",
    "FakeModel",
    "Fault",
    "Outcome",
    "ScheduledEffects",
    "Simulation",
]
