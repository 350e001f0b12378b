"""Real-time chunking: what of the previous chunk binds the next one, and how hard.

While a chunk is computed the robot goes on with the previous one; those actions are frozen. In
mode "guided" those after them pull with decaying weight, and the end of the new chunk is free
(Black, Galliker, Levine: Real-Time Execution of Action Chunking Flow Policies, 2025). In mode
"prefix" the network was trained to follow on from frozen actions and takes them as an input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from arfm_ros.core.errors import SpecError
from arfm_ros.core.solvers.flow import Velocity
from arfm_ros.core.values.data import F32, ActionChunk
from arfm_ros.core.values.spec import PolicySpec

CLIP = 5.0  # largest guidance weight (beta of the paper)


@dataclass(frozen=True, slots=True, eq=False)
class Guidance:
    """What a guided step needs beside x and t."""

    previous: F32  # [H, A], normalised for the new observation's state
    weights: F32  # [H], 1 frozen .. 0 free
    clip: float = CLIP

    def gain(self, t: float) -> float:
        """Weight of the guidance at time `t`: (t^2 + (1-t)^2) / (t (1-t)), at most `clip`."""
        return float(min(self.clip, (t * t + (1 - t) ** 2) / max(t * (1 - t), 1e-6)))


def hard_mask(horizon: int, delay: int) -> F32:
    """Weigh the first `delay` actions of a new chunk [H] by 1, the others by 0."""
    return np.asarray(np.arange(horizon) < delay, dtype=np.float32)


def soft_mask(horizon: int, delay: int, overlap: int) -> F32:
    """Weigh the actions of a new chunk [H] by how much the previous one binds them.

    1 for the first `delay` actions, which will have been executed; c (e^c - 1) / (e - 1) with c
    falling linearly up to action `overlap`, the last that the previous chunk knew; 0 after it.
    """
    if not 0 <= delay <= horizon or not 0 <= overlap <= horizon:
        raise SpecError(f"delay {delay} and overlap {overlap} must lie in 0..{horizon} (horizon)")
    k = np.arange(horizon)
    c = np.clip((overlap - k) / max(overlap - delay + 1, 1), 0.0, 1.0)
    decay = np.where(k < overlap, c * np.expm1(c) / np.expm1(1.0), 0.0)
    return np.asarray(np.where(k < delay, 1.0, decay), dtype=np.float32)


def mask(schedule: str, horizon: int, delay: int, overlap: int) -> F32:
    """Weigh the actions of a new chunk [H] by one of `spec.SCHEDULES`.

    exp is `soft_mask`; linear falls with c of it; ones binds all that the previous chunk knew;
    zeros the frozen actions alone. The names are those of LeRobot's attention schedules.
    """
    soft = soft_mask(horizon, delay, overlap)
    if schedule == "exp":
        return soft
    k = np.arange(horizon)
    after = {
        "linear": np.clip((overlap - k) / max(overlap - delay + 1, 1), 0.0, 1.0),
        "ones": np.ones(horizon),
        "zeros": np.zeros(horizon),
    }[schedule]
    bound = np.where(k < overlap, after, 0.0)
    return np.asarray(np.where(k < delay, 1.0, bound), dtype=np.float32)


def left_over(
    previous: ActionChunk, stamp_ns: int, delay: int, keep: int | None = None
) -> ActionChunk:
    """Return what `previous` still holds at an observation, on that observation's time line.

    Its first `delay` actions are committed (`info.prefix_length`); at most `keep` are kept, one
    at least. Between two actions the value is interpolated; of a chunk that starts within a tick
    the first one counts until it is due. Raises `SpecError` when nothing is left or the
    observation is the older one.
    """
    shift = (stamp_ns - previous.stamp_ns) / previous.dt_ns
    last = previous.horizon - 1
    if not -1 <= shift <= last:
        raise SpecError(
            f"observation is {shift:.1f} ticks after the previous chunk's, needs 0..{last}"
        )
    at = shift + np.arange(int(last - shift + 1e-6) + 1)[: None if keep is None else max(keep, 1)]
    at = np.maximum(at, 0.0)
    low = np.minimum(at.astype(np.int64), last)
    high = np.minimum(low + 1, last)
    part = (at - low)[:, None]
    actions = (1 - part) * previous.actions[low] + part * previous.actions[high]
    info = replace(previous.info, prefix_length=delay)
    return replace(previous, actions=actions.astype(np.float32), stamp_ns=stamp_ns, info=info)


def pad(actions: F32, horizon: int) -> F32:
    """Lengthen [L, A] to [H, A] with its last action, where the arm would stay; never zeros."""
    missing = horizon - len(actions)
    if missing < 0 or not len(actions):
        raise SpecError(f"left-over has {len(actions)} actions, needs 1..{horizon}")
    return np.concatenate([actions, np.repeat(actions[-1:], missing, axis=0)])


def guidance(prefix: ActionChunk, spec: PolicySpec, state: F32, clip: float = CLIP) -> Guidance:
    """Express a left-over in the policy's terms; `state` [S] is that of the new observation."""
    if prefix.names != spec.action_names or prefix.dt_ns != spec.dt_ns:
        raise SpecError(
            f"previous chunk has {len(prefix.names)} actions every {prefix.dt_ns / 1e6:g} ms, "
            f"policy '{spec.name}' {len(spec.action)} every {spec.dt_ns / 1e6:g} ms"
        )
    padded = pad(prefix.actions, spec.horizon)
    delay = min(prefix.info.prefix_length, spec.horizon)
    if spec.rtc.mode == "prefix":
        weights = hard_mask(spec.horizon, delay)
    else:
        weights = mask(spec.rtc.schedule, spec.horizon, delay, prefix.horizon)
    return Guidance(spec.normalise_actions(padded, state), weights, clip)


def exact_steps(steps: int, guidance: str) -> int:
    """Number of steps that pay for the exact derivative.

    All of them (exact), none (identity), or the first 30 %, at least one (mixed).
    Early steps decide which motion the chunk becomes, and there the derivative keeps the guided
    chunk one that the policy would make. Late ones only have to land, and taking dx_1/dx as 1
    lands better: a trained field calls x back, so that its exact derivative fades away.
    """
    return {"exact": steps, "identity": 0, "mixed": max(1, int(0.3 * steps))}[guidance]


class GuidedField:
    """v(x, t) drawn towards the previous chunk, for `core.flow.integrate`.

    The guidance is at most 1 / step size, so that no step goes beyond the previous chunk: with
    the paper's 5 steps this is its 5. A step that a deadline makes longer is guided less.
    """

    def __init__(
        self,
        fields: tuple[Velocity, Callable[[Guidance], Velocity]],
        given: Guidance,
        steps: int,
        guidance: str,
    ) -> None:
        """Take the plain velocity, what makes the exactly guided one, and one of `GUIDANCES`."""
        self._finishing = False  # the next step goes all the way to t = 1
        self._plain, self._exact = fields
        self._guidance = replace(given, clip=float(steps))
        self._exact_before = (exact_steps(steps, guidance) - 0.5) / steps

    def watch(self, out_of_time: Callable[[int], bool] | None) -> Callable[[int], bool] | None:
        """Return `out_of_time` for `integrate`, so that the field knows of a last long step."""
        if out_of_time is None:
            return None

        def asked(left: int) -> bool:
            self._finishing = out_of_time(left)
            return self._finishing

        return asked

    def __call__(self, x: F32, t: float) -> F32:
        """Return the guided velocity [H, A]."""
        given = self._guidance
        if self._finishing:
            given = replace(given, clip=1.0 / max(1.0 - t, 1e-6))
        if t < self._exact_before:
            return self._exact(given)(x, t)
        return without_derivative(self._plain, given)(x, t)


def without_derivative(plain: Velocity, given: Guidance) -> Velocity:
    """Return the guided velocity with dx_1/dx taken as 1: costs no more than the plain step."""

    def evaluate(x: F32, t: float) -> F32:
        v = plain(x, t)
        pull = (given.previous - x - np.float32(1.0 - t) * v) * given.weights[:, None]
        return np.asarray(v + np.float32(given.gain(t)) * pull, dtype=np.float32)

    return evaluate
