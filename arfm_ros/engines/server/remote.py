"""A policy on a server: one request and one answer per chunk, by the protocol of its library.

For networks that cannot be exported, or not run on the robot's machine. The server has its own
noise and its own normalisation; the network's delay adds to that of the inference.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import BundleError, Cancelled, EngineError
from arfm_ros.core.solvers.flow import Clock
from arfm_ros.core.values.data import F32, ActionChunk, ChunkInfo, Context, Observation
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines.bundle import Bundle
from arfm_ros.engines.resample import fit_image
from arfm_ros.engines.runtimes.graph import Runtime
from arfm_ros.engines.server.address import Server
from arfm_ros.engines.server.groot import GrootLine
from arfm_ros.engines.server.line import Line
from arfm_ros.engines.server.openpi import OpenpiLine
from arfm_ros.engines.server.openvla import OpenvlaLine
from arfm_ros.engines.server.trust import NOTHING, Access, require_trust

# by the scheme of the address
LINES: dict[str, type[OpenpiLine] | type[GrootLine] | type[OpenvlaLine]] = {
    "ws": OpenpiLine,
    "wss": OpenpiLine,
    "tcp": GrootLine,
    "http": OpenvlaLine,
    "https": OpenvlaLine,
}


class RemotePolicy:
    """`core.data.Policy` on a server; one thread at a time may use it."""

    views = None  # a server keeps what it wants to

    def __init__(
        self,
        spec: PolicySpec,
        server: Server,
        sha256: str,
        clock: Clock = time.monotonic_ns,
        access: Access = NOTHING,
    ) -> None:
        server.check(spec)
        line: Line = LINES[server.scheme](server, access)
        self.spec, self._line = spec, line
        self.runtime = Runtime("remote", line.protocol, server.uri, "of the server")
        self._sha256, self._clock = sha256, clock
        self._chunk_id = 0

    def encode(self, observation: Observation) -> Context:
        """Gather what the server wants; raises `SpecError` for what does not fit the spec."""
        begin_ns = self._clock()
        self.spec.check(observation)
        server = self._line.server
        cameras = {camera.name: camera for camera in self.spec.cameras}
        state = np.asarray(observation.state, dtype=np.float32)
        value = dict(zip(self.spec.state_names, self.spec.state_norm.normalise(state)))
        request: dict[str, NDArray[np.generic]] = {
            name: fit_image(observation.images[camera], cameras[camera])
            for name, camera in server.images.items()
        }
        for name, axes in server.state.items():
            request[name] = np.asarray([value[axis] for axis in axes], dtype=np.float32)
        request[server.prompt] = np.asarray(observation.instruction)
        return Context(request, state, observation.stamp_ns, self._clock() - begin_ns)

    def sample(
        self,
        context: Context,
        noise: F32,
        follows: ActionChunk | None = None,
        steps: int | None = None,
        deadline_ns: int | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> ActionChunk:
        """Ask the server for a chunk; its noise and its steps are its own.

        `cancelled()` is asked once, before the server is; when it says yes, `Cancelled` is raised.
        Raises `EngineError` for no answer until `deadline_ns` or the server's timeout, actions of
        another shape or that are not finite, and for `follows`, which the protocol has not.
        """
        if follows is not None:
            raise EngineError(f"policy '{self.spec.name}' is on a server, which takes no prefix")
        if cancelled is not None and cancelled():
            raise Cancelled("cancelled before the server was asked")
        begin_ns, spec = self._clock(), self.spec
        left_s = self._line.server.timeout_s
        if deadline_ns is not None:
            left_s = min(left_s, max(1e-9 * (deadline_ns - begin_ns), 0.0))
        actions = self.ask(context, left_s)
        if len(actions) != spec.horizon:
            raise EngineError(
                f"{self._line.server.where} sent {len(actions)} actions, policy '{spec.name}' has "
                f"{spec.horizon}: export it again"
            )
        self._chunk_id += 1
        info = ChunkInfo(
            chunk_id=self._chunk_id,
            bundle_sha256=self._sha256,
            inference_begin_ns=begin_ns - context.encode_ns,
            inference_end_ns=self._clock(),
            encode_ns=context.encode_ns,
            sample_ns=self._clock() - begin_ns,
        )
        physical = spec.unnormalise_actions(actions, context.state)
        return ActionChunk(physical, context.stamp_ns, spec.dt_ns, spec.action_names, info=info)

    def ask(self, context: Context, timeout_s: float) -> F32:
        """Return the server's actions [any, A] as it sent them.

        Raises `EngineError` for none, another number of columns, or one that is not finite.
        """
        server, spec = self._line.server, self.spec
        where, inputs = server.where, dict[str, Any](context.tensors)
        inputs[server.prompt] = str(inputs[server.prompt])
        actions = np.asarray(self._line.ask(inputs, timeout_s), dtype=np.float32)
        if actions.ndim != 2 or actions.shape[1] != len(spec.action):
            raise EngineError(
                f"{where} sent actions {list(actions.shape)}, policy '{spec.name}' needs "
                f"[H, {len(spec.action)}]: {', '.join(spec.action_names)}"
            )
        if not np.isfinite(actions).all():
            raise EngineError(f"{where} sent actions that are not finite: chunk discarded")
        return actions

    def close(self) -> None:
        """Hang up; for the thread that asks."""
        self._line.close()

    def hang_up(self) -> None:
        """Let whoever waits for the server fail at once; for any thread."""
        self._line.cut()


def probe(policy: RemotePolicy) -> float:
    """Ask for one chunk of a made-up observation and return how many ms its answer took.

    Raises `EngineError` naming the server where it gives none that fits.
    """
    noise = np.zeros(policy.spec.flow_shape, dtype=np.float32)
    try:
        chunk = policy.sample(policy.encode(policy.spec.example(seed=0)), noise)
    finally:
        policy.close()
    return 1e-6 * chunk.info.sample_ns


def open_remote(
    bundle: Bundle, clock: Clock = time.monotonic_ns, access: Access = NOTHING
) -> RemotePolicy:
    """Make the policy of a bundle whose network is on a server; connects at the first chunk.

    Raises `BundleError` if the bundle says nothing of a server, the operator did not allow it
    (`engines.trust`), or this machine has no client.
    """
    if bundle.remote is None:
        raise BundleError(f"{bundle.path} names no server: it is a bundle with graphs")
    server = Server.from_json(bundle.remote, access)
    require_trust(server.uri, access, bundle.path)
    access.key(server.uri)  # here, not at the first chunk
    missing = [name for name in LINES[server.scheme].packages if find_spec(name) is None]
    if missing:
        raise BundleError(
            f"a policy on a server needs the package '{missing[0]}': install what is needed with "
            "'.venv/bin/python -m pip install msgpack websockets pyzmq'"
        )
    return RemotePolicy(bundle.spec, server, bundle.sha256, clock, access)
