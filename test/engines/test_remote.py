"""The remote engine against a real websocket server that speaks openpi's protocol."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from openpi_rig import PolicyServer, packed, unpacked
from policy_rig import STATE, served

from arfm_ros.cli.__main__ import main
from arfm_ros.core.errors import BundleError, Cancelled, ConfigError, EngineError, SpecError
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.doctor.policy import check_policy
from arfm_ros.engines import load_bundle, load_policy
from arfm_ros.engines.server.remote import RemotePolicy, open_remote
from arfm_ros.engines.server.trust import Access
from arfm_ros.engines.server.wire import pack, unpack
from arfm_ros.export.vla.interface import read_interface

NAMES = (*(f"fr3_joint{i}" for i in range(1, 8)), "gripper")
FILE = f"""
cameras: {{observation/exterior_image_1_left: scene, observation/wrist_image_left: wrist}}
state:
  observation/joint_position: [{", ".join(NAMES[:7])}]
  observation/gripper_position: [gripper]
actions: [{", ".join(NAMES)}]
relative: [{", ".join(NAMES[:7])}]
dt_s: 0.05
instruction: lift the cube
image_size: [32, 32]
"""


def actions(request: dict[str, np.ndarray]) -> dict[str, object]:
    """Answer with actions that say what was asked: the mean pixel and the state."""
    rows = np.zeros((10, 8), np.float64)
    rows[:, :7] = 0.01 * request["observation/joint_position"]
    rows[:, 7] = request["observation/wrist_image_left"].mean() / 255
    return {"actions": rows, "server_timing": {"infer_ms": np.float32(1.0)}}


@pytest.fixture
def server() -> Iterator[PolicyServer]:
    server = PolicyServer(actions)
    yield server
    server.close()


@pytest.fixture
def interface(tmp_path: Path) -> Path:
    path = tmp_path / "robot.yaml"
    path.write_text(FILE)
    return path


def exported(server: PolicyServer, interface: Path, more: str = "", *options: str) -> Path:
    if more:
        interface.write_text(FILE + more)
    bundle = interface.with_name("bundle")
    words = ["--out", str(bundle), "--interface", str(interface), *options]
    assert main(["export", f"remote:{server.uri}", *words]) == 0
    return bundle


def ask(policy: RemotePolicy, **more: object) -> ActionChunk:
    context = policy.encode(policy.spec.example(1))
    return policy.sample(context, np.zeros(policy.spec.flow_shape, np.float32), **more)


def test_what_is_packed_is_read_back_and_as_openpi_writes_it() -> None:
    value = {
        "image": np.arange(24, dtype=np.uint8).reshape(2, 4, 3),
        "number": np.float32(0.5),
        "text": "lift",
        "deep": {"list": [1, 2.5, None, True], "empty": np.zeros((0, 3))},
    }
    for again in (unpack(pack(value)), unpack(packed(value)), unpacked(pack(value))):
        np.testing.assert_array_equal(again["image"], value["image"])
        assert again["image"].dtype == np.uint8 and again["number"] == 0.5
        assert again["deep"]["list"] == [1, 2.5, None, True]
        assert again["deep"]["empty"].shape == (0, 3)


def test_bytes_that_are_no_message_are_refused() -> None:
    lie = {b"__ndarray__": True, b"data": b"123", b"dtype": "<f4", b"shape": [4]}
    evil = {b"__ndarray__": True, b"data": b"", b"dtype": "O", b"shape": [0]}
    import msgpack

    for data in (b"\xc1", b"", msgpack.packb(lie), msgpack.packb(evil)):
        with pytest.raises(EngineError, match="no policy server's message"):
            unpack(data)


def test_the_server_gets_the_observation_and_its_actions_become_a_chunk(
    server: PolicyServer, interface: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RIG_KEY", "secret")
    bundle = exported(server, interface, "", "--key-variable", "RIG_KEY")
    written = (bundle / "policy.json").read_text()
    assert "secret" not in written and "RIG_KEY" not in written
    policy = open_remote(load_bundle(bundle), access=Access("RIG_KEY"))
    assert isinstance(policy, RemotePolicy) and policy.spec.horizon == 10
    seen = policy.spec.example(1)
    chunk = ask(policy)
    got = server.requests[-1]
    assert server.headers[-1]["Authorization"] == "Api-Key secret"
    assert got["prompt"] == "lift the cube"
    assert got["observation/wrist_image_left"].dtype == np.uint8
    np.testing.assert_array_equal(got["observation/wrist_image_left"], seen.images["wrist"])
    np.testing.assert_allclose(got["observation/joint_position"], seen.state[:7], rtol=1e-6)
    np.testing.assert_allclose(chunk.actions[3, :7], 1.01 * seen.state[:7], rtol=1e-5)
    assert chunk.actions[0, 7] == pytest.approx(seen.images["wrist"].mean() / 255)
    assert chunk.names == NAMES and chunk.stamp_ns == seen.stamp_ns
    assert chunk.info.bundle_sha256 == load_bundle(bundle).sha256
    ask(policy)
    assert len(server.headers) == 2  # one line for the export, one for all chunks
    policy.close()


def test_a_server_that_is_gone_is_named_and_found_again(
    server: PolicyServer, interface: Path
) -> None:
    policy = load_policy(exported(server, interface))
    ask(policy)
    server.close()
    for _ in range(2):
        with pytest.raises(EngineError, match=f"{server.uri} cannot be reached"):
            ask(policy)
    again = PolicyServer(actions, server.port)
    assert ask(policy).horizon == 10
    policy.close()
    again.close()


def test_a_slow_answer_is_given_up_and_not_taken_for_the_next_one(
    server: PolicyServer, interface: Path
) -> None:
    policy = load_policy(exported(server, interface, "extra: {timeout_s: 30.0}\n"))
    release = threading.Event()

    def slow(request: dict[str, np.ndarray]) -> dict[str, object]:
        release.wait(30.0)
        return {"actions": np.full((10, 8), 9.0)}

    server.infer = slow
    soon = policy._clock() + 50_000_000
    with pytest.raises(EngineError, match=f"{server.uri} gave no answer within 0.0"):
        ask(policy, deadline_ns=soon)
    server.infer = actions
    release.set()
    assert np.abs(ask(policy).actions).max() < 9
    policy.close()


def test_answers_that_do_not_fit_are_named(server: PolicyServer, interface: Path) -> None:
    policy = load_policy(exported(server, interface))
    for answer, words in (
        ({"actions": np.zeros((10, 32))}, r"\[10, 32\].* needs \[H, 8\]: fr3_joint1, .*gripper"),
        ({"actions": np.zeros((7, 8))}, "sent 7 actions, policy 'bundle' has 10"),
        ({"actions": np.full((10, 8), np.nan)}, "not finite"),
        ({"chunk": np.zeros((10, 8))}, "sent no 'actions' but: chunk"),
        ("Traceback\n  File\nKeyError: 'prompt'\n", "failed: KeyError: 'prompt'"),
        (b"\xc1", "no policy server's message"),
    ):
        server.infer = lambda request, answer=answer: answer  # type: ignore[misc]
        with pytest.raises(EngineError, match=words):
            ask(policy)
    server.infer = actions
    assert ask(policy).horizon == 10
    with pytest.raises(EngineError, match="takes no prefix"):
        ask(policy, follows=ask(policy))
    policy.close()


def test_the_export_says_what_keeps_it(
    server: PolicyServer, interface: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(uri: str, *words: str) -> str:
        out = str(interface.with_name("other"))
        assert main(["export", f"remote:{uri}", "--out", out, *words]) == 1
        return capsys.readouterr().err

    assert "give --interface" in refused(server.uri)
    file = ("--interface", str(interface))
    assert "needs ws://HOST:PORT" in refused("localhost:8000", *file)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"ws://127.0.0.1:{free.getsockname()[1]}"
        assert "cannot be reached" in refused(nobody, *file)
    server.infer = lambda request: {"actions": np.zeros((10, 32))}
    assert "needs [H, 8]" in refused(server.uri, *file)
    key = ("--key-variable", "RIG_KEY_UNSET")
    assert "set RIG_KEY_UNSET to the API key" in refused(server.uri, *file, *key)
    interface.write_text(FILE + "extra: {key_variable: RIG_KEY}\n")
    assert "give --key-variable instead" in refused(server.uri, *file)
    assert not interface.with_name("other").exists()


def test_a_bundle_that_asks_for_unknown_inputs_is_refused(
    server: PolicyServer, interface: Path
) -> None:
    bundle = exported(server, interface)
    text = (bundle / "policy.json").read_text()
    (bundle / "policy.json").write_text(text.replace('_left": "wrist"', '_left": "hand"'))
    with pytest.raises(BundleError, match="wants camera hand, spec has scene, wrist"):
        load_policy(bundle)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("dt_s: 0.05\n", "", "needs cameras, state, actions, dt_s, instruction"),
        ("dt_s: 0.05", "dt_s: often", "malformed"),
        ("relative: [", "relative: [elbow, ", "relative names elbow"),
        (
            "dt_s: 0.05",
            "hz: 20\ndt_s: 0.05",
            "may have relative, image_size, robot, spaces, extra",
        ),
        ("dt_s: 0.05", "dt_s: 0.0", "seconds between two actions"),
    ],
)
def test_an_interface_file_says_what_is_wrong_with_it(
    interface: Path, before: str, after: str, words: str
) -> None:
    interface.write_text(FILE.replace(before, after))
    with pytest.raises(ConfigError, match=words):
        read_interface(interface)


def test_the_observation_is_checked_before_anything_is_sent(
    server: PolicyServer, interface: Path
) -> None:
    policy = load_policy(exported(server, interface))
    before = len(server.requests)
    example = policy.spec.example(0)
    example.state[2] = np.nan
    with pytest.raises(SpecError, match="not finite: fr3_joint3"):
        policy.encode(example)
    assert len(server.requests) == before


def test_check_and_doctor_ask_the_server_once(
    server: PolicyServer, interface: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = exported(server, interface)
    asked = len(server.requests)
    assert main(["check", str(bundle)]) == 0
    said = capsys.readouterr().out
    assert f"{server.uri} answered within" in said and "nothing to compare" in said
    assert f"{server.uri} answered within" in check_policy(str(bundle)).found
    assert len(server.requests) == asked + 2
    server.close()
    assert main(["check", str(bundle)]) == 1
    assert "cannot be reached" in capsys.readouterr().err
    found = check_policy(str(bundle))
    assert found.level == "FAIL" and "start the server" in found.fix


def test_a_chunk_that_nobody_wants_is_not_asked_for(server: PolicyServer, interface: Path) -> None:
    policy = load_policy(exported(server, interface))
    asked = len(server.requests)
    with pytest.raises(Cancelled):
        ask(policy, cancelled=lambda: True)
    ask(policy, cancelled=lambda: False)
    assert len(server.requests) == asked + 1
    policy.close()


def test_a_policy_node_serves_a_policy_on_a_server(
    server: PolicyServer, interface: Path, ros_domain: int
) -> None:
    bundle = exported(server, interface)
    with served(bundle, ros_domain) as robot:
        robot.hears("no instruction")
        robot.instruct("push the cube")
        robot.hears_more_chunks(3)
        first = np.array(robot.chunks[-1].points[0].positions[:7])
    assert server.requests[-1]["prompt"] == "push the cube"
    np.testing.assert_allclose(first, 1.01 * STATE[:7], rtol=1e-4)


def test_a_server_that_comes_back_within_the_patience_is_used_again_without_being_asked(
    server: PolicyServer, interface: Path, ros_domain: int
) -> None:
    bundle = exported(server, interface)
    with served(bundle, ros_domain, "max_failures:=2", "patience_s:=30.0") as robot:
        robot.instruct("push the cube")
        robot.hears_more_chunks(2)
        server.close()
        robot.hears("cannot be reached")
        again = PolicyServer(actions, server.port)
        robot.hears_more_chunks(3)
        assert robot.health[-1][2]["state"] == "active"
    again.close()
