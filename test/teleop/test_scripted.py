"""The scripted human: patience, reaction, and an expert's hand; in the simulator, without ROS."""

from __future__ import annotations

import numpy as np
import pytest
from teleop_rig import MS, ROBOT, SEAT

from arfm_ros.sim.tasks import make_task
from arfm_ros.sim.world import World
from arfm_ros.teleop.devices.scripted import Person, ScriptedDevice, ScriptedHuman

STEP_NS = 10 * MS


def start(task: str, seed: int) -> tuple[World, object]:
    world, made = World(ROBOT), make_task(task)
    made.reset(world, np.random.default_rng(seed))
    return world, made


def play(task: str, seed: int, human: ScriptedHuman, seconds: float = 20.0) -> tuple[bool, list]:
    """Let nobody drive but the human."""
    world, made = start(task, seed)
    who: list[bool] = []
    held = 0
    while world.time_ns < seconds * 1e9 and held < 30:
        command = human.act(world, made.progress(world), world.time_ns, STEP_NS)
        who.append(command is not None)
        if command is not None:
            world.command(command, np.zeros(len(command)))
        world.step(10)
        held = held + 1 if made.success(world) else 0
    return held >= 30, who


@pytest.mark.parametrize("task", ["lift", "place"])
def test_where_the_policy_does_nothing_the_human_succeeds(task: str) -> None:
    person = Person(drive_s=(15.0, 15.0))
    done = [play(task, seed, ScriptedHuman(task, seed, person))[0] for seed in range(4)]
    assert sum(done) >= 3


def test_it_takes_over_after_patience_and_reaction_and_gives_back() -> None:
    person = Person(patience_s=(1.0, 1.0), reaction_s=(0.3, 0.3), drive_s=(0.5, 0.5))
    human = ScriptedHuman("lift", 1, person)
    _, who = play("lift", 1, human, seconds=3.7)
    first = who.index(True)
    assert first == pytest.approx(131, abs=2)
    assert who[first : first + 50] == [True] * 50 and not any(who[first + 52 : first + 170])
    assert human.interventions == 2 and human.driven_ns == sum(who) * STEP_NS


def test_the_same_seed_is_the_same_person() -> None:
    one, two = (play("reach", 3, ScriptedHuman("reach", 3), 4.0)[1] for _ in range(2))
    assert one == two


def test_from_what_task_state_says_it_drives_as_one_that_sees_the_world() -> None:
    world, made = start("lift", 5)
    human = ScriptedHuman(
        "lift", 5, Person(patience_s=(0.0, 0.0), reaction_s=(0.0, 0.0), drive_s=(30.0, 30.0))
    )
    device, held = ScriptedDevice(World(ROBOT), human, SEAT), 0
    for k in range(2000):
        if k % 5 == 0:
            task = {
                f"pose_{name}": " ".join(
                    f"{v:.5f}" for v in np.concatenate(world.object_pose(name))
                )
                for name in world.objects
            }
            task |= {"seed": "5", "progress": str(made.progress(world))}
            device.see(world.measured(), task, world.time_ns)
        targets = device.read(world.time_ns + 1)
        for target in targets.values():
            assert target.names == ROBOT.names
            world.command(target.values, np.zeros(8))
        world.step(10)
        held = held + 1 if made.success(world) else 0
        if held > 30:
            break
    assert held > 30
    assert device.read(world.time_ns + 10**9) == {} and "silent" in device.trouble
