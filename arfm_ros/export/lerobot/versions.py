"""What LeRobot's versions name differently, in one place: 0.4.4, 0.5 and 0.6.

| | 0.4.4 | 0.5 | 0.6 |
|---|---|---|---|
| actions as offsets | - | delta_actions_processor | relative_actions_processor |
| fields of config.json | | use_relative_actions, ... | also pretrained_revision |
| masks of pi0, pi0.5 | (not run) | a method of the network | a function beside it |
| Florence-2 of X-VLA | - | LeRobot's own | transformers' |
| cache of SmolVLA | a dict [1, L, heads, d] | the same | 0.6.2: DynamicCache [1, heads, L, d] |
"""

from __future__ import annotations

import inspect
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from arfm_ros.core.errors import ConfigError

RELATIVE_STEPS = ("relative_actions_processor", "delta_actions_processor")
ABSOLUTE_STEP = "absolute_actions_processor"
ANY = object()
# fields that some version does not have -> the value that means nothing, or ANY where the
# field says nothing that an export reads (the processors' files say it)
NEWER: Mapping[str, Any] = {
    "pretrained_revision": ANY,
    "action_feature_names": ANY,
    "relative_exclude_joints": ANY,
    "use_relative_actions": False,
    "gradient_checkpointing": ANY,
    "use_peft": False,
}


def read_library_config(folder: Path, say: Callable[[str], None] = print) -> Any:
    """Read config.json as the class of this LeRobot, less the fields that it does not know.

    Only a field that is null or at rest may go, and `say` names it. Raises `ConfigError` for any
    other, and where the library does not read what is left.
    """
    from draccus.utils import DraccusException
    from lerobot.configs.policies import PreTrainedConfig

    path = folder / "config.json"
    try:
        raw = dict(json.loads(path.read_text()))
        known = {one.name for one in fields(PreTrainedConfig.get_choice_class(raw["type"]))}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"LeRobot cannot read {path}: {error}") from error
    foreign = {name: value for name, value in raw.items() if name not in {*known, "type"}}
    acting = {name: value for name, value in foreign.items() if not _rests(name, value)}
    if acting:
        told = ", ".join(f"{name} = {json.dumps(value)[:60]}" for name, value in acting.items())
        raise ConfigError(
            f"LeRobot cannot read {path}: this version does not know {told}; use the version that "
            "saved it, or remove what does not matter"
        )
    if foreign:
        say(f"config.json: left out {', '.join(sorted(foreign))}, unknown to this LeRobot")
    kept = {name: value for name, value in raw.items() if name not in foreign}
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "config.json").write_text(json.dumps(kept))
        try:
            return PreTrainedConfig.from_pretrained(Path(place), local_files_only=True)
        except (OSError, ValueError, TypeError, DraccusException) as error:
            raise ConfigError(f"LeRobot cannot read {path}: {error}") from error


def _rests(name: str, value: Any) -> bool:
    """Tell whether an unknown field says nothing: null, or as the table has it."""
    resting = NEWER.get(name)
    return value is None or resting is ANY or (name in NEWER and value == resting)


def masks_4d(core: Any, allowed: Tensor) -> Tensor:
    """Make additive masks [1, 1, N, M] of pi0's network of what may be seen [1, N, M]."""
    method = getattr(core, "_prepare_attention_masks_4d", None)
    if method is None:
        method = sys.modules[type(core).__module__].prepare_attention_masks_4d
    return method(allowed)  # type: ignore[no-any-return]


def newer_names(policy: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a checkpoint of X-VLA from before LeRobot took transformers' Florence.

    Any other `state` is returned as it is.
    """
    module = sys.modules[type(policy).__module__]
    is_old = getattr(module, "_is_vendored_florence_state_dict", None)
    if is_old is None or not is_old(state):
        return state
    return dict(module._remap_vendored_florence_state_dict(state))  # noqa: SLF001


def imagenet_stats() -> dict[str, Any]:
    """Return `mean` and `std` [3, 1, 1] of ImageNet, as LeRobot normalises pictures by them."""
    try:
        from lerobot.utils.constants import IMAGENET_STATS as found
    except ImportError:
        from lerobot.datasets.factory import IMAGENET_STATS as found
    return dict(found)


def florence_seen(florence: Any, images: Tensor) -> Tensor:
    """Map pictures [cameras, 3, H, W] to the tokens [cameras, N, d] that X-VLA's Florence sees."""
    own = getattr(florence, "_encode_image", None)
    if own is not None:
        return own(images)  # type: ignore[no-any-return]
    return florence.get_image_features(images).pooler_output  # type: ignore[no-any-return]


def florence_encoder(florence: Any) -> Any:
    """Return what reads pictures and text together."""
    language = florence.language_model
    return getattr(language, "model", language).encoder


class SmolVlaCache:
    """Keys and values of SmolVLA's layers [layers, 1, L, heads, d], in the library's form."""

    def __init__(self, network: Any) -> None:
        self._dict = "fill_kv_cache" in inspect.signature(network.forward).parameters

    def fill(self) -> dict[str, Any]:
        """Give the arguments of a call that fills a cache."""
        return {"use_cache": True} | ({"fill_kv_cache": True} if self._dict else {})

    def read(self, cache: Any, layers: int) -> tuple[Tensor, Tensor]:
        """Take keys and values out of what such a call returned."""
        if self._dict:
            found = [(cache[i]["key_states"], cache[i]["value_states"]) for i in range(layers)]
        else:
            found = [
                (one.keys.transpose(1, 2), one.values.transpose(1, 2)) for one in cache.layers
            ]
        keys, values = zip(*found)
        return torch.stack(keys), torch.stack(values)

    def use(self, keys: Tensor, values: Tensor) -> dict[str, Any]:
        """Give the arguments of a call that uses them."""
        if self._dict:
            pairs = enumerate(zip(keys, values))
            cache: Any = {i: {"key_states": k, "value_states": v} for i, (k, v) in pairs}
            return {"use_cache": True, "fill_kv_cache": False, "past_key_values": cache}
        from transformers import DynamicCache

        cache = DynamicCache()
        for i, (k, v) in enumerate(zip(keys, values)):
            cache.update(k.transpose(1, 2), v.transpose(1, 2), i)
        return {"use_cache": True, "past_key_values": cache}
