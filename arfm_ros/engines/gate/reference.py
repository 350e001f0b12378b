"""reference.npz: real observations and what the training framework made of them."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from arfm_ros.core.chunks.rtc import Guidance
from arfm_ros.core.errors import BundleError
from arfm_ros.core.values.data import F32, U8, Observation
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines.bundle import AGAIN, REFERENCE

BYTES_MAX = 2**32  # unpacked
STEPS_MAX, COUNT_MAX = 1000, 10_000
ARRAYS = ("state", "noise", "trace", "velocity", "chunk")
GUIDED = ("guided_previous", "guided_weights", "guided_velocity", "guided_clip")
# what zipfile and numpy raise for bytes that are no archive of arrays
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    IndexError,
    AttributeError,
    SyntaxError,
    tokenize.TokenError,
    MemoryError,
    OverflowError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


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
    """Real observations and what torch made of them, K of each.

    With a history of n observations images are [K, n, H, W, 3] and states [K, n, S], oldest first.
    """

    images: Mapping[str, U8]  # camera -> [K, H, W, 3]
    state: F32  # [K, S], physical units
    instructions: tuple[str, ...]  # [K]
    noise: F32  # [K, H, A]
    trace: F32  # [K, steps + 1, H, A], x_t, normalised
    velocity: F32  # [K, steps, H, A], the network's output at (x_t, t)
    chunk: F32  # [K, H, A], physical units
    guided: GuidedReference | None = None

    def observation(self, k: int) -> Observation:
        """Observation number `k`, with those before it that the policy also sees."""
        count = self.state.shape[1] if self.state.ndim == 3 else 1
        states = self.state[k].reshape(count, -1)
        images = {
            name: pixels[k].reshape(count, *pixels.shape[-3:])
            for name, pixels in self.images.items()
        }
        seen = [
            Observation({n: p[i] for n, p in images.items()}, state, self.instructions[k], 0)
            for i, state in enumerate(states)
        ]
        return replace(seen[-1], earlier=tuple(seen[:-1]))

    def check(self, spec: PolicySpec) -> None:
        """Raise `BundleError` naming the first array that is not one of a policy `spec`."""
        count = len(self.instructions)
        steps = self.velocity.shape[1] if self.velocity.ndim > 1 else 0
        if not 1 <= count <= COUNT_MAX or not 1 <= steps <= STEPS_MAX:
            raise BundleError(
                f"{REFERENCE} has {count} observations of {steps} steps, needs 1 to {COUNT_MAX} "
                f"of 1 to {STEPS_MAX}: {AGAIN}"
            )
        flow, seen = spec.flow_shape, _seen(self.state)
        wanted = {
            "state": (count, *seen, len(spec.state)),
            "noise": (count, *flow),
            "trace": (count, steps + 1, *flow),
            "velocity": (count, steps, *flow),
            "chunk": (count, *spec.action_shape),
        }
        for name, shape in wanted.items():
            _check_shape(name, getattr(self, name), shape)
        for camera in spec.cameras:
            if camera.name not in self.images:
                raise BundleError(f"{REFERENCE} has no images of '{camera.name}': {AGAIN}")
            pixels = self.images[camera.name]
            _check_shape(camera.name, pixels, (count, *seen, *pixels.shape[-3:-1], 3))
        if self.guided is not None:
            _check_shape("guided_velocity", self.guided.velocity, (count, steps, *flow))
            _check_shape("guided_previous", self.guided.previous, (count, *flow))
            _check_shape("guided_weights", self.guided.weights, (count, flow[0]))


def _seen(state: F32) -> tuple[int, ...]:
    return state.shape[1:2] if state.ndim == 3 else ()


def _check_shape(name: str, value: Any, shape: tuple[int, ...]) -> None:
    if value.shape != shape or not value.size:
        raise BundleError(f"{REFERENCE}: {name} is {value.shape}, needs {shape}: {AGAIN}")


def load_reference(folder: Path) -> Reference:
    """Read reference.npz of a bundle. Raises `BundleError` if it is missing or malformed."""
    path = folder / REFERENCE
    if not path.is_file():
        raise BundleError(f"{REFERENCE} is missing in {folder}: {AGAIN}")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(one.file_size for one in archive.infolist())
        if size > BYTES_MAX:
            raise ValueError(f"{size} bytes unpacked, at most {BYTES_MAX} are read")
        with np.load(path) as raw:
            rows = {name: np.asarray(raw[name]) for name in raw.files}
        return _reference(rows)
    except UNREADABLE as error:
        raise BundleError(f"{path} is not a reference file ({error}): {AGAIN}") from error


def _reference(rows: Mapping[str, Any]) -> Reference:
    images = {n.removeprefix("image_"): rows[n] for n in rows if n.startswith("image_")}
    if any(pixels.dtype != np.uint8 for pixels in images.values()):
        raise ValueError("images are not uint8")
    arrays = {name: _floats(rows, name) for name in ARRAYS}
    texts = tuple(str(text) for text in np.atleast_1d(rows["instructions"]))
    guided = None
    if "guided_velocity" in rows:
        previous, weights, velocity, clip = (_floats(rows, name) for name in GUIDED)
        guided = GuidedReference(previous, weights, float(clip), velocity)
    return Reference(images=images, instructions=texts, guided=guided, **arrays)


def _floats(rows: Mapping[str, Any], name: str) -> F32:
    value = rows[name]
    if value.dtype.kind != "f" or not np.isfinite(value).all():
        raise ValueError(f"{name} is {value.dtype}, needs numbers that are finite")
    return np.asarray(value)
