"""Observations whose actions nobody should imitate: targets far outside of everything else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.learn.data.frames import Frames


def within(
    frames: Frames, rows: NDArray[np.int64], spec: PolicySpec, limit: float
) -> NDArray[np.int64]:
    """Select the rows whose normalised actions all lie within `limit` standard deviations.

    An arm that is stuck while its command runs on gives targets of a hundred standard deviations,
    relative to where it is. A flow loss is quadratic in them: a handful decides the spread of the
    losses, and with it ARFM's alpha. A limit of 0 keeps everything.
    """
    if not limit:
        return rows
    reference = spec.reference(frames.state[rows])[:, None]
    actions = spec.action_norm.normalise(frames.chunk[rows] - reference)
    return rows[np.abs(actions).max(axis=(1, 2)) <= limit]
