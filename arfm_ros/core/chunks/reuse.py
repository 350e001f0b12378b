"""Reuse of a context, or of a camera's part of it, while what the robot sees stays the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from arfm_ros.core.values.data import U8, Context, Observation

Made = TypeVar("Made")
COMPARED = 128  # pixels a side of an image that are compared, at most


@dataclass(frozen=True, slots=True)
class Sameness:
    """How little may have changed; an `image` limit of 0 means that nothing is reused."""

    image: float = 0.0  # grey levels 0..255, mean over the pixels, in every camera
    state: float = 0.002  # rad (or the axis' unit), in every axis


class ContextReuse:
    """Keep the last context and say when it still holds; one thread uses it.

    The comparison is always with the observation that was encoded, so that slow changes add up
    and end the reuse.
    """

    def __init__(self) -> None:
        self.count = 0  # contexts reused
        self._kept: tuple[Observation, Context] | None = None

    def find(self, observation: Observation, limit: Sameness) -> Context | None:
        """Return the kept context, moved to `observation`, or None if it has to be encoded."""
        if limit.image <= 0 or self._kept is None:
            return None
        before, context = self._kept
        pairs = zip((before, *before.earlier), (observation, *observation.earlier))
        if len(before.earlier) != len(observation.earlier):
            return None
        if not all(_same(old, new, limit) for old, new in pairs):
            return None
        self.count += 1
        state = np.asarray(observation.state, dtype=np.float32)
        return replace(context, state=state, stamp_ns=observation.stamp_ns, encode_ns=0)

    def keep(self, observation: Observation, context: Context) -> None:
        """Remember what was encoded."""
        earlier = tuple(_copied(one) for one in observation.earlier)
        self._kept = replace(_copied(observation), earlier=earlier), context


class ViewReuse(Generic[Made]):
    """Keep what was made of each camera's picture and say when it still holds; one thread uses it.

    A picture is compared with the one that it was made of, so that slow changes add up and end
    the reuse. Any thread may set `limit` and read the counts.
    """

    def __init__(self, limit: float = 0.0) -> None:
        self.limit = limit  # grey levels 0..255, mean over a picture's pixels; 0: nothing is kept
        self.encoded = self.reused = 0
        self._kept: dict[str, tuple[U8, Made]] = {}  # by camera

    def of(self, camera: str, image: U8, make: Callable[[], Made]) -> Made:
        """Return what was made of a picture [H, W, 3] like this one, or `make` it."""
        limit, before = self.limit, self._kept.get(camera)
        if limit > 0 and before is not None:
            if difference({camera: before[0]}, {camera: image}) <= limit:
                self.reused += 1
                return before[1]
        self._kept.pop(camera, None)
        made = make()
        self.encoded += 1
        if limit > 0:
            self._kept[camera] = image.copy(), made
        return made

    def forget(self) -> None:
        """Keep nothing of what was seen before."""
        self._kept.clear()


def _copied(observation: Observation) -> Observation:
    images = {name: image.copy() for name, image in observation.images.items()}
    return replace(observation, images=images)


def _same(before: Observation, after: Observation, limit: Sameness) -> bool:
    return (
        before.instruction == after.instruction
        and float(np.abs(before.state - after.state).max(initial=0.0)) <= limit.state
        and difference(before.images, after.images) <= limit.image
    )


def difference(before: Mapping[str, U8], after: Mapping[str, U8]) -> float:
    """Mean difference of the images [H, W, 3] in grey levels, the largest of all cameras.

    Infinite for other cameras or sizes.
    """
    if before.keys() != after.keys():
        return float("inf")
    largest = 0.0
    for name, image in after.items():
        if image.shape != before[name].shape:
            return float("inf")
        rows, columns = (max(1, side // COMPARED) for side in image.shape[:2])
        new, old = image[::rows, ::columns], before[name][::rows, ::columns]
        largest = max(largest, float(np.abs(new.astype(np.int16) - old).mean()))
    return largest
