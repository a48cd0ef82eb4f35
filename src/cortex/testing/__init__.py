"""Fakes of the seams, and a seeded simulation of the whole daemon that stands on them.

`FakeClock`, `FakeDisk` and `FakeExecutor` may be used by anybody who tests code against Cortex;
`Simulation` is what `scripts/sim` runs.
"""
