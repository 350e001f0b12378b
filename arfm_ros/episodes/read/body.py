"""Axes that an episode itself tells of, where its robot has no YAML: those of an environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from arfm_ros.core.errors import EpisodeError, SpecError
from arfm_ros.core.values import strict
from arfm_ros.core.values.spec import Axis
from arfm_ros.episodes.read.said import AXES, CAMERAS, STATES
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.robots.embodiment import Embodiment

BODY = "body"  # key of episode/info
DT_NS = (1, 10_000_000_000)


@dataclass(frozen=True, slots=True)
class ToldBody:
    """What a new policy is made for: its axes, and the time that an action takes."""

    axes: Embodiment
    dt_ns: int


def said_body(
    axes: Embodiment, state_topic: str, cameras: Mapping[str, str], dt_ns: int
) -> dict[str, Any]:
    """Return what a recorder writes into episode/info, for JSON."""
    lists = {"state": axes.state, "action": axes.action}
    return {
        STATES: [{"topic": state_topic, "calls": []}],
        CAMERAS: dict(cameras),
        BODY: {
            "dt_ns": dt_ns,
            **{key: [_limited(axis) for axis in value] for key, value in lists.items()},
        },
    }


def body_in(reader: EpisodeReader) -> ToldBody | None:
    """Return what an episode tells of its axes; None where it says nothing.

    Raises `EpisodeError` for what is none.
    """
    told = reader.info().get(BODY)
    if told is None:
        return None
    try:
        raw = strict.table(told, BODY)
        state, action = (
            tuple(strict.record(Axis, one, f"{BODY}.{key}") for one in _rows(raw, key))
            for key in ("state", "action")
        )
        return ToldBody(Embodiment(state, action), strict.integer(raw["dt_ns"], BODY, DT_NS))
    except (SpecError, KeyError) as error:
        wrong = f"{BODY} of episode/info is not usable: {error}"
        raise EpisodeError(f"{reader.folder}: {wrong}") from error


def _rows(raw: Mapping[str, Any], key: str) -> Any:
    return strict.rows(raw[key], f"{BODY}.{key}", AXES)


def _limited(axis: Axis) -> dict[str, Any]:
    """Leave limits out that are none: JSON has no infinity."""
    return {k: v for k, v in asdict(axis).items() if v not in {float("inf"), -float("inf")}}
