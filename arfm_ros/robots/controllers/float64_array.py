"""A gripper on a forward command controller: one number, sent on change and twice a second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arfm_ros.robots.commands.controller import Tools
from arfm_ros.robots.commands.messages import FLOAT64_ARRAY
from arfm_ros.robots.commands.opening import ChangedOpening, GripperController
from arfm_ros.robots.commands.registry import Kind, register
from arfm_ros.robots.commands.values import Values
from arfm_ros.robots.robot import Group


@dataclass(frozen=True, slots=True)
class Options:
    """When an opening is sent; the number comes from the axis's scale and offset."""

    name: str = "gripper_position_controller"  # in the controller manager
    change_min: float = 0.005  # of the opening
    refresh_s: float = 0.5


def float64_array(group: Group, options: Options, tools: Tools) -> GripperController:
    """Return the controller of a gripper's own number."""
    topic = (f"gripper/{options.name}/commands", FLOAT64_ARRAY)
    changed = ChangedOpening(options.change_min, refresh_s=options.refresh_s)
    return GripperController(group, options.name, topic, changed, lambda x: Values(np.array([x])))


register(Kind("float64_array", Options, float64_array, units=("1",), axes_max=1))
