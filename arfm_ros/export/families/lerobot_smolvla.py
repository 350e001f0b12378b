"""SmolVLA as LeRobot has it, split into what the bundle's graphs compute.

Shukor et al. 2025. Its time runs from 1 (noise) to 0 (action) and its velocity is noise - action;
here both are turned round, once. The state is the last token of the prefix; the expert's layers
look by turns at the prefix alone and at the prefix and the actions.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arfm_ros.export.families.lerobot_pi0 import pairs
from arfm_ros.export.family import register
from arfm_ros.export.graphs.time_embedding import TimeEmbedding
from arfm_ros.export.lerobot.checkpoint import LeRobotFlow
from arfm_ros.export.lerobot.inputs import to_pixels
from arfm_ros.export.lerobot.steps import NORMALIZER, TOKENIZER, Order
from arfm_ros.export.lerobot.versions import SmolVlaCache
from arfm_ros.export.vla.pruning import TokenShare, leave_out


class SmolVlaContext(NamedTuple):
    """What the prefix leaves: keys and values of all layers, places that each token takes."""

    keys: Tensor  # [layers, 1, L, heads, d]
    values: Tensor  # [layers, 1, L, heads, d]
    attend: Tensor  # [1, L], 0: it does not count; more than 1: others before it were left out


class LeRobotSmolVla(nn.Module):
    """The network, in the two parts; images as the camera's bytes, batch 1."""

    context: type[Any] = SmolVlaContext

    def __init__(self, policy: Any, size: tuple[int, int]) -> None:
        super().__init__()
        self.core, config = policy.model, policy.config
        both = self.core.vlm_with_expert
        self.cache = SmolVlaCache(both)
        self.time = TimeEmbedding(both.expert_hidden_size, config.min_period, config.max_period)
        places = patch_places(both.get_vlm_model().vision_model, size)
        self.register_buffer("places", places, persistent=False)
        self.tokens = TokenShare()
        self.before = leave_out(both, self.tokens, self._marks())

    def forward(self, *inputs: Tensor) -> Any:
        """Map an image per camera, state [1, S], tokens, mask [1, L] to a context."""
        *images, state, tokens, mask = inputs
        return self.joined(*(self.view(image) for image in images), state, tokens, mask)

    def view(self, image: Tensor) -> Tensor:
        """Embed one picture [1, H, W, 3] to its tokens [1, N, D].

        The library's way finds the patches' places anew in each call.
        """
        model = self.core.vlm_with_expert.get_vlm_model()
        vision = model.vision_model
        patches = vision.embeddings.patch_embedding(to_pixels(image)).flatten(2).transpose(1, 2)
        hidden = patches + vision.embeddings.position_embedding(self.places)
        encoded = vision.encoder(inputs_embeds=hidden).last_hidden_state
        return self.tokens(model.connector(vision.post_layernorm(encoded)))

    def joined(self, *inputs: Tensor) -> Any:
        """Map a picture's tokens per camera, state [1, S], tokens, mask [1, L] to a context."""
        *views, state, tokens, mask = inputs
        both = self.core.vlm_with_expert
        views, places = self.tokens.split(views, self._marks())
        pictures = torch.cat([part for view in views for part in self._marked(view)], dim=1)
        text = both.embed_language_tokens(tokens)
        text = text * math.sqrt(text.shape[-1])
        position = self.core.state_proj(self._pad(state))[:, None]
        attend = places.then(mask, torch.ones(1, 1, dtype=torch.bool))
        order = torch.zeros_like(attend)
        order[:, -1] = 1  # images and text do not look at the state
        _, cache = self.before.forward(
            attention_mask=pairs(attend, order),
            position_ids=attend.cumsum(1) - 1,
            inputs_embeds=[torch.cat([pictures, text, position], dim=1), None],
            **self.cache.fill(),
        )
        return SmolVlaContext(*self.cache.read(cache, both.num_vlm_layers), attend)

    def _marks(self) -> tuple[int, int]:
        """Count the tokens that begin and end a picture."""
        if not self.core.add_image_special_tokens:
            return 0, 0
        ends = self.core.global_image_start_token, self.core.image_end_token
        return len(ends[0]), len(ends[1])

    def _marked(self, view: Tensor) -> list[Tensor]:
        """Scale the tokens of a picture, and put what begins and ends one around them."""
        both = self.core.vlm_with_expert
        features = view * view.shape[-1] ** 0.5
        if not self.core.add_image_special_tokens:
            return [features]
        begin = both.embed_language_tokens(self.core.global_image_start_token)[None]
        return [begin, features, both.embed_language_tokens(self.core.image_end_token)[None]]

    def _pad(self, state: Tensor) -> Tensor:
        return F.pad(state, (0, self.core.config.max_state_dim - state.shape[1]))

    def velocity(self, x: Tensor, t: Tensor, context: Any) -> Tensor:
        """Map x [1, H, D] at t [1] to v [1, H, D]."""
        actions = self.core.action_in_proj(x)
        time = self.time(1 - t)[:, None].expand_as(actions)
        hidden = F.silu(self.core.action_time_mlp_in(torch.cat([actions, time], dim=2)))
        suffix = self.core.action_time_mlp_out(hidden)
        length = suffix.shape[1]
        prefix = context.attend.bool()[:, None].expand(1, length, -1)
        ones = torch.ones(1, length, dtype=torch.bool)
        with rotation_without_writing():
            outputs, _ = self.before.forward(
                attention_mask=torch.cat([prefix, pairs(ones, ones)], dim=2),
                position_ids=context.attend.sum(1, keepdim=True) + torch.arange(length)[None],
                inputs_embeds=[None, suffix],
                **self.cache.use(context.keys, context.values),
            )
        return -self.core.action_out_proj(outputs[1][:, -self.core.config.chunk_size :])

    @torch.no_grad()
    def library_chunk(self, inputs: tuple[Tensor, ...], noise: Tensor, steps: int) -> Tensor:
        """Compute x_1 [1, H, D] by the library's own `sample_actions`."""
        *images, state, tokens, mask = inputs
        seen = [torch.ones(1, dtype=torch.bool)] * len(images)
        pixels = [to_pixels(image) for image in images]
        config, before = self.core.config, self.core.config.num_steps
        config.num_steps = steps
        try:
            given = (pixels, seen, tokens, mask, self._pad(state))
            return self.core.sample_actions(*given, noise=noise)
        finally:
            config.num_steps = before


def patch_places(vision: Any, size: tuple[int, int]) -> Tensor:
    """Ask the library where it puts the patches of a picture (height, width): ids [1, N]."""
    seen: list[Tensor] = []
    table = vision.embeddings.position_embedding
    hook = table.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        vision(pixel_values=torch.zeros(1, 3, *size), patch_attention_mask=None)
    hook.remove()
    return seen[0].clone()


@contextmanager
def rotation_without_writing() -> Generator[None, None, None]:
    """Let the library rotate keys without writing into tensors, which cannot be exported."""
    from lerobot.policies.smolvla import smolvlm_with_expert as library

    before = library.apply_rope
    library.apply_rope = rotate
    try:
        yield
    finally:
        library.apply_rope = before


def rotate(x: Tensor, positions: Tensor, max_wavelength: float = 10_000) -> Tensor:
    """Rotate x [1, L, heads, d] by its positions [1, L], as the library does."""
    half = x.shape[-1] // 2
    exponents = (2.0 / x.shape[-1]) * torch.arange(half, dtype=torch.float32)
    radians = positions[..., None].float() / (max_wavelength**exponents)[None, None]
    sin, cos = torch.sin(radians)[..., None, :], torch.cos(radians)[..., None, :]
    left, right = x.split(half, dim=-1)
    return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1)


register(
    LeRobotFlow(
        name="smolvla",
        where=("lerobot.policies.smolvla.modeling_smolvla", "SmolVLAPolicy"),
        split=LeRobotSmolVla,
        template="{instruction}\n",
        pad="start",
        order=Order(("smolvla_new_line_processor", TOKENIZER, NORMALIZER)),
    )
)
