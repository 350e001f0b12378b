"""Sines and cosines of the time, as precise in float32 as libraries compute them in float64."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

BITS = 12  # of a product's factors, so that float32 has room for all of it


class TimeEmbedding(nn.Module):
    """Embed a time in 0..1 as openpi's `create_sinusoidal_pos_embedding` does.

    The fastest sine turns 250 times: rounded to float32 its angle would be wrong by 1e-4, and
    engines for GPUs have no float64. So turns are multiplied in parts, and whole ones dropped.
    """

    def __init__(self, dimension: int, min_period: float, max_period: float) -> None:
        super().__init__()
        fraction = torch.linspace(0.0, 1.0, dimension // 2, dtype=torch.float64)
        turns = 1 / (min_period * (max_period / min_period) ** fraction)
        mantissa, exponent = torch.frexp(turns)
        coarse = torch.ldexp(torch.round(mantissa * 2**BITS), exponent - BITS)
        self.register_buffer("coarse", coarse.float(), persistent=False)
        self.register_buffer("fine", (turns - coarse).float(), persistent=False)

    def forward(self, time: Tensor) -> Tensor:
        """Map times [B] to [B, dimension]."""
        whole = torch.floor(time * 2**BITS) / 2**BITS
        rest = (time - whole)[:, None]
        whole = whole[:, None]
        turns = whole * self.coarse  # exact
        turns = turns - torch.floor(turns + 0.5)
        turns = turns + (whole * self.fine + rest * (self.coarse + self.fine))
        angle = 2 * math.pi * turns
        return torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)
