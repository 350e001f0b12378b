"""The remote engine against a real HTTP server that answers as OpenVLA's and OFT's do."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arfm_ros.cli.__main__ import main
from arfm_ros.core.errors import BundleError, EngineError
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.engines import load_bundle, load_policy
from arfm_ros.engines.server.remote import RemotePolicy, open_remote
from arfm_ros.engines.server.trust import Access

ARM = tuple(f"fr3_joint{i}" for i in range(1, 8))
FILE = f"""
cameras: {{full_image: scene, wrist_image: wrist}}
state: {{state: [{", ".join(ARM)}, gripper]}}
actions: [{", ".join(ARM)}, gripper]
relative: [{", ".join(ARM)}]
dt_s: 0.05
instruction: lift the cube
image_size: [32, 48]
extra: {{prompt: instruction, timeout_s: 30.0}}
"""


def encoded(one: Any) -> dict[str, Any]:
    """Encode as json_numpy does."""
    one = np.asarray(one)
    data = base64.b64encode(one.tobytes()).decode()
    return {"__numpy__": data, "dtype": one.dtype.descr[0][1], "shape": one.shape}


def decoded(raw: dict[str, Any]) -> Any:
    if "__numpy__" not in raw:
        return raw
    data = base64.b64decode(raw["__numpy__"])
    return np.frombuffer(data, raw["dtype"]).reshape(raw["shape"])


def chunk_of(seen: dict[str, Any]) -> Any:
    """Answer as OFT does: a list of arrays."""
    assert seen["full_image"].shape == (32, 48, 3) and seen["full_image"].dtype == np.uint8
    mean = seen["wrist_image"].mean() / 255
    action = np.append(0.01 * seen["state"][:7].astype(np.float64), mean)
    return [encoded(action) for _ in range(8)]


class Server:
    """A real server in a thread of the test."""

    def __init__(self, infer: Callable[[dict[str, Any]], Any] = chunk_of, port: int = 0) -> None:
        self.infer, self.requests, self.keys = infer, list[dict[str, Any]](), list[str]()
        rig = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"]))
                rig.keys.append(self.headers.get("Authorization", ""))
                rig.requests.append(json.loads(text, object_hook=decoded))
                assert self.path == "/act"
                answer = rig.infer(rig.requests[-1])
                failed = isinstance(answer, Exception)
                body = str(answer) if failed else json.dumps(answer)
                self.send_response(500 if failed else 200)
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *words: Any) -> None:
                pass

        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def exported(server: Server, folder: Path, *options: str, text: str = FILE) -> Path:
    (folder / "robot.yaml").write_text(text)
    words = ["--out", str(folder / "bundle"), "--interface", str(folder / "robot.yaml"), *options]
    assert main(["export", f"remote:{server.uri}", *words]) == 0
    return folder / "bundle"


def ask(policy: RemotePolicy, **more: object) -> ActionChunk:
    context = policy.encode(policy.spec.example(1))
    return policy.sample(context, np.zeros(policy.spec.flow_shape, np.float32), **more)


def test_a_chunk_comes_of_what_oft_answers(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RIG_KEY", "secret")
    bundle = exported(server, tmp_path, "--key-variable", "RIG_KEY")
    policy = open_remote(load_bundle(bundle), access=Access("RIG_KEY"))
    seen, chunk = policy.spec.example(1), ask(policy)
    assert policy.spec.horizon == 8 and policy.runtime.version == "openvla"
    assert server.requests[-1]["instruction"] == "lift the cube"
    assert server.keys[-1] == "Bearer secret"
    np.testing.assert_allclose(chunk.actions[3, :7], 1.01 * seen.state[:7], rtol=1e-5)
    assert chunk.actions[0, 7] == pytest.approx(seen.images["wrist"].mean() / 255)
    policy.close()


def test_openvla_answers_one_action_as_a_text_in_json(server: Server, tmp_path: Path) -> None:
    server.infer = lambda seen: json.dumps(encoded(np.full(8, 0.25)))
    policy = load_policy(exported(server, tmp_path))
    assert isinstance(policy, RemotePolicy) and policy.spec.horizon == 1
    assert ask(policy).actions[0, 7] == pytest.approx(0.25)
    server.infer = lambda seen: [0.25] * 8  # as a plain list
    assert ask(policy).actions[0, 7] == pytest.approx(0.25)
    policy.close()


def test_a_server_that_is_gone_is_named_and_found_again(server: Server, tmp_path: Path) -> None:
    policy = load_policy(exported(server, tmp_path))
    server.close()
    policy.close()
    for _ in range(2):
        with pytest.raises(EngineError, match=f"{server.uri} cannot be reached"):
            ask(policy)
    again = Server(port=server.port)
    assert ask(policy).horizon == 8
    policy._line._connection.sock.close()  # type: ignore[attr-defined]  # hung up meanwhile
    assert ask(policy).horizon == 8
    policy.close()
    again.close()


def test_who_is_slow_is_given_up_and_who_waits_is_let_go(server: Server, tmp_path: Path) -> None:
    policy = load_policy(exported(server, tmp_path))
    release = threading.Event()

    def slow(seen: dict[str, Any]) -> Any:
        release.wait(20.0)
        return [encoded(np.full(8, 9.0))] * 8

    server.infer = slow
    with pytest.raises(EngineError, match="gave no answer within 0.0"):
        ask(policy, deadline_ns=policy._clock() + 50_000_000)
    timer, begin = threading.Timer(0.3, policy.hang_up), time.monotonic()
    timer.start()
    with pytest.raises(EngineError, match="cannot be reached"):
        ask(policy)
    assert time.monotonic() - begin < 10.0
    server.infer = chunk_of
    release.set()
    assert np.abs(ask(policy).actions).max() < 9
    policy.close()


def test_answers_that_do_not_fit_are_named(server: Server, tmp_path: Path) -> None:
    policy = load_policy(exported(server, tmp_path))
    short, lie = encoded(np.zeros(4)), encoded(np.zeros(4)) | {"shape": [9]}
    for answer, words in (
        ([encoded(np.zeros(7))] * 8, r"actions \[8, 7\], policy 'bundle' needs \[H, 8\]"),
        ([encoded(np.zeros(8))] * 3, "sent 3 actions, policy 'bundle' has 8"),
        ([encoded(np.full(8, np.nan))] * 8, "not finite"),
        ({"actions": 1}, "sent no actions: a map of actions"),
        ([short, encoded(np.zeros(8))], "sent no actions"),
        ([lie], "are no array of float64"),
        ({**short, "dtype": "O"}, "are no array of object"),
        ("no json", "sent no actions"),
        (ValueError("CUDA out of memory"), "failed: HTTP 500 CUDA out of memory"),
    ):
        server.infer = lambda seen, answer=answer: answer  # type: ignore[misc]
        with pytest.raises(EngineError, match=words):
            ask(policy)
    server.infer = chunk_of
    assert ask(policy).horizon == 8
    policy.close()


def test_a_plain_line_to_another_machine_needs_the_operator(
    server: Server, tmp_path: Path
) -> None:
    path = exported(server, tmp_path) / "policy.json"
    path.write_text(path.read_text().replace(server.uri, "http://192.0.2.1:8777"))
    with pytest.raises(BundleError, match="not encrypted.*use https://"):
        load_policy(path.parent)
    with pytest.raises(BundleError, match="nobody confirmed the server 192.0.2.1:8777"):
        open_remote(load_bundle(path.parent), access=Access(allow_plain=True))
