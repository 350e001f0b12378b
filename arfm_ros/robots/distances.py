"""How near the links of a robot are to each other, by the primitives of its description."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arfm_ros.robots.kinematics.model import Model

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Distance:
    """Least distance (negative: they overlap) and the two links."""

    metres: float
    first: str
    second: str


NOTHING_NEAR = Distance(inf, "", "")


class Distances:
    """The pairs of links that can meet."""

    def __init__(self, model: Model, home: F64) -> None:
        self._model, self._geometry = model, model.geometry
        self._pin = model.pin
        self._geometry.removeAllCollisionPairs()
        for i, j in self._candidates():
            self._geometry.addCollisionPair(self._pin.CollisionPair(i, j))
        self.touching: tuple[tuple[str, str], ...] = ()
        self._drop_neighbours(home)
        self._data = self._pin.GeometryData(self._geometry)
        self.pairs = len(self._geometry.collisionPairs)

    def nearest(self, at: F64) -> Distance:
        """Return the nearest pair at a configuration of the model."""
        metres = self._distances(at, self._data)
        worst = int(np.argmin(metres))
        return Distance(float(metres[worst]), *self._names(worst))

    def _distances(self, at: F64, data: Any) -> F64:
        model = self._model
        self._pin.computeDistances(model.model, model.data, self._geometry, data, at)
        return np.array([result.min_distance for result in data.distanceResults])

    def _names(self, pair: int) -> tuple[str, str]:
        found = self._geometry.collisionPairs[pair]
        return self._link(found.first), self._link(found.second)

    def _link(self, number: int) -> str:
        shape = self._geometry.geometryObjects[number]
        return str(self._model.model.frames[shape.parentFrame].name)

    def _candidates(self) -> list[tuple[int, int]]:
        """List pairs of shapes with two joints or more between them."""
        joints = [shape.parentJoint for shape in self._geometry.geometryObjects]
        parents = list(self._model.model.parents)
        return [
            (i, j)
            for i in range(len(joints))
            for j in range(i + 1, len(joints))
            if joints[i] != joints[j]
            and parents[joints[i]] != joints[j]
            and parents[joints[j]] != joints[i]
        ]

    def _drop_neighbours(self, home: F64) -> None:
        """Take links that touch at home as built that way: they say nothing about a posture."""
        data = self._pin.GeometryData(self._geometry)
        if not len(self._geometry.collisionPairs):
            return
        metres = self._distances(self._model.configuration(home), data)
        touching = {self._names(int(pair)) for pair in np.flatnonzero(metres <= 0.0)}
        self.touching = tuple(sorted(touching))
        kept = [
            (pair.first, pair.second)
            for pair in self._geometry.collisionPairs
            if (self._link(pair.first), self._link(pair.second)) not in touching
        ]
        self._geometry.removeAllCollisionPairs()
        for i, j in kept:
            self._geometry.addCollisionPair(self._pin.CollisionPair(i, j))
