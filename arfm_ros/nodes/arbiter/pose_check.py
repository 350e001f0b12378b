"""The controller's own tool pose against the joint states: an offset of a joint shows."""

from __future__ import annotations

import time

import numpy as np
from geometry_msgs.msg import PoseStamped

from arfm_ros.core.safety.limits import F64
from arfm_ros.nodes.ros.convert import time_to_ns
from arfm_ros.robots.commands.whole import columns
from arfm_ros.robots.kinematics.chain import tool_chain
from arfm_ros.robots.robot import Robot

TOGETHER_NS = 20_000_000  # between the stamps of a pose and a state that are compared
ROTATION_RAD_PER_M = 3.0  # what counts as a rotation for each metre of the tolerance
IN_A_ROW = 3


class PoseCheck:
    """Compare `current_pose` with the tool's pose of the joint states, ten times a second.

    Where no such pose comes, or in another frame than the arm's base, nothing is compared; nor
    for a robot without a description, without a tool, or with several arms.
    """

    def __init__(self, tolerance_m: float, robot: Robot) -> None:
        self._tolerance = tolerance_m
        self.follow(robot)
        self._pose: tuple[int, F64, F64] | None = None
        self._due_ns, self._apart = 0, 0
        self.reason = ""  # '' while they agree

    def follow(self, robot: Robot) -> None:
        """Go by a robot's description from now on."""
        chain = tool_chain(robot)
        self._own = slice(0, 0) if chain is None else columns(robot)[chain.name]
        self._bases = set() if chain is None else {"", *chain.base_names}
        self._chain = chain

    def on_pose(self, message: PoseStamped) -> None:
        """Keep the newest pose."""
        if message.header.frame_id.lstrip("/") not in self._bases:
            self._pose = None
            return
        at, turn = message.pose.position, message.pose.orientation
        quaternion = np.array([turn.x, turn.y, turn.z, turn.w])
        self._pose = (time_to_ns(message.header.stamp), np.array([at.x, at.y, at.z]), quaternion)

    def on_state(self, state_ns: int, position: F64) -> None:
        """Compare with positions [A] and their stamp, if a pose of that time is there."""
        now_ns = time.monotonic_ns()
        chain = self._chain
        if not self._tolerance or chain is None or self._pose is None or now_ns < self._due_ns:
            return
        stamp_ns, at, turn = self._pose
        if abs(state_ns - stamp_ns) > TOGETHER_NS:
            return
        self._due_ns = now_ns + 100_000_000
        tool = chain.forward(position[self._own])
        far_m = float(np.linalg.norm(tool.position - at))
        turned = 2.0 * float(np.arccos(np.clip(abs(tool.quaternion @ turn), 0.0, 1.0)))
        apart = far_m > self._tolerance or turned > ROTATION_RAD_PER_M * self._tolerance
        self._apart = self._apart + 1 if apart else 0
        self.reason = "" if self._apart < IN_A_ROW else _said(far_m, turned)


def _said(far_m: float, turned: float) -> str:
    return (
        f"joint states put the tool {far_m:.3f} m and {turned:.2f} rad from current_pose: a "
        "joint is off, or the controller has another tool frame (parameter pose_tolerance)"
    )
