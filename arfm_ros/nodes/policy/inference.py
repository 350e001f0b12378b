"""One inference, in two parts: from samples to a context, from a context to a chunk."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from arfm_ros.core.chunks.reuse import ContextReuse
from arfm_ros.core.errors import EngineError, SafetyError
from arfm_ros.core.values.data import F32, ActionChunk, ChunkInfo, Context, Observation
from arfm_ros.core.values.fresh import with_state
from arfm_ros.core.values.latency import StageLatency
from arfm_ros.core.values.recall import Recall, recalled
from arfm_ros.core.values.sync import Synced
from arfm_ros.nodes.policy.doubt import spread
from arfm_ros.nodes.policy.inputs import PolicyInputs
from arfm_ros.nodes.policy.values import Loaded, Pacing, Ports
from arfm_ros.nodes.policy.wiring import Sample

Binds = Callable[[int, str], ActionChunk | None]  # stamp, instruction -> what binds the chunk


@dataclass(frozen=True, slots=True)
class Wish:
    """What an inference is to be made for."""

    instruction: str
    chunk_id: int
    cancelled: Callable[[], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A context, and what it was made of; the chunk of it may come later, in another thread."""

    loaded: Loaded
    synced: Synced[Sample]
    observation: Observation
    context: Context
    begin_ns: int
    decode_ns: int  # durations
    encode_ns: int
    reused: bool  # the context, or a camera's part of it, is that of an earlier observation
    apart: bool = False  # made beside the chunks: it has an age when one begins
    renewed: bool = False  # its state is newer than its pictures

    @property
    def taken_ns(self) -> int:
        """Time of the oldest of its pictures."""
        stamps = self.synced.stamps_ns
        cameras = (stamps[camera.name] for camera in self.loaded.spec.cameras)
        return min(cameras, default=self.synced.stamp_ns)


class Inference:
    """Look (observe and encode) and act (sample); a thread for each, or one for both.

    Any thread may read `latency_values` and `counts`.
    """

    def __init__(self, inputs: PolicyInputs, ports: Ports) -> None:
        self._inputs, self._ports = inputs, ports
        self._latency, self._reuse = StageLatency(), ContextReuse()
        self._reuses: Loaded | None = None  # whose contexts `_reuse` has
        self._made: Callable[[ActionChunk], Recall] | None = None  # of the last chunk
        self._encoded_ns = self._sampled_ns = 0  # processor time of the threads in the network
        self._within_ns = 0  # time in the network between the last chunk's stamp and its end
        self.views_encoded = self.views_reused = 0  # pictures, of networks that see one by one
        self.spread = 0.0  # of two samples of the last observation, by the axes' ranges

    @property
    def reused(self) -> int:
        """Contexts that were used again."""
        return self._reuse.count

    def latency_values(self) -> dict[str, float]:
        """Give p50, p99 and max of every stage in ms, and the time spent in the network in s."""
        computed_ns = self._encoded_ns + self._sampled_ns
        return {**self._latency.values_ms(), "network_cpu_s": computed_ns * 1e-9}

    def counts(self) -> dict[str, int]:
        """Give what was used again, for diagnostics."""
        return {
            "contexts_reused": self.reused,
            "views_encoded": self.views_encoded,
            "views_reused": self.views_reused,
        }

    def look(
        self, loaded: Loaded, pacing: Pacing, synced: Synced[Sample], instruction: str
    ) -> Seen:
        """Make a context of a set of samples.

        Raises `SpecError` for inputs that do not fit, `EngineError` for what the engine did.
        """
        begin_ns = self._ports.now_ns()
        observation = self._inputs.observe(synced, loaded.spec, instruction)
        encode_ns, before_ns = self._ports.now_ns(), time.thread_time_ns()
        count = self.reused + self.views_reused
        context = self._context(loaded, pacing, observation)
        self._encoded_ns += time.thread_time_ns() - before_ns
        took_ns = self._ports.now_ns() - encode_ns
        again = self.reused + self.views_reused > count
        return Seen(
            loaded, synced, observation, context, begin_ns, encode_ns - begin_ns, took_ns, again
        )

    def renew(self, seen: Seen, states: Synced[Sample], begin_ns: int) -> Seen:
        """Put newer states into a context whose network takes them in the step.

        Raises `SpecError` for a state that does not fit.
        """
        spec = seen.loaded.spec
        observation = self._inputs.with_states(seen.observation, states, spec)
        synced = joined(seen.synced, states)
        context = with_state(seen.context, spec, observation.state, observation.stamp_ns)
        return replace(
            seen,
            synced=synced,
            observation=observation,
            context=context,
            begin_ns=begin_ns,
            renewed=True,
        )

    def act(
        self, seen: Seen, pacing: Pacing, wish: Wish, binds: Binds
    ) -> tuple[ActionChunk, ActionChunk, dict[str, int]]:
        """Return the chunk of a context, it as a joint path, and its stages in ns.

        Raises `EngineError` for what the engine did and `Cancelled`.
        """
        loaded, context, observation = seen.loaded, seen.context, seen.observation
        rng = np.random.default_rng((pacing.seed, wish.chunk_id))  # of its own for every chunk
        noise: F32 = rng.standard_normal(loaded.spec.flow_shape, dtype=np.float32)
        sample_ns, before_ns = self._ports.now_ns(), time.thread_time_ns()
        deadline_ns = time.monotonic_ns() + pacing.deadline_ns if pacing.deadline_ns else None
        follows = binds(observation.stamp_ns, wish.instruction) if pacing.guide else None
        rest = (follows, pacing.steps or None, deadline_ns, wish.cancelled)
        chunk = loaded.policy.sample(context, noise, *rest)
        if pacing.ask_above > 0.0:
            second: F32 = rng.standard_normal(loaded.spec.flow_shape, dtype=np.float32)
            other = loaded.policy.sample(context, second, *rest)
            self.spread = spread(chunk.actions, other.actions, loaded.spec)
        self._sampled_ns += time.thread_time_ns() - before_ns
        self._made = partial(_recalled, seen, pacing, follows)
        if not np.isfinite(chunk.actions).all():
            raise EngineError("the engine returned actions that are not finite: chunk discarded")
        info = self._info(chunk, seen, pacing, wish, sample_ns)
        chunk, marks = replace(chunk, info=info), _marks(seen, info)
        self._within_ns = info.sample_ns + (0 if seen.renewed else info.encode_ns)
        return chunk, self._as_joints(chunk, loaded, seen.synced), marks

    def _info(
        self, chunk: ActionChunk, seen: Seen, pacing: Pacing, wish: Wish, sample_ns: int
    ) -> ChunkInfo:
        end_ns = self._ports.now_ns()
        return replace(
            chunk.info,
            chunk_id=wish.chunk_id,
            bundle_sha256=seen.loaded.bundle.sha256,
            seed=pacing.seed,
            inference_begin_ns=seen.begin_ns,
            inference_end_ns=end_ns,
            encode_ns=seen.encode_ns,
            sample_ns=end_ns - sample_ns,
            context_age_ns=max(sample_ns - seen.taken_ns, 0) if seen.apart else 0,
        )

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
            "overhead": total_ns - self._within_ns,
        }
        for stage, duration_ns in stages.items():
            self._latency.add(stage, duration_ns)
        return stages

    def _context(self, loaded: Loaded, pacing: Pacing, observation: Observation) -> Context:
        if loaded is not self._reuses:  # no context of another network
            self._reuse, self._reuses = ContextReuse(), loaded
        found = self._reuse.find(observation, pacing.sameness)
        if found is None:
            found = self._encoded(loaded, pacing, observation)
            if pacing.sameness.image > 0:
                self._reuse.keep(observation, found)
        return found

    def _encoded(self, loaded: Loaded, pacing: Pacing, observation: Observation) -> Context:
        """Run the prefix; of a network that sees camera by camera, for those that changed."""
        policy = loaded.policy
        views = policy.views
        if views is None:
            return policy.encode(observation)
        views.limit = pacing.reuse_views
        before = views.encoded, views.reused
        context = policy.encode(observation)
        self.views_encoded += views.encoded - before[0]
        self.views_reused += views.reused - before[1]
        return context


def joined(synced: Synced[Sample], states: Synced[Sample]) -> Synced[Sample]:
    """Put newer states beside the pictures of a set; the stamp is that of the states."""
    values = {**synced.values, **states.values}
    return Synced(states.stamp_ns, values, {**synced.stamps_ns, **states.stamps_ns})


def _recalled(
    seen: Seen, pacing: Pacing, follows: ActionChunk | None, chunk: ActionChunk
) -> Recall:
    engine = seen.loaded.policy.runtime.describe()
    return recalled(seen.observation, chunk, follows, engine, pacing.steps, seen.reused)


def _marks(seen: Seen, info: ChunkInfo) -> dict[str, int]:
    """Return the stages, in ns, that the samples and the info tell of."""
    received_ns = max(sample.received_ns for sample in seen.synced.values.values())
    return {
        "sensor_to_received": received_ns - seen.synced.stamp_ns,
        "received_to_begin": info.inference_begin_ns - received_ns,
        "decode": seen.decode_ns,
        "encode": info.encode_ns,
        "sample": info.sample_ns,
        **({"context_age": info.context_age_ns} if seen.apart else {}),
    }
