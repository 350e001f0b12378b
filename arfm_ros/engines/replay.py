"""The gate: does the policy compute here what it computed where it was trained?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arfm_ros.core.data import F32, U8, Context, Observation, Policy
from arfm_ros.core.errors import BundleError
from arfm_ros.core.flow import Velocity, integrate
from arfm_ros.core.rtc import Guidance
from arfm_ros.core.spec import PolicySpec
from arfm_ros.engines.bundle import AGAIN, REFERENCE

LIMIT = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class GuidedReference:
    """What torch made of previous chunks at the reference's x_t."""

    previous: F32  # [K, H, A], normalised
    weights: F32  # [K, H]
    clip: float
    velocity: F32  # [K, steps, H, A]

    def guidance(self, k: int) -> Guidance:
        """Guidance number `k`."""
        return Guidance(self.previous[k], self.weights[k], self.clip)


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Real observations and what torch made of them, K of each."""

    images: Mapping[str, U8]  # camera -> [K, H, W, 3]
    state: F32  # [K, S], physical units
    instructions: tuple[str, ...]  # [K]
    noise: F32  # [K, H, A]
    trace: F32  # [K, steps + 1, H, A], x_t, normalised
    velocity: F32  # [K, steps, H, A], v(x_t, t)
    chunk: F32  # [K, H, A], physical units
    guided: GuidedReference | None = None

    def observation(self, k: int) -> Observation:
        """Observation number `k`."""
        images = {name: pixels[k] for name, pixels in self.images.items()}
        return Observation(images, self.state[k], self.instructions[k], stamp_ns=0)


@dataclass(frozen=True, slots=True)
class Parity:
    """Largest differences to the reference, in normalised units."""

    passed: bool
    max_step_error: float  # |v - v_reference| at the reference's x_t
    max_chunk_error: float  # |x_1 - x_1 reference|
    cosine: float  # the smallest over the observations
    max_action_error: float  # of the chunk in physical units
    observations: int
    limit: float = LIMIT
    max_guided_error: float = 0.0  # as max_step_error, over max |v|; 0 without step_rtc


class RunnablePolicy(Policy):
    """A policy that also shows its velocity field."""

    spec: PolicySpec

    def velocity(self, context: Context) -> Velocity:
        """Return v(x, t)."""
        ...

    def guided_velocity(self, context: Context, given: Guidance) -> Velocity:
        """Return v(x, t) drawn towards a previous chunk."""
        ...


def load_reference(folder: Path) -> Reference:
    """Read reference.npz of a bundle. Raises `BundleError` if it is missing or malformed."""
    path = folder / REFERENCE
    if not path.is_file():
        raise BundleError(f"{REFERENCE} is missing in {folder}: {AGAIN}")
    try:
        with np.load(path) as raw:
            rows = {name: raw[name] for name in raw.files}
        images = {n.removeprefix("image_"): rows[n] for n in rows if n.startswith("image_")}
        arrays = {n: rows[n] for n in ("state", "noise", "trace", "velocity", "chunk")}
        texts = tuple(str(text) for text in rows["instructions"])
    except (OSError, ValueError, KeyError) as error:
        raise BundleError(f"{path} is not a reference file ({error}): {AGAIN}") from error
    guided = _guided(rows) if "guided_velocity" in rows else None
    return Reference(images=images, instructions=texts, guided=guided, **arrays)


def _guided(rows: Mapping[str, Any]) -> GuidedReference:
    return GuidedReference(
        previous=rows["guided_previous"],
        weights=rows["guided_weights"],
        clip=float(rows["guided_clip"]),
        velocity=rows["guided_velocity"],
    )


def replay(policy: RunnablePolicy, reference: Reference, limit: float = LIMIT) -> Parity:
    """Run every reference observation and compare each step and the chunk."""
    step, chunk, action, cosine, guided = [0.0], [0.0], [0.0], [1.0], [0.0]
    steps = reference.velocity.shape[1]
    for k in range(len(reference.state)):
        context = policy.encode(reference.observation(k))
        field = policy.velocity(context)
        step += _differences(field, reference.trace[k], reference.velocity[k])
        if policy.spec.rtc.mode != "none" and reference.guided is not None:
            wanted, given = reference.guided.velocity[k], reference.guided.guidance(k)
            scale = max(1.0, float(np.abs(wanted).max()))
            exact = policy.guided_velocity(context, given)
            guided += [d / scale for d in _differences(exact, reference.trace[k], wanted)]
        x = integrate(field, reference.noise[k], steps).sample
        wanted = reference.trace[k, -1]
        chunk.append(float(np.abs(x - wanted).max()))
        cosine.append(float(np.vdot(x, wanted) / (np.linalg.norm(x) * np.linalg.norm(wanted))))
        actions = policy.sample(context, reference.noise[k], steps=steps).actions
        action.append(float(np.abs(actions - reference.chunk[k]).max()))
    largest = (max(step), max(chunk), min(cosine), max(action))
    passed = max(*step, *chunk, *action, *guided) <= limit
    return Parity(passed, *largest, len(reference.state), limit, max(guided))


def _differences(field: Velocity, trace: F32, wanted: F32) -> list[float]:
    """Largest differences of the velocities at the reference's x_t to those wanted [steps]."""
    dt = np.float32(1.0 / len(wanted))
    return [
        float(np.abs(field(trace[i], float(np.float32(i) * dt)) - wanted[i]).max())
        for i in range(len(wanted))
    ]


def parity_json(parity: Parity, **more: Any) -> str:
    """Write a parity measurement, with what else is worth keeping, as JSON."""
    return json.dumps(asdict(parity) | more, indent=1) + "\n"
