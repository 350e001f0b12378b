"""Chunks of an episode and what each was computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from arfm_ros.core.errors import EpisodeError, SpecError
from arfm_ros.core.values.data import U8, Observation
from arfm_ros.core.values.recall import KEY, Recall, recall_of
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.episodes.read.axes import AxisSeries, pick, read_axes
from arfm_ros.episodes.read.said import said_sources
from arfm_ros.episodes.read.topics import OWN, Topics
from arfm_ros.episodes.reader import EpisodeReader, stamp_ns
from arfm_ros.episodes.scan import Record
from arfm_ros.episodes.series import decode_image, image_topic

INFO = "policy/chunk_info"


@dataclass(frozen=True, slots=True)
class Made:
    """One chunk that a policy made while an episode was recorded."""

    number: int
    stamp_ns: int
    bundle_sha256: str
    seed: int
    steps: int  # taken
    recall: Recall


def read_made(reader: EpisodeReader) -> list[Made]:
    """Read what every chunk was computed from. Raises `EpisodeError` where nothing tells it."""
    topic = reader.find(INFO)
    if topic is None:
        raise EpisodeError(f"{reader.folder} has no {INFO}: no policy made chunks in it")
    made = []
    for stamp, message in reader.messages(topic):
        pairs = {pair.key: pair.value for status in message.status for pair in status.values}
        if KEY not in pairs:
            raise EpisodeError(
                f"{reader.folder} does not say what its chunks were computed from: it was "
                "recorded by an older version"
            )
        try:
            numbers = [int(pairs[key]) for key in ("chunk_id", "seed", "steps")]
            number, seed, steps = numbers
            made.append(
                Made(number, stamp, pairs["bundle_sha256"], seed, steps, recall_of(pairs[KEY]))
            )
        except (KeyError, ValueError, SpecError) as error:
            raise EpisodeError(f"{topic}: {error}") from error
    return made


class Sights:
    """Observations of an episode by the stamps of their inputs; each picture is decoded once."""

    def __init__(self, reader: EpisodeReader, spec: PolicySpec, topics: Topics = OWN) -> None:
        self._reader, self._spec = reader, spec
        self.cameras = [camera.name for camera in spec.cameras]
        self._records = {
            c: _by_stamp(reader, image_topic(reader, c, topics)) for c in self.cameras
        }
        sources = said_sources(reader, topics.states)
        measured = read_axes(reader, sources, topics.received)
        self._axes = pick(measured, spec.state_names)
        read = {one.topic: read_axes(reader, [one], topics.received) for one in sources}
        # of two topics that tell of an axis the first counts
        self._topics = [
            next(topic for topic, axes in read.items() if name in axes)
            for name in spec.state_names
        ]

    @property
    def begin_ns(self) -> int:
        """When all inputs have been recorded for the first time."""
        firsts = [min(records, default=0) for records in self._records.values()]
        return max(firsts + [int(axis.stamp_ns[0]) for axis in self._axes])

    def observation(self, recall: Recall) -> Observation:
        """Give what a chunk was computed from, with what was before.

        Raises `EpisodeError` naming the input that was not recorded.
        """
        seen = [self._one(stamps, recall.instruction) for stamps in recall.stamps_ns]
        return Observation(
            images=seen[-1].images,
            state=seen[-1].state,
            instruction=recall.instruction,
            stamp_ns=seen[-1].stamp_ns,
            stamps_ns=seen[-1].stamps_ns,
            earlier=tuple(seen[:-1]),
        )

    def _one(self, stamps: Mapping[str, int], instruction: str) -> Observation:
        images: dict[str, U8] = {}
        for name in self.cameras:
            record = self._records[name].get(stamps.get(name, 0))
            if record is None:
                raise EpisodeError(
                    f"the picture of {name} at {stamps.get(name, 0)} is not recorded"
                )
            images[name] = decode_image(record)
        others = [stamp for name, stamp in stamps.items() if name not in self.cameras]
        told = [[stamps[topic]] if topic in stamps else others for topic in self._topics]
        values = [_at(axis, at) for axis, at in zip(self._axes, told)]
        state = np.array(values, np.float64).astype(np.float32)
        return Observation(images, state, instruction, min(stamps.values()), stamps)


def _by_stamp(reader: EpisodeReader, topic: str) -> dict[int, Record]:
    return {stamp_ns(record): record for record in reader.records({topic})}


def _at(axis: AxisSeries, stamps: Sequence[int]) -> float:
    """Give the value of an axis in a message that has one of `stamps`.

    Several where a recording calls the topic otherwise than the policy did.
    """
    for stamp in stamps:
        at = int(np.searchsorted(axis.stamp_ns, stamp, side="right")) - 1
        if at >= 0 and axis.stamp_ns[at] == stamp:
            return float(axis.value[at])
    raise EpisodeError(f"no joint state at {', '.join(map(str, stamps))} is recorded")
