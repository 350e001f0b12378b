"""Adapters of PEFT: a LoRA becomes part of the weights, any other kind is refused by name."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from arfm_ros.core.errors import ConfigError

PREFIX = "base_model.model."
# settings that change what is computed, and the values that the merge below computes
PLAIN: Mapping[str, tuple[Any, ...]] = {
    "use_dora": (False, None),
    "fan_in_fan_out": (False, None),
    "bias": ("none", None),
    "lora_bias": (False, None),
    "megatron_config": (None,),
    "layer_replication": (None, []),
    "target_parameters": (None, []),
    "trainable_token_indices": (None, []),
}
PART = re.compile(r"^(?P<layer>.+)\.lora_(?P<which>A|B)(\.default)?\.weight$")


def merge(
    base: Mapping[str, Tensor], adapter: Mapping[str, Tensor], settings: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Return `base` with W + scale B A for each layer of `adapter` (Hu et al. 2021).

    Layers that the adapter holds whole (`modules_to_save`) take the place of the base's. Raises
    `ConfigError` naming the kind, setting or weight that is not merged.
    """
    kind = settings.get("peft_type")
    if kind != "LORA":
        raise ConfigError(f"the adapter is {kind}: LORA is merged, no other kind is exported")
    for name, values in PLAIN.items():
        if settings.get(name) not in values:
            raise ConfigError(f"the adapter has {name} = {settings[name]}, which is not exported")
    whole, parts = dict(base), dict[str, dict[str, Tensor]]()
    for name, value in adapter.items():
        bare = name.removeprefix(PREFIX)
        found = PART.match(bare)
        if found:
            parts.setdefault(found["layer"], {})[found["which"]] = value
            continue
        own = bare.replace(".modules_to_save.default", "").replace(".modules_to_save", "")
        if own not in whole:
            raise ConfigError(f"the adapter has {name}, which its base does not have")
        whole[own] = value
    for layer, ab in parts.items():
        key = next((k for k in (f"{layer}.weight", f"{layer}.base_layer.weight") if k in base), "")
        if not key or ab.keys() != {"A", "B"}:
            raise ConfigError(f"the adapter changes {layer}, which its base does not have")
        whole[key] = _added(base[key], ab, layer, settings)
    return whole


def _added(
    weight: Tensor, ab: Mapping[str, Tensor], layer: str, settings: Mapping[str, Any]
) -> Tensor:
    """Return W [out, in] + scale B [out, r] A [r, in], computed in float32."""
    a, b = ab["A"].float(), ab["B"].float()
    if a.ndim != 2 or weight.shape != (b.shape[0], a.shape[1]):
        raise ConfigError(
            f"the adapter of {layer} is {list(b.shape)} x {list(a.shape)}, the weight "
            f"{list(weight.shape)}: only matrices are merged"
        )
    rank = _setting(settings, "r", "rank_pattern", layer)
    alpha = _setting(settings, "lora_alpha", "alpha_pattern", layer)
    scale = alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)
    return (weight.float() + scale * (b @ a)).to(weight.dtype)


def _setting(settings: Mapping[str, Any], name: str, pattern: str, layer: str) -> float:
    """Read a number that layers whose name ends in a pattern have of their own, as PEFT does."""
    for ending, value in (settings.get(pattern) or {}).items():
        if re.match(rf"(.*\.)?({ending})$", layer):
            return float(value)
    return float(settings[name])
