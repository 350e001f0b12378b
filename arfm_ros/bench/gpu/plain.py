"""A network in the shapes of pi0 or SmolVLA, in plain torch with random weights.

It is no policy: its layers are what such a network computes with (norms, rotary positions, shared
keys, gated MLPs), so that it takes as long as one, whatever the weights are.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arfm_ros.bench.gpu.shapes import Layers, Shapes

WAVELENGTH = 10_000.0
Cache = list[tuple[Tensor, Tensor]]  # of each layer, keys and values [1, kv heads, L, d]


class Layer(nn.Module):
    """A transformer layer before whose parts its input is normalised; no dropout, no bias."""

    def __init__(self, sizes: Layers, cross: bool = False, rotates: bool = True) -> None:
        super().__init__()
        self.sizes, self.rotates = sizes, rotates
        keys = sizes.kv_heads * sizes.head_dim
        self.norms = nn.ModuleList(nn.RMSNorm(sizes.width) for _ in range(2))
        self.query = nn.Linear(sizes.width, sizes.heads * sizes.head_dim, bias=False)
        source = keys if cross else sizes.width
        self.key, self.value = (nn.Linear(source, keys, bias=False) for _ in range(2))
        self.out = nn.Linear(sizes.heads * sizes.head_dim, sizes.width, bias=False)
        self.up = nn.Linear(sizes.width, sizes.mlp, bias=False)
        self.gate = nn.Linear(sizes.width, sizes.mlp, bias=False) if sizes.gated else None
        self.down = nn.Linear(sizes.mlp, sizes.width, bias=False)

    def forward(
        self, x: Tensor, before: tuple[Tensor, Tensor] | None = None, cross: bool = False
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Map x [N, L, width]; also give its keys and values, without those `before` it.

        `cross`: it looks at what was before alone, through its own matrices.
        """
        seen = self.norms[0](x)
        query = self._split(self.query(seen), self.sizes.heads)
        source = self._joined(before) if cross else (seen, seen)
        kv_heads = self.sizes.kv_heads
        key, value = (
            self._split(linear(one), kv_heads)
            for linear, one in zip((self.key, self.value), source)
        )
        start = 0 if before is None else before[0].shape[2]
        if self.rotates:
            query = rotate(query, start)
            key = key if cross else rotate(key, start)
        own = (key, value)
        if before is not None and not cross:
            key, value = torch.cat([before[0], key], 2), torch.cat([before[1], value], 2)
        shared = self.sizes.heads != kv_heads
        found = F.scaled_dot_product_attention(query, key, value, enable_gqa=shared)
        x = x + self.out(found.transpose(1, 2).flatten(2))
        return x + self._mlp(self.norms[1](x)), own

    def _mlp(self, x: Tensor) -> Tensor:
        up = F.gelu(self.up(x) if self.gate is None else self.gate(x), approximate="tanh")
        return self.down(up if self.gate is None else up * self.up(x))

    def _split(self, x: Tensor, heads: int) -> Tensor:
        return x.unflatten(2, (heads, self.sizes.head_dim)).transpose(1, 2)

    def _joined(self, before: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        assert before is not None
        key, value = before
        return key.transpose(1, 2).flatten(2), value.transpose(1, 2).flatten(2)


class PlainVla(nn.Module):
    """The whole network; batch 1."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.shapes = shapes
        vision, language, expert = shapes.vision, shapes.language, shapes.expert
        self.patches = nn.Linear(shapes.patch, vision.width, bias=False)
        self.places = nn.Parameter(torch.zeros(shapes.patches, vision.width))
        self.eye = nn.ModuleList(Layer(vision, rotates=False) for _ in range(vision.depth))
        self.joining = nn.Linear(vision.width * shapes.joined, language.width, bias=False)
        self.words = nn.Embedding(shapes.vocabulary, language.width)
        self.layers = nn.ModuleList(Layer(language) for _ in range(language.depth))
        state_width = language.width if shapes.state_in_prefix else expert.width
        self.state = nn.Linear(shapes.action, state_width, bias=False)
        self.entry = nn.Linear(shapes.action, expert.width, bias=False)
        width = expert.width
        pairs = pairwise((2 * width, width, width))
        self.timed = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairs)
        self.expert = nn.ModuleList(
            Layer(expert, shapes.crosses(layer)) for layer in range(expert.depth)
        )
        self.exit = nn.Linear(width, shapes.action, bias=False)

    def prefix(self, pixels: Tensor, tokens: Tensor, state: Tensor) -> Cache:
        """Map patches [images, patches, patch], tokens [1, text], state [1, action] to a cache."""
        seen = self.patches(pixels) + self.places
        for layer in self.eye:
            seen, _ = layer(seen)
        seen = seen.reshape(1, -1, seen.shape[-1] * self.shapes.joined)
        parts = [self.joining(seen), self.words(tokens)]
        parts += [self.state(state)[:, None]] if self.shapes.state_in_prefix else []
        x, cache = torch.cat(parts, 1), []
        for layer in self.layers:
            x, made = layer(x)
            cache.append(made)
        return cache

    def step(self, x: Tensor, time: Tensor, state: Tensor, cache: Cache) -> Tensor:
        """Map x [1, H, action] and the features of a time [1, width] to a velocity."""
        actions = self.entry(x)
        joined = torch.cat([actions, time[:, None].expand_as(actions)], 2)
        first, second = self.timed
        suffix = second(F.silu(first(joined)))
        if not self.shapes.state_in_prefix:
            suffix = torch.cat([self.state(state)[:, None], suffix], 1)
        for number, (layer, made) in enumerate(zip(self.expert, cache)):
            suffix, _ = layer(suffix, made, self.shapes.crosses(number))
        return self.exit(suffix[:, -self.shapes.horizon :])

    def chunk(self, inputs: tuple[Tensor, Tensor, Tensor], noise: Tensor, times: Tensor) -> Tensor:
        """Run the flow from noise [1, H, action], float32; times [steps, width] are features."""
        cache, state, x = self.prefix(*inputs), inputs[2], noise
        for time in times:
            velocity = self.step(x.to(state.dtype), time[None].to(state.dtype), state, cache)
            x = x + velocity.float() / len(times)
        return x

    def example(self, steps: int) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, Tensor]:
        """Make random inputs of `chunk` where the weights are."""
        shapes, like = self.shapes, self.places
        pixels = torch.randn(shapes.images, shapes.patches, shapes.patch).to(like)
        tokens = torch.randint(shapes.vocabulary, (1, shapes.text)).to(like.device)
        state = torch.randn(1, shapes.action).to(like)
        noise = torch.randn(1, shapes.horizon, shapes.action).to(like.device)
        times = torch.randn(steps, shapes.expert.width).to(like.device)
        return (pixels, tokens, state), noise, times


def rotate(x: Tensor, start: int) -> Tensor:
    """Rotate x [N, heads, L, d] by its places from `start` on (RoPE, Su et al. 2021)."""
    half = x.shape[-1] // 2
    steps = torch.arange(half, device=x.device) / half
    places = torch.arange(start, start + x.shape[2], device=x.device)
    angles = places[:, None] / WAVELENGTH**steps
    sin, cos = angles.sin().to(x.dtype), angles.cos().to(x.dtype)
    left, right = x.chunk(2, -1)
    return torch.cat([left * cos - right * sin, right * cos + left * sin], -1)
