"""What rclpy's lifecycle nodes lack."""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode

from arfm_ros.nodes.ros.spin import RCLError


def survive_impossible_transitions(node: LifecycleNode) -> None:
    """Answer a transition that the present state does not have with `success: false`.

    rclpy lets the error out of the service's callback, which would end the process: one
    `ros2 lifecycle set ... activate` too many would stop the robot.
    """
    service: Any = node._service_change_state
    change = service.callback

    def guarded(request: Any, response: Any) -> Any:
        try:
            return change(request, response)
        except RCLError as error:
            node.get_logger().warning(f"transition refused: {error}")
            response.success = False
            return response

    service.callback = guarded
