"""The objectives by name; one file each, all with the same functions in the same order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.objectives.advantage_conditioned import AdvantageConditioned
from arfm_ros.learn.objectives.arfm import Arfm
from arfm_ros.learn.objectives.filtered_bc import FilteredBc
from arfm_ros.learn.objectives.filtered_signal import FilteredSignal
from arfm_ros.learn.objectives.plain_fm import PlainFm
from arfm_ros.learn.objectives.preference import Preference
from arfm_ros.learn.objectives.return_conditioned import ReturnConditioned
from arfm_ros.learn.objectives.rwr import Rwr


class Objective(Protocol):
    """What a post-training algorithm decides; the trainer does the rest."""

    needs_signal: ClassVar[bool]  # R* is computed, and the loss is one of the whole batch
    conditioned: ClassVar[bool]  # the network has an input for `condition`
    needs_reference: ClassVar[bool]  # losses come less those of the policy that was begun with

    @property
    def name(self) -> str:
        """Name on the command line."""

    @property
    def guidance(self) -> float:
        """Tell how far beyond its condition the velocity goes at run time; 1: not beyond."""

    def rows(
        self, frames: Frames, rows: NDArray[np.int64], signal: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Select the observations that are learned from; `signal` [N] is R* of each frame."""

    def over(self, signal: Tensor, task: Tensor) -> Objective:
        """Know R* [N] and the tasks [N] of all that is learned from."""

    def condition(self, signal: Tensor, draw: Tensor | None = None) -> Tensor | None:
        """Make the network's extra input [B] from R* [B]; `draw` [B] is uniform in 0..1."""

    def target(self, signal: NDArray[np.float64]) -> float | None:
        """Choose the extra input at run time from R* [N] of what was learned from."""

    def weights(
        self, losses: Tensor, signal: Tensor, task: Tensor | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """Weigh the samples of a batch; `task` [B] numbers the task of each."""

    def loss(
        self, losses: Tensor, signal: Tensor, task: Tensor | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """Combine the losses [B] of a batch into one; also values worth logging."""


OBJECTIVES: dict[str, Callable[..., Objective]] = {
    one.name: type(one)
    for one in (
        PlainFm(),
        FilteredBc(),
        FilteredSignal(),
        Rwr(),
        ReturnConditioned(),
        AdvantageConditioned(),
        Arfm(),
        Preference(),
    )
}


def make_objective(name: str, **knobs: Any) -> Objective:
    """Make the objective called `name`. Raises `ConfigError` for an unknown one or knob."""
    if name not in OBJECTIVES:
        raise ConfigError(f"objective '{name}', needs one of {', '.join(OBJECTIVES)}")
    try:
        return OBJECTIVES[name](**knobs)
    except TypeError as error:
        raise ConfigError(
            f"objective '{name}' does not take all of: {', '.join(knobs)}"
        ) from error
