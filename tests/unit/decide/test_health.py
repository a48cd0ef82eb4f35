"""Which conditions stand, from the signs of each look."""

from __future__ import annotations

from cortex.decide.health import CONDITIONS, Health, Sign

AT = "2025-11-01T10:00:00Z"
STUCK = Sign("starts_stuck", "w1 1 approved", "w1 was not started")


def look(health: Health, clock_s: float, *signs: Sign) -> list[tuple[str, bool]]:
    """What began and ended in a look; half a minute of patience."""
    changes = health.look(signs, clock_s, AT, 30.0)
    return [(change.standing.name, change.began) for change in changes]


def test_what_waits_stands_only_once_it_has_waited_too_long() -> None:
    health = Health()
    assert look(health, 0, STUCK) == []
    assert look(health, 29, STUCK) == []
    assert look(health, 30, STUCK) == [("starts_stuck", True)]
    assert health.degraded is not None
    assert health.degraded.cause == "w1 was not started"


def test_each_condition_begins_and_ends_once() -> None:
    health = Health()
    sign = Sign("journal_unwritable", "journal", "no space")
    assert look(health, 0, sign) == [("journal_unwritable", True)]
    assert look(health, 1, sign) == []
    [change] = health.look([], 5, AT, 30.0)
    assert not change.began
    assert change.lasted_s == 5
    assert look(health, 6) == []
    assert health.degraded is None


def test_progress_begins_a_new_patience() -> None:
    health = Health()
    for clock_s in range(0, 200, 10):
        sign = Sign("effect_stuck", f"publish {clock_s // 20}", "slow, but it moves")
        assert look(health, clock_s, sign) == []


def test_a_sign_may_ask_for_more_patience() -> None:
    health = Health()
    sign = Sign("ends_stuck", "w1", "told to end", after_s=60)
    assert look(health, 0, sign) == []
    assert look(health, 89, sign) == []
    assert look(health, 90, sign) == [("ends_stuck", True)]


def test_the_gravest_condition_is_the_cause_and_a_note_does_not_degrade() -> None:
    health = Health()
    note = Sign("clock_jumped", "clock", "set")
    look(health, 0, note)
    assert health.degraded is None
    assert [found.name for found in health.standing] == ["clock_jumped"]
    look(health, 1, note, STUCK)
    look(health, 40, note, STUCK, Sign("journal_unwritable", "journal", "no space"))
    assert health.degraded is not None
    assert health.degraded.name == "journal_unwritable"
    assert [found.name for found in health.standing] == [
        "journal_unwritable",
        "starts_stuck",
        "clock_jumped",
    ]


def test_several_things_of_one_condition_are_one_cause_that_counts_them() -> None:
    health = Health()
    signs = [Sign("starts_stuck", f"w{n}", f"w{n} was not started") for n in range(3)]
    look(health, 0, *signs)
    look(health, 30, *signs)
    assert [found.cause for found in health.standing] == ["w0 was not started, and 2 more"]


def test_a_condition_keeps_its_beginning_when_its_cause_changes() -> None:
    health = Health()
    health.look([Sign("journal_unwritable", "journal", "no space")], 0, AT, 30.0)
    health.look([Sign("journal_unwritable", "journal", "read-only")], 9, "2026", 30.0)
    assert [(found.cause, found.since) for found in health.standing] == [("read-only", AT)]


def test_every_condition_says_what_it_means_and_what_to_do() -> None:
    for condition in CONDITIONS.values():
        assert condition.meaning.endswith(".")
        assert condition.remedy.endswith(".")
