"""How much memory a fine-tuning takes, told before it begins."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from arfm_ros.core.errors import ConfigError
from arfm_ros.engines.memory import GIB, available, resident
from arfm_ros.learn.loop.group import ALONE, Group
from arfm_ros.learn.tuning.policy import TunedPolicy
from arfm_ros.learn.tuning.shards import FLOAT32, own

# of what learns: a gradient and AdamW's two moments beside the weight itself
COPIES, MOMENTS = 3, 2
SMALLER = "--tune expert or lora, --piece, --checkpointing, more GPUs, or a larger machine"


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that a process needs, largest of all processes."""

    held: float  # already: the program, its weights, what was read
    moments: float
    step: float  # gradients, activations, rounded weights

    @property
    def whole(self) -> float:
        """All of it."""
        return self.held + self.moments + self.step


def require_weights(policy: TunedPolicy, device: torch.device, group: Group = ALONE) -> None:
    """Raise `ConfigError` with both figures where weights and moments alone would not fit.

    They are not in memory yet; a process has its share of them.
    """
    weights = sum(one.numel() for one in policy.policy.parameters())
    learned = sum(one.numel() for one in policy.learned)
    need = FLOAT32 * (weights + COPIES * learned) / group.size
    free = free_memory(device, group)
    if free is not None and need > free:
        raise ConfigError(
            f"{learned / 1e6:.0f} M of {weights / 1e6:.0f} M weights learn, which needs some "
            f"{need / GIB:.1f} GiB{_each(group)} before any activation; {free / GIB:.1f} GiB are "
            f"free: {SMALLER}"
        )


def require_step(
    policy: TunedPolicy, step: float, device: torch.device, group: Group = ALONE
) -> Need:
    """Return what a process needs whose step holds `step` bytes.

    Raises `ConfigError` with all figures where that is more than there is.
    """
    learned = sum(own(one).numel() for one in policy.learned)
    held = torch.cuda.memory_allocated(device) if device.type == "cuda" else resident()
    need = Need(*group.largest(held, FLOAT32 * MOMENTS * learned, step))
    free = free_memory(device, group)
    if free is not None and need.moments + need.step > free:
        raise ConfigError(f"too little memory: {told(need, free, group)}: {SMALLER}")
    return need


def told(need: Need, free: float | None, group: Group = ALONE) -> str:
    """Say what is needed."""
    parts = [need.held, need.moments, need.step]
    held, moments, step = (f"{part / GIB:.2f}" for part in parts)
    there = "" if free is None else f"; {free / GIB:.1f} GiB are free{_each(group)}"
    return (
        f"a run needs {need.whole / GIB:.2f} GiB{_each(group)}: {held} held now, {moments} for "
        f"moments, {step} for gradients and activations of a step{there}"
    )


def free_memory(device: torch.device, group: Group = ALONE) -> float | None:
    """Return the bytes that each process may still take: the least of all; None if unknown."""
    if device.type == "cuda":
        free: float | None = float(torch.cuda.mem_get_info(device)[0])
    else:
        free = available()
        if free is not None and group.size > 1:  # processes of one machine share its memory
            free /= int(os.environ.get("LOCAL_WORLD_SIZE", group.size))
    if free is None:
        return None
    return -group.largest(-free)[0]


def _each(group: Group) -> str:
    return f" for each of {group.size} processes" if group.size > 1 else ""
