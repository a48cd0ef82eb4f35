"""What all tests share: homes with a real daemon, of which nothing runs after the test. Hypothesis
gives a slow machine the time it needs, and in CI no test of a fault may be skipped: a fault that
nobody caused is a promise that nobody looked at."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from live_home import LiveHome, MakeHome

# What the shell that starts the tests has exported for its own sake would reach every program that
# they start: another home, the repository of a git hook, a signature for commits, a narrow screen.
for _name in list(os.environ):
    if _name.startswith(("CORTEX_", "GIT_")) or _name in ("COLUMNS", "LINES", "FORCE_COLOR"):
        del os.environ[_name]
os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}

settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("patient")

#: Where tests cause faults.
NEVER_SKIPPED = ("crash", "sim", "e2e", "unit/store", "unit/runtime")
#: Reasons for which a test may be skipped there all the same, each with why.
ALLOWED_REASONS = {
    "this user is not root": "only root may mount a block device, which alone gives a true EIO",
}


def is_skip_a_failure(path: Path, reason: str) -> bool:
    """Whether CI runs here, the test causes faults, and nobody allowed this reason."""
    if os.environ.get("CI", "").lower() not in ("1", "true"):
        return False
    here = path.relative_to(Path(__file__).parent).as_posix()
    is_fault = here.startswith(tuple(f"{folder}/" for folder in NEVER_SKIPPED))
    return is_fault and not any(allowed in reason for allowed in ALLOWED_REASONS)


def _fail_if_skipped(report: Any, path: Path) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if is_skip_a_failure(path, reason):
            report.outcome = "failed"
            report.longrepr = f"{path}: a test of a fault was skipped in CI: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """A skipped test of a fault is a failed one, in CI."""
    report = yield
    _fail_if_skipped(report, item.path)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """The same for a whole file that is skipped."""
    report = yield
    _fail_if_skipped(report, collector.path)
    return report


@pytest.fixture
def make_home(tmp_path: Path) -> Iterator[MakeHome]:
    """Makes homes; each daemon, worker and folder outside is gone after the test."""
    from live_home import LiveHome

    homes: list[LiveHome] = []

    def make(name: str = "home", *, settings: str = "", **rest: object) -> LiveHome:
        homes.append(LiveHome(tmp_path / name, settings, **rest))  # type: ignore[arg-type]
        return homes[-1]

    yield make
    for home in homes:
        home.close()


@pytest.fixture
def live(make_home: MakeHome) -> LiveHome:
    """One home whose daemon serves, with short backoffs."""
    home = make_home(settings="[workers]\nbackoff = 0.1\ngrace = 0.5\n")
    home.start()
    return home
