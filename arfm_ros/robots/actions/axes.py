"""Names, units and limits of the numbers that a policy's actions are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from arfm_ros.core.values.spec import Axis
from arfm_ros.robots.actions.spaces import RobotActions

UNITS = {"velocity": "rad/s", "width": "m", "x": "m", "y": "m", "z": "m"}  # by the last word


def space_axes(actions: RobotActions) -> tuple[Axis, ...]:
    """Name the actions, with the units and limits of positions where they are such."""
    return tuple(
        axis
        for space in actions.spaces
        for axis in _axes(space.names, space.group.axes, space.options)
    )


def _axes(names: Sequence[str], axes: Sequence[Any], options: Any) -> list[Axis]:
    known = {axis.name: axis for axis in axes}
    # numbers of a gripper that is not 0 closed and 1 open are no opening
    opens = (getattr(options, "closed", 0.0), getattr(options, "open", 1.0)) == (0.0, 1.0)
    absolute = getattr(options, "reference", "absolute") == "absolute"
    found = []
    for name in names:
        axis = known.get(name)
        if axis is None:
            found.append(Axis(name, UNITS.get(name.rpartition(".")[2], "rad")))
        elif axis.unit == "1":
            found.append(Axis(name, "1", 0.0, 1.0) if opens else Axis(name, "command"))
        elif absolute and getattr(options, "scale", 1.0) == 1.0:
            found.append(Axis(name, axis.unit, axis.low, axis.high))
        else:
            found.append(Axis(name, axis.unit))
    return found
