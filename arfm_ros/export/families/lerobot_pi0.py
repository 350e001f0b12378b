"""pi0 as LeRobot has it, split into what the bundle's graphs compute.

Black et al. 2024; LeRobot's port of openpi. Its time runs from 1 (noise) to 0 (action) and its
velocity is noise - action; here both are turned round, once.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arfm_ros.export.family import register
from arfm_ros.export.graphs.time_embedding import TimeEmbedding
from arfm_ros.export.lerobot.checkpoint import LeRobotFlow
from arfm_ros.export.lerobot.inputs import to_pixels
from arfm_ros.export.lerobot.steps import NORMALIZER, RELATIVE, TOKENIZER, Order
from arfm_ros.export.lerobot.versions import masks_4d
from arfm_ros.export.vla.network import PiContext
from arfm_ros.export.vla.pruning import TokenShare, leave_out

NO_MARKS = (0, 0)  # before and after a picture's tokens


class LeRobotPi0(nn.Module):
    """The network, in the two parts; images as the camera's bytes, batch 1."""

    context: type[Any] = PiContext

    def __init__(self, policy: Any, size: tuple[int, int]) -> None:
        super().__init__()
        self.core, config = policy.model, policy.config
        self.time = TimeEmbedding(
            self.core.action_in_proj.out_features, config.min_period, config.max_period
        )
        both = self.core.paligemma_with_expert
        for part in (both.paligemma.model.language_model, both.gemma_expert.model):
            # in plain operators: the fused one's derivative cannot be exported
            part.config._attn_implementation = "eager"  # noqa: SLF001
        self.tokens = TokenShare()
        self.before = leave_out(both, self.tokens, NO_MARKS)

    def forward(self, *inputs: Tensor) -> Any:
        """Map an image per camera, state [1, S], tokens, mask [1, L] to a context."""
        *images, state, tokens, mask = inputs
        return self.joined(*(self.view(image) for image in images), state, tokens, mask)

    def view(self, image: Tensor) -> Tensor:
        """Embed one picture [1, H, W, 3] to its tokens [1, N, D]."""
        return self.tokens(self.before.encode(to_pixels(image)))

    def joined(self, *inputs: Tensor) -> Any:
        """Map a picture's tokens per camera, state [1, S], tokens, mask [1, L] to a context."""
        *views, state, tokens, mask = inputs
        room = self.core.config.max_state_dim - state.shape[1]
        return PiContext(*self.prefix(views, tokens, mask), F.pad(state, (0, room)))

    def prefix(
        self, views: list[Tensor], tokens: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the keys and values of pictures and text, and the places that tokens take."""
        seen = [torch.ones(1, dtype=torch.bool)] * len(views)
        views, places = self.tokens.split(views, NO_MARKS)
        embedded, _, order = self.core.embed_prefix(views, seen, tokens, mask)
        attend = places.then(mask)
        _, cache = self.before.forward(
            attention_mask=self._masks(pairs(attend, order)),
            position_ids=attend.cumsum(1) - 1,
            inputs_embeds=[embedded, None],
            use_cache=True,
        )
        keys = torch.stack([layer.keys for layer in cache.layers])
        values = torch.stack([layer.values for layer in cache.layers])
        return keys, values, attend

    def velocity(self, x: Tensor, t: Tensor, context: Any) -> Tensor:
        """Map x [1, H, D] at t [1] to v [1, H, D]."""
        state = self.core.state_proj(context.position)[:, None]
        actions = self.core.action_in_proj(x)
        time = self.time(1 - t)[:, None].expand_as(actions)
        hidden = F.silu(self.core.action_time_mlp_in(torch.cat([actions, time], dim=2)))
        mixed = self.core.action_time_mlp_out(hidden)
        # the state does not look at the actions
        order = torch.tensor([[1, 1] + [0] * (x.shape[1] - 1)])
        return self.expert(torch.cat([state, mixed], dim=1), order, None, context)

    def expert(
        self, suffix: Tensor, order: Tensor, condition: Tensor | None, context: Any
    ) -> Tensor:
        """Map the embedded suffix [1, N, d], its last ones the actions, to v [1, H, D]."""
        from transformers import DynamicCache

        cache = DynamicCache()
        for layer in range(len(context.keys)):
            cache.update(context.keys[layer], context.values[layer], layer)
        length = suffix.shape[1]
        prefix = context.attend.bool()[:, None].expand(1, length, -1)
        among = pairs(torch.ones(1, length, dtype=torch.bool), order)
        outputs, _ = self.before.forward(
            attention_mask=self._masks(torch.cat([prefix, among], dim=2)),
            position_ids=context.attend.sum(1, keepdim=True) + torch.arange(length)[None],
            past_key_values=cache,
            inputs_embeds=[None, suffix],
            use_cache=False,
            adarms_cond=[None, condition],
        )
        return -self.core.action_out_proj(outputs[1][:, -self.core.config.chunk_size :])

    def _masks(self, allowed: Tensor) -> Tensor:
        return masks_4d(self.core, allowed)

    @torch.no_grad()
    def library_chunk(self, inputs: tuple[Tensor, ...], noise: Tensor, steps: int) -> Tensor:
        """Compute x_1 [1, H, D] by the library's own `sample_actions`."""
        *images, state, tokens, mask = inputs
        room = self.core.config.max_state_dim - state.shape[1]
        more = (F.pad(state, (0, room)),)
        return sample(self.core, images, (tokens, mask, *more), noise, steps)


def pairs(attend: Tensor, order: Tensor) -> Tensor:
    """Say [1, N, N] which token looks at which: those that count, of its own block or before.

    A 1 in `order` [1, N] begins a block.
    """
    block = order.long().cumsum(1)
    earlier = block[:, None, :] <= block[:, :, None]
    return earlier & attend.bool()[:, None, :] & attend.bool()[:, :, None]


def sample(
    core: Any, images: list[Tensor], more: tuple[Tensor, ...], noise: Tensor, steps: int
) -> Tensor:
    """Call the library's `sample_actions`."""
    seen = [torch.ones(1, dtype=torch.bool)] * len(images)
    pixels = [to_pixels(image) for image in images]
    return core.sample_actions(pixels, seen, *more, noise=noise, num_steps=steps)


register(
    LeRobotFlow(
        name="pi0",
        where=("lerobot.policies.pi0.modeling_pi0", "PI0Policy"),
        split=LeRobotPi0,
        template="{instruction}\n",
        pad="centre",
        order=Order(("pi0_new_line_processor", TOKENIZER, RELATIVE, NORMALIZER)),
        needs="lerobot.policies.pi_gemma",
    )
)
