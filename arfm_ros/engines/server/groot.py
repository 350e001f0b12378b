"""GR00T's policy server: ZeroMQ, one request and one answer per chunk.

Messages are MessagePack, with arrays as .npy files in them. Servers of N1.5 take one observation
under names with a prefix (`video.ego_view`), those of N1.6 and later a batch of one in nested
maps; what the server says of its modalities tells which. The protocol is that of
`gr00t/eval/service.py` and `gr00t/policy/server_client.py` (github.com/NVIDIA/Isaac-GR00T).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from math import prod
from socket import create_connection
from typing import Any, ClassVar
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import EngineError
from arfm_ros.engines.server.address import Server
from arfm_ros.engines.server.line import CONNECT_S, MAX_BYTES
from arfm_ros.engines.server.trust import NOTHING, SCHEMES, Access

SLICE_S = 0.02  # how often somebody who waits looks whether he still may
ARRAY, MODALITY = "__ndarray_class__", "__ModalityConfig_class__"
KINDS = "fiub"  # of number: float, integers, bool
READ = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True, slots=True)
class Modalities:
    """What a server takes and gives, by its own names."""

    video: tuple[str, ...]
    state: tuple[str, ...]
    action: tuple[str, ...]
    language: str
    flat: bool  # N1.5: names with a prefix, no batch


@dataclass
class GrootLine:
    """`Line` of GR00T."""

    protocol: ClassVar[str] = "gr00t"
    packages: ClassVar[tuple[str, ...]] = ("msgpack", "zmq")
    server: Server
    access: Access = NOTHING
    _socket: Any = None
    _monitor: Any = None
    _modalities: Modalities | None = None
    _cut: threading.Event = field(default_factory=threading.Event)

    def ask(self, inputs: Mapping[str, Any], timeout_s: float) -> Any:
        """Send the inputs and return the actions [H, A]. Raises `EngineError`."""
        names = self._modalities or self._learn()
        answer = self._call("get_action", self._observation(inputs, names), timeout_s)
        if isinstance(answer, (list, tuple)) and answer:
            answer = answer[0]  # and what is said beside them
        if not isinstance(answer, dict):
            raise EngineError(f"{self.server.where} sent no actions but {type(answer).__name__}")
        given = {str(key).removeprefix("action."): value for key, value in answer.items()}
        keys = self.server.actions or names.action
        if missing := [key for key in keys if key not in given]:
            have = ", ".join(sorted(given))
            raise EngineError(f"{self.server.where} sent no '{missing[0]}' but: {have}")
        try:
            return np.concatenate([_rows(given[key]) for key in keys], axis=1)
        except ValueError as error:
            raise EngineError(f"{self.server.where} sent actions that fit not: {error}") from error

    def close(self) -> None:
        """Hang up."""
        socket, self._socket, self._modalities = self._socket, None, None
        if socket is not None:
            socket.disable_monitor()
            self._monitor.close(linger=0)
            socket.close(linger=0)

    def cut(self) -> None:
        """Let who waits in `ask` fail; a socket of ZeroMQ is for its own thread."""
        self._cut.set()

    def _learn(self) -> Modalities:
        """Ask what the server takes, and hold the names of the bundle against it."""
        raw = self._call("get_modality_config", None, CONNECT_S)
        try:
            names = _modalities(raw)
        except ValueError as error:
            raise EngineError(f"{self.server.where} takes {error}, one is sent") from error
        except (AttributeError, KeyError, TypeError) as error:
            raise EngineError(
                f"{self.server.where} says nothing of its modalities: is it GR00T's? ({error!r})"
            ) from error
        for kind, wanted, named in (
            ("cameras", names.video, tuple(self.server.images)),
            ("state", names.state, tuple(self.server.state)),
        ):
            if set(wanted) != set(named):
                raise EngineError(
                    f"{self.server.where} takes {kind} {', '.join(wanted) or 'none'}, the bundle "
                    f"names {', '.join(named) or 'none'}: see the interface file"
                )
        self._modalities = names
        return names

    def _observation(self, inputs: Mapping[str, Any], names: Modalities) -> dict[str, Any]:
        """Put the inputs together as the server wants them: one step of time, nobody else's."""
        video = {key: inputs[key][None] for key in names.video}
        state = {key: inputs[key][None] for key in names.state}
        words = [inputs[self.server.prompt]]
        if names.flat:
            flat = {f"video.{key}": value for key, value in video.items()}
            flat |= {f"state.{key}": value for key, value in state.items()}
            return flat | {names.language: words}
        batch = {
            "video": {key: value[None] for key, value in video.items()},
            "state": {key: value[None] for key, value in state.items()},
            "language": {names.language: [words]},
        }
        return {"observation": batch, "options": None}

    def _call(self, endpoint: str, data: Mapping[str, Any] | None, timeout_s: float) -> Any:
        """Ask one thing; whatever goes wrong ends the connection."""
        import zmq

        request: dict[str, Any] = {"endpoint": endpoint}
        if data is not None:
            request["data"] = data
        if key := self.access.key(self.server.uri):
            request["api_token"] = key
        try:
            if self._socket is not None and self._monitor.poll(0):
                self.close()  # it hung up between two chunks, and may be back
            socket = self._socket or self._open()
            socket.send(pack(request))
            answer = unpack(self._receive(timeout_s))
        except (zmq.ZMQError, OSError) as error:
            self.close()
            raise EngineError(f"{self.server.where} cannot be reached: {error}") from error
        except EngineError:
            self.close()
            raise
        if isinstance(answer, dict) and "error" in answer:
            self.close()
            last = str(answer["error"]).strip().splitlines()[-1:] or ["without a word"]
            raise EngineError(f"{self.server.where} failed: {last[0]}")
        return answer

    def _open(self) -> Any:
        import zmq

        self._cut.clear()
        parts = urlsplit(self.server.uri)  # ZeroMQ itself would wait for who refuses
        port = parts.port or SCHEMES[parts.scheme]
        create_connection((parts.hostname or "", port), CONNECT_S).close()
        socket: Any = zmq.Context.instance().socket(zmq.REQ)
        self._socket = socket
        self._monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        socket.setsockopt(zmq.IPV6, 1)
        socket.setsockopt(zmq.IMMEDIATE, 1)  # nothing is sent to where nobody listens yet
        socket.setsockopt(zmq.SNDTIMEO, round(CONNECT_S * 1000))
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_BYTES)
        socket.connect(self.server.uri)
        return socket

    def _receive(self, timeout_s: float) -> bytes:
        """Wait for the answer, and for who ends the waiting. Raises `EngineError`."""
        import zmq

        where, until_s = self.server.where, time.monotonic() + timeout_s
        poller = zmq.Poller()
        for one in (self._socket, self._monitor):
            poller.register(one, zmq.POLLIN)
        while (left_s := until_s - time.monotonic()) > 0:
            come = dict(poller.poll(round(1000 * min(left_s, SLICE_S)) + 1))
            if self._socket in come:
                return bytes(self._socket.recv())
            if self._monitor in come:
                raise EngineError(f"{where} cannot be reached: it hung up")
            if self._cut.is_set():
                raise EngineError(f"{where} is asked no more")
        # a late answer must not be taken for the next one's: the caller hangs up
        raise EngineError(f"{where} gave no answer within {timeout_s:.3g} s")


def pack(value: Any) -> bytes:
    """Write `value`, of maps, lists, texts, numbers and arrays."""
    from arfm_ros.engines.server import wire

    return wire.pack(value, _describe)


def unpack(data: bytes) -> Any:
    """Read what `pack` wrote. Raises `EngineError` for bytes that are something else."""
    from arfm_ros.engines.server import wire

    return wire.unpack(data, _restore)


def _describe(value: Any) -> dict[str, Any]:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in KINDS:
        raise TypeError(f"cannot send {type(value).__name__}")
    file = BytesIO()
    np.save(file, value, allow_pickle=False)
    return {ARRAY: True, "as_npy": file.getvalue()}


def _restore(raw: dict[Any, Any]) -> Any:
    if MODALITY in raw:
        told = raw["as_json"]
        return json.loads(told) if isinstance(told, (str, bytes)) else told
    return _array(raw["as_npy"]) if ARRAY in raw else raw


def _array(data: bytes) -> NDArray[Any]:
    """Read a .npy file of numbers, whose size is that of its data."""
    file = BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version not in READ:
        raise ValueError(f"an array of version {version} is not taken")
    shape, fortran, dtype = READ[version](file)
    if dtype.kind not in KINDS or len(data) - file.tell() != prod(shape) * dtype.itemsize:
        raise ValueError(f"{len(data)} bytes are no array of {dtype} {shape}")
    flat = np.frombuffer(data, dtype, offset=file.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def _modalities(raw: Mapping[str, Any]) -> Modalities:
    keys = {kind: _keys(raw[kind]) for kind in ("video", "state", "action", "language")}
    if len(keys["language"]) != 1:
        raise ValueError(f"{len(keys['language'])} instructions")
    for kind in ("video", "state"):
        steps = len(raw[kind]["delta_indices"])
        if keys[kind] and steps != 1:
            raise ValueError(f"{kind} of {steps} steps of time")
    bare = {kind: _bare(names, kind) for kind, names in keys.items()}
    flat = any(name.startswith("video.") for name in keys["video"])
    return Modalities(bare["video"], bare["state"], bare["action"], keys["language"][0], flat)


def _keys(raw: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(name) for name in raw["modality_keys"])


def _bare(names: Sequence[str], kind: str) -> tuple[str, ...]:
    return tuple(name.removeprefix(f"{kind}.") for name in names)


def _rows(value: Any) -> NDArray[np.float32]:
    """Make [H, D] of what a server sends: [1, H, D], [H, D], or [H] of one axis."""
    array = np.asarray(value, np.float32)
    if array.ndim == 3 and len(array) == 1:
        array = array[0]
    return array[:, None] if array.ndim == 1 else array
