"""Whether a camera still sees: pictures of the size they had, which change while the arm moves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from arfm_ros.core.values.data import F32

NS = 1_000_000_000
SMALLEST = 0.5  # a picture may have so much of the policy's own height and width, not less
JUMP_RAD, JUMP_RAD_S = 0.02, 10.0  # a joint that goes farther between two states did not move
UNSEEN_NS = 150_000_000  # nor does a step count that is as long: states jumped while none looked
Size = tuple[int, int]  # height, width
Measured = tuple[int, F32]  # stamp in ns, joints [J] in rad


@dataclass(frozen=True, slots=True)
class Stillness:
    """How long a picture may repeat bit by bit while the arm moves.

    A scene at rest before an arm at rest gives the same picture again in a simulation, and that
    is no fault: repeated pictures count only once a joint has moved by `motion` since the first
    of them.
    """

    after_ns: int = 500_000_000  # 0: never judged
    motion: float = 0.1  # rad, of any joint


class _Repeat:
    """The first of the pictures that are all the same, and how far the arm went since."""

    def __init__(self, picture: bytes, stamp_ns: int, joints: F32) -> None:
        self.picture, self.stamp_ns = picture, stamp_ns
        self.newest: Measured = stamp_ns, joints
        self.moved = 0.0  # rad, the largest way of a joint
        self._gone = np.zeros(joints.shape)
        self._largest = np.zeros(joints.shape)  # of the steps

    def on_state(self, state: Measured) -> None:
        """Take the next state: one that jumps is wrong, or right again, and no arm moved so.

        The largest step does not count: a simulation that begins anew puts the arm elsewhere in
        one, which may be long under way, and then all stands still. A motion takes many.
        """
        (before_ns, before), (stamp_ns, joints) = self.newest, state
        if stamp_ns < before_ns:
            return
        self.newest = state
        if stamp_ns - before_ns > UNSEEN_NS:
            return
        step = joints.astype(np.float64) - before
        reach = JUMP_RAD + JUMP_RAD_S * (stamp_ns - before_ns) / NS
        went = np.where(np.abs(step) <= reach, step, 0.0)
        self._gone += went
        self._largest = np.where(np.abs(went) > np.abs(self._largest), went, self._largest)
        way = np.abs(self._gone - self._largest)
        self.moved = max(self.moved, float(way.max(initial=0.0)))


class PictureWatch:
    """Look at every picture that is used, camera by camera; one thread uses it."""

    def __init__(self, limit: Stillness, sizes: Mapping[str, Size] | None = None) -> None:
        self._limit = limit
        self._given = dict(sizes or {})
        self._learned: dict[str, Size] = {}
        self._repeats: dict[str, _Repeat] = {}

    def size_trouble(self, camera: str, size: Size, wanted: Size) -> str:
        """Say what is wrong with the `size` of a picture, '' if nothing is.

        It has to be what was configured, else that of the first picture, which may not have less
        than half the height and width that the policy sees (`wanted`).
        """
        expected = self._given.get(camera) or self._learned.get(camera)
        if expected is not None and size != expected:
            how = "camera_sizes" if camera in self._given else "as its first picture"
            return f"camera {camera} sends {_say(size)}, needs {_say(expected)} ({how})"
        if expected is None and any(s < SMALLEST * w for s, w in zip(size, wanted)):
            return (
                f"camera {camera} sends {_say(size)}, too little for the {_say(wanted)} that the "
                "policy sees (camera_sizes allows it)"
            )
        self._learned.setdefault(camera, size)
        return ""

    def still_trouble(
        self,
        camera: str,
        stamp_ns: int,
        picture: bytes,
        joints: F32,
        since: Callable[[int], Iterable[Measured]] | None = None,
    ) -> str:
        """Say since when a camera repeats a picture while the arm moves, '' if it does not.

        `joints` [J] in rad are those measured with the picture; without any nothing is judged.
        `since` gives the states after a stamp, oldest first: they tell a motion from a jump. Then
        `joints` count for the first picture only: they were measured near it, not at its stamp,
        and where the arm is put elsewhere they would jump back and to again.
        """
        first = self._repeats.get(camera)
        same = first is not None and first.stamp_ns <= stamp_ns and first.picture == picture
        if first is None or not same or first.newest[1].shape != joints.shape:
            self._repeats[camera] = _Repeat(picture, stamp_ns, joints)
            return ""
        states = ((stamp_ns, joints),) if since is None else since(first.newest[0])
        for state in states:
            first.on_state(state)
        lasted_ns = stamp_ns - first.stamp_ns
        limit = self._limit
        if not limit.after_ns or lasted_ns <= limit.after_ns or first.moved <= limit.motion:
            return ""
        return (
            f"camera {camera} is frozen: the same picture for {lasted_ns / NS:.2g} s while a "
            f"joint moved by {first.moved:.2g} rad (frozen_after_s, frozen_motion)"
        )


def _say(size: Size) -> str:
    return f"{size[1]} x {size[0]}"
