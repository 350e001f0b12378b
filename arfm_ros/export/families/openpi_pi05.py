"""pi0.5 of openpi (Physical Intelligence 2025): its own files, split as LeRobot's port of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from arfm_ros.export.families.lerobot_pi05 import LeRobotPi05
from arfm_ros.export.family import register
from arfm_ros.export.openpi.checkpoint import OpenPiFlow


class SilentPi05(LeRobotPi05):
    """The network that is not told the state at all (`discrete_state_input=False`)."""

    def forward(self, *inputs: Tensor) -> Any:
        """Map an image per camera, state [1, S], tokens, mask [1, L] to a context."""
        *images, _, tokens, mask = inputs
        return super().forward(*images, tokens, mask)

    @torch.no_grad()
    def library_chunk(self, inputs: tuple[Tensor, ...], noise: Tensor, steps: int) -> Tensor:
        """Compute x_1 [1, H, D] by the port's own `sample_actions`."""
        *images, _, tokens, mask = inputs
        return super().library_chunk((*images, tokens, mask), noise, steps)


register(
    OpenPiFlow(
        name="pi05",
        config=("lerobot.policies.pi05.configuration_pi05", "PI05Config"),
        network=("lerobot.policies.pi05.modeling_pi05", "PI05Pytorch"),
        split=LeRobotPi05,
        silent=SilentPi05,
        quantiles=True,
        length=200,
    )
)
