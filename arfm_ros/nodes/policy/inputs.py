"""What the policy node listens to: serialized messages, kept by stamp until they are wanted."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np

from arfm_ros.core.chunks.pairing import Newest, wait_until_ns
from arfm_ros.core.errors import SpecError
from arfm_ros.core.safety.limits import F64
from arfm_ros.core.values.data import F32, Observation
from arfm_ros.core.values.history import History
from arfm_ros.core.values.path import StatePath
from arfm_ros.core.values.senses import PictureWatch
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.core.values.sync import Missing, Synced, Synchronizer
from arfm_ros.nodes.policy.wiring import Sample, Wiring
from arfm_ros.nodes.ros import topics
from arfm_ros.wire.cdr import header_stamp_ns as stamp_of
from arfm_ros.wire.images import decode
from arfm_ros.wire.joints import JointStateReader

NS = 1_000_000_000


KEPT_STATES = topics.Qos(reliable=False, depth=512)  # 1 kHz while a network computes
COMPRESSED_TYPE = topics.COMPRESSED_IMAGE.type_name


class PolicyInputs:
    """Subscriptions whose callbacks only keep bytes; thread-safe.

    A camera's message wakes whoever is in `wait`. States come often: they are fetched when they
    are wanted.
    """

    def __init__(self, node: Any, wiring: Wiring) -> None:
        self._clock, self._log = node.get_clock(), node.get_logger()
        self.wiring = wiring
        self._sync: Synchronizer[Sample] = Synchronizer(
            wiring.inputs(), wiring.tolerance_ns, wiring.max_age_ns
        )
        self._states: Synchronizer[Sample] = Synchronizer(
            wiring.state_inputs(), wiring.tolerance_ns, wiring.max_age_ns
        )
        self._path = StatePath[bytes](wiring.states)
        self._watch = PictureWatch(wiring.stillness, wiring.sizes)
        self._observing = threading.Lock()
        self._arrived = threading.Condition()
        self._fresh = self._woken = False
        self._taken_ns: dict[str, int] = {}  # stamp of each camera's newest picture
        self._lags_ns: dict[str, int] = {}  # and how late it came
        self._cameras = [
            topics.subscription(node, row, partial(self._on_picture, name), raw=True)
            for name, row in wiring.cameras.items()
        ]
        self._ahead_ns = 0  # of the node's clock before the system's
        self._readers = {name: JointStateReader() for name in wiring.states}
        states = {n: replace(topics.JOINT_STATES.at(n), reader=KEPT_STATES) for n in wiring.states}
        self._polled = [
            topics.polled(node, row, partial(self._on_state, name), raw=True, timed=True)
            for name, row in states.items()
        ]
        self._node = node

    def close(self) -> None:
        """Stop listening."""
        for subscription in self._cameras:
            self._node.destroy_subscription(subscription)
        self._cameras.clear()
        with self._arrived:
            for states in self._polled:
                states.destroy()
            self._polled.clear()
        self.wake()

    def wake(self) -> None:
        """Let `wait` return."""
        with self._arrived:
            self._fresh = self._woken = True
            self._arrived.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait for a camera image that came since the last call.

        Where another one is about to make a newer set, wait for it too.
        """
        end_s = time.monotonic() + timeout_s
        with self._arrived:
            while (left_s := self._left_s(end_s)) > 0.0:
                self._arrived.wait(left_s)
            fresh, self._fresh, self._woken = self._fresh, False, False
        return fresh

    def awaits(self, now_ns: int) -> bool:
        """Tell whether a picture about to come makes a newer set; `wait` then waits for it."""
        with self._arrived:
            awaited = self._until_ns(now_ns) > 0
            self._fresh = self._fresh or awaited  # so that a late one is not waited for in vain
        return awaited

    def _left_s(self, end_s: float) -> float:
        """How long to wait for more; the caller holds the lock."""
        left_s = end_s - time.monotonic()
        if not self._fresh:
            return left_s
        if self._woken:
            return 0.0
        now_ns = self._clock.now().nanoseconds
        until_ns = self._until_ns(now_ns)
        return min(left_s, (until_ns - now_ns) / NS) if until_ns else 0.0

    def _until_ns(self, now_ns: int) -> int:
        if len(self._taken_ns) < len(self.wiring.cameras):
            return 0
        pictures = {}
        for name, stamp_ns in self._taken_ns.items():
            rate_hz = self._sync.rate_hz(name)
            interval_ns = round(NS / rate_hz) if rate_hz > 0.0 else 0
            pictures[name] = Newest(stamp_ns, interval_ns, self._lags_ns[name])
        return wait_until_ns(pictures, now_ns)

    def newest(self, now_ns: int) -> Synced[Sample] | Missing:
        """Give the newest set of images and states that belong together."""
        with self._arrived:
            self._fetch()
            return self._sync.latest(now_ns)

    def newest_states(self, now_ns: int) -> Synced[Sample] | Missing:
        """Give the newest states that belong together, without pictures."""
        with self._arrived:
            self._fetch()
            return self._states.latest(now_ns)

    def taken_ns(self, synced: Synced[Sample]) -> int:
        """Time at which the oldest image of a set was taken."""
        return min((synced.stamps_ns[n] for n in self.wiring.cameras), default=synced.stamp_ns)

    def interval_ns(self) -> int:
        """Time between two images of the slowest camera; 0 while unknown."""
        with self._arrived:
            slowest = min((self._sync.rate_hz(name) for name in self.wiring.cameras), default=0.0)
        return int(NS / slowest) if slowest > 0.0 else 0

    def values(self, now_ns: int) -> dict[str, object]:
        """Give ages and rates for diagnostics."""
        values: dict[str, object] = {}
        with self._arrived:
            self._fetch()
            for one in self.wiring.inputs():
                age = self._sync.age_ns(one.name, now_ns)
                values[f"{one.title}.age_ms"] = "never" if age is None else age / 1e6
                values[f"{one.title}.rate_hz"] = self._sync.rate_hz(one.name)
        return values

    def observe(self, synced: Synced[Sample], spec: PolicySpec, instruction: str) -> Observation:
        """Decode a set, and the earlier ones that the policy also sees; a thread at a time.

        Raises `SpecError` for an image or a state that does not fit the spec, a state beyond its
        axes' limits, a picture of another size and a camera that is frozen.
        """
        earlier = self._earlier(synced, spec.history)
        seen = [self._decode(one, spec, instruction) for one in (*earlier, synced)]
        observation = replace(seen[-1], earlier=tuple(seen[:-1]))
        spec.check(observation)
        for one in seen:
            spec.check_limits(one.state, self.wiring.limit_tolerance)
        with self._observing:
            self._look(synced, observation, spec)
        return observation

    def with_states(
        self, seen: Observation, states: Synced[Sample], spec: PolicySpec
    ) -> Observation:
        """Put newer states in the place of an observation's own; its stamp is then theirs.

        Raises `SpecError` as `observe` does for a state.
        """
        state = self.positions(states, spec.state_names).astype(np.float32)
        stamps_ns = {**seen.stamps_ns, **states.stamps_ns}
        found = replace(seen, state=state, stamp_ns=states.stamp_ns, stamps_ns=stamps_ns)
        spec.check(found)
        spec.check_limits(state, self.wiring.limit_tolerance)
        return found

    def _look(self, synced: Synced[Sample], seen: Observation, spec: PolicySpec) -> None:
        """Raise `SpecError` for a camera that no longer shows what is there."""
        which, troubles = _joints(spec), []
        joints = seen.state[which]

        @cache
        def since(stamp_ns: int) -> list[tuple[int, F32]]:
            with self._arrived:
                path = self._path.between(stamp_ns, synced.stamp_ns)
            return [
                (at_ns, self._read(states, spec.state_names).astype(np.float32)[which])
                for at_ns, states in path
            ]

        for camera in spec.cameras:
            size = seen.images[camera.name].shape[:2]
            wanted = (camera.height, camera.width)
            troubles.append(self._watch.size_trouble(camera.name, (size[0], size[1]), wanted))
            stamp_ns = synced.stamps_ns[camera.name]
            # not the message: rclpy leaves padding between its fields as memory had it
            picture = seen.images[camera.name].tobytes()
            troubles.append(
                self._watch.still_trouble(camera.name, stamp_ns, picture, joints, since)
            )
        found = [trouble for trouble in troubles if trouble]
        if found:
            raise SpecError("; ".join(found))

    def fit(self, synced: Synced[Sample], spec: PolicySpec, instruction: str) -> bool:
        """Tell whether a set is one that `observe` takes for a policy."""
        try:
            self.observe(synced, spec, instruction)
        except SpecError:
            return False
        return True

    def _earlier(self, synced: Synced[Sample], history: History) -> list[Synced[Sample]]:
        """Find the sets before `synced`, oldest first; at the start there are fewer."""
        with self._arrived:
            self._sync.remember(history.span_ns)
            wanted = history.earlier_ns(synced.stamp_ns)
            found = [self._sync.before(synced, stamp_ns) for stamp_ns in wanted]
        return [one for one in found if one.stamps_ns != synced.stamps_ns]

    def positions(self, synced: Synced[Sample], names: Sequence[str]) -> F64:
        """Return measured positions [len(names)] of a set; raises `SpecError` for missing ones."""
        return self._read({n: synced.values[n].cdr for n in self.wiring.states}, names)

    def _read(self, states: Mapping[str, bytes], names: Sequence[str]) -> F64:
        told = {name: self._readers[name].read(cdr) for name, cdr in states.items()}
        return self.wiring.reader.positions(told, names)

    def _decode(self, synced: Synced[Sample], spec: PolicySpec, instruction: str) -> Observation:
        images = {
            name: decode(synced.values[name].cdr, topic.type_name == COMPRESSED_TYPE)
            for name, topic in self.wiring.cameras.items()
        }
        return Observation(
            images=images,
            state=self.positions(synced, spec.state_names).astype(np.float32),
            instruction=instruction,
            stamp_ns=synced.stamp_ns,
            stamps_ns=synced.stamps_ns,
        )

    def _on_picture(self, name: str, cdr: bytes) -> None:
        sample = Sample(cdr, self._clock.now().nanoseconds)
        with suppress(SpecError), self._arrived:  # no message of this type: as if it had not come
            self._taken_ns[name] = stamp_ns = self._keep(name, sample)
            self._lags_ns[name] = sample.received_ns - stamp_ns
            self._fresh = True
            self._arrived.notify()

    def _fetch(self) -> None:
        """Take the states that came since the last time; the caller holds the lock."""
        self._ahead_ns = self._clock.now().nanoseconds - time.time_ns()
        for states in self._polled:
            states.poll()

    def _on_state(self, name: str, cdr: bytes, received_ns: int) -> None:
        sample = Sample(cdr, self._ahead_ns + (received_ns or time.time_ns()))
        with suppress(SpecError):
            self._states.add(name, self._keep(name, sample), sample)

    def _keep(self, name: str, sample: Sample) -> int:
        """Note a message and return its stamp."""
        stamp_ns = stamp_of(sample.cdr)
        self._sync.add(name, stamp_ns, sample)
        self._path.add(name, stamp_ns, sample.cdr)
        return stamp_ns


def _joints(spec: PolicySpec) -> list[int]:
    """Tell which values of the state are joints of the arm: what is commanded, in rad."""
    commanded = set(spec.action_names)
    axes = enumerate(spec.state)
    return [k for k, axis in axes if axis.unit == "rad" and axis.name in commanded]
