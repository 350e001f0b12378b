"""Every step of a checkpoint's processors is reproduced by the bundle, or refused by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import ConfigError
from arfm_ros.export.lerobot.versions import ABSOLUTE_STEP, ANY, RELATIVE_STEPS

NORMALIZER, UNNORMALIZER = "normalizer_processor", "unnormalizer_processor"
TOKENIZER, RENAME = "tokenizer_processor", "rename_observations_processor"
RELATIVE = "relative actions"  # whatever a version calls the step
# anywhere in a pipeline: a robot's names, its batch of one, its device
FREE = frozenset({RENAME, "to_batch_processor", "device_processor"})
NOTHING = (None, [], {})
_NORMALIZES = {"features": ANY, "norm_map": ANY, "eps": (1e-8,), "device": ANY}
_NORMALIZES |= {"normalize_observation_keys": NOTHING}
_PACKS = (
    *("action_horizon", "valid_action_horizon", "video_horizon", "max_state_dim"),
    *("max_action_dim", "formalize_language", "embodiment_tag", "embodiment_mapping"),
    *("normalize_min_max", "state_dropout_prob", "clip_outliers", "use_percentiles"),
    *("video_modality_keys", "raw_stats", "modality_config"),
)
_SEES = (
    *("model_name", "image_crop_size", "image_target_size", "shortest_image_edge"),
    *("crop_fraction", "use_albumentations", "device"),
)
_UNPACKS = (
    *("env_action_dim", "normalize_min_max", "clip_normalized_action"),
    "libero_gripper_binarize",
)
_DECODES = ("env_action_dim", "raw_stats", "modality_config", "use_percentiles")
_DECODES += ("use_relative_action",)
# step -> setting -> the values that the bundle reproduces; ANY: it reads them
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    RENAME: {"rename_map": ANY},
    "device_processor": {"device": ANY, "float_dtype": (None, "float32")},
    NORMALIZER: _NORMALIZES,
    UNNORMALIZER: _NORMALIZES,
    TOKENIZER: {
        "tokenizer_name": ANY,
        "max_length": ANY,
        "task_key": ("task",),
        "padding_side": ("right",),
        "padding": ("max_length", "longest"),
        "truncation": (True,),
    },
    RELATIVE: {"enabled": ANY, "exclude_joints": ANY, "action_names": ANY},
    ABSOLUTE_STEP: {"enabled": ANY},
    "pi05_prepare_state_tokenizer_processor_step": {
        "max_state_dim": ANY,
        "task_key": ("task",),
        "include_state_in_prompt": (True,),
    },
    "xvla_image_to_float": {"image_keys": NOTHING, "validate_range": ANY},
    "xvla_imagenet_normalize": {"image_keys": NOTHING},
    "xvla_add_domain_id": {"domain_id": ANY},
    "groot_n1_7_pack_inputs_v1": {
        "state_horizon": (1,),
        "language_key": ("task",),
        **dict.fromkeys(_PACKS, ANY),
    },
    "groot_n1_7_vlm_encode_v1": {"letter_box_transform": (False,), **dict.fromkeys(_SEES, ANY)},
    "groot_action_unpack_unnormalize_v2": {
        "libero_gripper_action": (False,),
        **dict.fromkeys(_UNPACKS, ANY),
    },
    "groot_n1_7_action_decode_v1": dict.fromkeys(_DECODES, ANY),
}


@dataclass(frozen=True, slots=True)
class Order:
    """The steps that a family's bundle reproduces, in this order, no others."""

    before: tuple[str, ...] = (NORMALIZER,)
    after: tuple[str, ...] = (UNNORMALIZER, ABSOLUTE_STEP)
    first: str = NORMALIZER  # before the policy, normalises
    last: str = UNNORMALIZER  # after it, undoes that


def account(folder: Path, before: Mapping[str, Any], after: Mapping[str, Any], by: Order) -> None:
    """Raise `ConfigError` naming a step, or a setting of one, that is not reproduced.

    `before` and `after` map the names of the steps to what is said of them, in order.
    """
    _match(folder, "before", before, by.before)
    _match(folder, "after", after, by.after)
    given = enabled(_relative(before)), enabled(after.get(ABSOLUTE_STEP))
    if given[0] != given[1]:
        raise ConfigError(
            f"{folder}: actions are offsets {'before' if given[0] else 'after'} the policy only: "
            f"{' or '.join(RELATIVE_STEPS)} and {ABSOLUTE_STEP} have to agree"
        )


def enabled(step: Mapping[str, Any] | None) -> bool:
    """Tell whether a step that makes actions offsets, or undoes that, is there and acts."""
    return bool(step and step.get("config", {}).get("enabled"))


def _relative(steps: Mapping[str, Any]) -> Any:
    return next((steps[name] for name in RELATIVE_STEPS if name in steps), None)


def _match(folder: Path, where: str, steps: Mapping[str, Any], wanted: tuple[str, ...]) -> None:
    names = []
    for name, step in steps.items():
        known = RELATIVE if name in RELATIVE_STEPS else name
        idle = known in (RELATIVE, ABSOLUTE_STEP) and not enabled(step)
        if known not in {*FREE, *wanted} and not idle:
            raise ConfigError(
                f"{folder}: the step {name} {where} the policy is not exported; known here are: "
                f"{', '.join((*sorted(FREE), *wanted))}"
            )
        _check_settings(folder, name, known, step)
        if known in wanted and not idle:
            names.append(known)
    optional = {RELATIVE, ABSOLUTE_STEP}
    expected = [name for name in wanted if name in names or name not in optional]
    if names != expected:
        raise ConfigError(
            f"{folder}: the steps {where} the policy are {', '.join(names)}; exported are "
            f"{', '.join(expected)}, in this order"
        )


def _check_settings(folder: Path, name: str, known: str, step: Mapping[str, Any]) -> None:
    allowed = SETTINGS.get(known, {})
    for setting, value in (step.get("config") or {}).items():
        values = allowed.get(setting, NOTHING)
        if values is not ANY and value not in values:
            raise ConfigError(
                f"{folder}: the step {name} has {setting} = {json.dumps(value)[:80]}, which is "
                f"not exported; known is: {', '.join(map(str, values))}"
            )
