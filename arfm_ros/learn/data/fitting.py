"""Fit a policy's specification: to the episodes it learns from, or to more of its robot's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.learn.data.dataset import fit_spec
from arfm_ros.learn.data.frames import Frames, FramesConfig, load_frames
from arfm_ros.learn.data.outliers import within
from arfm_ros.learn.loop.group import Group


def load_together(data: Sequence[Path], cache: Path, config: FramesConfig, group: Group) -> Frames:
    """Let one process read the episodes; the others find them in the cache."""
    if group.leads:
        load_frames(data, cache, config)
    group.wait()
    return load_frames(data, cache, config)


def fit_statistics(
    data: Sequence[Path], cache: Path, config: FramesConfig, group: Group, outlier: float
) -> PolicySpec | None:
    """Fit the normalisation to `data`, of which nothing else is learned; None without any.

    A policy keeps its normalisation when it is trained further. Fitted to one task alone it may
    not reach what the next ones need: of a gripper that never closed, closing is far outside.
    """
    if not data:
        return None
    config = replace(config, interventions=None)  # all of them, whoever drove
    frames = load_together(data, cache / "statistics", config, group)
    _, spec = fit_rows(frames, config, np.arange(len(frames)), None, outlier)
    return replace(spec, instructions={}, phrases=())


def fit_rows(
    frames: Frames,
    config: FramesConfig,
    rows: NDArray[np.int64],
    given: PolicySpec | None,
    outlier: float,
) -> tuple[NDArray[np.int64], PolicySpec]:
    """Leave outliers out; a specification that is not given is fitted to what is left."""
    spec = given or fit_spec(frames, config, rows)
    kept = within(frames, rows, spec, outlier)
    if not len(kept):
        raise ConfigError(
            f"the actions of all {len(rows)} observations are further than {outlier:g} standard "
            "deviations from the mean: other robot, other units? --outlier 0 takes them all"
        )
    if given is None and len(kept) < len(rows):
        spec = fit_spec(frames, config, kept)
    return kept, spec
