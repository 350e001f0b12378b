"""How far parts of a robot can move: what is far inside its space is not looked at again."""

from __future__ import annotations

import numpy as np
import pytest

from arfm_ros.core.safety.arbiter import Arbiter
from arfm_ros.core.safety.decision import ArbiterConfig
from arfm_ros.core.safety.limiter import Limiter
from arfm_ros.core.safety.limits import Target
from arfm_ros.core.safety.space import Space, SpaceGuard
from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.fr3.limits import fr3_limits
from arfm_ros.robots.fr3.space import fr3_space
from arfm_ros.robots.space import arms_space

TABLE = (-1.0, -1.0, -1.0, 1.0, 1.0, 0.0)
HOME = np.append(np.asarray(fr3.HOME), 1.0)
DT_S = 0.01


def space_of(name: str) -> Space:
    if name == "constants":
        return fr3_space((), TABLE)
    pytest.importorskip("pinocchio")
    return arms_space(load_robot(name), (-0.5, -0.5, 0.0, 0.7, 0.5, 1.0), TABLE, 0.0)


@pytest.mark.parametrize("name", ["constants", "fr3", "ur5e", "gen3", "iiwa14", "fr3_two_arms"])
def test_no_depth_grows_by_more_than_the_reach(name: str) -> None:
    space, robot = space_of(name), load_robot("fr3" if name == "constants" else name)
    rng = np.random.default_rng(3)
    low = np.array([max(axis.low, -np.pi) for axis in robot.axes])
    high = np.array([min(axis.high, np.pi) for axis in robot.axes])
    for _ in range(60):
        here = rng.uniform(low, high)
        there = np.clip(here + rng.normal(0.0, rng.choice((0.01, 0.1, 1.0)), low.size), low, high)
        grown = float(space.depth(there)) - float(space.depth(here))
        assert grown <= float(np.abs(there - here) @ space.reach) + 1e-9


class Counted:
    """A space that counts how often it is looked at."""

    def __init__(self, inner: Space) -> None:
        self._inner, self.looks, self.reach = inner, 0, inner.reach

    def depth(self, positions):
        self.looks += 1
        return self._inner.depth(positions)

    def describe(self, position):
        return self._inner.describe(position)


@pytest.mark.parametrize("seed", range(3))
def test_looking_ahead_takes_the_look_out_of_the_tick_and_changes_no_command(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # else they look at different ticks
    monkeypatch.setattr("arfm_ros.core.safety.space.LOOK_TICKS", 1)
    spaces = [Counted(fr3_space((), TABLE)) for _ in range(2)]
    arbiters = [Arbiter(ArbiterConfig(fr3_limits(), space=space)) for space in spaces]
    rng, limits, looks, reasons = np.random.default_rng(seed), fr3_limits(), 0, set()
    for arbiter in arbiters:
        arbiter.engage(0, HOME)
    aim, measured = HOME, HOME
    for tick in range(1, 2_000):
        now_ns = tick * 10_000_000
        if tick % 100 == 0:
            aim = rng.uniform(limits.low, limits.high)
        for arbiter in arbiters:
            arbiter.on_state(measured, now_ns, now_ns)
            arbiter.on_human(aim, now_ns)
        before = spaces[1].looks
        one, other = (arbiter.tick(now_ns) for arbiter in arbiters)
        looks += spaces[1].looks - before
        arbiters[1].look_ahead()
        assert one.command is not None and one.reason == other.reason
        assert np.array_equal(one.command, other.command)
        reasons.add(one.reason)
        measured = one.command
    assert len(reasons) > 1, "the table was never met"
    assert looks == 0 < spaces[1].looks


class AlwaysLooks(Counted):
    """Without a bound nothing is skipped."""

    def __init__(self, inner: Space) -> None:
        super().__init__(inner)
        self.reach = np.full(8, 1e9)


@pytest.mark.parametrize("seed", range(6))
def test_the_guard_says_the_same_as_one_that_looks_every_time_and_looks_seldom(seed: int) -> None:
    rng = np.random.default_rng(seed)
    limits = fr3_limits()
    spaces = Counted(fr3_space((), TABLE)), AlwaysLooks(fr3_space((), TABLE))
    limiter, guards, said = Limiter(limits, HOME), (SpaceGuard(), SpaceGuard()), set()
    aim = HOME
    for tick in range(2_000):
        if tick % 100 == 0:
            aim = rng.uniform(limits.low, limits.high)
        limiter.step(Target(aim, np.zeros(8)), DT_S)
        one, other = (guard.check(space, limiter) for guard, space in zip(guards, spaces))
        assert one == other
        said.add(one)
    assert len(said) > 1
    assert spaces[0].looks < spaces[1].looks
