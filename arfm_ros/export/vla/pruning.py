"""Fewer tokens of each picture for the prefix: those that repeat others are left out.

The criterion needs no training and no attention weights. It is that of DART (Wen et al., Stop
Looking for Important Tokens in Multimodal Language Models: Duplication Matters More, 2025), taken
before the language model instead of behind one of its first layers: a few tokens of the largest
norm are pivots; of the others those stay that resemble the pivots least. All that stay keep their
places in the sequence: a network that was trained on whole pictures knows no other.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from arfm_ros.core.errors import ConfigError

PIVOTS = 8  # at most, and no more than half of what stays
DIMENSIONS = 3  # of a picture's tokens [1, N, D]; the picture has one more
Marks = tuple[int, int]  # tokens that begin and end a picture in the sequence
NEVER = -2.3819763e38  # added to what is not looked at, as openpi does it


class TokenShare:
    """How much of a picture's tokens goes into the prefix; all of them unless told otherwise."""

    def __init__(self) -> None:
        self.share = 1.0
        self.whole = 0  # tokens of a picture, once some were left out

    def __call__(self, tokens: Tensor) -> Tensor:
        """Map tokens [1, N, D] to those that stay [1, K, D + 1], in their order.

        The last number of each says how many places of the sequence it takes: its own and those of
        what was left out before it. Of all tokens nothing is said: [1, N, D].
        """
        if self.share >= 1.0:
            return tokens
        self.whole = tokens.shape[1]
        at = chosen(tokens, kept(self.whole, self.share))
        strides = (at - torch.cat([torch.full((1,), -1), at[:-1]])).to(tokens)
        return torch.cat([tokens[0].index_select(0, at), strides[:, None]], dim=1)[None]

    def split(self, views: Sequence[Tensor], marks: Marks) -> tuple[list[Tensor], Places]:
        """Take apart what was made of pictures that have `marks` tokens before and after each."""
        if self.share >= 1.0:
            length = sum(sum(marks) + view.shape[1] for view in views)
            none = torch.zeros(1, 1, dtype=torch.long)
            return [*views], Places(torch.ones(1, length, dtype=torch.long), none)
        before, after = (torch.ones(1, count, dtype=torch.long) for count in marks)
        taken, rest = list[Tensor](), torch.zeros(1, 1, dtype=torch.long)
        for view in views:
            strides = view[..., -1].long()
            own = after_gap(torch.cat([before, strides], dim=1), rest)
            rest = self.whole - strides.sum(1, keepdim=True)
            if marks[1]:
                own = torch.cat([own, after_gap(after, rest)], dim=1)
                rest = torch.zeros_like(rest)
            taken.append(own)
        return [view[..., :-1] for view in views], Places(torch.cat(taken, dim=1), rest)

    @contextmanager
    def all(self) -> Generator[None, None, None]:
        """Keep all tokens meanwhile."""
        before, self.share = self.share, 1.0
        try:
            yield
        finally:
            self.share = before


class Places(NamedTuple):
    """How many places of the sequence the tokens of all pictures take, with their marks."""

    taken: Tensor  # [1, L]
    rest: Tensor  # [1, 1], left out behind the last of them

    def then(self, *masks: Tensor) -> Tensor:
        """Add tokens that follow, by their masks [1, M], the first of which counts: [1, L + M]."""
        return torch.cat([self.taken, after_gap(torch.cat(masks, dim=1).long(), self.rest)], dim=1)


def after_gap(taken: Tensor, gap: Tensor) -> Tensor:
    """Let the first token of `taken` [1, L] take the places of a gap [1, 1] before it."""
    return torch.cat([taken[:, :1] + gap, taken[:, 1:]], dim=1)


def check_share(share: float) -> float:
    """Return a share; raises `ConfigError` for what is none."""
    if not 0.0 < share <= 1.0:
        raise ConfigError(f"--keep-tokens is {share:g}, needs a share above 0 and at most 1 (all)")
    return share


def kept(count: int, share: float) -> int:
    """Tell how many of `count` tokens stay, one at least."""
    return max(1, round(share * count))


def chosen(tokens: Tensor, count: int) -> Tensor:
    """Choose `count` of the tokens [1, N, D]: indices in their order; TopK in a graph."""
    norm = tokens[0].norm(dim=1)
    pivots = norm.topk(min(PIVOTS, max(1, count // 2)))
    unit = F.normalize(tokens[0], dim=1)
    alike = (unit @ unit.index_select(0, pivots.indices).T).amax(dim=1)  # cosine, of the nearest
    score = torch.where(norm >= pivots.values.min(), 2.0, -alike)
    return score.topk(count).indices.sort().values


class Untouched(NamedTuple):
    """What the library had before it was taught to leave tokens out."""

    encode: Callable[[Tensor], Tensor]  # a picture to its tokens
    forward: Callable[..., Any]  # of the transformers


def leave_out(both: Any, share: TokenShare, marks: Marks) -> Untouched:
    """Let the library's own sampler compute with the share: nothing looks at the other tokens.

    It has all of them in their places, and a mask; so it is no copy of what the graphs do. What is
    tokens already it takes as it is.
    """
    had, sight = Untouched(both.embed_image, both.forward), list[Tensor]()
    hidden: dict[str, Tensor | None] = {"columns": None}

    def embed(image: Tensor) -> Any:
        if image.ndim == DIMENSIONS:
            return image
        tokens = had.encode(image)
        if share.share < 1.0:
            at = chosen(tokens, kept(tokens.shape[1], share.share))
            out = torch.ones(tokens.shape[1], dtype=torch.bool).index_fill(0, at, False)
            sight.append(F.pad(out, marks))
        return tokens

    def forward(**given: Any) -> Any:
        if given["inputs_embeds"][0] is not None:  # pictures and words; what follows sees the same
            hidden["columns"] = torch.cat(sight) if sight else None
            sight.clear()
        if hidden["columns"] is not None:
            given["attention_mask"] = _hide(given["attention_mask"], hidden["columns"])
        return had.forward(**given)

    both.embed_image, both.forward = embed, forward
    return had


def _hide(mask: Tensor, columns: Tensor) -> Tensor:
    """Let nobody look at the first tokens that `columns` [L] marks, by a mask of bools or sums."""
    out = F.pad(columns, (0, mask.shape[-1] - len(columns)))
    return mask & ~out if mask.dtype == torch.bool else mask.masked_fill(out, NEVER)
