"""A policy on a server: openpi's websocket protocol, one request and one answer per chunk.

For networks that cannot be exported, or not run on the robot's machine. The server has its own
noise and its own normalisation; the network's delay adds to that of the inference.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from socket import SHUT_RDWR
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
from arfm_ros.engines.server.trust import NOTHING, Access, is_loopback, require_trust

MAX_BYTES = 2**26  # of an answer
CONNECT_S, CLOSE_S = 5.0, 1.0


@dataclass
class Line:
    """The connection: opened when it is needed, closed after whatever goes wrong."""

    server: Server
    access: Access = NOTHING
    greeting: Mapping[str, Any] = field(default_factory=dict)  # what the server says of itself
    _socket: Any = None
    _open_now: ExitStack = field(default_factory=ExitStack)

    @property
    def where(self) -> str:
        """The server, for messages."""
        return f"policy server {self.server.uri}"

    def ask(self, request: Mapping[str, Any], timeout_s: float) -> Any:
        """Send `request` and return the answer. Raises `EngineError` naming the server."""
        from websockets.exceptions import WebSocketException

        from arfm_ros.engines.server.wire import pack, unpack

        where = self.where
        try:
            socket = self._socket or self._open()
            socket.send(pack(request))
            answer = socket.recv(timeout=timeout_s)
        except TimeoutError as error:  # a late answer must not be taken for the next one's
            self.close()
            raise EngineError(f"{where} gave no answer within {timeout_s:.3g} s") from error
        except (OSError, WebSocketException, EOFError) as error:
            self.close()
            raise EngineError(f"{where} cannot be reached: {error}") from error
        if isinstance(answer, str):  # how the protocol says that the server failed
            self.close()
            last = answer.strip().splitlines()[-1:] or ["without a word"]
            raise EngineError(f"{where} failed: {last[0]}")
        return unpack(answer)

    def close(self) -> None:
        """Hang up."""
        self._open_now.close()
        self._socket = None

    def cut(self) -> None:
        """Break the connection, so that a thread in `ask` gets its error; it closes the rest."""
        socket = self._socket
        if socket is not None:
            with suppress(OSError):  # it is closed already
                socket.socket.shutdown(SHUT_RDWR)

    def _open(self) -> Any:
        from websockets.sync.client import connect

        from arfm_ros.engines.server.wire import unpack

        uri = self.server.uri
        key = self.access.key(uri)
        # A proxy of the environment is for other machines: what is for this one stays on it.
        direct: dict[str, Any] = {"proxy": None} if is_loopback(uri) else {}
        line = connect(
            uri,
            additional_headers={"Authorization": f"Api-Key {key}"} if key else None,
            compression=None,
            max_size=MAX_BYTES,
            open_timeout=CONNECT_S,
            close_timeout=CLOSE_S,
            ping_interval=None,  # a server that computes does not answer pings
            **direct,
        )
        self._socket = self._open_now.enter_context(line)
        self.greeting = unpack(self._socket.recv(timeout=CONNECT_S))
        return self._socket


class RemotePolicy:
    """`core.data.Policy` on a server; one thread at a time may use it."""

    def __init__(
        self,
        spec: PolicySpec,
        server: Server,
        sha256: str,
        clock: Clock = time.monotonic_ns,
        access: Access = NOTHING,
    ) -> None:
        server.check(spec)
        self.spec, self._line = spec, Line(server, access)
        self.runtime = Runtime("remote", "openpi", server.uri, "of the server")
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
                f"{self._line.where} sent {len(actions)} actions, policy '{spec.name}' has "
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
        server, spec, where = self._line.server, self.spec, self._line.where
        request: dict[str, Any] = dict(context.tensors)
        request[server.prompt] = str(request[server.prompt])
        answer = self._line.ask(request, timeout_s)
        if not isinstance(answer, dict) or server.actions not in answer:
            have = ", ".join(sorted(map(str, answer))) if isinstance(answer, dict) else "no map"
            raise EngineError(f"{where} sent no '{server.actions}' but: {have}")
        actions = np.asarray(answer[server.actions], dtype=np.float32)
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
    try:
        import msgpack  # noqa: F401
        import websockets  # noqa: F401
    except ImportError as error:
        raise BundleError(
            f"a policy on a server needs the package '{error.name}': install both with "
            "'.venv/bin/python -m pip install msgpack websockets'"
        ) from error
    return RemotePolicy(bundle.spec, server, bundle.sha256, clock, access)
