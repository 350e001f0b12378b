"""What a step holds in memory beside weights and moments, from passes of one and two samples.

Every tensor that comes into being is counted until its memory is given back. Two passes differ in
the number of samples alone, so their counts go side by side: what grows from one to the other
grows with each further sample, gradients and rounded weights do not.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from arfm_ros.learn.tuning.shards import is_cut


class Held(TorchDispatchMode):
    """Counts the bytes of tensors made meanwhile that are still there, after each operation."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes, self.course = 0, list[int]()
        self._there: dict[int, Any] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        known = {_place(one) for one in tree_leaves((args, kwargs)) if _plain(one)}
        for one in tree_leaves(result):
            if _plain(one) and _place(one) not in known:
                self._note(one)
        self.course.append(self.bytes)
        return result

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = _place(tensor), storage.nbytes()
        if key in self._there or not size:
            return

        def gone(_: Any) -> None:
            self._there.pop(key, None)
            self.bytes -= size

        self._there[key] = weakref.ref(storage, gone)
        self.bytes += size


def _plain(one: Any) -> bool:
    return isinstance(one, Tensor) and not is_cut(one) and one.device.type != "meta"


def _place(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001


def peak(take: Callable[[int], None], samples: int) -> int:
    """Estimate the largest sum of bytes that `take(samples)` holds; takes one and two."""
    one = _course(take, 1)
    if samples == 1:
        return max(one)
    two = _course(take, 2)
    if len(one) != len(two):  # another way through the network: only the largest compare
        one, two = [max(one)], [max(two)]
    return max(a + (samples - 1) * (b - a) for a, b in zip(one, two))


def _course(take: Callable[[int], None], samples: int) -> list[int]:
    with Held() as held:
        take(samples)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return held.course or [0]
