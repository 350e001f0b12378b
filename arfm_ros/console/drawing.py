"""An arm as lines: its links now, the tool's way so far, and where a plan takes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from arfm_ros.core.errors import ArfmError
from arfm_ros.robots.kinematics.chain import F64, Chain
from arfm_ros.robots.robot import Robot

Lines = list[list[float]]  # points x, y, z in m
WAY = 60  # places of the tool that are kept
PLAN = 24  # places of a plan that are shown


class Drawing:
    """The arms of one robot in the root of its description; none where it has no description."""

    def __init__(self, robot: Robot) -> None:
        self._chains: dict[str, Chain] = {}
        for group in robot.groups:
            if group.kind != "arm" or not robot.description:
                continue
            rooted = replace(group, base="")
            groups = tuple(rooted if one is group else one for one in robot.groups)
            try:
                self._chains[group.name] = Chain(replace(robot, groups=groups), group.name)
            except ArfmError:
                continue  # a description that does not fit is the arbiter's to complain about
        self._way = {name: deque[list[float]](maxlen=WAY) for name in self._chains}

    def arms(self, positions: Mapping[str, float]) -> dict[str, Lines]:
        """Return the joints' places and the tool's of each arm; remembers the tool's way."""
        found = {}
        for name, chain in self._chains.items():
            q = _of(chain, positions)
            if q is None:
                continue
            tool = chain.forward(q).matrix[:3, 3]
            points = np.vstack([np.zeros(3), chain.frames(q)[:, :3, 3], tool])
            found[name] = _lines(points)
            self._way[name].append(found[name][-1])
        return found

    def ways(self) -> dict[str, Lines]:
        """Return where the tools were, oldest first."""
        return {name: list(way) for name, way in self._way.items() if way}

    def plan(self, names: Sequence[str], actions: F64) -> dict[str, Lines]:
        """Return where actions [H, A] of the axes `names` take the tools; {} where they do not."""
        found = {}
        for name, chain in self._chains.items():
            columns = [names.index(axis.name) for axis in chain.axes if axis.name in names]
            if len(columns) < len(chain.axes) or not np.isfinite(actions).all():
                continue
            few = np.linspace(0, len(actions) - 1, min(PLAN, len(actions))).round().astype(int)
            found[name] = _lines(chain.forward(actions[few][:, columns]).matrix[..., :3, 3])
        return found


def _of(chain: Chain, positions: Mapping[str, float]) -> F64 | None:
    q = np.array([positions.get(axis.name, np.nan) for axis in chain.axes])
    return q if np.isfinite(q).all() else None


def _lines(points: F64) -> Lines:
    return [[round(float(v), 4) for v in point] for point in points]
