"""Laws of the history: what was earlier is the nearest there is, the first stands in for more."""

from __future__ import annotations

import numpy as np
import pytest
from decoder_rig import DT_NS, spec

from arfm_ros.core.errors import SpecError
from arfm_ros.core.values.data import ActionChunk, Context, Observation
from arfm_ros.core.values.history import History, Recent
from arfm_ros.sim.drive.driver import MS, TICK_MS, DriverConfig, PolicyDriver
from arfm_ros.sim.world import World

THREE = History(3, 50 * MS)


def seen(ms: int) -> Observation:
    return Observation({}, np.full(8, ms, np.float32), "", ms * MS)


def stamps(observation: Observation) -> list[int]:
    return [one.stamp_ns // MS for one in observation.earlier]


def test_each_earlier_observation_is_the_nearest_in_time() -> None:
    recent = Recent(THREE)
    for ms in (0, 30, 60, 90, 120):
        recent.note(seen(ms))
    assert stamps(recent.join(seen(150))) == [60, 90]
    assert stamps(recent.join(seen(160))) == [60, 120]
    assert all(not one.earlier for one in recent.join(seen(170)).earlier)


def test_the_oldest_stands_in_for_what_was_never_seen() -> None:
    recent = Recent(THREE)
    assert stamps(recent.join(seen(0))) == [0, 0]
    assert stamps(recent.join(seen(50))) == [0, 0]
    assert stamps(recent.join(seen(100))) == [0, 50]
    alone = THREE.complete(seen(7))
    assert [one.stamp_ns for one in alone] == [7 * MS] * 3


def test_another_episode_knows_nothing_of_the_one_before() -> None:
    recent = Recent(THREE)
    for ms in range(1000, 1500, 50):
        recent.join(seen(ms))
    assert stamps(recent.join(seen(10))) == [10, 10]
    assert stamps(recent.join(seen(5000))) == [5000, 5000]


def test_a_policy_of_the_present_keeps_nothing() -> None:
    recent = Recent(History())
    recent.join(seen(0))
    now = seen(50)
    assert recent.join(now).earlier == () and History().complete(now)[0] is now


def test_a_history_without_a_time_between_is_refused() -> None:
    for bad in ((0, 1), (2, 0)):
        with pytest.raises(SpecError, match=f"history of {bad[0]} observations every {bad[1]} ns"):
            History(*bad)


class Listener:
    """A policy that notes what it is shown and stays where it is."""

    def __init__(self) -> None:
        self.seen: list[Observation] = []

    def encode(self, observation: Observation) -> Context:
        self.seen.append(observation)
        return Context({}, observation.state, observation.stamp_ns)

    def sample(self, context: Context, *_: object) -> ActionChunk:
        names, actions = spec("ddim").action_names, np.tile(context.state, (15, 1))
        return ActionChunk(actions, context.stamp_ns, DT_NS, names)


@pytest.mark.parametrize("period_ms", [50, 100, 120])
def test_the_driver_shows_what_was_so_long_ago(period_ms: int) -> None:
    world, listener = World(), Listener()
    config = DriverConfig(period_ms=period_ms, height=24, width=32)
    driver = PolicyDriver(listener, spec("ddim"), world, config)
    driver.start("", seed=0)
    for _ in range(40):
        driver.act()
        world.step(TICK_MS)
    gaps = [one.stamp_ns - one.earlier[0].stamp_ns for one in listener.seen]
    assert len(gaps) == 1 + 390 // period_ms
    assert gaps == [0] + [DT_NS] * (len(gaps) - 1)
    assert all(one.earlier[0].images.keys() == {"scene", "wrist"} for one in listener.seen)
