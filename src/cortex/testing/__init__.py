"""Fakes of the seams, and a seeded simulation of the whole daemon that stands on them.

`FakeClock`, `FakeDisk` and `FakeExecutor` may be used by anybody who tests code against Cortex;
`Simulation` is what `scripts/sim` runs.
"""

from cortex.testing.clock import FakeClock
from cortex.testing.disk import Crash, FakeDisk, Fault
from cortex.testing.effects import ScheduledEffects
from cortex.testing.executor import Behaviour, FakeExecutor, FakeMachine
from cortex.testing.simulation import Outcome, Simulation

__all__ = [
    "Behaviour",
    "Crash",
    "FakeClock",
    "FakeDisk",
    "FakeExecutor",
    "FakeMachine",
    "Fault",
    "Outcome",
    "ScheduledEffects",
    "Simulation",
]
