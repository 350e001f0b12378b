"""A policy on any runtime: two or three graphs, the loop over steps on the host in float32."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from arfm_ros.core.chunks.rtc import Guidance, GuidedField, guidance
from arfm_ros.core.errors import Cancelled, EngineError
from arfm_ros.core.solvers.flow import Clock, Velocity
from arfm_ros.core.solvers.sampling import make_solver
from arfm_ros.core.solvers.solver import Field, Integration, Solver, solve
from arfm_ros.core.values.data import F32, ActionChunk, ChunkInfo, Context, Observation
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines.inputs import Inputs
from arfm_ros.engines.runtimes.graph import Array, Graph, Graphs, Runtime
from arfm_ros.engines.views import Views
from arfm_ros.engines.whole import Pace, WholeChunk, takes


class _Limits(NamedTuple):
    """When a chunk was begun, until when it has to be there, and what ends it before."""

    begin_ns: int
    deadline_ns: int | None
    cancelled: Callable[[], bool] | None


class EnginePolicy:
    """`core.data.Policy` on the graphs of a runtime.

    One thread may `encode` while another one samples. Where the graphs share a stream or buffers
    (`Graphs.apart` is False) the two wait for each other; a second encoder always waits, and so
    does a second sampler.
    """

    def __init__(
        self,
        spec: PolicySpec,
        graphs: Graphs,
        sha256: str,
        runtime: Runtime,
        clock: Clock = time.monotonic_ns,
    ) -> None:
        self.spec, self.runtime = spec, runtime
        self._encode = graphs.prefix.bind({})
        self.views = None if graphs.view is None else Views(graphs.view)  # of a camera each
        self._step, self._guided = graphs.step, graphs.guided
        self._chunk, self._chunk_rtc = graphs.chunk, graphs.chunk_rtc
        self._pace = Pace(clock)
        self._sha256, self._clock = sha256, clock
        self._inputs = graphs.inputs or Inputs(spec)
        self._chunk_id = 0
        self._encoding = threading.Lock()
        self._sampling = threading.Lock() if graphs.apart else self._encoding

    def encode(self, observation: Observation) -> Context:
        """Run the prefix graph; raises `SpecError` for an observation that does not fit."""
        begin_ns = self._clock()
        state = np.asarray(observation.state, dtype=np.float32)
        with self._encoding:
            feed: Mapping[str, Array] = self._inputs(observation)
            if self.views is not None:
                feed = self.views(feed, observation.images)
            tensors = self._encode(feed)
        broken = [name for name, tensor in tensors.items() if not np.isfinite(tensor).all()]
        if broken:
            raise EngineError(f"context is not finite ({', '.join(broken)}): observation dropped")
        return Context(tensors, state, observation.stamp_ns, self._clock() - begin_ns)

    def velocity(self, context: Context) -> Field:
        """Return what the step graph gives at (x [H, A], t) for one observation.

        A velocity for a flow; what a diffusion's sampler or a regression predicts.
        """
        if self.spec.sampler.kind == "regression":
            return _answer(self._step, context.tensors)
        return _field(self._step, context.tensors)

    def guided_velocity(self, context: Context, given: Guidance) -> Velocity:
        """Return v(x [H, A], t) given the previous chunk, by the graph made for that.

        Guided with the exact derivative, or with its first actions frozen, as the spec's mode
        says. Raises `EngineError` without such a graph.
        """
        graph = self._guided
        if graph is None:
            raise EngineError(
                f"policy '{self.spec.name}' takes no prefix (rtc mode '{self.spec.rtc.mode}')"
            )
        more = _given(given)
        if self.spec.rtc.mode == "guided":
            more["clip"] = np.asarray([given.clip], dtype=np.float32)
        return _field(graph, {**more, **context.tensors})

    def whole_chunk(self, context: Context, given: Guidance | None = None) -> WholeChunk | None:
        """Return the graph that runs all steps of a chunk at once; None where there is none.

        With `given`, of a chunk that follows on by the trained prefix.
        """
        if self.spec.sampler.kind != "flow" or self._chunk is None:
            return None
        if given is None:
            return WholeChunk(self._chunk, context.tensors)
        if self.spec.rtc.mode != "prefix" or self._chunk_rtc is None:
            return None
        return WholeChunk(self._chunk_rtc, {**_given(given), **context.tensors})

    def sample(
        self,
        context: Context,
        noise: F32,
        follows: ActionChunk | None = None,
        steps: int | None = None,
        deadline_ns: int | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> ActionChunk:
        """Make a chunk of `noise` [H, A] in `steps` (default: the spec's) steps, fewer when late.

        `follows` is what `core.rtc.left_over` left of the previous chunk at this observation.
        `deadline_ns` is of the injected clock; a graph of the whole chunk runs where that is far
        enough away, and is not cut short. Raises `EngineError` for a non-finite output,
        noise of another shape, or something to follow, if the bundle has no real-time chunking,
        and `Cancelled` before the step at which `cancelled()` says yes.
        """
        spec = self.spec
        if noise.shape != spec.flow_shape:
            raise EngineError(f"noise is {noise.shape}, policy needs {spec.flow_shape}")
        solver = make_solver(spec.sampler, spec.steps if steps is None else steps, noise)
        given = None if follows is None else self._guidance(context, follows)
        with self._sampling:
            limits = _Limits(self._clock(), deadline_ns, cancelled)
            result = self._solve(context, solver, noise, given, limits)
        actions = spec.unnormalise_actions(result.sample, context.state)
        info = self._info(context, limits.begin_ns, result.steps)
        if follows is not None:
            info = replace(info, guided=True, prefix_length=follows.info.prefix_length)
        return ActionChunk(actions, context.stamp_ns, spec.dt_ns, spec.action_names, info=info)

    def _solve(
        self, context: Context, solver: Solver, noise: F32, given: Guidance | None, limits: _Limits
    ) -> Integration:
        """Run all steps by one graph where there is one and time for it, else one by one."""
        begin_ns, deadline_ns, cancelled = limits
        whole = self.whole_chunk(context, given) if takes(solver) else None
        if whole is not None and self._pace.fits(len(solver.times), deadline_ns):
            if cancelled is not None and cancelled():
                raise Cancelled(f"cancelled before step 1 of {len(solver.times)}")
            result = whole.solve(solver, noise)
        else:
            hurry = None if deadline_ns is None else _deadline(self._clock, begin_ns, deadline_ns)
            field = self._field(context, given, solver.strides)
            hurry = field.watch(hurry) if isinstance(field, GuidedField) else hurry
            result = solve(solver, field, noise, out_of_time=hurry, cancelled=cancelled)
        if whole is not None:
            self._pace.took(result.steps, begin_ns)
        return result

    def hang_up(self) -> None:
        """Do nothing: `cancelled` ends a chunk within a step, or within a whole chunk's graph."""

    def _guidance(self, context: Context, follows: ActionChunk) -> Guidance:
        """Say what a chunk that follows on from another is drawn to."""
        if follows.stamp_ns != context.stamp_ns:
            raise EngineError(
                f"what it follows is of {follows.stamp_ns} ns, observation of "
                f"{context.stamp_ns} ns: move it there with core.rtc.left_over"
            )
        return guidance(follows, self.spec, context.state)

    def _field(self, context: Context, given: Guidance | None, steps: int) -> Field:
        """Return what evaluates one step: of a chunk that follows on from another if `given`."""
        if given is None:
            return self.velocity(context)
        exact, rtc = partial(self.guided_velocity, context), self.spec.rtc
        if rtc.mode != "guided" or rtc.guidance != "identity":
            with_previous = exact(given)  # a policy without it says so before it computes
        if rtc.mode == "prefix":
            return with_previous
        return GuidedField((self.velocity(context), exact), given, steps, rtc.guidance)

    def _info(self, context: Context, begin_ns: int, steps: int) -> ChunkInfo:
        self._chunk_id += 1
        end_ns = self._clock()
        return ChunkInfo(
            chunk_id=self._chunk_id,
            bundle_sha256=self._sha256,
            steps=steps,
            inference_begin_ns=begin_ns - context.encode_ns,
            inference_end_ns=end_ns,
            encode_ns=context.encode_ns,
            sample_ns=end_ns - begin_ns,
        )


def _given(given: Guidance) -> dict[str, Array]:
    return {"previous": given.previous[None], "weights": given.weights[None]}


def _field(graph: Graph, fixed: Mapping[str, Array]) -> Velocity:
    run = graph.bind(fixed)

    def evaluate(x: F32, t: float) -> F32:
        found = run({"x": x[None], "t": np.asarray([t], dtype=np.float32)})
        return _only(found, x.shape)

    return evaluate


def _answer(graph: Graph, fixed: Mapping[str, Array]) -> Field:
    """Evaluate a graph that takes neither x nor t."""
    run = graph.bind(fixed)

    def evaluate(x: F32, t: float) -> F32:
        return _only(run({}), x.shape)

    return evaluate


def _only(outputs: Mapping[str, Array], shape: tuple[int, ...]) -> F32:
    """Return the one output, of `shape` behind its batch. Raises `EngineError` for another."""
    shapes = [value.shape for value in outputs.values()]
    if shapes != [(1, *shape)]:
        raise EngineError(f"the network gives {shapes[:4]}, the policy needs one {(1, *shape)}")
    (value,) = outputs.values()
    return np.asarray(value[0], dtype=np.float32)


def _deadline(clock: Clock, begin_ns: int, deadline_ns: int) -> Callable[[int], bool]:
    """Say yes when another regular step would leave no time for the last one."""
    taken = 0

    def out_of_time(left: int) -> bool:
        nonlocal taken
        taken += 1
        now_ns = clock()
        step_ns = (now_ns - begin_ns) / taken
        return now_ns + 2 * step_ns > deadline_ns

    return out_of_time
