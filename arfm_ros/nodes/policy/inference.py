"""One inference: from a set of samples to a chunk and how long each stage of it took."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from arfm_ros.core.chunks.reuse import ContextReuse
from arfm_ros.core.errors import EngineError, SafetyError
from arfm_ros.core.values.data import F32, ActionChunk, ChunkInfo, Context, Observation
from arfm_ros.core.values.latency import StageLatency
from arfm_ros.core.values.recall import Recall, recalled
from arfm_ros.core.values.sync import Synced
from arfm_ros.nodes.policy.doubt import spread
from arfm_ros.nodes.policy.inputs import PolicyInputs, Sample
from arfm_ros.nodes.policy.values import Loaded, Pacing, Ports

Binds = Callable[[int, str], ActionChunk | None]  # stamp, instruction -> what binds the chunk


@dataclass(frozen=True, slots=True)
class Wish:
    """What an inference is to be made for."""

    instruction: str
    chunk_id: int
    begin_ns: int
    cancelled: Callable[[], bool]


class Inference:
    """Observe, encode and sample; one thread uses it, `latency_values` and `reused` any."""

    def __init__(self, inputs: PolicyInputs, ports: Ports) -> None:
        self._inputs, self._ports = inputs, ports
        self._latency, self._reuse = StageLatency(), ContextReuse()
        self._made: Callable[[ActionChunk], Recall] | None = None  # of the last chunk
        self._computed_ns = 0  # processor time of this thread in the network
        self.spread = 0.0  # of two samples of the last observation, by the axes' ranges

    @property
    def reused(self) -> int:
        """Contexts that were used again."""
        return self._reuse.count

    def forget(self) -> None:
        """Use no context of another network."""
        self._reuse = ContextReuse()

    def latency_values(self) -> dict[str, float]:
        """Give p50, p99 and max of every stage in ms, and the time spent in the network in s."""
        return {**self._latency.values_ms(), "network_cpu_s": self._computed_ns * 1e-9}

    def run(
        self, loaded: Loaded, pacing: Pacing, synced: Synced[Sample], wish: Wish, binds: Binds
    ) -> tuple[ActionChunk, ActionChunk, dict[str, int]]:
        """Return the chunk of a set of samples, it as a joint path, and its stages in ns.

        Raises `SpecError` for inputs that do not fit, `EngineError` for what the engine did and
        `Cancelled`.
        """
        observation = self._inputs.observe(synced, loaded.spec, wish.instruction)
        rng = np.random.default_rng((pacing.seed, wish.chunk_id))  # of its own for every chunk
        noise: F32 = rng.standard_normal(loaded.spec.flow_shape, dtype=np.float32)
        encode_ns, before_ns, contexts = self._started()
        context = self._context(loaded, pacing, observation)
        sample_ns = self._ports.now_ns()
        deadline_ns = time.monotonic_ns() + pacing.deadline_ns if pacing.deadline_ns else None
        follows = binds(observation.stamp_ns, wish.instruction) if pacing.guide else None
        rest = (follows, pacing.steps or None, deadline_ns, wish.cancelled)
        chunk = loaded.policy.sample(context, noise, *rest)
        if pacing.ask_above > 0.0:
            second: F32 = rng.standard_normal(loaded.spec.flow_shape, dtype=np.float32)
            other = loaded.policy.sample(context, second, *rest)
            self.spread = spread(chunk.actions, other.actions, loaded.spec)
        self._computed_ns += time.thread_time_ns() - before_ns
        reused, end_ns = self._reuse.count > contexts, self._ports.now_ns()
        self._made = partial(_recalled, loaded, pacing, observation, follows, reused)
        if not np.isfinite(chunk.actions).all():
            raise EngineError("the engine returned actions that are not finite: chunk discarded")
        info = replace(
            chunk.info,
            chunk_id=wish.chunk_id,
            bundle_sha256=loaded.bundle.sha256,
            seed=pacing.seed,
            inference_begin_ns=wish.begin_ns,
            inference_end_ns=end_ns,
            encode_ns=sample_ns - encode_ns,
            sample_ns=end_ns - sample_ns,
        )
        chunk = replace(chunk, info=info)
        marks = _marks(synced, info) | {"decode": encode_ns - wish.begin_ns}
        return chunk, self._as_joints(chunk, loaded, synced), marks

    def _started(self) -> tuple[int, int, int]:
        """Return the time, the processor time of this thread, and the contexts used again."""
        return self._ports.now_ns(), time.thread_time_ns(), self._reuse.count

    def _as_joints(
        self, chunk: ActionChunk, loaded: Loaded, synced: Synced[Sample]
    ) -> ActionChunk:
        """Return what the robot is to do: joint positions, from where it was seen."""
        if loaded.actions is None:
            return chunk
        q = self._inputs.positions(synced, loaded.axes)
        try:
            path = loaded.actions.to_joints(chunk.actions, q)
        except SafetyError as error:
            raise EngineError(f"actions that the robot cannot follow: {error}") from error
        return replace(chunk, actions=path.astype(np.float32), names=loaded.axes)

    def recall(self, chunk: ActionChunk) -> Recall:
        """Say what the last chunk was computed from; after it is published, as this takes time."""
        assert self._made is not None
        return self._made(chunk)

    def note(self, chunk: ActionChunk, marks: dict[str, int]) -> dict[str, int]:
        """Complete the stages of a chunk that was published just now, and count them."""
        end_ns = self._ports.now_ns()
        total_ns = end_ns - chunk.stamp_ns
        stages = {
            **marks,
            "publish": end_ns - chunk.info.inference_end_ns,
            "sensor_to_chunk": total_ns,
            "overhead": total_ns - marks["encode"] - marks["sample"],
        }
        for stage, duration_ns in stages.items():
            self._latency.add(stage, duration_ns)
        return stages

    def _context(self, loaded: Loaded, pacing: Pacing, observation: Observation) -> Context:
        found = self._reuse.find(observation, pacing.sameness)
        if found is None:
            found = loaded.policy.encode(observation)
            if pacing.sameness.image > 0:
                self._reuse.keep(observation, found)
        return found


def _recalled(
    loaded: Loaded,
    pacing: Pacing,
    observation: Observation,
    follows: ActionChunk | None,
    reused: bool,
    chunk: ActionChunk,
) -> Recall:
    engine = loaded.policy.runtime.describe()
    return recalled(observation, chunk, follows, engine, pacing.steps, reused)


def _marks(synced: Synced[Sample], info: ChunkInfo) -> dict[str, int]:
    """Return the stages, in ns, that the samples and the info tell of."""
    received_ns = max(sample.received_ns for sample in synced.values.values())
    return {
        "sensor_to_received": received_ns - synced.stamp_ns,
        "received_to_begin": info.inference_begin_ns - received_ns,
        "encode": info.encode_ns,
        "sample": info.sample_ns,
    }
