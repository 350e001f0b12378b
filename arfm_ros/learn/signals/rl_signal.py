"""R*: how much better than the rest of its task what was done at an observation turned out.

No critic: return-to-go per remaining step (`rewards.py`), centred per task.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError, EpisodeError
from arfm_ros.core.numbers import finite
from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.signals.rewards import TERMS
from arfm_ros.learn.signals.source import parse_source

F64 = NDArray[np.float64]
GROUPS = ("observation", "episode")
ROUNDING = 1e-6  # of the largest return: a spread below it is float32's, not the episodes'


@dataclass(frozen=True, slots=True)
class Reward:
    """Weight of each term of `rewards.TERMS`; 0 leaves it out."""

    success: float = 1.0
    steps_to_success: float = 0.0
    progress: float = 0.0
    joint_velocity: float = 0.0
    joint_acceleration: float = 0.0
    action_velocity: float = 0.0
    action_acceleration: float = 0.0
    takeover: float = 1.0


@dataclass(frozen=True, slots=True)
class SignalConfig:
    """How rewards become R*."""

    reward: Reward = Reward()
    z_score: bool = True  # divide by the task's standard deviation
    group: str = "observation"  # K counts the task's observations, or its episodes
    source: str = ""  # a signal of `signals` with its knobs, in place of the rewards

    def __post_init__(self) -> None:
        if self.group not in GROUPS:
            raise ConfigError(f"group '{self.group}', needs one of {', '.join(GROUPS)}")


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """R* [N] of every observation, and in words what the data did not say."""

    values: F64
    notes: tuple[str, ...]


def parse_reward(text: str) -> Reward:
    """Read `success=1,progress=0.5`; terms that are not named are left out.

    Raises `ConfigError` listing the terms.
    """
    known = ", ".join(f.name for f in fields(Reward))
    weights = dict.fromkeys(TERMS, 0.0)
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        if name not in weights:
            raise ConfigError(f"reward '{name}' is unknown, needs one of {known}")
        try:
            weights[name] = finite(value or "1")
        except ValueError as error:
            raise ConfigError(
                f"weight '{value}' of reward '{name}' is not a finite number"
            ) from error
    return Reward(**weights)


def make_signal(
    frames: Frames, config: SignalConfig, features: NDArray[np.float32] | None = None
) -> Signal:
    """Compute R* of all observations; those that no reward is known of get 0, the mean.

    `features` [N, D] are a policy's frozen context, for sources that look at it. Raises
    `EpisodeError` when no observation has a reward, or none of them has a finite weight.
    """
    if config.source:
        seen = np.zeros((len(frames), 0), np.float32) if features is None else features
        total = parse_source(config.source).tell(frames, seen).values
    else:
        total = weighted_returns(frames.returns, config.reward)
    known = np.isfinite(total)
    if not known.any():
        silent = f"signal {config.source} is unknown in all of {len(frames.tasks)} episodes"
        raise EpisodeError(silent if config.source else _nothing_known(frames, config.reward))
    tasks = frames.task_numbers[frames.episode]
    values = np.zeros(len(total))
    for task in np.unique(tasks[known]):
        rows = np.flatnonzero(known & (tasks == task))
        values[rows] = centred(total[rows], frames.episode[rows], config)
    return Signal(values, _notes(frames, known, values))


def weighted_returns(returns: NDArray[np.float32], reward: Reward) -> F64:
    """Sum the terms [N, len(TERMS)] with their weights; NaN where a term in use is unknown."""
    used = {name: getattr(reward, name) for name in TERMS if getattr(reward, name)}
    total = np.zeros(len(returns))
    for name, weight in used.items():
        total += weight * returns[:, TERMS.index(name)].astype(np.float64)
    return total


def centred(returns: F64, episode: NDArray[np.integer], config: SignalConfig) -> F64:
    """Centre the returns [n] of one task leave-one-out: K / (K - 1) (R - mean R).

    A sample's own return is thereby left out of the mean it is compared with. `episode` [n] says
    which returns belong together; in the group `episode` each episode counts once. A task with
    one member, or whose returns are all the same, gives 0.
    """
    members = returns
    if config.group == "episode":
        _, index = np.unique(episode, return_inverse=True)
        members = np.bincount(index, returns) / np.bincount(index)
    count, spread = len(members), float(members.std())
    if count < 2 or spread <= ROUNDING * np.abs(members).max():
        return np.zeros(len(returns))
    value = count / (count - 1) * (returns - members.mean())
    return value / spread if config.z_score else value


def _nothing_known(frames: Frames, reward: Reward) -> str:
    used = [name for name in TERMS if getattr(reward, name)]
    silent = [name for name in used if not np.isfinite(frames.returns[:, TERMS.index(name)]).any()]
    return (
        f"none of {len(frames.tasks)} episodes has a reward: {', '.join(silent or used)} is "
        "unknown in them; label them (recorder/label), record task/state, or choose another "
        "--reward"
    )


def _notes(frames: Frames, known: NDArray[np.bool_], values: F64) -> tuple[str, ...]:
    notes = []
    silent = len(np.unique(frames.episode[~known]))
    if silent:
        notes.append(
            f"{silent} of {len(frames.tasks)} episodes have no reward: they count as average"
        )
    labelled = frames.success[frames.success >= 0]
    if len(labelled) and not labelled.any():
        notes.append(
            f"all {len(labelled)} labelled episodes failed: success tells them not apart; "
            "add --reward progress or record a success"
        )
    names = np.asarray(frames.tasks)[frames.episode]
    for task in np.unique(names):
        if not values[names == task].any():
            notes.append(f"task '{task}': all returns are the same, R* is 0: plain flow matching")
    if frames.human.any():
        notes.append(f"{int(frames.human.sum())} observations were commanded by a human: kept")
    return tuple(notes)
