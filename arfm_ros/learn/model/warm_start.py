"""What one policy learned as the beginning of another's: other arms see with the same eyes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from arfm_ros.core.errors import ConfigError


def warm_start(network: nn.Module, weights: Mapping[str, Tensor]) -> str:
    """Copy each weight that the network has under the same name and shape; say what was kept.

    Layers of the robot's own numbers (state, actions) differ in shape and begin anew. Raises
    `ConfigError` if none of the cameras' weights fit: nothing that was seen would be kept.
    """
    own = network.state_dict()
    fits = {k: v for k, v in weights.items() if k in own and own[k].shape == v.shape}
    if not any(name.startswith("cameras.") for name in fits):
        raise ConfigError(
            "no camera's weights fit: needs a policy with cameras of the same names and sizes "
            "(--camera)"
        )
    with torch.no_grad():
        for name, value in fits.items():
            own[name].copy_(value)
    anew = sorted({name.split(".")[0] for name in own if name not in fits})
    kept = sum(v.numel() for v in fits.values())
    total = sum(v.numel() for v in own.values())
    return f"{kept / total:.0%} of the weights are given; begun anew, in part: {', '.join(anew)}"
