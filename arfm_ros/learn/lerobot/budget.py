"""How much memory a fine-tuning takes, told before it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from arfm_ros.core.errors import ConfigError
from arfm_ros.engines.memory import GIB, available

if TYPE_CHECKING:
    from arfm_ros.learn.lerobot.policy import TunedPolicy
    from arfm_ros.learn.lerobot.tune import TuneConfig

FLOAT32 = 4
# of what learns: a gradient and AdamW's two moments beside the weight itself
COPIES = 3
BASE = 1.0 * GIB


def needed(weights: int, learned: int) -> float:
    """Return the bytes that weights, gradients and moments take; activations come on top."""
    return BASE + FLOAT32 * (weights + COPIES * learned)


def require_memory(policy: TunedPolicy, config: TuneConfig) -> None:
    """Raise `ConfigError` with both figures where even a batch of nothing would not fit.

    On a GPU its free memory counts. The weights are in memory already, on this machine.
    """
    weights = sum(one.numel() for one in policy.policy.parameters())
    learned = sum(one.numel() for one in policy.learned)
    need, free = needed(weights, learned), _free(config.device)
    already = FLOAT32 * weights if config.device == "cpu" or not torch.cuda.is_available() else 0
    if free is not None and need - already > free:
        raise ConfigError(
            f"{learned / 1e6:.0f} M of {weights / 1e6:.0f} M weights learn, which needs some "
            f"{need / GIB:.1f} GiB before any activation; {(free + already) / GIB:.1f} GiB are "
            "there: --tune expert or lora, or a larger machine"
        )


def _free(device: str) -> float | None:
    if device != "cpu" and torch.cuda.is_available():
        return float(torch.cuda.mem_get_info()[0])
    return available()
