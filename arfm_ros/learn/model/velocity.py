"""Velocity network: a small diffusion transformer (DiT) over the chunk's actions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def time_frequencies(dim: int, device: torch.device | None = None) -> Tensor:
    """Angular frequencies [dim / 2] of the time features: periods from 4 ms to 4 of t."""
    return 2 * math.pi * torch.logspace(-0.6, 2.4, dim // 2, device=device)


def time_features(t: Tensor, dim: int) -> Tensor:
    """Turn t [B] in 0..1 into sines and cosines [B, dim]."""
    angle = t[:, None].float() * time_frequencies(dim, t.device)
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Scale and shift tokens [B, T, D] by vectors [B, 1, D]."""
    return x * (1 + scale) + shift


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend with [B, heads, T, d] tensors; at these sizes the fused kernel is slower on a CPU."""
    score = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    return score.softmax(-1) @ value


class VelocityBlock(nn.Module):
    """Self-attention, cross-attention to the context, MLP; gated by time (adaLN-zero)."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim, elementwise_affine=False)
        self.norm2 = nn.LayerNorm(dim, elementwise_affine=False)
        self.norm3 = nn.LayerNorm(dim, elementwise_affine=False)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.self_out = nn.Linear(dim, dim)
        self.query = nn.Linear(dim, dim)
        self.cross_out = nn.Linear(dim, dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, mlp_ratio * dim), nn.SiLU(), nn.Linear(mlp_ratio * dim, dim)
        )
        self.modulation = nn.Parameter(torch.zeros(9 * dim))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x: Tensor, condition: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Map x [B, T, D], condition [B, 1 or T, 9 D], key and value [B, heads, N, D/heads]."""
        m = (condition + self.modulation).chunk(9, dim=-1)
        q, k, v = self.qkv(modulate(self.norm1(x), m[0], m[1])).chunk(3, dim=-1)
        h = attend(self._split(q), self._split(k), self._split(v))
        x = x + m[2] * self.self_out(h.transpose(1, 2).flatten(2))
        q = self.query(modulate(self.norm2(x), m[3], m[4]))
        # the draws of one observation share its keys: their queries join one sequence
        q = self._split(q.reshape(key.shape[0], -1, x.shape[2]))
        h = attend(q, key, value).transpose(1, 2).reshape(x.shape)
        x = x + m[5] * self.cross_out(h)
        return x + m[8] * self.mlp(modulate(self.norm3(x), m[6], m[7]))


class DelayEmbedding(nn.Module):
    """What the count of frozen actions adds to the condition: 0 for none, by its shape."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(1, dim, bias=False), nn.SiLU(), nn.Linear(dim, dim, bias=False)
        )
        nn.init.zeros_(self.layers[2].weight)

    def forward(self, frozen: Tensor) -> Tensor:
        """Map marks of the frozen actions [B, H] to [B, dim]."""
        share = frozen.float().mean(dim=1, keepdim=True)
        added: Tensor = self.layers(share)
        return added


class VelocityNet(nn.Module):
    """v(x_t, t, context): the context enters as keys and values made once per observation."""

    def __init__(self, horizon: int, actions: int, dim: int, blocks: int, heads: int) -> None:
        super().__init__()
        self.actions_in = nn.Linear(actions, dim)
        self.position = nn.Parameter(torch.randn(1, horizon, dim) * 0.02)
        self.time = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        # one modulation shared by the blocks, each of which adds its own offset (PixArt's
        # adaLN-single): a third of the parameters of a projection per block
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 9 * dim))
        self.blocks = nn.ModuleList(VelocityBlock(dim, heads, 3) for _ in range(blocks))
        self.norm_out = nn.LayerNorm(dim)
        self.actions_out = nn.Linear(dim, actions)
        self.dim = dim
        self.delay: DelayEmbedding | None = None  # of one that is told how late its chunks come
        nn.init.zeros_(self.actions_out.weight)
        nn.init.zeros_(self.actions_out.bias)
        gates = [2, 5, 8]
        with torch.no_grad():
            for block in self.blocks:
                block.modulation.view(9, dim)[gates] = 0.1

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        summary: Tensor,
        cache: tuple[Tensor, Tensor],
        frozen: Tensor | None = None,
    ) -> Tensor:
        """Map x [B K, H, A], t [B K], summary [B, D], cache 2 x [B, blocks, heads, N, d] to v.

        `frozen` [B K, H] marks actions of x that are final: their time is 1 whatever t is.
        """
        draws = x.shape[0] // summary.shape[0]
        if draws > 1:
            summary = summary.repeat_interleave(draws, dim=0)
        if frozen is not None and self.delay is not None:
            summary = summary + self.delay(frozen)
        condition = self._condition(t, summary)
        if frozen is not None:
            arrived = self._condition(torch.ones_like(t), summary)
            condition = torch.where(frozen[:, :, None], arrived, condition)
        h = self.actions_in(x) + self.position
        keys, values = cache
        for i, block in enumerate(self.blocks):
            h = block(h, condition, keys[:, i], values[:, i])
        return self.actions_out(self.norm_out(h))

    def _condition(self, t: Tensor, summary: Tensor) -> Tensor:
        features = self.time(time_features(t, self.dim))
        return self.modulation(features + summary)[:, None]
