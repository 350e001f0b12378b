"""GR00T N1.7, split into what the bundle's graphs compute.

NVIDIA 2025 (Isaac GR00T N1.7), in LeRobot's port: Qwen3-VL reads pictures and text, its layers
up to one in the middle; a diffusion transformer attends to the text's tokens and the pictures' by
turns. Its time runs from 0 (noise) to 1 (action), in whole buckets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arfm_ros.core.values.data import F32
from arfm_ros.export.groot.pictures import Fitted
from arfm_ros.export.groot.vision import Eyes
from arfm_ros.export.lerobot.raw import drawn
from arfm_ros.export.vla.network import STATE_IN_STEP

NEVER = -3e4  # added to what is not attended to; also in half precision its share is 0
LATE = 0.01  # of a bucket: 0.29 * 1000 is 289.99 in float32


class GrootContext(NamedTuple):
    """What the prefix leaves: keys and values of the layers that look at it, and the state."""

    keys: Tensor  # [layers, 1, heads, L, d]
    values: Tensor  # [layers, 1, heads, L, d]
    texts: Tensor  # [1, L], 1 where a token is text
    pictures: Tensor  # [1, L], 1 where it is of a picture
    position: Tensor  # [1, S], normalised and padded


STATE_IN_STEP[GrootContext] = "position"


class LeRobotGroot(nn.Module):
    """The network, in the two parts; images as the camera's bytes, batch 1."""

    context: type[Any] = GrootContext

    def __init__(self, model: Any, eyes: Sequence[Fitted], prompt: Prompt, state: State) -> None:
        super().__init__()
        backbone, self.head = model.backbone, model.action_head
        self.model = model
        self.qwen = getattr(backbone.model, "model", backbone.model)
        self.eyes = Eyes(self.qwen.visual, eyes, prompt.mean, prompt.std)
        self.horizon_seen, self.clipped = prompt.frames, state.clipped
        mixed = self.head.model.config.interleave_self_attention
        count = len(self.head.model.transformer_blocks)
        self.lookers = [k for k in range(count) if not (mixed and k % 2)]  # at what was read
        for one in (self.qwen.language_model.config, self.qwen.visual.config):
            one._attn_implementation = "eager"  # noqa: SLF001  the fused one cannot be exported
        self._place_tokens(prompt)
        moves = F.pad(torch.from_numpy(state.moves)[None], (0, self._unused(len(state.moves))))
        self.register_buffer("moves", moves, persistent=False)
        self.register_buffer("robot", torch.zeros(1, dtype=torch.long), persistent=False)

    def _place_tokens(self, prompt: Prompt) -> None:
        """Say which token is of which picture, and where each of them is."""
        text = self.qwen.language_model
        is_picture = prompt.tokens[0] == prompt.image_token
        count, length = int(is_picture.sum()), prompt.tokens.shape[1]
        order, deep = torch.arange(length), torch.full((length,), count)
        order[is_picture] = length + torch.arange(count)
        deep[is_picture] = torch.arange(count)
        grids = torch.tensor([[1, *grid] for grid in self.eyes.grids] * prompt.frames)
        places, _ = self.qwen.get_rope_index(
            prompt.tokens, is_picture[None].int(), image_grid_thw=grids
        )
        cos, sin = text.rotary_emb(torch.zeros(1), places)
        causal = torch.full((length, length), NEVER).triu(1)[None, None]
        kept = {"order": order, "deep": deep, "cos": cos, "sin": sin, "causal": causal}
        for name, value in (kept | {"is_picture": is_picture[None].float()}).items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, *inputs: Tensor) -> GrootContext:
        """Map an image per camera, state [1, S], tokens, mask [1, L] to a context."""
        *pictures, state, tokens, mask = inputs
        seen, deep = self.eyes(pictures)
        seen = torch.cat([seen] * self.horizon_seen)
        deep = [torch.cat([one] * self.horizon_seen) for one in deep]
        there = mask.float()
        read = self._read(tokens, seen, deep, there)
        read = self.head.vlln(read)
        for block in getattr(self.head.vl_self_attention, "transformer_blocks", ()):
            bias = NEVER * (1 - there)[:, None, None]
            normed = block.norm1(read)
            normed = normed if block.pos_embed is None else block.pos_embed(normed)
            read = read + attend(block.attn1, normed, *_turned(block.attn1, normed), bias)
            read = read + block.ff(block.norm3(read))
        blocks = self.head.model.transformer_blocks
        keys, values = zip(*(_turned(blocks[k].attn1, read) for k in self.lookers))
        position = F.pad(state, (0, self._unused(state.shape[1])))
        parts = there * (1 - self.is_picture), there * self.is_picture
        return GrootContext(torch.stack(keys), torch.stack(values), *parts, position)

    def _read(self, tokens: Tensor, seen: Tensor, deep: list[Tensor], there: Tensor) -> Tensor:
        """Let the layers read [1, L, d]; the last one's output is not normed."""
        text = self.qwen.language_model
        hidden = torch.cat([text.embed_tokens(tokens), seen[None]], dim=1)[:, self.order]
        bias = self.causal + NEVER * (1 - there)[:, None, None]
        turns = (self.cos, self.sin)
        for k, layer in enumerate(text.layers):
            hidden = layer(hidden, position_embeddings=turns, attention_mask=bias)
            if k < len(deep) and k + 1 < len(text.layers):
                hidden = hidden + F.pad(deep[k], (0, 0, 0, 1))[self.deep][None]
        return hidden

    def _unused(self, size: int) -> int:
        return int(self.head.config.max_state_dim) - size

    def _state(self, position: Tensor) -> Tensor:
        """Map a padded state [1, S] to what the library's processor gives [1, 1, S]."""
        seen = position.clamp(-1, 1) if self.clipped else position
        return (seen * self.moves)[:, None]

    def velocity(self, x: Tensor, t: Tensor, context: GrootContext) -> Tensor:
        """Map x [1, H, D] at t [1] to v [1, H, D]."""
        head, config = self.head, self.head.config
        bucket = torch.floor(t * config.num_timestep_buckets + LATE)
        actions = head.action_encoder(x, bucket, self.robot)
        if config.add_pos_embed:
            actions = actions + head.position_embedding.weight[None, : x.shape[1]]
        token = head.state_encoder(self._state(context.position), self.robot)
        hidden = torch.cat([token, actions], dim=1)
        hidden = self._transformed(hidden, head.model.timestep_encoder(bucket), context)
        return head.action_decoder(hidden, self.robot)[:, -x.shape[1] :]  # type: ignore[no-any-return]

    def _transformed(self, hidden: Tensor, time: Tensor, context: GrootContext) -> Tensor:
        core = self.head.model
        for k, one in enumerate(core.transformer_blocks):
            normed = one.norm1(hidden, time)
            normed = normed if one.pos_embed is None else one.pos_embed(normed)
            if k in self.lookers:
                n = self.lookers.index(k)
                given = context.keys[n], context.values[n], self._bias(k, context)
            else:
                given = (*_turned(one.attn1, normed), None)
            hidden = hidden + attend(one.attn1, normed, *given)
            hidden = hidden + one.ff(one.norm3(hidden))
        shift, scale = core.proj_out_1(F.silu(time)).chunk(2, dim=1)
        hidden = core.norm_out(hidden) * (1 + scale[:, None]) + shift[:, None]
        return core.proj_out_2(hidden)  # type: ignore[no-any-return]

    def _bias(self, block: int, context: GrootContext) -> Tensor:
        """Return what is added for a block: it looks at the text's tokens or at the pictures'."""
        every = getattr(self.head.model, "attend_text_every_n_blocks", 0)
        if not every:
            there = context.texts + context.pictures
        else:
            there = context.pictures if block % (2 * every) else context.texts
        return NEVER * (1 - there)[:, None, None]

    @torch.no_grad()
    def library_chunk(self, inputs: tuple[Tensor, ...], noise: Tensor, steps: int) -> Tensor:
        """Compute x_1 [1, H, D] by the library's own `get_action`."""
        *pictures, state, tokens, mask = inputs
        length = int(mask.sum())
        patches = [self.eyes.patches(k, one) for k, one in enumerate(pictures)]
        grids = [[1, *grid] for grid in self.eyes.grids]
        batch = {
            "pixel_values": torch.cat(patches * self.horizon_seen),
            "image_grid_thw": torch.tensor(grids * self.horizon_seen),
            "input_ids": tokens[:, :length],
            "attention_mask": torch.ones(1, length, dtype=torch.long),
            "state": self._state(F.pad(state, (0, self._unused(state.shape[1])))),
            "embodiment_id": self.robot,
        }
        return sample(self.model, batch, noise, steps)


class Prompt(NamedTuple):
    """What the network is told of pictures and text."""

    tokens: Tensor  # [1, L], padded
    image_token: int
    frames: int  # how often the pictures are in the text
    mean: Sequence[float]
    std: Sequence[float]


class State(NamedTuple):
    """How the network sees a normalised state."""

    moves: F32  # [S], 1 or 0
    clipped: bool


def sample(model: Any, batch: dict[str, Tensor], noise: Tensor, steps: int) -> Tensor:
    """Let the library compute a chunk [1, H, D] in so many steps, from this noise."""
    head = model.action_head
    before, head.num_inference_timesteps = head.num_inference_timesteps, steps
    try:
        with drawn(noise):
            return model.get_action(batch)["action_pred"]  # type: ignore[no-any-return]
    finally:
        head.num_inference_timesteps = before


def attend(
    layer: Any, hidden: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None
) -> Tensor:
    """Do what diffusers' `Attention` does, with keys and values [1, heads, L, d] at hand."""
    queries = _split(layer, layer.to_q(hidden))
    weights = queries @ keys.transpose(-1, -2) * layer.scale
    if bias is not None:
        weights = weights + bias
    joined = (weights.softmax(-1) @ values).transpose(1, 2).flatten(2)
    return layer.to_out[0](joined)  # type: ignore[no-any-return]


def _turned(layer: Any, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Make the keys and values [1, heads, L, d] of what a layer looks at."""
    return _split(layer, layer.to_k(seen)), _split(layer, layer.to_v(seen))


def _split(layer: Any, x: Tensor) -> Tensor:
    return x.unflatten(-1, (layer.heads, -1)).transpose(1, 2)
