"""What is known of effects that do not come back, lane by lane."""

from __future__ import annotations

from cortex.control.effects import FollowedEffects
from cortex.control.mirroring import LANE, LONGEST_S
from cortex.decide.health import Change, Health

PATIENCE_S = 30.0


class Hanging:
    """Effects of which none comes back."""

    def run(self, lane: str, work: object, then: object) -> None:
        """Does nothing, for ever."""

    def close(self) -> None:
        """Nothing is waited for."""


def began(health: Health, effects: FollowedEffects, clock_s: float) -> list[Change]:
    return health.look(effects.signs(), clock_s, "now", PATIENCE_S)


def test_a_lane_with_a_limit_of_its_own_is_stuck_only_past_it() -> None:
    effects, health = FollowedEffects(Hanging(), {LANE: LONGEST_S}), Health()
    effects.run(LANE, lambda: None, lambda _: None)
    assert began(health, effects, 0.0) == []
    assert began(health, effects, LONGEST_S + PATIENCE_S - 1) == []
    assert not health.stands("effect_stuck"), "the watchdog is fed for as long as it may take"
    assert began(health, effects, LONGEST_S + PATIENCE_S) != []
    assert health.stands("effect_stuck")


def test_any_other_lane_is_stuck_after_the_usual_patience() -> None:
    effects, health = FollowedEffects(Hanging(), {LANE: LONGEST_S}), Health()
    effects.run("disk", lambda: None, lambda _: None)
    assert began(health, effects, 0.0) == []
    assert began(health, effects, PATIENCE_S) != []
