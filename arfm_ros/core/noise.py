"""The noise that a chunk is made of."""

from __future__ import annotations

import numpy as np

from arfm_ros.core.data import F32

KEEP = 0.8  # correlation with the noise of the chunk before


class ChunkNoise:
    """Normal noise from (seed, chunk); that of a chunk which follows on drifts from the last one.

    Another noise is another intention: a policy that replans from a fresh one changes its mind
    ten times a second. One that never changes it tries the same thing for ever. So the noise is a
    stationary process, z' = KEEP z + sqrt(1 - KEEP^2) e, that begins anew where nothing binds.
    """

    def __init__(self, keep: float = KEEP) -> None:
        self._keep, self._last = keep, np.zeros(0, np.float32)
        self.began_with = 0  # the chunk with which the process began

    def draw(self, seed: int, chunk_id: int, follows: bool, shape: tuple[int, ...]) -> F32:
        """Return standard normal noise of `shape` for chunk `chunk_id`."""
        fresh = np.random.default_rng((seed, chunk_id)).standard_normal(shape, dtype=np.float32)
        if follows and self._last.shape == shape:
            left = np.float32(np.sqrt(1.0 - self._keep**2))
            self._last = np.float32(self._keep) * self._last + left * fresh
        else:
            self._last, self.began_with = fresh, chunk_id
        return self._last
