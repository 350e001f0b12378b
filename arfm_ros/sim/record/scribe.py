"""Write what happens in the simulator as an episode, without ROS.

The topics are those of the running stack with the FR3, but for the cameras, whose topics are the
robot's own; images are JPEG at the policy's rate. Joints have the names of the robot's axes: all
arms are in `joint_states`, all openings in `gripper/joint_states`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.sharing.modes import OWNERS, POLICY
from arfm_ros.core.values.data import U8, ActionChunk
from arfm_ros.episodes.authorities import DISTURBED, EXPERT, PERSONS
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.sim.tasks.task import Task
from arfm_ros.sim.world import World
from arfm_ros.wire import messages
from arfm_ros.wire.images import to_jpeg

F64 = NDArray[np.float64]
NAMES = (*fr3.JOINT_NAMES, fr3.GRIPPER_NAME)
CAMERAS = ("scene", "wrist")
EPOCH_NS = 1_700_000_000 * 1_000_000_000  # simulated episodes need some absolute time
EPISODE_NS = 1_000 * 1_000_000_000
EPOCHS = 400_000  # then the 32 bits of a message's seconds would overflow: begin anew
STATE_MS, FRAME_MS = 20, 50
MS = 1_000_000
OWNED = (*OWNERS, EXPERT, DISTURBED)  # who has a group; else it is the policy's, which rests
Picture = Callable[[str], U8]  # camera -> image [H, W, 3] of the world as it is


class Scribe:
    """One episode in `folder`, which must not exist; a context manager that closes the file.

    `seed` tells episodes apart in absolute time.
    """

    def __init__(
        self,
        folder: Path,
        world: World,
        picture: Picture,
        seed: int,
        cameras: Sequence[str] = CAMERAS,
    ) -> None:
        self._writer = EpisodeWriter(folder)
        self._world, self._picture = world, picture
        own = {camera.name: camera.topic for camera in world.robot.cameras}
        self._cameras = {name: _compressed(own.get(name, f"{name}/image_raw")) for name in cameras}
        self._names = world.robot.names
        pairs = list(zip(self._names, world.openings))
        self._arms = tuple(name for name, opens in pairs if not opens)
        self._hands = tuple(name for name, opens in pairs if opens)
        self._begin_ns = EPOCH_NS + seed % EPOCHS * EPISODE_NS
        self._authority = self._owner = ""
        self._owned_ns, self._driving = 0, False

    def __enter__(self) -> Scribe:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()

    @property
    def stamp_ns(self) -> int:
        """Absolute time of the world's present."""
        return self._begin_ns + self._world.time_ns

    def text(self, topic: str, text: str) -> None:
        """Write a String."""
        self._put(topic, messages.string(text))

    def look(self, task: Task) -> None:
        """Write the camera images, the task's and the arm's state where they are due now."""
        now = self._world.time_ns
        if now % (FRAME_MS * MS) == 0:
            self._write_frame()
            self._write_task(task)
        if now % (STATE_MS * MS) == 0:
            self._write_state()

    def commanded(self, command: F64 | None, authority: str) -> None:
        """Write the command [A] that goes to the robot now, if any, and whose it is."""
        if authority != self._authority:
            self.text("/arbiter/authority", authority)
            self._write_owners(authority)
            self._authority = authority
        if command is not None:
            message = messages.joint_state(self.stamp_ns, self._names, command)
            self._put("/arbiter/command", message)

    def wished(self, target: F64 | None) -> None:
        """Write where a person wants the axes [A] now, as a device does; None: nobody drives."""
        if self._driving != (target is not None):
            self._driving = target is not None
            self._put("/teleop/engaged", messages.boolean(self._driving))
        if target is not None:
            message = messages.joint_state(self.stamp_ns, self._names, target)
            self._put("/teleop/target_joint", message)

    def chunk(self, chunk: ActionChunk) -> None:
        """Write a chunk that arrives now, and which bundle made it, with its timings."""
        stamp = self._begin_ns + chunk.stamp_ns
        self._put(
            "/policy/action_chunk",
            messages.trajectory(stamp, chunk.names, chunk.actions, chunk.dt_ns, chunk.source),
        )
        info = replace(chunk.info, inference_begin_ns=stamp, inference_end_ns=self.stamp_ns)
        values = {one.name: getattr(info, one.name) for one in fields(info)}
        self._put("/policy/chunk_info", messages.diagnostic_array(stamp, "policy/chunk", values))

    def label(self, label: Mapping[str, object]) -> None:
        """Write a label and put it on the disk at once."""
        self._writer.label(label, self.stamp_ns)

    def _put(self, topic: str, message: messages.Serialized) -> None:
        self._writer.write(topic, message[0], message[1], self.stamp_ns)

    def _write_owners(self, authority: str) -> None:
        """Write whose each group is: one driver has them all here."""
        owner = authority if authority in OWNED else POLICY
        if owner != self._owner:
            self._owner, self._owned_ns = owner, self.stamp_ns
        row = {
            "owner": owner,
            "acting": authority,
            "weight": f"{float(owner in PERSONS):.3f}",
            "mode": POLICY,
            "since_ns": self._owned_ns,
        }
        rows = {group.name: row for group in self._world.robot.groups}
        self._put("/arbiter/owners", messages.diagnostic_arrays(self.stamp_ns, rows))

    def _write_frame(self) -> None:
        self._world.tool_pose()  # brings the poses that are drawn up to date
        for camera, topic in self._cameras.items():
            jpeg = to_jpeg(self._picture(camera))
            message = messages.compressed_image(self.stamp_ns, jpeg, camera)
            self._put(topic, message)

    def _write_task(self, task: Task) -> None:
        world = self._world
        values: dict[str, object] = {
            "success": str(task.success(world)).lower(),
            "progress": round(task.progress(world), 4),
            "elapsed_s": world.time_ns / 1e9,
        }
        for name in world.objects:
            position, quaternion = world.object_pose(name)
            values[f"pose_{name}"] = " ".join(f"{v:.5f}" for v in (*position, *quaternion))
        self._put("/task/state", messages.diagnostic_array(self.stamp_ns, task.name, values))

    def _write_state(self) -> None:
        state, stamp = self._world.robot_state(), self.stamp_ns
        arm = messages.joint_state(stamp, self._arms, state.position, state.velocity, state.effort)
        self._put("/joint_states", arm)
        if self._hands:
            openings = self._world.measured()[self._world.openings]
            hand = messages.joint_state(stamp, self._hands, openings)
            self._put("/gripper/joint_states", hand)


def _compressed(topic: str) -> str:
    """Return the whole name of the compressed pictures of a camera."""
    return f"/{topic.strip('/').removesuffix('/compressed')}/compressed"
