"""What a CRISP compliant controller does with what it is sent, in front of the simulated robot.

As in `crisp_controllers`: joint targets are read by index, a missing velocity keeps the previous
one, targets never expire, a topic with more than one publisher is ignored altogether, a target for
the controller that is not active applies when it becomes active. One difference, on purpose: a
target of wrong size or with a NaN is ignored and counted; the real controller would act on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from arfm_ros.core.errors import ConfigError, SafetyError
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.sim.world import World

JOINT = "joint_impedance_controller"
CARTESIAN = "cartesian_impedance_controller"
CONTROLLERS = (JOINT, CARTESIAN)


class CrispController:
    """Applies commands to a world and remembers what was ignored, and why."""

    def __init__(self, world: World, controller: str = JOINT) -> None:
        self._world = world
        self._velocity: Sequence[float] = (0.0,) * fr3.DOF
        self._pending: dict[str, Callable[[], None]] = {}
        self._conflicts: set[str] = set()
        self.ignored: Counter[str] = Counter()  # topic -> messages
        self.accepted = 0
        self.reason = ""  # why the last ignored message was ignored
        self.active = controller
        self.select(controller)

    @property
    def conflicts(self) -> tuple[str, ...]:
        """Topics whose last message came while more than one publisher was there."""
        return tuple(sorted(self._conflicts))

    def select(self, controller: str) -> None:
        """Activate a controller: at the target sent to it before, else where the robot is."""
        if controller not in CONTROLLERS:
            raise ConfigError(
                f"controller is {controller!r}, needs one of {', '.join(CONTROLLERS)}"
            )
        self.active = controller
        self._world.hold(cartesian=controller == CARTESIAN)
        pending = self._pending.pop(controller, None)
        if pending is not None:
            self._apply(controller, pending)

    def forget(self) -> None:
        """Drop what older messages left; the world was reset and holds where it is."""
        self._velocity = (0.0,) * fr3.DOF
        self._pending.clear()
        self._world.hold(cartesian=self.active == CARTESIAN)

    def joints(
        self, position: Sequence[float], velocity: Sequence[float], publishers: int = 1
    ) -> None:
        """Take a `target_joint`; the Cartesian controller uses it as null-space posture."""
        if self._refused("target_joint", publishers):
            return
        if self.active == CARTESIAN:
            self._apply("target_joint", partial(self._world.command_posture, position))
        speeds = velocity if len(velocity) else self._velocity

        def command() -> None:
            self._world.command_joints(position, speeds)
            self._velocity = speeds

        self._route(JOINT, "target_joint", command)

    def pose(
        self, position: Sequence[float], quaternion_xyzw: Sequence[float], publishers: int = 1
    ) -> None:
        """Take a `target_pose`."""
        if not self._refused("target_pose", publishers):
            command = partial(self._world.command_pose, position, quaternion_xyzw)
            self._route(CARTESIAN, "target_pose", command)

    def stiffness(self, values: Sequence[float], publishers: int = 1) -> None:
        """Take a `target_stiffness`."""
        if not self._refused("target_stiffness", publishers):
            self._apply("target_stiffness", partial(self._world.command_stiffness, values))

    def wrench(self, values: Sequence[float], publishers: int = 1) -> None:
        """Take a `target_wrench`."""
        if not self._refused("target_wrench", publishers):
            self._apply("target_wrench", partial(self._world.command_wrench, values))

    def gripper(self, values: Sequence[float]) -> None:
        """Take a gripper command; its controller is ros2_control's and counts no publishers."""
        if len(values) != 1:
            self._ignore("gripper", f"gripper command has {len(values)} values, needs 1")
            return
        self._apply("gripper", partial(self._world.command_gripper, values[0]))

    def _route(self, controller: str, topic: str, command: Callable[[], None]) -> None:
        if controller == self.active:
            self._apply(topic, command)
        else:
            self._pending[controller] = command

    def _refused(self, topic: str, publishers: int) -> bool:
        if publishers <= 1:
            self._conflicts.discard(topic)
            return False
        self._conflicts.add(topic)
        self._ignore(topic, f"{topic} has {publishers} publishers, needs exactly one")
        return True

    def _apply(self, topic: str, command: Callable[[], None]) -> None:
        try:
            command()
            self.accepted += 1
        except SafetyError as error:
            self._ignore(topic, str(error))

    def _ignore(self, topic: str, reason: str) -> None:
        self.ignored[topic] += 1
        self.reason = reason
