"""What a simulation has to know about a robot beside its joints: arms, hands, fingers, balls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.files.bodies import Hinge, Tree, read_tree
from arfm_ros.robots.robot import Group, Robot, RobotAxis

TORQUE = ("crisp_joint",)  # controllers that command torques
SERVO = ("jtc", "forward_position", "forward_velocity")  # and those in front of stiff servos
SCENE = "scene"  # the camera that stands before the table; all others sit on wrists


@dataclass(frozen=True, slots=True, eq=False)
class HandPlan:
    """A gripper: its group, the link that it hangs on, and the links of each finger."""

    group: Group
    palm: str
    fingers: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class ArmPlan:
    """An arm of the robot: its group with a tool, its hand, its camera."""

    group: Group
    hand: HandPlan | None
    camera: str
    marker: str  # the ball that is its own in `reach`


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A robot with its bodies."""

    robot: Robot
    tree: Tree
    arms: tuple[ArmPlan, ...]
    hands: tuple[HandPlan, ...]
    cameras: tuple[str, ...]


def plan_of(robot: Robot) -> Plan:
    """Plan the simulation of a robot; raises `ConfigError` for what cannot be simulated."""
    if not robot.description:
        raise ConfigError(
            f"robot '{robot.name}' has no description, the simulation needs one: name its URDF "
            "in the YAML (description: my_arm.urdf)"
        )
    tree = read_tree(robot.description)
    groups = [group for group in robot.groups if _is_arm(group)]
    if not groups:
        raise ConfigError(
            f"robot '{robot.name}' has no arm with a tool, the simulation needs one: give a group "
            "of kind arm its tool frame"
        )
    for group in robot.groups:
        _check_controller(group)
    hands = tuple(_hand(group, tree) for group in robot.groups if _opens(group))
    names = _wrist_cameras(robot, groups)
    arms = tuple(
        ArmPlan(group, _hand_of(group, hands, tree), names[i], f"marker{i + 1}" if i else "marker")
        for i, group in enumerate(groups)
    )
    return Plan(robot, tree, arms, hands, (SCENE, *dict.fromkeys(names)))


def driven_joints(axis: RobotAxis) -> tuple[tuple[str, float, float], ...]:
    """List the joints that an axis moves, at k * value + b: name, k, b; the driven one first."""
    own = () if axis.unit == "1" else ((axis.name, 1.0, 0.0),)
    return own + axis.mimics


def _is_arm(group: Group) -> bool:
    return group.kind == "arm" and bool(group.tool)


def _opens(group: Group) -> bool:
    return all(axis.unit == "1" and axis.mimics for axis in group.axes)


def _check_controller(group: Group) -> None:
    known = (*TORQUE, *SERVO)
    if not _opens(group) and group.controller.kind not in known:
        raise ConfigError(
            f"group '{group.name}' has controller {group.controller.kind}, the simulation has "
            f"{', '.join(known)}, and grippers that say their opening in the YAML"
        )


def _hand(group: Group, tree: Tree) -> HandPlan:
    """Find the fingers: what hangs on the joints that the group moves, apart from each other."""
    moved = {name for axis in group.axes for name, _, _ in axis.mimics}
    hinges = {hinge.name: hinge for hinge in tree.above.values()}
    palm = hinges[group.axes[0].mimics[0][0]].parent
    first = [hinge for hinge in tree.below(palm) if hinge.name in moved]
    return HandPlan(group, palm, tuple(tree.subtree(hinge.child) for hinge in first))


def _hand_of(group: Group, hands: tuple[HandPlan, ...], tree: Tree) -> HandPlan | None:
    """Return the hand behind the last joint of an arm, or None."""
    moved = [hinge for hinge in tree.chain(group.tool) if hinge.name in group.names]
    if not moved:
        return None
    beyond = tree.subtree(moved[-1].child)
    return next((hand for hand in hands if hand.palm in beyond), None)


def _wrist_cameras(robot: Robot, groups: list[Group]) -> list[str]:
    """Name a camera for each arm: the robot's own in their order, else wrist and GROUP_wrist."""
    own = [camera.name for camera in robot.cameras if camera.name != SCENE]
    names = []
    for i, group in enumerate(groups):
        default = "wrist" if len(groups) == 1 else f"{group.name}_wrist"
        names.append(own[i] if i < len(own) else default)
    return names


def moving_hinges(plan: Plan) -> Mapping[str, Hinge]:
    """Return the joints that some axis of the robot moves, by name; others stand still."""
    moved = {name for axis in plan.robot.axes for name, _, _ in driven_joints(axis)}
    return {h.name: h for h in plan.tree.above.values() if h.moves and h.name in moved}


def touching_links(plan: Plan) -> frozenset[str]:
    """List the links that can touch things: hands, and arms beyond their third last joint."""
    found: set[str] = set()
    for arm in plan.arms:
        chain = [h for h in plan.tree.chain(arm.group.tool) if h.name in arm.group.names]
        found.update(plan.tree.subtree(chain[max(0, len(chain) - 3)].child))
    return frozenset(found)


def base_place(plan: Plan, group: Group) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the position [3] of a group's base in the scene."""
    return plan.tree.still_pose(group.base or plan.tree.root).position
