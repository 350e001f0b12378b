"""The action of a simulated gripper; this module needs control_msgs."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

from rclpy.action import ActionServer, GoalResponse
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future

from arfm_ros.nodes.ros.topics import interface
from arfm_ros.robots.commands.controller import Topic
from arfm_ros.robots.controllers.parallel_gripper_command import ACTION as PARALLEL
from arfm_ros.robots.robot import RobotAxis

LOOK_S = 0.05
NEAR = 0.02  # of the opening, that counts as reached
STILL = 0.002  # of the opening from one look to the next
STALLED_LOOKS = 6  # so many still ones in a row, and something is in the way


class GripperAction:
    """Goals as ros2_control's servers take them: at any time, and a new one ends the old one.

    A goal ends when the gripper is there, or stands still before; both succeed
    (`allow_stalling`), `reached_goal` and `stalled` tell which.
    """

    def __init__(
        self,
        node: Node,
        topic: Topic,
        axis: RobotAxis,
        take: Callable[[Any], str],
        opening: Callable[[], float],
    ) -> None:
        """`take` hands a goal over ('' or why not), `opening` measures."""
        self._kind, self._axis = interface(topic.interface), axis
        self._parallel = topic.interface == PARALLEL
        self._take, self._opening = take, opening
        self._running: tuple[Any, Future] | None = None
        self._goal, self._last, self._still = 0.0, 0.0, 0
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(LOOK_S, self._look, clock=steady)
        self._server = ActionServer(
            node, self._kind, topic.name, self._execute, goal_callback=self._accept
        )

    def _accept(self, request: Any) -> GoalResponse:
        """Hand the goal over at once; one that the gripper refuses is rejected."""
        return GoalResponse.REJECT if self._take(request) else GoalResponse.ACCEPT

    async def _execute(self, handle: Any) -> Any:
        if self._running is not None:
            self._finish(False, False)
        position = handle.request.command.position
        message = position[0] if self._parallel else position
        self._goal = self._axis.scale * message + self._axis.offset
        self._last, self._still = self._opening(), 0
        done: Future = Future()
        self._running = (handle, done)
        return await done

    def _look(self) -> None:
        if self._running is None:
            return
        now = self._opening()
        self._still = self._still + 1 if abs(now - self._last) < STILL else 0
        self._last = now
        reached, stalled = abs(now - self._goal) < NEAR, self._still >= STALLED_LOOKS
        if reached or stalled:
            self._finish(reached, stalled and not reached)

    def _finish(self, reached: bool, stalled: bool) -> None:
        assert self._running is not None
        (handle, done), self._running = self._running, None
        if reached or stalled:
            handle.succeed()
        else:
            handle.abort()
        result = self._kind.Result()
        result.reached_goal, result.stalled = reached, stalled
        position = (self._opening() - self._axis.offset) / self._axis.scale
        if self._parallel:
            result.state.name, result.state.position = (
                [self._axis.message_name],
                array("d", (position,)),
            )
        else:
            result.position = position
        done.set_result(result)
