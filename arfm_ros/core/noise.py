"""The noise that a chunk is made of."""

from __future__ import annotations

import numpy as np

from arfm_ros.core.data import F32


class ChunkNoise:
    """Noise from the seed (seed, chunk); a chunk that follows on keeps that of the one before.

    Another noise is another intention: a policy that replans from a fresh one changes its mind
    ten times a second. A chunk that nothing binds draws anew, so that a policy at rest does not
    try the same thing for ever.
    """

    def __init__(self) -> None:
        self.drawn_for = 0  # the chunk whose number the noise was drawn with

    def draw(self, seed: int, chunk_id: int, follows: bool, shape: tuple[int, ...]) -> F32:
        """Return standard normal noise of `shape` for chunk `chunk_id`."""
        if not follows:
            self.drawn_for = chunk_id
        rng = np.random.default_rng((seed, self.drawn_for))
        return rng.standard_normal(shape, dtype=np.float32)
