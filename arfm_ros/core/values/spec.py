"""What a policy takes and gives: names, shapes, units, limits, time step, normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from arfm_ros.core.errors import SpecError
from arfm_ros.core.solvers.sampler import SOLVERS, Sampler
from arfm_ros.core.values.data import F32, Observation
from arfm_ros.core.values.history import History
from arfm_ros.core.values.joining import RTC_MODES
from arfm_ros.core.values.joining import Rtc as Rtc
from arfm_ros.core.values.normalize import Affine
from arfm_ros.core.values.spec_reading import Plain, read_fields, write_fields

LANGUAGE_MODES = ("none", "hashed_words", "tokenizer")
FILTERS = ("area", "linear", "bilinear", "bicubic")  # the last two smooth what they shrink
EXACT = ("area", "linear")  # can also do without rounding
PADS = ("none", "centre", "end", "start")  # where the picture lies is the opposite
WIDEST = 1e6  # the largest value of an axis without limits, in its unit


@dataclass(frozen=True, slots=True)
class Axis:
    """One named number of a state or action vector."""

    name: str
    unit: str = "rad"  # rad, m, 1 (gripper: 0 closed, 1 open)
    low: float = -float("inf")
    high: float = float("inf")

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise SpecError(f"axis '{self.name}' runs from {self.low} to {self.high}")

    def allowed(self, tolerance: float) -> tuple[float, float]:
        """Return the lowest and highest measured value to believe.

        A measurement may lie beyond the limits by `tolerance`, a share of the axis' range.
        """
        low, high = max(self.low, -WIDEST), min(self.high, WIDEST)
        span = high - low if -WIDEST < low and high < WIDEST else 1.0
        slack = tolerance * span
        return low - slack, high + slack


@dataclass(frozen=True, slots=True)
class CameraInput:
    """One camera of the policy and the size it is resized to.

    `pad` "none" stretches the picture; otherwise it keeps its proportions and black fills what is
    left, on both sides (centre), below and right (end), or above and left (start). What is resized
    is rounded to grey levels, unless it is `exact`: then the graph takes float32, 0..255.
    """

    name: str
    height: int
    width: int
    filter: str = "area"
    pad: str = "none"
    masked: bool = False  # the graph is also told where the picture is: `inside_<name>` [1, H, W]
    exact: bool = False

    def __post_init__(self) -> None:
        if self.exact and self.filter not in EXACT:
            raise SpecError(
                f"camera '{self.name}': filter '{self.filter}' rounds, exact needs one of "
                f"{', '.join(EXACT)}"
            )
        for kind, value, known in (("filter", self.filter, FILTERS), ("pad", self.pad, PADS)):
            if value not in known:
                raise SpecError(
                    f"camera '{self.name}': {kind} '{value}', needs one of {', '.join(known)}"
                )


@dataclass(frozen=True, slots=True)
class Language:
    """How the instruction becomes token ids [length].

    With mode "tokenizer" the bundle brings tokenizer.json (of the library `tokenizers`) and the
    graph is also told which tokens are text: `mask` [1, length].
    """

    mode: str = "hashed_words"
    length: int = 16
    vocabulary: int = 512
    template: str = "{instruction}"  # text that is tokenized; may also have {state}
    pad_id: int = 0
    flat: bool = False  # underscores and line ends of the instruction become spaces
    bare: bool = False  # the instruction is in small letters without punctuation
    state_bins: int = 0  # numbers that {state} is written in, -1..1 in so many; 0: no {state}

    def __post_init__(self) -> None:
        if self.mode == "hashed_words" and self.vocabulary < 2:
            raise SpecError(f"language has {self.vocabulary} words, hashed_words needs 2 or more")


@dataclass(frozen=True, slots=True, eq=False)
class PolicySpec:
    """The contract of a bundle; `relative[a]` says that action a is an offset from state[a]."""

    name: str
    cameras: tuple[CameraInput, ...]
    state: tuple[Axis, ...]
    action: tuple[Axis, ...]
    horizon: int
    dt_ns: int
    state_norm: Affine  # [S]
    action_norm: Affine  # [H, A], of the relative actions where `relative`
    relative: tuple[bool, ...] = ()  # [A]; a relative action names a state axis of the same name
    steps: int = 10  # default number of steps from noise to actions
    rtc: Rtc = field(default_factory=Rtc)
    language: Language = field(default_factory=Language)
    instructions: Mapping[str, str] = field(default_factory=dict)  # task -> example instruction
    phrases: tuple[str, ...] = ()  # all instructions that it was taught; none: not known
    flow_width: int = 0  # columns of x, the actions first, then padding; 0: just the actions
    past: int = 0  # rows of x before the first action, which were due before the observation
    spare: int = 0  # rows of x after the last action, which the network was not trained in
    sampler: Sampler = field(default_factory=Sampler)
    history: History = field(default_factory=History)
    # what the actions of a group are, as `robots.actions` reads it; none: positions of their axes
    actions: tuple[Mapping[str, Plain], ...] = ()
    state_in_step: str = ""  # context tensor that is the state, normalised; "": it has more in it

    def __post_init__(self) -> None:
        states = {axis.name for axis in self.state}
        if len(self.relative) != len(self.action):
            raise SpecError(f"relative has {len(self.relative)} flags, needs {len(self.action)}")
        for axis, relative in zip(self.action, self.relative):
            if relative and axis.name not in states:
                raise SpecError(f"action '{axis.name}' is relative but the state has no such axis")
        if self.rtc.mode not in RTC_MODES:
            raise SpecError(f"rtc mode '{self.rtc.mode}', needs one of {', '.join(RTC_MODES)}")
        if self.language.mode not in LANGUAGE_MODES:
            modes = ", ".join(LANGUAGE_MODES)
            raise SpecError(f"language mode '{self.language.mode}', needs one of {modes}")
        if self.state_norm.offset.shape != (len(self.state),):
            raise SpecError(
                f"state statistics {self.state_norm.offset.shape}, need ({len(self.state)},)"
            )
        if self.action_norm.offset.shape != self.action_shape:
            raise SpecError(
                f"action statistics {self.action_norm.offset.shape}, need {self.action_shape}"
            )
        if self.actions and any(self.relative):
            raise SpecError("actions have spaces, whose option reference replaces relative flags")
        self._check_x()

    def _check_x(self) -> None:
        """Raise `SpecError` for an x that the actions do not fit into or a sampler cannot lead."""
        if self.flow_width and self.flow_width < len(self.action):
            raise SpecError(f"flow_width {self.flow_width}, needs {len(self.action)} or more")
        if self.sampler.kind == "masked" and self.flow_width != 2 * len(self.action):
            raise SpecError(
                f"flow_width {self.flow_width}, a masked sampler needs a value and a flag for "
                f"each of {len(self.action)} actions: {2 * len(self.action)}"
            )
        if self.state_in_step and (self.language.state_bins or self.history.count > 1):
            raise SpecError(
                "state_in_step: a state in the text or with a history is in the prefix"
            )
        if min(self.past, self.spare) < 0:
            raise SpecError(f"past and spare are {self.past}, {self.spare} rows, need 0 or more")
        if self.rtc.mode != "none" and not self.follows:
            raise SpecError(f"rtc mode '{self.rtc.mode}' needs a flow of the actions' rows alone")
        only = self.sampler.only_steps
        if only and (only != self.steps or self.rtc.mode == "guided"):
            raise SpecError(
                f"distilled to {only} steps: needs as many ({self.steps}), and follows on by a "
                f"trained prefix or not at all ({self.rtc.mode})"
            )

    @property
    def follows(self) -> bool:
        """Tell whether a chunk can follow on from the one before: a flow of the actions' rows."""
        return self.sampler.kind == "flow" and not self.past and not self.spare

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions [A]."""
        return tuple(axis.name for axis in self.action)

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the state axes [S]."""
        return tuple(axis.name for axis in self.state)

    @property
    def action_shape(self) -> tuple[int, int]:
        """(H, A)."""
        return (self.horizon, len(self.action))

    @property
    def flow_shape(self) -> tuple[int, int]:
        """Shape of x and of the noise: (H, A), larger where x has more rows or is padded."""
        rows = self.past + self.horizon + self.spare
        return (rows, self.flow_width or len(self.action))

    def reference(self, state: F32) -> F32:
        """Values [..., A] that relative actions are measured from at states [..., S].

        0 for absolute ones.
        """
        names = self.state_names
        at = [names.index(a.name) if r else 0 for a, r in zip(self.action, self.relative)]
        return np.where(self.relative, state[..., at], 0).astype(np.float32)

    def normalise_actions(self, actions: F32, state: F32) -> F32:
        """Turn physical actions [H, A] into what the sampler works on; the rest is 0."""
        x = self.action_norm.normalise(actions - self.reference(state))
        return np.pad(x, ((self.past, self.spare), (0, self.flow_shape[1] - x.shape[1])))

    def unnormalise_actions(self, x: F32, state: F32) -> F32:
        """Invert `normalise_actions`, within the sampler's clip."""
        rows = x[self.past : self.past + self.horizon, : len(self.action)]
        found = self.action_norm.unnormalise(self.sampler.bounded(rows)) + self.reference(state)
        return np.asarray(found, dtype=np.float32)

    def check(self, observation: Observation) -> None:
        """Raise `SpecError` naming the first thing in `observation` that does not fit."""
        for earlier in observation.earlier:
            self.check(earlier)
        for camera in self.cameras:
            image = observation.images.get(camera.name)
            if image is None:
                have = ", ".join(sorted(observation.images)) or "none"
                raise SpecError(f"camera '{camera.name}' is missing, observation has: {have}")
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise SpecError(
                    f"image '{camera.name}' is {image.dtype} {image.shape}, needs uint8 [H, W, 3]"
                )
        if observation.state.shape != (len(self.state),):
            raise SpecError(
                f"state has {observation.state.size} values, policy '{self.name}' needs "
                f"{len(self.state)} ({', '.join(self.state_names)})"
            )
        bad = [n for n, v in zip(self.state_names, observation.state) if not np.isfinite(v)]
        if bad:
            raise SpecError(f"state is not finite: {', '.join(bad)}")

    def check_limits(self, state: F32, tolerance: float) -> None:
        """Raise `SpecError` naming the values of a measured state [S] beyond their axes' limits.

        `tolerance` is the share of an axis' range that a measurement may be beyond them.
        """
        beyond = []
        for axis, value in zip(self.state, state):
            low, high = axis.allowed(tolerance)
            if not low <= value <= high:
                beyond.append(
                    f"{axis.name} is {value:.4g} {axis.unit}, runs from {axis.low:.4g} "
                    f"to {axis.high:.4g}"
                )
        if beyond:
            raise SpecError(f"state is beyond its limits: {'; '.join(beyond)} (limit_tolerance)")

    def example(self, seed: int) -> Observation:
        """Make a random observation that passes `check`, with all of its history."""
        rng = np.random.default_rng(seed)
        earlier = [self._example(rng, at) for at in self.history.earlier_ns(0)]
        return replace(self._example(rng, 0), earlier=tuple(earlier))

    def _example(self, rng: np.random.Generator, stamp_ns: int) -> Observation:
        images = {
            c.name: rng.integers(0, 256, (c.height, c.width, 3), dtype=np.uint8)
            for c in self.cameras
        }
        state = self.state_norm.unnormalise(
            rng.standard_normal(len(self.state)).astype(np.float32)
        )
        text = next(iter(self.instructions.values()), "")
        return Observation(images, state, text, stamp_ns)

    def to_json(self) -> str:
        """Write the spec as JSON; `from_json` reads it back equal."""
        return write_fields(asdict(self), plain_solver=SOLVERS[0])

    @staticmethod
    def from_json(text: str) -> PolicySpec:
        """Read what `to_json` wrote. Raises `SpecError` naming what is missing or unknown."""
        kinds = {"cameras": CameraInput, "state": Axis, "action": Axis}
        kinds |= {"rtc": Rtc, "language": Language}
        return PolicySpec(**read_fields(text, kinds))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PolicySpec) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.to_json())
