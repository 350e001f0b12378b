"""Affine normalisation, with its inverse beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arfm_ros.core.errors import SpecError
from arfm_ros.core.values.data import F32


@dataclass(frozen=True, slots=True)
class Affine:
    """Maps physical x to (x - offset) / scale; both broadcast against x."""

    offset: F32  # [S] for a state, [H, A] or [A] for actions
    scale: F32  # same shape, positive

    def __post_init__(self) -> None:
        if self.offset.shape != self.scale.shape:
            raise SpecError(f"offset {self.offset.shape} and scale {self.scale.shape} differ")
        if not (np.isfinite(self.offset).all() and np.isfinite(self.scale).all()):
            raise SpecError("normalisation statistics are not finite: recompute them")
        if not (self.scale > 0).all():
            raise SpecError("normalisation scale has a value <= 0: clamp it when computing it")

    def normalise(self, x: F32) -> F32:
        """Map physical units to about unit scale."""
        return np.asarray((x - self.offset) / self.scale, dtype=np.float32)

    def unnormalise(self, z: F32) -> F32:
        """Invert `normalise`."""
        return np.asarray(z * self.scale + self.offset, dtype=np.float32)


def fit_affine(samples: F32, floor: float = 1e-3) -> Affine:
    """Fit mean and standard deviation over the first axis of `samples` [N, ...].

    `floor` bounds the scale from below, so that a constant value does not blow up.
    """
    offset = samples.mean(axis=0).astype(np.float32)
    scale = np.maximum(samples.std(axis=0), floor).astype(np.float32)
    return Affine(offset, scale)
