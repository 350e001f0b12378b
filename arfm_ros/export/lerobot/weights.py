"""Weights of a LeRobot checkpoint: all of them there, all of the right shape, or an error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from arfm_ros.core.errors import ConfigError
from arfm_ros.export.lerobot.layouts import read_state
from arfm_ros.export.lerobot.versions import newer_names
from arfm_ros.export.vla.empty import lend
from arfm_ros.export.vla.stored import UNUSED, compute_in_float32

SHOWN = 4


def load_weights(policy: Any, folder: Path) -> None:
    """Load the weights of `folder` into `policy`. Raises `ConfigError` naming what does not fit.

    The library's own loaders go on with random weights instead.
    """
    state, path = read_state(folder)
    state = named_as(policy, state)
    check_weights(policy, state, path)
    lend(policy, state)
    compute_in_float32(policy)


def named_as(policy: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the weights of older versions, or of openpi, the names that this library has."""
    rename = getattr(policy, "_fix_pytorch_state_dict_keys", None)
    if rename is not None:  # the port of openpi reads openpi's own names too
        named = rename(state, policy.config)
        state = {k if k.startswith("model.") else f"model.{k}": v for k, v in named.items()}
    return newer_names(policy, state)


def check_weights(policy: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Raise `ConfigError` naming parameters that are missing in `state` or have another shape."""
    named = [*policy.named_parameters(remove_duplicate=False), *policy.named_buffers()]
    kept = policy.state_dict().keys()  # without the buffers that are computed anew
    wanted = {name: value for name, value in named if name in kept and UNUSED not in name}
    wrong = [
        f"{name} is {list(state[name].shape)}, needs {list(value.shape)}"
        for name, value in wanted.items()
        if name in state and state[name].shape != value.shape
    ]
    if wrong:
        raise ConfigError(f"{path} has weights of another shape: {_some(wrong, '; ')}")
    there = {id(value) for name, value in named if name in state}  # one may have several names
    missing = [n for n, v in wanted.items() if n not in state and id(v) not in there]
    if missing:
        raise ConfigError(f"{path} lacks {len(missing)} weights: {_some(missing, ', ')}")


def _some(names: Iterable[str], between: str) -> str:
    first = list(names)
    more = f"{between}and {len(first) - SHOWN} more" if len(first) > SHOWN else ""
    return between.join(first[:SHOWN]) + more
