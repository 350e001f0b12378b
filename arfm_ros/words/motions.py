"""Where words send a robot: home, a gripper's ends, the tool a bit aside."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.limits import F64
from arfm_ros.robots.commands.whole import columns
from arfm_ros.robots.kinematics.chain import Chain
from arfm_ros.robots.kinematics.inverse import Search, solve
from arfm_ros.robots.poses import Pose, from_rotation_vectors
from arfm_ros.robots.robot import Group, Robot
from arfm_ros.words.lexicon import CLOSE, HOME, OPEN, Nudge

REACHED_M, REACHED_RAD = 1e-3, 2e-3
FARTHEST_RAD = 0.6  # a small displacement that needs more of a joint is near a singularity


class Motions:
    """Goals [A of the group] by group; for one thread at a time."""

    def __init__(self, robot: Robot) -> None:
        self.robot, self._columns = robot, columns(robot)
        tools = [g.name for g in self._of("arm") if g.tool and robot.description]
        self._chains = {name: Chain(robot, name) for name in tools}

    def goals(self, verb: str) -> Mapping[str, F64]:
        """Return where `home`, `open` or `close` lead; {} where the robot has no such group."""
        if verb == HOME:
            return {g.name: _values(g, "home") for g in self._of("arm")}
        if verb not in {OPEN, CLOSE}:
            return {}
        end = "high" if verb == OPEN else "low"
        return {g.name: _values(g, end) for g in self._of("gripper")}

    def nudged(self, nudge: Nudge, command: F64, group: str = "") -> Mapping[str, F64]:
        """Return where a displaced tool leads from `command` [A]; of the first arm, or `group`.

        Raises `ConfigError` where the tool cannot go there.
        """
        arms = [g for g in self._of("arm") if g.name in self._chains and group in {"", g.name}]
        if not arms:
            raise ConfigError(f"robot '{self.robot.name}' has no arm with a tool to move")
        name = arms[0].name
        chain, here = self._chains[name], command[self._columns[name]]
        pose = _displaced(chain.forward(here), nudge)
        ends = [(axis.low + axis.margin, axis.high - axis.margin) for axis in arms[0].axes]
        low, high = np.array(ends).T
        found = solve(
            lambda q: (chain.forward(q).matrix, chain.jacobian(q)),
            pose,
            (here, None),
            (low, high),
            Search(),
        )
        near = found.error_m <= REACHED_M and found.error_rad <= REACHED_RAD
        if not near or np.abs(found.q - here).max() > FARTHEST_RAD:
            raise ConfigError("the tool cannot go there: out of reach, or near a singularity")
        return {name: found.q}

    def _of(self, kind: str) -> list[Group]:
        return [group for group in self.robot.groups if group.kind == kind]


def _displaced(pose: Pose, nudge: Nudge) -> Pose:
    move, turn = np.array(nudge.move), from_rotation_vectors(np.array(nudge.turn))
    rotation = pose.rotation
    if nudge.frame == "tool":
        return Pose.of(pose.position + rotation @ move, rotation @ turn)
    return Pose.of(pose.position + move, turn @ rotation)


def _values(group: Group, what: str) -> F64:
    return np.array([getattr(axis, what) for axis in group.axes], np.float64)
