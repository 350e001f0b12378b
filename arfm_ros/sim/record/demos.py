"""Scripted demonstrations, written in the episode format without ROS.

In `/arbiter/authority`, `expert` means that the command is a demonstration, `disturbed` that the
simulator threw the arm off on purpose and `policy` that a policy drove until the expert took over:
learning can leave what went wrong out and keep the recovery.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import SimulationError
from arfm_ros.core.sharing.modes import POLICY
from arfm_ros.core.values.data import U8
from arfm_ros.engines import load_policy
from arfm_ros.episodes.authorities import DISTURBED, EXPERT
from arfm_ros.robots.files.load import load_robot
from arfm_ros.sim.arms.arm import Arm
from arfm_ros.sim.drive.driver import PolicyDriver
from arfm_ros.sim.expert.quality import Quality, draw_flaws
from arfm_ros.sim.expert.scripted import Expert
from arfm_ros.sim.perturb import Perturber, Ranges
from arfm_ros.sim.record.scribe import Scribe
from arfm_ros.sim.tasks import make_task
from arfm_ros.sim.tasks.task import HELD_MS, Task
from arfm_ros.sim.view.render import Renderer
from arfm_ros.sim.world import World

F64 = NDArray[np.float64]

TICK_MS = 10
TICK_NS = TICK_MS * 1_000_000
DEFAULT_ROBOT = "fr3"
TAIL_MS = 500
TAKEOVER_S = 6.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How demonstrations are made."""

    quality: Quality = field(default_factory=Quality)
    wide: float = 0.0  # share of episodes that start anywhere over the table
    thrown: float = 0.0  # share of episodes in which the arm is thrown off its way
    vary: Ranges = Ranges(())  # changed worlds, other ones in each episode
    robot: str = DEFAULT_ROBOT  # of config/robots, or a YAML file
    takeover: Path | None = None  # bundle that drives first, until the expert takes over
    limit_s: float = 10.0
    # None: all there are; none: physics only, for policies that see object poses
    cameras: tuple[str, ...] | None = None
    height: int = 240
    width: int = 320

    def open(self) -> Demonstrator:
        """Make what records such demonstrations."""
        return Demonstrator(self)


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
        self._world = World(load_robot(options.robot))
        size = (options.height, options.width)
        cameras = self._world.cameras if options.cameras is None else options.cameras
        self._renderer = Renderer(self._world.model, *size, cameras)
        self._changed = Perturber(self._world, options.vary)
        self._driver = _open_driver(options.takeover, self._world) if options.takeover else None

    def record(self, task_name: str, seed: int, folder: Path) -> bool:
        """Record the episode of `seed` into `folder` and return whether it succeeded."""
        world, rng = self._world, np.random.default_rng([seed, 7])
        task = make_task(task_name)
        self._changed.begin(seed)
        instruction = task.reset(world, np.random.default_rng(seed))
        if rng.random() < self._options.wide:
            start_anywhere(world, rng)
        self._changed.started()
        flaws = draw_flaws(self._options.quality, rng)
        throws = draw_throws(rng, world) if rng.random() < self._options.thrown else ()
        script = _Script(Expert(task_name, flaws), throws)
        if self._driver is not None:
            self._driver.start(instruction, seed)
            script.let_drive(self._driver, until_ns=int(rng.uniform(0.4, TAKEOVER_S) * 1e9))
        with Scribe(folder, world, self._picture, seed, self._renderer.cameras) as scribe:
            scribe.text("/instruction", instruction)
            try:
                success, held_ms = self._play(task, script, scribe)
            except SimulationError:
                success, held_ms = False, 0
            poor, changes = script.poor_ns, self._changed.drawn
            scribe.label({
                "task": task_name,
                "success": success,
                "seed": seed,
                "seconds": round((world.time_ns - held_ms * 1_000_000) / 1e9, 3),
                "source": EXPERT,
                "flawed": flaws.failing,
                **({"poor_ns": poor} if poor else {}),  # the truth: for evaluation only
                **({"world": changes} if changes else {}),
            })
        return success

    def _picture(self, camera: str) -> U8:
        return self._changed.see(camera, self._renderer.render(self._world.data, camera))

    def _play(self, task: Task, script: _Script, scribe: Scribe) -> tuple[bool, int]:
        world, held_ms = self._world, 0
        before = world.measured()
        limit_ns = int(self._options.limit_s * 1e9)
        while world.time_ns < limit_ns and held_ms < HELD_MS + TAIL_MS:
            scribe.look(task)
            command, source = script.command(world)
            scribe.commanded(command, source)
            drive(world, command, before, TICK_MS)
            before = command
            held_ms = held_ms + TICK_MS if task.success(world) else 0
        return held_ms >= HELD_MS, max(held_ms - HELD_MS, 0)


class _Script:
    """The expert's command, a throw's while one is on, a policy's before the takeover."""

    def __init__(self, expert: Expert, throws: Sequence[Throw]) -> None:
        self._expert, self._throws = expert, throws
        self._thrown = False
        self.poor_ns: list[list[int]] = []  # [begin, end) of what was done badly
        self._driver: PolicyDriver | None = None

    def let_drive(self, driver: PolicyDriver, until_ns: int) -> None:
        """Have a policy drive first."""
        self._driver, self._until_ns = driver, until_ns

    def command(self, world: World) -> tuple[F64, str]:
        if self._driver is not None and world.time_ns < self._until_ns:
            command = self._driver.act().command
            return self._driver.measured() if command is None else command, POLICY
        throw = next((t for t in self._throws if t.active(world.time_ns)), None)
        if throw is None:
            if self._thrown:
                self._expert.forget()
                self._thrown = False
            command = self._expert.act(world)
            self._note(world.time_ns)
            return command, EXPERT
        if not self._thrown:
            self._from = world.measured()
            self._thrown = True
        share = (world.time_ns - throw.begin_ns) / (throw.end_ns - throw.begin_ns)
        smooth = share * share * (3.0 - 2.0 * share)
        command = self._from + smooth * throw.offset_rad
        axes = world.robot.axes
        within = np.clip(command, [axis.low for axis in axes], [axis.high for axis in axes])
        return within, DISTURBED

    def _note(self, now_ns: int) -> None:
        """Keep the stretches of commands that were flawed, tick by tick."""
        if not self._expert.poor:
            return
        last = self.poor_ns[-1] if self.poor_ns else None
        if last is not None and last[1] == now_ns:
            last[1] = now_ns + TICK_NS
        else:
            self.poor_ns.append([now_ns, now_ns + TICK_NS])


def drive(world: World, command: F64, before: F64, tick_ms: int) -> None:
    """Send a command [A] with the velocity that leads to it from `before` [A], and step.

    The arbiter sends velocities too: without them the arm would trail its command here by 50 ms
    more than on the robot, and a policy would learn that.
    """
    velocity = (command - before) * 1000.0 / tick_ms
    limit = np.array([0.0 if axis.unit == "1" else axis.velocity for axis in world.robot.axes])
    world.command(command, np.clip(velocity, -limit, limit))
    world.step(tick_ms)


def _open_driver(bundle: Path, world: World) -> PolicyDriver:
    policy = load_policy(bundle, threads=1)
    return PolicyDriver(policy, policy.spec, world)


def start_anywhere(world: World, rng: np.random.Generator) -> None:
    """Move the arms to random poses over the table, often low and near an object."""
    poses = {name: world.object_pose(name) for name in world.objects}
    present = [p[0] for p in poses.values() if p[0][2] > -0.5]
    start = world.measured()
    for arm in world.arms:
        start[arm.own] = _anywhere(arm, present, rng)
    opening = 1.0 if rng.random() < 0.7 else float(rng.uniform(0.0, 1.0))
    world.reset(start[~world.openings], gripper=opening)
    for name, (place, quaternion) in poses.items():
        if place[2] > -0.5:
            yaw = 2.0 * float(np.arctan2(quaternion[2], quaternion[3]))
            world.place(name, place, yaw)


def _anywhere(arm: Arm, present: Sequence[F64], rng: np.random.Generator) -> F64:
    """Draw joint positions with the tool somewhere over an arm's part of the table."""
    position = rng.uniform(arm.workspace.low_m, arm.workspace.high_m)
    low, high = arm.workspace.y_m
    own = [place for place in present if low <= place[1] <= high]
    if rng.random() < 0.5 and own:
        near = own[int(rng.integers(len(own)))]
        position[:2] = near[:2] + rng.normal(0.0, 0.03, 2)
        position[2] = near[2] + rng.uniform(0.05, 0.15)
    rotation = arm.solver.down(float(rng.uniform(-0.8, 0.8)))
    q = arm.solver.start(position, rotation)
    return q + rng.normal(0.0, 0.02, len(q))


def draw_throws(rng: np.random.Generator, world: World) -> tuple[Throw, ...]:
    """Draw one or two throws within the first seconds of an episode."""
    throws, opens = [], world.openings
    begin_s = rng.uniform(0.3, 2.2)
    for _ in range(int(rng.integers(1, 3))):
        seconds = rng.uniform(0.25, 0.5)
        offset = np.zeros(len(opens))
        offset[~opens] = rng.normal(0.0, 0.08, int((~opens).sum()))
        offset[opens] = rng.normal(0.0, 0.3, int(opens.sum()))
        for arm in world.arms:  # mostly up, away from the table
            offset[min(arm.own.start + 1, arm.own.stop - 1)] -= abs(rng.normal(0.0, 0.06))
        throws.append(Throw(int(begin_s * 1e9), int((begin_s + seconds) * 1e9), offset))
        begin_s += seconds + rng.uniform(0.6, 1.6)
    return tuple(throws)
