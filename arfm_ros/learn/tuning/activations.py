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


def recompute_flow(model: Any) -> None:
    """Have a flow of LeRobot keep less. Raises `ConfigError` if it cannot.

    pi0 and pi0.5 offer it. SmolVLA's attention, feed-forward layers and the blocks that see are
    wrapped one by one.
    """
    enable = getattr(model, "gradient_checkpointing_enable", None)
    if enable is not None:
        enable()
        return
    both = getattr(model, "vlm_with_expert", None)
    if both is None or not all(hasattr(both, name) for name in ATTENTIONS):
        raise ConfigError("--checkpointing: this policy of LeRobot does not offer it")
    for name in ATTENTIONS:
        setattr(both, name, again(getattr(both, name)))
    vlm = both.get_vlm_model()
    recompute_feed_forward(vlm.text_model, both.lm_expert)
    recompute_blocks(vlm.vision_model)


def recompute_feed_forward(*transformers: Any) -> None:
    """Wrap the feed-forward layers of transformers, whose blocks keep keys and values."""
    for one in transformers:
        for layer in one.layers:
            layer.mlp.forward = again(layer.mlp.forward)


def recompute_blocks(vision: nn.Module) -> None:
    """Wrap every block of a network that sees."""
    for one in vision.modules():
        if isinstance(one, nn.ModuleList):
            for layer in one:
                layer.forward = again(layer.forward)


def again(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function whose activations are not kept."""

    @wraps(function)
    def once_more(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return function(*args, **kwargs)
        return checkpoint(function, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

    return once_more
