"""Steps of the tool and joint velocities, played by the arbiter, against their exact integral.

What is sent is a mean over a tenth of a second: a path that bends by a rad/s^2 is cut by 0.4 mrad.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from arfm_ros.core.safety.arbiter import Arbiter
from arfm_ros.core.safety.decision import ArbiterConfig
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.robots.actions.spaces import RobotActions, read_actions
from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.kinematics.arm import ArmKinematics
from arfm_ros.robots.limits import limits as robot_limits
from arfm_ros.robots.poses import from_rotation_vectors

pytest.importorskip("pinocchio")

F64 = NDArray[np.float64]
MS = 1_000_000
DT_MS, TICK_MS, STEPS = 50, 10, 60  # 20 Hz as LIBERO
POSITION_M, ROTATION_RAD = 1e-3, 2e-3
LIBERO: dict[str, Any] = {
    "space": "tool_pose", "reference": "previous", "rotation": "axis_angle", "clip": 1.0,
    "position_scale": 0.05, "rotation_scale": 0.5,
}  # fmt: skip
DROID: dict[str, Any] = {"space": "joint_velocity", "dt_s": DT_MS / 1000}


def there(name: str, raw: dict[str, Any]) -> tuple[RobotActions, ArmKinematics]:
    robot = load_robot(name)
    kinematics = ArmKinematics(robot, "arm")
    return read_actions([{"group": "arm", **raw}], robot, lambda _: kinematics), kinematics


def sway(size: int, amplitude: float, seed: int) -> F64:
    """Actions [STEPS, size] that begin and end at rest, each axis with a period of its own."""
    rng = np.random.default_rng(seed)
    at = np.arange(1, STEPS + 1)[:, None] / STEPS
    turns = rng.integers(1, 4, size) * rng.choice((-1.0, 1.0), size)
    return np.asarray(amplitude * np.sin(np.pi * at) ** 2 * np.cos(np.pi * turns * at))


def played(name: str, path: F64, start: F64) -> F64:
    """Commands [STEPS, A] at the times of the actions, as the arbiter sends them."""
    limits = robot_limits(load_robot(name))
    arbiter, now_ns = Arbiter(ArbiterConfig(limits)), 1_000 * MS
    arbiter.engage(now_ns, start)
    measured, commands = start, {}
    # two actions that stay, so that the clock of the chunk has come up to its usual pace
    whole = np.vstack([np.tile(start, (2, 1)), path]).astype(np.float32)
    stamp_ns = now_ns
    for k in range(1, (len(whole) + 2) * DT_MS // TICK_MS):
        arbiter.on_state(measured, now_ns, now_ns)
        if k == 1:
            chunk = ActionChunk(whole, now_ns, DT_MS * MS, limits.names)
            assert not arbiter.on_chunk(chunk, now_ns)
            played_chunk = arbiter.player.chunk
            assert played_chunk is not None
            stamp_ns = played_chunk.stamp_ns
        now_ns += TICK_MS * MS
        decision = arbiter.tick(now_ns)
        assert decision.command is not None
        speed = np.abs(decision.command - measured) / (TICK_MS / 1000)
        assert (speed <= limits.velocity + 1e-9).all()
        measured = commands[now_ns] = decision.command
    due = [stamp_ns + (k + 3) * DT_MS * MS for k in range(len(path))]
    times = np.array(sorted(commands))
    sent = np.array([commands[t] for t in times])
    return np.stack([np.interp(due, times, column) for column in sent.T], axis=1)


def apart(kinematics: ArmKinematics, q: F64, wanted: F64) -> tuple[float, float]:
    """Distance in m and angle in rad of the tool at `q` from a pose [4, 4]."""
    reached = kinematics.forward(q)
    turn = 0.5 * (np.trace(reached.rotation @ wanted[:3, :3].T) - 1.0)
    away = float(np.linalg.norm(reached.position - wanted[:3, 3]))
    return away, float(np.arccos(np.clip(turn, -1.0, 1.0)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["fr3", "ur5e"])
def test_steps_of_the_tool_are_played_to_a_millimetre_and_two_milliradians(
    name: str, seed: int
) -> None:
    actions, kinematics = there(name, LIBERO)
    start = np.array([axis.home for axis in load_robot(name).axes])
    steps = sway(6, 0.05, seed)  # up to 50 mm/s and 0.5 rad/s: no joint comes to its limits
    commands = played(name, actions.to_joints(steps, start), start)
    exact = kinematics.forward(start[: len(kinematics.home)]).matrix.copy()
    for step, command in zip(steps, commands):
        exact[:3, 3] += 0.05 * step[:3]
        exact[:3, :3] = from_rotation_vectors(0.5 * step[3:]) @ exact[:3, :3]
        away_m, angle_rad = apart(kinematics, command[: len(kinematics.home)], exact)
        assert away_m < POSITION_M and angle_rad < ROTATION_RAD


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["fr3", "ur5e"])
def test_joint_velocities_are_played_to_a_millimetre_and_two_milliradians(
    name: str, seed: int
) -> None:
    actions, kinematics = there(name, DROID)
    size = len(kinematics.home)
    start = np.array([axis.home for axis in load_robot(name).axes])
    speeds = sway(size, 0.3, seed)
    commands = played(name, actions.to_joints(speeds, start), start)
    path = start[:size] + np.cumsum(speeds, axis=0) * DT_MS / 1000
    for q, command in zip(path, commands):
        away_m, angle_rad = apart(kinematics, command[:size], kinematics.forward(q).matrix)
        assert away_m < POSITION_M and angle_rad < ROTATION_RAD
