"""What the tests of `fast_slow` look at: chunks beside what was shown and measured."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from policy_rig import PICTURE, STATE, Robot, pairs

from arfm_ros.core.values.data import ActionChunk, ChunkInfo, Observation
from arfm_ros.core.values.fresh import with_state
from arfm_ros.core.values.recall import KEY, Recall, recall_of
from arfm_ros.engines import load_bundle, load_policy
from arfm_ros.nodes.ros.convert import time_to_ns
from arfm_ros.nodes.ros.topics import GRIPPER_STATES, JOINT_STATES

TEXT, OTHER = "lift the cube", "place the cube"
ROUNDS = 250  # of the prefix: some hundred ms
QUICK = ("fast_slow:=true", "period_s:=0.05", "max_age_s:=5.0", "frozen_after_s:=0.0")


@contextmanager
def moving(robot: Robot) -> Generator[None, None, None]:
    """Let the joints move all the time, so that each state is another one."""
    begin = robot.node.get_clock().now().nanoseconds

    def move() -> None:
        passed_s = (robot.node.get_clock().now().nanoseconds - begin) * 1e-9
        robot.position = STATE + np.float32(0.2 * np.sin(passed_s))

    timer = robot.node.create_timer(0.005, move)
    yield
    robot.node.destroy_timer(timer)


def recalls(robot: Robot) -> dict[int, Recall]:
    """Say of each chunk's stamp what it was made of."""
    return {
        time_to_ns(info.header.stamp): recall_of(pair.value)
        for info in list(robot.infos)
        for pair in info.status[0].values
        if pair.key == KEY
    }


def made(robot: Robot) -> list[tuple[ActionChunk, ChunkInfo, Recall]]:
    """Give every chunk that has an info, with it and with what it was made of."""
    told = pairs(robot)
    found = recalls(robot)  # later than the chunks: there may be more by now, not less
    return [(chunk, info, found[chunk.stamp_ns]) for chunk, info, _ in told]


def taken_ns(recall: Recall) -> int:
    """Time of the oldest picture."""
    return min(recall.stamps_ns[0][name] for name in PICTURE)


def check_again(bundle: Path, robot: Robot, fresh: bool) -> int:
    """Compute the chunks again of what was shown and measured; return how many that were."""
    policy, count = load_policy(bundle, threads=1), 0
    sha256 = load_bundle(bundle).sha256
    for chunk, info, recall in made(robot):
        if info.bundle_sha256 != sha256 or info.guided:
            continue
        stamps_ns = recall.stamps_ns[0]  # the gripper's may be of another time than the arm's
        arm, gripper = (stamps_ns[row.name] for row in (JOINT_STATES, GRIPPER_STATES))
        state = np.append(robot.state_stamps[arm][:7], robot.state_stamps[gripper][7:])
        seen = Observation(PICTURE, STATE if fresh else state, recall.instruction, chunk.stamp_ns)
        context = policy.encode(seen)
        if fresh:
            context = with_state(context, policy.spec, state, chunk.stamp_ns)
        noise = np.random.default_rng((info.seed, info.chunk_id)).standard_normal(
            policy.spec.flow_shape, dtype=np.float32
        )
        again = policy.sample(context, noise, steps=info.steps)
        assert np.allclose(chunk.actions, again.actions, atol=1e-4), info.chunk_id
        count += 1
        if count == 12:  # each takes a prefix
            break
    return count


def value(robot: Robot, name: str) -> float:
    return float(robot.health[-1][2].get(name, 0)) if robot.health else 0.0
