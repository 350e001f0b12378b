"""Activations that are computed again in the backward pass, where the library cannot itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from arfm_ros.core.errors import ConfigError

ATTENTIONS = ("forward_attn_layer", "forward_cross_attn_layer")  # of SmolVLA's two transformers


def recompute(policy: Any) -> None:
    """Have a policy keep less for its backward pass. Raises `ConfigError` if it cannot.

    pi0 and pi0.5 offer it. SmolVLA's attention, feed-forward layers and the blocks that see are
    wrapped one by one.
    """
    enable = getattr(policy.model, "gradient_checkpointing_enable", None)
    if enable is not None:
        enable()
        return
    both = getattr(policy.model, "vlm_with_expert", None)
    if both is None or not all(hasattr(both, name) for name in ATTENTIONS):
        raise ConfigError("--checkpointing: this policy of LeRobot does not offer it")
    for name in ATTENTIONS:
        setattr(both, name, _again(getattr(both, name)))
    vision = both.get_vlm_model().vision_model
    for one in (both.get_vlm_model().text_model, both.lm_expert):
        for layer in one.layers:
            layer.mlp.forward = _again(layer.mlp.forward)
    for one in vision.modules():
        if isinstance(one, nn.ModuleList):
            for layer in one:
                layer.forward = _again(layer.forward)


def _again(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def once_more(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return function(*args, **kwargs)
        return checkpoint(function, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

    return once_more
