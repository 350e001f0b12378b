"""What GR00T's Qwen3-VL sees in pictures of a known size, without a loop over sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arfm_ros.export.groot.pictures import Fitted


class Eyes(nn.Module):
    """The vision tower, and what it knows of the size of each camera's picture."""

    def __init__(
        self, tower: Any, fitted: Sequence[Fitted], mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.tower, self.fitted = tower, nn.ModuleList(fitted)
        for name, value in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(value).reshape(3, 1, 1), persistent=False)
        patch = tower.config.patch_size
        self.grids = [(h // patch, w // patch) for h, w in (one.size for one in fitted)]
        for k, grid in enumerate(self.grids):
            whole = torch.tensor([[1, *grid]])
            angles = tower.rot_pos_emb(whole)
            turns = torch.cat([angles, angles], dim=-1)
            known = {"cos": turns.cos(), "sin": turns.sin(), "mixed": _mixed(tower, whole)}
            for name, value in known.items():
                self.register_buffer(f"{name}_{k}", value.float(), persistent=False)

    def patches(self, k: int, picture: Tensor) -> Tensor:
        """Cut camera k's bytes [1, H, W, 3] into patches [N, C T P P], normalised."""
        config, (rows, columns) = self.tower.config, self.grids[k]
        patch, merge, times = (
            config.patch_size,
            config.spatial_merge_size,
            config.temporal_patch_size,
        )
        x = (self.fitted[k](picture) / 255.0 - self.mean) / self.std
        x = x.reshape(3, rows // merge, merge, patch, columns // merge, merge, patch)
        x = x.permute(1, 4, 2, 5, 0, 3, 6)[:, :, :, :, :, None]
        x = x.expand(-1, -1, -1, -1, -1, times, -1, -1)
        return x.reshape(rows * columns, 3 * times * patch * patch)

    def forward(self, pictures: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return the tokens [N, d] of all pictures, and what early layers of text get besides."""
        views = [self._view(k, picture) for k, picture in enumerate(pictures)]
        seen, *deep = (torch.cat(parts) for parts in zip(*views))
        return seen, deep

    def _view(self, k: int, picture: Tensor) -> list[Tensor]:
        tower, kept = self.tower, list[Tensor]()
        layers = tower.deepstack_visual_indexes
        first = tower.patch_embed.proj
        hidden = F.linear(self.patches(k, picture), first.weight.flatten(1), first.bias)
        hidden = hidden + getattr(self, f"mixed_{k}") @ tower.pos_embed.weight
        turns = getattr(self, f"cos_{k}"), getattr(self, f"sin_{k}")
        for number, block in enumerate(tower.blocks):
            hidden = hidden + _attended(block.attn, block.norm1(hidden), turns)
            hidden = hidden + block.mlp(block.norm2(hidden))
            if number in layers:
                kept.append(tower.deepstack_merger_list[layers.index(number)](hidden))
        return [tower.merger(hidden), *kept]


def _attended(layer: Any, hidden: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """Let the patches [N, d] of one picture attend to each other."""
    from transformers.models.qwen3_vl.modeling_qwen3_vl import apply_rotary_pos_emb_vision

    parts = layer.qkv(hidden).unflatten(-1, (3, layer.num_heads, -1)).unbind(1)
    queries, keys = apply_rotary_pos_emb_vision(parts[0], parts[1], *turns)
    queries, keys, values = (one.transpose(0, 1) for one in (queries, keys, parts[2]))
    weights = (queries @ keys.transpose(-1, -2) * layer.scaling).softmax(-1)
    return layer.proj((weights @ values).transpose(0, 1).flatten(1))  # type: ignore[no-any-return]


def _mixed(tower: Any, grid: Tensor) -> Tensor:
    """Return the weights [N, positions] by which the library mixes its learned positions."""
    count = tower.pos_embed.num_embeddings
    own, tower.pos_embed = tower.pos_embed, nn.Embedding.from_pretrained(torch.eye(count))
    try:
        return tower.fast_pos_embed_interpolate(grid)  # type: ignore[no-any-return]
    finally:
        tower.pos_embed = own
