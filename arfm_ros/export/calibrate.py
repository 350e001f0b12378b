"""What a bundle's graphs see while it runs: the largest values, which eight bits are scaled by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from arfm_ros.core.chunks.rtc import guidance, left_over
from arfm_ros.core.errors import BundleError, EngineError, EpisodeError
from arfm_ros.core.solvers.flow import integrate
from arfm_ros.core.values.data import Observation
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines.bundle import REFERENCE, Bundle
from arfm_ros.engines.gate.reference import load_reference
from arfm_ros.engines.inputs import Inputs
from arfm_ros.engines.policy import EnginePolicy
from arfm_ros.engines.runtimes.graph import Array, Graphs, Run, Runtime
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.replay.recorded import Sights, read_made

MOST = 64  # observations
DELAY = 4  # actions that are given to a chunk that follows on, as in the gate


def observations(bundle: Bundle, episodes: Sequence[Path]) -> Iterator[Observation]:
    """Give what chunks of `episodes` were computed from, at most `MOST`, spread evenly.

    Without episodes those of the bundle's reference. Raises `EpisodeError` for an episode that no
    policy drove, `BundleError` where there is no reference either.
    """
    if not episodes:
        if not (bundle.path / REFERENCE).is_file():
            raise BundleError(f"{bundle.path} has no {REFERENCE}: give episodes (--calibrate)")
        reference = load_reference(bundle.path)
        yield from (reference.observation(k) for k in range(len(reference.state)))
        return
    chosen = _spread(len(episodes), MOST)
    for number in chosen:
        yield from _of(episodes[number], bundle.spec, MOST // len(chosen))


def _of(folder: Path, spec: PolicySpec, count: int) -> Iterator[Observation]:
    reader = EpisodeReader(folder)
    sights = Sights(reader, spec)
    made = [
        one
        for one in read_made(reader)
        if not one.recall.reused and min(one.recall.stamps_ns[0].values()) >= sights.begin_ns
    ]
    for number in _spread(len(made), count):
        with suppress(EpisodeError):  # one whose inputs came before the recording
            yield sights.observation(made[number].recall)


def _spread(length: int, count: int) -> list[int]:
    """Choose at most `count` of the numbers below `length`, evenly."""
    if length <= count:
        return list(range(length))
    return sorted({round(one) for one in np.linspace(0, length - 1, count).tolist()})


class Listening:
    """A graph on onnxruntime that notes the largest magnitude of some of its values."""

    def __init__(self, path: Path, names: Iterable[str]) -> None:
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise EngineError(f"calibration needs onnxruntime: {error}") from error
        model = onnx.load(path, load_external_data=False)
        given = {value.name for value in model.graph.input}
        self._outputs = [value.name for value in model.graph.output]
        self.largest = dict.fromkeys(names, 0.0)
        more = [n for n in self.largest if n not in given and n not in self._outputs]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in more)
        shown = path.with_name(f"{path.stem}.shown.onnx")  # beside its weights
        onnx.save_model(model, shown)
        self._all = [*self._outputs, *more]
        self._session = ort.InferenceSession(str(shown), providers=["CPUExecutionProvider"])

    def bind(self, fixed: Mapping[str, Array]) -> Run:
        """Run as `OnnxGraph` does."""

        def run(feed: Mapping[str, Array]) -> dict[str, Array]:
            given = {**fixed, **feed}
            found = dict(zip(self._all, self._session.run(self._all, given)))
            for name, before in self.largest.items():
                value = found[name] if name in found else given[name]
                self.largest[name] = float(np.maximum(before, np.abs(value).max()))  # nan stays
            return {name: found[name] for name in self._outputs}

        return run


def ranges(
    bundle: Bundle, graphs: Mapping[str, tuple[Path, Sequence[str]]], seen: Iterable[Observation]
) -> tuple[dict[str, dict[str, float]], int]:
    """Run the policy on what was seen and give the largest value of each name, graph by graph.

    `graphs` maps a graph's name to its file in float32 and the values that count. Also returns how
    many observations there were. Raises `BundleError` where there were none, or where a value was
    not finite.
    """
    listening = {name: Listening(path, names) for name, (path, names) in graphs.items()}
    policy = _policy(bundle, listening)
    noise = np.random.default_rng(0)
    count = 0
    for observation in seen:
        _drive(policy, observation, noise.standard_normal(bundle.spec.flow_shape, np.float32))
        count += 1
    if not count:
        raise BundleError("no observation to calibrate with: give episodes with chunks in them")
    found = {name: one.largest for name, one in listening.items()}
    odd = [f"{g}: {n}" for g, one in found.items() for n, v in one.items() if not np.isfinite(v)]
    if odd:
        raise BundleError(f"not finite while calibrating: {', '.join(odd[:4])}")
    return found, count


def _policy(bundle: Bundle, graphs: Mapping[str, Any]) -> EnginePolicy:
    guided, view = graphs.get("step_rtc"), graphs.get("view")
    inputs = Inputs(bundle.spec, bundle.path)
    opened = Graphs(graphs["prefix"], graphs["step"], guided, view=view, inputs=inputs)
    return EnginePolicy(bundle.spec, opened, bundle.sha256, Runtime("onnx", "", "cpu"))


def _drive(policy: EnginePolicy, observation: Observation, noise: Any) -> None:
    """Make a chunk, and evaluate what a chunk that follows on from it would."""
    spec = policy.spec
    context = policy.encode(observation)
    chunk = policy.sample(context, noise)
    if spec.rtc.mode == "none":
        return
    given = guidance(left_over(chunk, chunk.stamp_ns, DELAY), spec, context.state)
    integrate(policy.guided_velocity(context, given), noise, spec.steps)
