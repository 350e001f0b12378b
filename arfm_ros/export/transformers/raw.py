"""The library's own way from raw pictures and states to physical commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.data import F32, Observation
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.export.vla.interface import Interface


def raw_commands(
    model: Any, folder: Path, robot: Interface, spec: PolicySpec
) -> Callable[[Observation, F32, int], F32] | None:
    """Let `PI0Processor` and `sample_actions` compute commands [H, A]; None without torchvision.

    The processor normalises and does not undo it, which is written out; offsets from the state
    are the interface's. Raises `ConfigError` where the processor does not open.
    """
    processor = _processor(folder)
    if processor is None:
        return None
    mean, deviation = (torch.tensor(getattr(processor, f"actions_{k}")) for k in ("mean", "std"))

    @torch.no_grad()
    def commands(seen: Observation, noise: F32, count: int) -> F32:
        pictures = [seen.images[name] for name in robot.cameras.values()]
        given = processor(images=[pictures], text=[seen.instruction], state=seen.state[None])
        given = {k: torch.as_tensor(v) for k, v in given.items()}
        x = model.sample_actions(**given, noise=torch.from_numpy(noise[None]), num_steps=count)[0]
        actions = x[:, : len(spec.action)] * (deviation + 1e-8) + mean
        return actions.numpy() + spec.reference(seen.state)  # type: ignore[no-any-return]

    return commands


def _processor(folder: Path) -> Any:
    try:
        import torchvision  # noqa: F401  what reads pictures there
        from transformers import PI0Processor
    except Exception:  # noqa: BLE001  a torchvision of another torch raises nothing more special
        return None
    try:
        return PI0Processor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{folder}: its processor does not open: {error}") from error
