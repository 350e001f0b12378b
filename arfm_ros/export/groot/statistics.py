"""GR00T's normalisation of state and actions, read from its processors' steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.data import F32
from arfm_ros.core.values.normalize import Affine
from arfm_ros.export.lerobot.processors import ACTION, STATE, state_tensors
from arfm_ros.export.vla.interface import Interface

Step = Mapping[str, Any]
FLAT, GROUPS = "groot_action_unpack_unnormalize_v2", "groot_n1_7_action_decode_v1"


@dataclass(frozen=True, slots=True, eq=False)
class Actions:
    """How the network's numbers become actions."""

    norm: Affine  # [H, A]
    relative: tuple[bool, ...]  # [A]; offsets from the state
    clip: float


def read_state(folder: Path, pack: Step, size: int) -> tuple[Affine, F32, bool]:
    """Return how a state is normalised, [S] 1 where it is seen at all, and whether it is clipped.

    What never moved in training the network sees as 0.
    """
    config = pack.get("config", {})
    whole = Affine(np.zeros(size, np.float32), np.ones(size, np.float32))
    low, high = _bounds(folder, pack, STATE, size)
    if not config.get("normalize_min_max", True) or low is None or high is None:
        return whole, np.ones(size, np.float32), False
    moves = low != high
    scale = np.where(moves, (high - low) / 2, 1.0)
    norm = Affine(((low + high) / 2).astype(np.float32), scale.astype(np.float32))
    return norm, moves.astype(np.float32), bool(config.get("clip_outliers", True))


def read_flat(folder: Path, step: Step, horizon: int, size: int) -> Actions:
    """Read the step whose statistics are of all actions alike."""
    config = step.get("config", {})
    low, high = _bounds(folder, step, ACTION, size)
    if not config.get("normalize_min_max", True) or low is None or high is None:
        raise ConfigError(f"{folder}: {FLAT} has no statistics of actions: save them with it")
    clip = 1.0 if config.get("clip_normalized_action") else 0.0
    return Actions(_affine(low, high, (horizon, size)), (False,) * size, clip)


def read_groups(folder: Path, step: Step, horizon: int, robot: Interface) -> Actions:
    """Read the step whose statistics are of groups of actions, perhaps of each row.

    Raises `ConfigError` for what is no offset of joints, and for names that do not fit.
    """
    config, size = step.get("config", {}), len(robot.actions)
    stats, modality = config.get("raw_stats") or {}, config.get("modality_config") or {}
    action = modality.get("action", {})
    places = _places(stats.get("state", {}), modality.get("state", {}).get("modality_keys", []))
    lows, highs, flags = list[F32](), list[F32](), list[bool]()
    for key, one in zip(action.get("modality_keys", []), action.get("action_configs", [])):
        relative = bool(config.get("use_relative_action")) and _said(one, "rep") == "relative"
        low, high = _group(stats, key, relative, bool(config.get("use_percentiles")), horizon)
        if relative:
            _check_offsets(one, key, robot, (places, len(flags), low.shape[1]))
        lows, highs = [*lows, low], [*highs, high]
        flags += [relative] * low.shape[1]
    if len(flags) < size:
        raise ConfigError(f"{folder}: {GROUPS} has {len(flags)} actions, the robot {size}")
    low, high = (np.concatenate(part, axis=1)[:, :size] for part in (lows, highs))
    return Actions(_affine(low, high, (horizon, size)), tuple(flags[:size]), 1.0)


def rows_of(after: Mapping[str, Step]) -> int:
    """Return how many rows the step of groups gives; 0: all."""
    modality = after.get(GROUPS, {}).get("config", {}).get("modality_config") or {}
    return len(modality.get("action", {}).get("delta_indices") or [])


def _bounds(folder: Path, step: Step, name: str, size: int) -> tuple[F32 | None, F32 | None]:
    known = state_tensors(folder, step) if step.get("state_file") else {}
    found = [known.get(f"{name}.{kind}") for kind in ("min", "max")]
    for one in found:
        if one is not None and one.size != size:
            raise ConfigError(f"{folder}: statistics of {name} are {one.size}, needs {size}")
    low, high = (None if one is None else one.reshape(-1) for one in found)
    return low, high


def _affine(low: F32, high: F32, shape: tuple[int, int]) -> Affine:
    """Map a range to -1..1, for each row."""
    middle, half = (low + high) / 2, (high - low) / 2
    offset, scale = (np.broadcast_to(one, shape).astype(np.float32) for one in (middle, half))
    return Affine(offset, scale)


def _group(
    stats: Mapping[str, Any], key: str, relative: bool, percentiles: bool, horizon: int
) -> tuple[F32, F32]:
    """Return the bounds [H, n] of a group."""
    kind = "relative_action" if relative else "action"
    names = ("q01", "q99") if percentiles and not relative else ("min", "max")
    given = stats.get(kind, {}).get(key, {})
    lacking = [name for name in names if name not in given]
    if lacking:
        raise ConfigError(f"{GROUPS} has no {lacking[0]} of {kind} {key}")
    made = []
    for name in names:
        rows = np.atleast_2d(np.asarray(given[name], np.float32))
        if 1 < len(rows) < horizon:
            raise ConfigError(f"{kind} {key} has statistics of {len(rows)} rows, needs {horizon}")
        made.append(np.broadcast_to(rows[:horizon], (horizon, rows.shape[1])))
    return made[0], made[1]


def _places(stats: Mapping[str, Any], keys: list[str]) -> dict[str, int]:
    """Map groups of the state to where they begin."""
    places, begin = {}, 0
    for key in keys:
        places[key] = begin
        one = stats.get(key, {})
        begin += len(one.get("mean") or one.get("min") or one.get("q01") or [])
    return places


def _check_offsets(
    one: Mapping[str, Any], key: str, robot: Interface, at: tuple[dict[str, int], int, int]
) -> None:
    """Raise `ConfigError` unless actions are offsets from the joints of the same names."""
    places, begin, count = at
    kind = _said(one, "type")
    if kind != "non_eef":
        raise ConfigError(
            f"{GROUPS}: {key} is an offset of an end effector, which is not exported: serve it "
            "with run_gr00t_server.py: remote:tcp://HOST:5555"
        )
    start = places.get(str(one.get("state_key") or key), -1)
    states = robot.state_names[start : start + count] if start >= 0 else ()
    actions = robot.actions[begin : begin + count]
    if tuple(states) != tuple(actions):
        raise ConfigError(
            f"the actions {', '.join(actions)} are offsets from the state {', '.join(states)}: "
            "name state and actions alike"
        )


def _said(one: Mapping[str, Any], name: str) -> str:
    """Read a setting of a group as the library does."""
    value = one.get(name)
    return str(getattr(value, "value", value)).lower()
