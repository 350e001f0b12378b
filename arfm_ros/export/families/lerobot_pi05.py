"""pi0.5 as LeRobot has it: the state is part of the text, the time conditions the norms.

Physical Intelligence 2025; LeRobot's port of openpi.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from arfm_ros.export.families.lerobot_pi0 import LeRobotPi0, sample
from arfm_ros.export.family import register
from arfm_ros.export.lerobot.checkpoint import LeRobotFlow
from arfm_ros.export.lerobot.steps import NORMALIZER, RELATIVE, TOKENIZER, Order

STATE_STEP = "pi05_prepare_state_tokenizer_processor_step"


class Pi05Context(NamedTuple):
    """What the prefix leaves: keys and values of all layers, places that tokens take."""

    keys: Tensor  # [layers, 1, heads, L, d]
    values: Tensor  # [layers, 1, heads, L, d]
    attend: Tensor  # [1, L], 0: it does not count; more than 1: others before it were left out


class LeRobotPi05(LeRobotPi0):
    """The network, in the two parts; images as the camera's bytes, batch 1."""

    context = Pi05Context

    def forward(self, *inputs: Tensor) -> Any:
        """Map an image per camera, tokens, mask [1, L] to a context."""
        *images, tokens, mask = inputs
        return self.joined(*(self.view(image) for image in images), tokens, mask)

    def joined(self, *inputs: Tensor) -> Any:
        """Map a picture's tokens per camera, tokens, mask [1, L] to a context."""
        *views, tokens, mask = inputs
        return Pi05Context(*self.prefix(views, tokens, mask))

    def velocity(self, x: Tensor, t: Tensor, context: Any) -> Tensor:
        """Map x [1, H, D] at t [1] to v [1, H, D]."""
        hidden = F.silu(self.core.time_mlp_in(self.time(1 - t)))
        condition = F.silu(self.core.time_mlp_out(hidden))
        order = torch.tensor([[1] + [0] * (x.shape[1] - 1)])
        return self.expert(self.core.action_in_proj(x), order, condition, context)

    @torch.no_grad()
    def library_chunk(self, inputs: tuple[Tensor, ...], noise: Tensor, steps: int) -> Tensor:
        """Compute x_1 [1, H, D] by the library's own `sample_actions`."""
        *images, tokens, mask = inputs
        return sample(self.core, images, (tokens, mask), noise, steps)


register(
    LeRobotFlow(
        name="pi05",
        where=("lerobot.policies.pi05.modeling_pi05", "PI05Policy"),
        split=LeRobotPi05,
        template="Task: {instruction}, State: {state};\nAction: ",
        pad="centre",
        order=Order((RELATIVE, NORMALIZER, STATE_STEP, TOKENIZER)),
        needs="lerobot.policies.pi_gemma",
        state_bins=256,
    )
)
