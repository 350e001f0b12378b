"""Scripted demonstrations, written in the episode format without ROS.

The topics are those of the running stack; images are JPEG at the policy's rate. In
`/arbiter/authority`, `expert` means that the command is a demonstration, `disturbed` that the
simulator threw the arm off on purpose and `policy` that a policy drove until the expert took over:
learning can leave what went wrong out and keep the recovery.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from arfm_ros.control import fr3, kinematics
from arfm_ros.core.errors import EngineError
from arfm_ros.engines import load_policy
from arfm_ros.episodes import messages
from arfm_ros.episodes.writer import EpisodeWriter
from arfm_ros.sim.driver import PolicyDriver
from arfm_ros.sim.experts import Expert
from arfm_ros.sim.quality import Quality, draw_flaws
from arfm_ros.sim.render import Renderer
from arfm_ros.sim.tasks import make_task
from arfm_ros.sim.tasks.task import Task
from arfm_ros.sim.world import World

F64 = NDArray[np.float64]
NAMES = (*fr3.JOINT_NAMES, fr3.GRIPPER_NAME)
CAMERAS = ("scene", "wrist")
OBJECTS = ("cube", "puck", "marker", "zone", "bin")
EPOCH_NS = 1_700_000_000 * 1_000_000_000  # simulated episodes need some absolute time
EPISODE_NS = 1_000 * 1_000_000_000
TICK_MS, STATE_MS, FRAME_MS = 10, 20, 50
HELD_MS, TAIL_MS = 300, 500
TAKEOVER_S = 6.0
JPEG_QUALITY = 95


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How demonstrations are made."""

    quality: Quality = field(default_factory=Quality)
    wide: float = 0.0  # share of episodes that start anywhere over the table
    thrown: float = 0.0  # share of episodes in which the arm is thrown off its way
    takeover: Path | None = None  # bundle that drives first, until the expert takes over
    limit_s: float = 10.0
    height: int = 240
    width: int = 320


@dataclass(frozen=True, slots=True)
class Throw:
    """The tool is displaced between two times by an offset of its pose."""

    begin_ns: int
    end_ns: int
    offset_rad: F64

    def active(self, time_ns: int) -> bool:
        """Tell whether the arm is being thrown now."""
        return self.begin_ns <= time_ns < self.end_ns


class Demonstrator:
    """Makes episodes one after another; owns one world and one renderer."""

    def __init__(self, options: DemoOptions) -> None:
        self._options = options
        self._world = World()
        self._renderer = Renderer(self._world.model, options.height, options.width, CAMERAS)
        self._driver = _open_driver(options.takeover, self._world) if options.takeover else None

    def record(self, task_name: str, seed: int, folder: Path) -> bool:
        """Record the episode of `seed` into `folder` and return whether it succeeded."""
        rng = np.random.default_rng([seed, 7])
        task = make_task(task_name)
        instruction = task.reset(self._world, np.random.default_rng(seed))
        if rng.random() < self._options.wide:
            start_anywhere(self._world, rng)
        flaws = draw_flaws(self._options.quality, rng)
        throws = draw_throws(rng) if rng.random() < self._options.thrown else ()
        script = _Script(Expert(task_name, flaws), throws)
        if self._driver is not None:
            self._driver.start(instruction, seed)
            script.let_drive(self._driver, until_ns=int(rng.uniform(0.4, TAKEOVER_S) * 1e9))
        writer = EpisodeWriter(folder)
        try:
            page = _Page(writer, EPOCH_NS + seed * EPISODE_NS)
            page.text("/instruction", instruction, 0)
            success, held_ms = self._play(task, script, page)
            label = {
                "task": task_name,
                "success": success,
                "seed": seed,
                "seconds": round((self._world.time_ns - held_ms * 1_000_000) / 1e9, 3),
                "source": "expert",
                "flawed": flaws.failing,
            }
            writer.label(label, page.stamp_ns(self._world.time_ns))
        finally:
            writer.close()
        return success

    def _play(self, task: Task, script: _Script, page: _Page) -> tuple[bool, int]:
        world, authority, held_ms = self._world, "", 0
        before = world.robot_state().position
        limit_ns = int(self._options.limit_s * 1e9)
        while world.time_ns < limit_ns and held_ms < HELD_MS + TAIL_MS:
            now = world.time_ns
            if now % (FRAME_MS * 1_000_000) == 0:
                self._write_frame(task, page)
            if now % (STATE_MS * 1_000_000) == 0:
                _write_state(world, page)
            command, source = script.command(world)
            if source != authority:
                page.text("/arbiter/authority", source, now)
                authority = source
            stamp = page.stamp_ns(now)
            page.put("/arbiter/command", messages.joint_state(stamp, NAMES, command), now)
            drive(world, command, before, TICK_MS)
            before = command
            held_ms = held_ms + TICK_MS if task.success(world) else 0
        return held_ms >= HELD_MS, max(held_ms - HELD_MS, 0)

    def _write_frame(self, task: Task, page: _Page) -> None:
        world = self._world
        now = world.time_ns
        world.tool_pose()  # brings the poses that are drawn up to date
        for camera in CAMERAS:
            image = self._renderer.render(world.data, camera)
            done, jpeg = cv2.imencode(
                ".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
            )
            if not done:
                raise EngineError(f"OpenCV could not encode an image {image.shape} as JPEG")
            stamp = page.stamp_ns(now)
            topic = f"/{camera}/image_raw/compressed"
            page.put(topic, messages.compressed_image(stamp, jpeg.tobytes(), camera), now)
        values: dict[str, object] = {
            "success": str(task.success(world)).lower(),
            "progress": round(task.progress(world), 4),
            "elapsed_s": now / 1e9,
        }
        for name in OBJECTS:
            position, quaternion = world.object_pose(name)
            values[f"pose_{name}"] = " ".join(f"{v:.5f}" for v in (*position, *quaternion))
        page.put(
            "/task/state", messages.diagnostic_array(page.stamp_ns(now), task.name, values), now
        )


class _Script:
    """The expert's command, a throw's while one is on, a policy's before the takeover."""

    def __init__(self, expert: Expert, throws: Sequence[Throw]) -> None:
        self._expert, self._throws = expert, throws
        self._thrown = False
        self._driver: PolicyDriver | None = None

    def let_drive(self, driver: PolicyDriver, until_ns: int) -> None:
        """Have a policy drive first."""
        self._driver, self._until_ns = driver, until_ns

    def command(self, world: World) -> tuple[F64, str]:
        if self._driver is not None and world.time_ns < self._until_ns:
            command = self._driver.act().command
            return self._driver.measured() if command is None else command, "policy"
        throw = next((t for t in self._throws if t.active(world.time_ns)), None)
        if throw is None:
            if self._thrown:
                self._expert.forget()
                self._thrown = False
            return self._expert.act(world), "expert"
        if not self._thrown:
            self._from = np.append(world.robot_state().position, world.robot_state().gripper)
            self._thrown = True
        share = (world.time_ns - throw.begin_ns) / (throw.end_ns - throw.begin_ns)
        smooth = share * share * (3.0 - 2.0 * share)
        command = self._from + smooth * throw.offset_rad
        command[:7] = np.clip(command[:7], fr3.POSITION_MIN_RAD, fr3.POSITION_MAX_RAD)
        command[7] = np.clip(command[7], 0.0, 1.0)
        return command, "disturbed"


class _Page:
    """Stamps messages of one episode with absolute time."""

    def __init__(self, writer: EpisodeWriter, base_ns: int) -> None:
        self._writer, self._base_ns = writer, base_ns

    def stamp_ns(self, time_ns: int) -> int:
        return self._base_ns + time_ns

    def put(self, topic: str, message: messages.Serialized, time_ns: int) -> None:
        self._writer.write(topic, message[0], message[1], self._base_ns + time_ns)

    def text(self, topic: str, text: str, time_ns: int) -> None:
        self.put(topic, messages.string(text), time_ns)


def drive(world: World, command: F64, before: F64, tick_ms: int) -> None:
    """Send a command [8] with the velocity that leads to it from `before`, and step.

    The arbiter sends velocities too: without them the arm would trail its command here by 50 ms
    more than on the robot, and a policy would learn that.
    """
    velocity = (command[:7] - before[:7]) * 1000.0 / tick_ms
    limit = np.asarray(fr3.VELOCITY_MAX_RAD_S)
    world.command_joints(command[:7], np.clip(velocity, -limit, limit))
    world.command_gripper(float(command[7]))
    world.step(tick_ms)


def _write_state(world: World, page: _Page) -> None:
    state, now = world.robot_state(), world.time_ns
    stamp = page.stamp_ns(now)
    arm = messages.joint_state(
        stamp, fr3.JOINT_NAMES, state.position, state.velocity, state.effort
    )
    page.put("/joint_states", arm, now)
    hand = messages.joint_state(stamp, (fr3.GRIPPER_NAME,), (state.gripper,))
    page.put("/gripper/joint_states", hand, now)


def _open_driver(bundle: Path, world: World) -> PolicyDriver:
    policy = load_policy(bundle, threads=1)
    return PolicyDriver(policy, policy.spec, world)


def start_anywhere(world: World, rng: np.random.Generator) -> None:
    """Move the arm to a random pose over the table, often low and near an object."""
    poses = {name: world.object_pose(name) for name in OBJECTS}
    present = [p[0] for p in poses.values() if p[0][2] > -0.5]
    low, high = np.array([0.32, -0.28, 0.05]), np.array([0.66, 0.28, 0.36])
    position = rng.uniform(low, high)
    if rng.random() < 0.5:
        near = present[int(rng.integers(len(present)))]
        position[:2] = near[:2] + rng.normal(0.0, 0.03, 2)
        position[2] = near[2] + rng.uniform(0.05, 0.15)
    rotation = kinematics.pointing_down(float(rng.uniform(-0.8, 0.8)))
    arm = kinematics.inverse(position, rotation, np.asarray(fr3.HOME)).position_rad
    arm = arm + rng.normal(0.0, 0.02, fr3.DOF)
    world.reset(arm, gripper=1.0 if rng.random() < 0.7 else float(rng.uniform(0.0, 1.0)))
    for name, (place, quaternion) in poses.items():
        if place[2] > -0.5:
            yaw = 2.0 * float(np.arctan2(quaternion[2], quaternion[3]))
            world.place(name, place, yaw)


def draw_throws(rng: np.random.Generator) -> tuple[Throw, ...]:
    """Draw one or two throws within the first seconds of an episode."""
    throws = []
    begin_s = rng.uniform(0.3, 2.2)
    for _ in range(int(rng.integers(1, 3))):
        seconds = rng.uniform(0.25, 0.5)
        offset = np.append(rng.normal(0.0, 0.08, 7), rng.normal(0.0, 0.3))
        offset[1] -= abs(rng.normal(0.0, 0.06))  # mostly up, away from the table
        throws.append(Throw(int(begin_s * 1e9), int((begin_s + seconds) * 1e9), offset))
        begin_s += seconds + rng.uniform(0.6, 1.6)
    return tuple(throws)
