"""The values that pass between the parts: frozen, shapes beside the fields, integer ns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import SpecError

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Observation:
    """What the policy saw; `stamp_ns` is the oldest of the inputs used."""

    images: Mapping[str, U8]  # name -> [H, W, 3] RGB
    state: F32  # [S], in the order of the spec
    instruction: str
    stamp_ns: int
    stamps_ns: Mapping[str, int] = field(default_factory=dict)  # input name -> its own stamp
    earlier: tuple[Observation, ...] = ()  # of a policy with a history, oldest first


@dataclass(frozen=True, slots=True)
class ChunkInfo:
    """Where a chunk came from and how long each stage of it took."""

    chunk_id: int = 0
    bundle_sha256: str = ""
    seed: int = 0
    steps: int = 0
    prefix_length: int = 0  # committed actions taken over from the previous chunk
    guided: bool = False
    inference_begin_ns: int = 0  # of the clock that stamped the observation
    inference_end_ns: int = 0
    encode_ns: int = 0  # durations
    sample_ns: int = 0
    context_age_ns: int = 0  # from its oldest picture to the chunk's begin; 0: made for the chunk


@dataclass(frozen=True, slots=True)
class ActionChunk:
    """Actions of which number k is due at `stamp_ns + (k + 1) * dt_ns`."""

    actions: F32  # [H, A], physical units, absolute
    stamp_ns: int  # of the observation
    dt_ns: int
    names: tuple[str, ...]  # [A]
    source: str = "policy"
    info: ChunkInfo = field(default_factory=ChunkInfo)

    def __post_init__(self) -> None:
        if self.actions.ndim != 2 or self.actions.shape[1] != len(self.names):
            raise SpecError(
                f"chunk has shape {self.actions.shape}, needs [H, {len(self.names)}] "
                f"for {', '.join(self.names)}"
            )
        if self.dt_ns <= 0:
            raise SpecError(f"chunk dt is {self.dt_ns} ns, needs to be positive")

    @property
    def horizon(self) -> int:
        """Number of actions."""
        return int(self.actions.shape[0])

    def due_ns(self, k: int) -> int:
        """Time at which action `k` is to be reached."""
        return self.stamp_ns + (k + 1) * self.dt_ns

    @property
    def end_ns(self) -> int:
        """Time at which the last action is due."""
        return self.due_ns(self.horizon - 1)


@dataclass(frozen=True, slots=True)
class Context:
    """What the encoder made of an observation, and what is needed to undo the normalisation."""

    tensors: Mapping[str, NDArray[np.generic]]  # name -> [1, ...] as the step graph wants it
    state: F32  # [S], physical units
    stamp_ns: int
    encode_ns: int = 0


class Policy(Protocol):
    """A policy on some runtime; the noise and the clock come from the caller."""

    def encode(self, observation: Observation) -> Context:
        """Run the vision and language part once for an observation."""

    def sample(
        self,
        context: Context,
        noise: F32,
        follows: ActionChunk | None = None,
        steps: int | None = None,
        deadline_ns: int | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> ActionChunk:
        """Make a chunk of `noise` [H, A] in at most `steps` steps.

        Raises `Cancelled` within a step after `cancelled()` says that nobody wants it any more.
        """
