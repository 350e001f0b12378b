"""Kinematics in numpy: against published parameters, against pinocchio, many postures at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fr3_rig
import numpy as np
import pytest
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.files.load import load_robot, robot_names
from arfm_ros.robots.fr3 import facts, frames
from arfm_ros.robots.kinematics.arm import ArmKinematics
from arfm_ros.robots.kinematics.chain import Chain, tool_chain
from arfm_ros.robots.robot import Robot
from arfm_ros.sim.arms.solver import Fr3Solver, pointing_down

ARM = str(Path(__file__).parent / "made_up_arm" / "arm.yaml")
ARMS = [
    (name, group.name)
    for name in (*robot_names(), ARM)
    for group in load_robot(name).groups
    if group.tool
]
F64 = NDArray[np.float64]
HOME = np.asarray(facts.HOME)


def postures(chain: Chain, count: int) -> F64:
    """Draw postures within the limits; one turn of what has none."""
    low = np.clip([axis.low for axis in chain.axes], -np.pi, np.pi)
    high = np.clip([axis.high for axis in chain.axes], -np.pi, np.pi)
    return np.random.default_rng(3).uniform(low, high, (count, len(low)))


def test_the_fr3_is_where_its_published_parameters_put_it() -> None:
    chain = frames.chain()
    for q in postures(chain, 100):
        np.testing.assert_allclose(chain.forward(q).matrix, fr3_rig.tool(q), atol=1e-9)
        np.testing.assert_allclose(chain.frames(q), fr3_rig.links(q), atol=1e-9)
    home = chain.forward(HOME)
    np.testing.assert_allclose(home.position, [0.30689, 0.0, 0.48688], atol=1e-4)
    np.testing.assert_allclose(home.rotation, pointing_down(0.0), atol=1e-12)


@pytest.mark.parametrize(("name", "group"), ARMS)
def test_it_equals_pinocchio(name: str, group: str) -> None:
    pytest.importorskip("pinocchio")
    robot = load_robot(name)
    chain, other = Chain(robot, group), ArmKinematics(robot, group)
    for q in postures(chain, 100):
        np.testing.assert_allclose(chain.forward(q).matrix, other.forward(q).matrix, atol=1e-9)
        np.testing.assert_allclose(chain.jacobian(q), other.jacobian(q), atol=1e-9)


@pytest.mark.parametrize(("name", "group"), ARMS)
def test_many_postures_at_once_are_the_same_as_one_after_another(name: str, group: str) -> None:
    chain = Chain(load_robot(name), group)
    many = postures(chain, 6).reshape(2, 3, -1)
    at_once = chain.forward(many).matrix
    assert at_once.shape == (2, 3, 4, 4)
    for i, j in np.ndindex(2, 3):
        np.testing.assert_allclose(at_once[i, j], chain.forward(many[i, j]).matrix, atol=1e-12)
    assert chain.forward(many[:0]).matrix.shape == (0, 3, 4, 4)


def test_what_no_axis_moves_stands() -> None:
    chain = Chain(load_robot("fr3"), "arm", "fr3_link0")
    assert chain.forward(np.zeros((2, 7))).matrix.shape == (2, 4, 4)
    assert set(chain.base_names) == {"base", "fr3_link0"}


def test_an_unknown_frame_and_no_description_are_refused() -> None:
    robot = load_robot("fr3")
    with pytest.raises(ConfigError, match="group 'arm' has no frame 'top'; .* has base, "):
        Chain(robot, "arm", "top")
    with pytest.raises(ConfigError, match="has no frame, and no tool in its YAML"):
        Chain(robot, "gripper")
    with pytest.raises(ConfigError, match="base 'fr3_link3' of group 'arm' moves"):
        Chain(replace(robot, groups=(replace(robot.groups[0], base="fr3_link3"),)), "arm")
    with pytest.raises(ConfigError, match="has no description"):
        Chain(replace(robot, description=""), "arm")


def renamed(robot: Robot) -> Robot:
    """Call the FR3's joints otherwise, in the description too."""
    text = robot.description.replace("fr3_joint", "left_joint")
    arm = robot.groups[0]
    axes = tuple(replace(a, name=a.name.replace("fr3_", "left_")) for a in arm.axes)
    return replace(robot, description=text, groups=(replace(arm, axes=axes), *robot.groups[1:]))


def test_an_fr3_is_known_by_its_description_and_not_by_names() -> None:
    fr3 = load_robot("fr3")
    assert frames.is_arm(fr3) and frames.is_arm(renamed(fr3))
    longer = fr3.description.replace('xyz="0 0 0.333"', 'xyz="0 0 0.4"')
    assert longer != fr3.description and not frames.is_arm(replace(fr3, description=longer))
    assert not frames.is_arm(replace(fr3, description=""))
    assert not any(frames.is_arm(load_robot(name)) for name in robot_names() if name != "fr3")


def test_the_tool_of_one_arm_is_found_and_of_two_is_none() -> None:
    assert tool_chain(load_robot("ur5e")) is not None
    assert tool_chain(load_robot("fr3_two_arms")) is None


def test_the_fr3s_search_reaches_every_pose_over_the_table() -> None:
    rng, solver, chain = np.random.default_rng(1), Fr3Solver(), frames.chain()
    for _ in range(50):
        position = rng.uniform([0.32, -0.28, 0.01], [0.66, 0.28, 0.38])
        rotation = pointing_down(float(rng.uniform(-0.8, 0.8)))
        q = solver.start(position, rotation)
        np.testing.assert_allclose(chain.forward(q).position, position, atol=1e-4)
        np.testing.assert_allclose(chain.forward(q).rotation, rotation, atol=1e-3)
        assert (q > facts.POSITION_MIN_RAD).all() and (q < facts.POSITION_MAX_RAD).all()
    far = solver.start(np.array([2.0, 0.0, 0.3]), pointing_down(0.0))
    assert np.isfinite(far).all()
