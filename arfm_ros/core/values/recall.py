"""What a chunk was computed from, so that it can be computed again from a recording, bit by bit.

Noise, bundle and steps are in the chunk's info; this is the rest: which samples of which input,
what bound the chunk, and check sums that tell whether the recording holds what the policy saw.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import SpecError
from arfm_ros.core.values.data import F32, ActionChunk, Observation

KEY = "recall"


@dataclass(frozen=True, slots=True)
class Recall:
    """One chunk. `stamps_ns` is of each observation, oldest first; check sums are CRC-32."""

    instruction: str
    steps: int  # that were asked for; 0: as the bundle says
    engine: str
    stamps_ns: tuple[Mapping[str, int], ...]  # input name -> stamp
    images: Mapping[str, int]  # camera -> check sum of the newest picture
    state: int  # check sum
    actions: int  # check sum of what the network gave
    follows: F32 | None = field(default=None, compare=False)  # [L, A], what bound the chunk
    prefix_length: int = 0
    reused: bool = False  # the context is that of an earlier observation

    def as_text(self) -> str:
        """Write it as JSON."""
        bound = None if self.follows is None else base64.b64encode(self.follows.tobytes()).decode()
        value = {
            "instruction": self.instruction,
            "steps": self.steps,
            "engine": self.engine,
            "stamps_ns": [dict(one) for one in self.stamps_ns],
            "images": dict(self.images),
            "state": self.state,
            "actions": self.actions,
            "follows": bound,
            "width": 0 if self.follows is None else self.follows.shape[1],
            "prefix_length": self.prefix_length,
            "reused": self.reused,
        }
        return json.dumps(value)


def recall_of(text: str) -> Recall:
    """Read what `as_text` wrote; raises `SpecError` for anything else."""
    try:
        value: dict[str, Any] = json.loads(text)
        bound, width = value.pop("follows"), value.pop("width")
        stamps = tuple(dict(one) for one in value.pop("stamps_ns"))
        follows = None
        if bound is not None:
            follows = np.frombuffer(base64.b64decode(bound), np.float32).reshape(-1, width)
        return Recall(stamps_ns=stamps, follows=follows, **value)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpecError(f"what a chunk was computed from cannot be read: {error}") from error


def recalled(
    observation: Observation,
    chunk: ActionChunk,
    follows: ActionChunk | None,
    engine: str = "",
    steps: int = 0,
    reused: bool = False,
) -> Recall:
    """Note what `chunk`, as the network gave it, was computed from."""
    return Recall(
        instruction=observation.instruction,
        steps=steps,
        engine=engine,
        stamps_ns=tuple(one.stamps_ns for one in (*observation.earlier, observation)),
        images={name: check_sum(image) for name, image in observation.images.items()},
        state=check_sum(observation.state),
        actions=check_sum(chunk.actions),
        follows=None if follows is None else follows.actions,
        prefix_length=0 if follows is None else follows.info.prefix_length,
        reused=reused,
    )


def check_sum(values: NDArray[Any]) -> int:
    """Sum up the bytes of an array."""
    return zlib.crc32(np.ascontiguousarray(values).data)
