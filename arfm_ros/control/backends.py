"""From a decision to what each kind of controller wants, as plain values; a node sends them.

crisp_joint       CRISP joint impedance: `target_joint`, position and velocity of the same length
crisp_pose        CRISP Cartesian impedance: `target_pose`, by forward kinematics
jtc               joint_trajectory_controller: a short trajectory, sent again before it ends
forward_position  a forward command controller of joint positions
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from arfm_ros.control import fr3, kinematics
from arfm_ros.control.crisp_gains import PUBLISHED, JointGains
from arfm_ros.core.decision import Decision
from arfm_ros.core.errors import ConfigError

F64 = NDArray[np.float64]
Preview = Callable[[int, int, int], tuple[F64, F64]]  # Arbiter.preview
LEAD_STEPS = 3  # a first point nearer than this makes a joint_trajectory_controller jerk


@dataclass(frozen=True, slots=True, eq=False)
class JointTarget:
    """Positions and velocities [7] in the controller's joint order (it reads by index)."""

    position: F64
    velocity: F64


@dataclass(frozen=True, slots=True, eq=False)
class PoseTarget:
    """Position [3] and quaternion xyzw [4] of the tool frame in `frame`."""

    position: F64
    quaternion_xyzw: F64
    frame: str = fr3.BASE_FRAME


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """Points at `times_ns` [K] after the stamp, which is now; no accelerations, no efforts."""

    times_ns: tuple[int, ...]
    positions: F64  # [K, 7]
    velocities: F64  # [K, 7], the last exactly 0


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """Bare positions [7]."""

    data: F64


Command = JointTarget | PoseTarget | Trajectory | Values


class Backend(Protocol):
    """One kind of controller: where its commands go and how a decision becomes one."""

    topic: str
    type_name: str

    def command(self, decision: Decision, now_ns: int, preview: Preview) -> Command | None:
        """Return what to send now, None when nothing is due."""


class CrispJoint:
    """CRISP's joint impedance controller; every tick, velocity zeros when at rest.

    The velocity is bounded so that the arm stays by the last target if nothing follows it.
    """

    topic = "target_joint"
    type_name = "sensor_msgs/msg/JointState"

    def __init__(self, gains: JointGains = PUBLISHED) -> None:
        self._gains = gains

    def command(self, decision: Decision, now_ns: int, preview: Preview) -> Command | None:
        """Return the joint target of this tick."""
        if decision.command is None:
            return None
        field = self._gains.field(decision.velocity[: fr3.DOF])
        return JointTarget(decision.command[: fr3.DOF], field)


class CrispPose:
    """CRISP's Cartesian impedance controller; every tick, the tool pose of the command."""

    topic = "target_pose"
    type_name = "geometry_msgs/msg/PoseStamped"

    def command(self, decision: Decision, now_ns: int, preview: Preview) -> Command | None:
        """Return the pose target of this tick."""
        if decision.command is None:
            return None
        return PoseTarget(*kinematics.forward(decision.command[: fr3.DOF]))


class ForwardPosition:
    """A ros2_control forward command controller on position interfaces."""

    topic = "forward_position_controller/commands"
    type_name = "std_msgs/msg/Float64MultiArray"

    def command(self, decision: Decision, now_ns: int, preview: Preview) -> Command | None:
        """Return the positions of this tick."""
        return None if decision.command is None else Values(decision.command[: fr3.DOF])


class JointTrajectoryController:
    """Trajectories that replace each other long before they end.

    A trajectory is stamped now, its first point lies `LEAD_STEPS` steps ahead, its last velocity
    is 0. Points come from the limited preview of the arbiter, so that they keep every limit. If
    the arbiter dies, the controller ends where the arbiter would have.
    """

    topic = "joint_trajectory_controller/joint_trajectory"
    type_name = "trajectory_msgs/msg/JointTrajectory"

    def __init__(
        self,
        step_ns: int = 50_000_000,
        points: int = 20,
        resend_ns: int = 100_000_000,
        rest_resend_ns: int = 500_000_000,
    ) -> None:
        if points < 2:
            raise ConfigError(f"a trajectory has {points} points, needs at least 2")
        if resend_ns >= step_ns * (LEAD_STEPS + points - 1):
            raise ConfigError("resend_ns is longer than the trajectory: it would end before")
        self._step_ns, self._points = step_ns, points
        self._resend_ns, self._rest_resend_ns = resend_ns, rest_resend_ns
        self._sent_ns: int | None = None
        self._sent_for: tuple[str, int] = ("", 0)

    def command(self, decision: Decision, now_ns: int, preview: Preview) -> Command | None:
        """Return a trajectory for a new chunk or authority, or before the last one gets old."""
        if decision.command is None:
            self._sent_ns = None
            return None
        wanted_for = (decision.authority, decision.chunk_stamp_ns)
        period_ns = self._resend_ns if decision.velocity.any() else self._rest_resend_ns
        fresh = self._sent_ns is not None and 0 <= now_ns - self._sent_ns < period_ns
        if fresh and wanted_for == self._sent_for:
            return None
        positions, velocities = preview(now_ns, self._step_ns, LEAD_STEPS + self._points - 1)
        if len(positions) < LEAD_STEPS + 1:
            return None
        self._sent_ns, self._sent_for = now_ns, wanted_for
        return self._trajectory(positions[:, : fr3.DOF], velocities[:, : fr3.DOF])

    def _trajectory(self, positions: F64, velocities: F64) -> Trajectory:
        first = LEAD_STEPS - 1  # entry k of a preview is k + 1 steps ahead
        kept = velocities[first:].copy()
        kept[-1] = 0.0
        times = tuple((k + 1) * self._step_ns for k in range(first, len(positions)))
        return Trajectory(times, positions[first:], kept)


BACKENDS: Mapping[str, Callable[[], Backend]] = {
    "crisp_joint": CrispJoint,
    "crisp_pose": CrispPose,
    "jtc": JointTrajectoryController,
    "forward_position": ForwardPosition,
}


def make_backend(name: str, gains: JointGains = PUBLISHED) -> Backend:
    """Build a backend by name for a controller with `gains`, where they matter.

    Raises `ConfigError` listing the names there are.
    """
    if name not in BACKENDS:
        raise ConfigError(f"backend is '{name}', needs one of {', '.join(BACKENDS)}")
    return CrispJoint(gains) if name == "crisp_joint" else BACKENDS[name]()


class GripperCommand:
    """Decide when an opening (0..1) is worth sending: gripper drivers are slow."""

    def __init__(self, change_min: float = 0.005, refresh_ns: int = 500_000_000) -> None:
        self._change_min, self._refresh_ns = change_min, refresh_ns
        self._sent: float | None = None
        self._sent_ns = 0

    def due(self, opening: float, now_ns: int) -> float | None:
        """Return the clipped opening to send now, or None."""
        value = min(max(opening, 0.0), 1.0)
        old = not 0 <= now_ns - self._sent_ns < self._refresh_ns
        if self._sent is not None and abs(value - self._sent) < self._change_min and not old:
            return None
        self._sent, self._sent_ns = value, now_ns
        return value

    def forget(self) -> None:
        """Send the next opening whatever it is."""
        self._sent = None
