"""What the arm does of the recorded commands when its controller keeps time.

The simulated robot is a process that a busy machine puts aside: then it makes up for many periods
under one command, as no robot does. The same controller and physics, fed with the same commands at
the times of their stamps, say what an arm in time would have done.
"""

from __future__ import annotations

import numpy as np

from arfm_ros.faults.judging.bounds import OVERDUE_S
from arfm_ros.faults.judging.record import Motion, Record
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.sim.world import World

STEP_MS = 2
LATE_S = OVERDUE_S  # of the robot's states: then the replay is judged instead
SETTLES_S = 0.3  # the replay begins as the arm was measured, which is a little old


def replay(record: Record, end_s: float) -> Motion:
    """Return the arm's motion from the first command to `end_s`, at times of receipt."""
    target = record.target
    delay_s = float(np.percentile(target.sent_s - target.stamp_s, 5))
    due_ms = np.round((target.stamp_s - target.stamp_s[0]) * 1e3).astype(int)
    begin_s = target.stamp_s[0] + delay_s
    world, k = _begun(record.arm, float(target.sent_s[0])), 0
    times, positions, velocities = [], [], []
    for now_ms in range(0, round((end_s - begin_s) * 1e3), STEP_MS):
        while k < len(due_ms) and due_ms[k] <= now_ms:
            world.command_joints(target.position[k], target.velocity[k])
            k += 1
        world.step(STEP_MS)
        state = world.robot_state()
        times.append(begin_s + (now_ms + STEP_MS) / 1e3)
        positions.append(state.position.copy())
        velocities.append(state.velocity.copy())
    at = np.array(times)
    moved = (np.array(values).reshape(-1, 7) for values in (positions, velocities))
    return Motion(at, at, *moved, at)


def _begun(arm: Motion, at_s: float) -> World:
    """Return a world whose arm is where and as fast as it was measured at `at_s`."""
    k = int(np.argmin(np.abs(arm.sent_s - at_s)))
    world = World()
    world.reset(arm.position[k])
    for name, velocity in zip(fr3.JOINT_NAMES, arm.velocity[k]):
        world.data.joint(name).qvel[:] = velocity
    return world
