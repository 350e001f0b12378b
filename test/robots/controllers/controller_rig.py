"""An arbiter on a perfect robot, and the groups that tests command through it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from arfm_ros.core.safety.arbiter import Arbiter
from arfm_ros.core.safety.decision import ArbiterConfig, Decision
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.robots.commands.controller import Controller, Outgoing, Tools
from arfm_ros.robots.commands.registry import make_controller
from arfm_ros.robots.commands.whole import WholeRobot, ahead_of, part_of
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.fr3.limits import fr3_limits
from arfm_ros.robots.robot import ControllerChoice, Group, Robot, RobotAxis

MS = 1_000_000
LIMITS = fr3_limits()
HOME = np.append(np.asarray(fr3.HOME), 1.0)


def axes(begin: int, end: int) -> tuple[RobotAxis, ...]:
    """Return some of the FR3's axes with the arbiter's limits."""
    return tuple(
        RobotAxis(
            LIMITS.names[i],
            "1" if i == fr3.DOF else "rad",
            *(float(row[i]) for row in (LIMITS.low, LIMITS.high)),
            *(float(row[i]) for row in (LIMITS.velocity, LIMITS.acceleration)),
        )
        for i in range(begin, end)
    )


def arm(kind: str, **options: float | str | bool | tuple[float, ...]) -> Group:
    """Return the FR3's arm with a controller."""
    choice = ControllerChoice(kind, options)
    return Group("arm", "arm", axes(0, 7), choice, base=fr3.BASE_FRAME, tool=fr3.TOOL_FRAME)


def gripper(
    kind: str, scale: float = 1.0, offset: float = 0.0, **options: float | str | bool
) -> Group:
    """Return a gripper of one axis, 0 closed to 1 open."""
    axis = RobotAxis("gripper", "1", 0.0, 1.0, 5.0, 200.0, scale=scale, offset=offset)
    return Group("gripper", "gripper", (axis,), ControllerChoice(kind, options))


def fr3_robot(kind: str = "crisp_joint") -> Robot:
    """Return the FR3 with its gripper as CRISP has them."""
    return Robot("fr3", (arm(kind), gripper("float64_array")))


class Stack:
    """An arbiter on a perfect FR3, feeding a controller of its arm or all of a robot."""

    def __init__(self, what: Group | Robot, tools: Tools | None = None) -> None:
        self.arbiter = Arbiter(ArbiterConfig(LIMITS))
        self.target: Controller | WholeRobot
        if isinstance(what, Robot):
            self.target, self.own = WholeRobot(what), slice(None)
        else:
            self.target = make_controller(what, tools)
            self.own = slice(7, 8) if what.kind == "gripper" else slice(0, 7)
        self.now, self.measured = 1000 * MS, HOME
        self.decision = Decision(None, np.zeros(8), "idle")

    def engage(self) -> Stack:
        """Let the arbiter drive."""
        self.arbiter.engage(self.now, self.measured)
        return self

    def chunk(self, slope: float) -> None:
        """Hand in 16 actions at 20 Hz that move all joints at `slope` rad/s."""
        k = np.arange(1, 17)[:, None] * 0.05
        actions = self.measured + slope * k * np.append(np.ones(7), 0.0)
        chunk = ActionChunk(actions.astype(np.float32), self.now, 50 * MS, LIMITS.names)
        assert self.arbiter.on_chunk(chunk, self.now) == ""

    def tick(self) -> Sequence[Outgoing]:
        """Go on by 10 ms; return what is sent."""
        self.now += 10 * MS
        self.arbiter.on_state(self.measured, self.now, self.now)
        self.decision = self.arbiter.tick(self.now)
        if self.decision.command is not None:
            self.measured = self.decision.command
        part = part_of(self.decision, self.own)
        return self.target.commands(part, self.now, ahead_of(self.arbiter.preview, self.own))

    def run(self, ticks: int) -> list[tuple[int, Outgoing]]:
        """Go on; return what was sent, and when."""
        return [(self.now, sent) for _ in range(ticks) for sent in self.tick()]
