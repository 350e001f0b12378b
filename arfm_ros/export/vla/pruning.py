"""Fewer tokens of each picture for the prefix: those that repeat others are left out.

The criterion needs no training and no attention weights. It is that of DART (Wen et al., Stop
Looking for Important Tokens in Multimodal Language Models: Duplication Matters More, 2025), taken
before the language model instead of behind one of its first layers: a few tokens of the largest
norm are pivots; of the others those stay that resemble the pivots least.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from arfm_ros.core.errors import ConfigError

PIVOTS = 8  # at most, and no more than half of what stays
DIMENSIONS = 3  # of a picture's tokens [1, N, D]; the picture has one more


class TokenShare:
    """How much of a picture's tokens goes into the prefix; all of them unless told otherwise."""

    def __init__(self) -> None:
        self.share = 1.0

    def __call__(self, tokens: Tensor) -> Tensor:
        """Map tokens [1, N, D] to those that stay [1, K, D], in their order."""
        if self.share >= 1.0:
            return tokens
        return keep(tokens, kept(tokens.shape[1], self.share))

    @contextmanager
    def all(self) -> Generator[None, None, None]:
        """Keep all tokens meanwhile."""
        before, self.share = self.share, 1.0
        try:
            yield
        finally:
            self.share = before


def check_share(share: float) -> float:
    """Return a share; raises `ConfigError` for what is none."""
    if not 0.0 < share <= 1.0:
        raise ConfigError(f"--keep-tokens is {share:g}, needs a share above 0 and at most 1 (all)")
    return share


def kept(count: int, share: float) -> int:
    """Tell how many of `count` tokens stay, one at least."""
    return max(1, round(share * count))


def keep(tokens: Tensor, count: int) -> Tensor:
    """Choose `count` of the tokens [1, N, D], in their order; TopK and Gather in a graph."""
    norm = tokens[0].norm(dim=1)
    pivots = norm.topk(min(PIVOTS, max(1, count // 2)))
    unit = F.normalize(tokens[0], dim=1)
    alike = (unit @ unit.index_select(0, pivots.indices).T).amax(dim=1)  # cosine, of the nearest
    score = torch.where(norm >= pivots.values.min(), 2.0, -alike)
    chosen = score.topk(count).indices.sort().values
    return tokens[0].index_select(0, chosen)[None]


def embed_with(both: Any, share: TokenShare) -> None:
    """Let the library's `embed_image` give the share; what is tokens already it takes as it is."""
    encode = both.embed_image

    def embed(image: Tensor) -> Any:
        return image if image.ndim == DIMENSIONS else share(encode(image))

    both.embed_image = embed
