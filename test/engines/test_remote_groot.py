"""The remote engine against a real ZeroMQ server that speaks GR00T's protocols."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("zmq")

from groot_rig import LANGUAGE, GrootServer, modalities  # noqa: E402
from policy_rig import STATE, served  # noqa: E402

from arfm_ros.cli.__main__ import main  # noqa: E402
from arfm_ros.core.errors import BundleError, EngineError  # noqa: E402
from arfm_ros.core.values.data import ActionChunk  # noqa: E402
from arfm_ros.engines import load_bundle, load_policy  # noqa: E402
from arfm_ros.engines.server.remote import RemotePolicy, open_remote  # noqa: E402
from arfm_ros.engines.server.trust import Access  # noqa: E402

ARM = tuple(f"fr3_joint{i}" for i in range(1, 8))
FILE = f"""
cameras: {{ego: scene, wrist: wrist}}
state: {{arm: [{", ".join(ARM)}], hand: [gripper]}}
actions: [{", ".join(ARM)}, gripper]
relative: [{", ".join(ARM)}]
dt_s: 0.05
instruction: lift the cube
image_size: [32, 48]
"""


def nested(data: dict[str, Any]) -> Any:
    """Answer as N1.6 does, checking what it checks: a batch of one step of time."""
    seen = data["observation"]
    for picture in seen["video"].values():
        assert picture.shape == (1, 1, 32, 48, 3) and picture.dtype == np.uint8
    assert seen["state"]["arm"].shape == (1, 1, 7) and seen["state"]["arm"].dtype == np.float32
    assert isinstance(seen["language"][LANGUAGE][0][0], str)
    arm = np.repeat(0.01 * seen["state"]["arm"], 10, axis=1)
    hand = np.full((1, 10, 1), seen["video"]["wrist"].mean() / 255, np.float32)
    return [{"hand": hand, "arm": arm}, {}]


def flat(data: dict[str, Any]) -> Any:
    """Answer as N1.5 does: no batch, prefixes."""
    assert data["video.ego"].shape == (1, 32, 48, 3) and data["video.ego"].dtype == np.uint8
    assert data["state.hand"].shape == (1, 1) and isinstance(data[LANGUAGE][0], str)
    arm = np.repeat(0.01 * data["state.arm"], 10, axis=0)
    return {"action.arm": arm, "action.hand": np.full(10, data["video.wrist"].mean() / 255)}


@pytest.fixture(params=[False, True], ids=["n1.6", "n1.5"])
def server(request: pytest.FixtureRequest) -> Iterator[GrootServer]:
    server = GrootServer(flat if request.param else nested, request.param)
    yield server
    server.close()


@pytest.fixture
def one() -> Iterator[GrootServer]:
    server = GrootServer(nested)
    yield server
    server.close()


def exported(
    server: GrootServer, folder: Path, more: str = "", *options: str, text: str = FILE
) -> Path:
    (folder / "robot.yaml").write_text(text + more)
    words = ["--out", str(folder / "bundle"), "--interface", str(folder / "robot.yaml"), *options]
    assert main(["export", f"remote:{server.uri}", *words]) == 0
    return folder / "bundle"


def ask(policy: RemotePolicy, **more: object) -> ActionChunk:
    context = policy.encode(policy.spec.example(1))
    return policy.sample(context, np.zeros(policy.spec.flow_shape, np.float32), **more)


def test_the_server_gets_the_observation_and_its_actions_become_a_chunk(
    server: GrootServer, tmp_path: Path
) -> None:
    policy = load_policy(exported(server, tmp_path))
    assert isinstance(policy, RemotePolicy) and policy.spec.horizon == 10
    assert policy.runtime.version == "gr00t"
    seen, chunk = policy.spec.example(1), ask(policy)
    data = server.requests[-1]["data"]
    words = data[LANGUAGE] if LANGUAGE in data else data["observation"]["language"][LANGUAGE][0]
    assert words == ["lift the cube"]
    np.testing.assert_allclose(chunk.actions[3, :7], 1.01 * seen.state[:7], rtol=1e-5)
    assert chunk.actions[0, 7] == pytest.approx(seen.images["wrist"].mean() / 255)
    assert chunk.stamp_ns == seen.stamp_ns
    assert chunk.info.bundle_sha256 == load_bundle(tmp_path / "bundle").sha256
    policy.close()


def test_the_order_of_the_actions_can_be_said(one: GrootServer, tmp_path: Path) -> None:
    text = FILE.replace(f"actions: [{', '.join(ARM)}, ", f"actions: [gripper, {', '.join(ARM)}")
    text = text.replace(f"{ARM[-1]}gripper]", f"{ARM[-1]}]") + "extra: {actions: [hand, arm]}\n"
    policy = load_policy(exported(one, tmp_path, text=text))
    chunk = ask(policy)
    assert chunk.names[0] == "gripper"
    assert chunk.actions[0, 0] == pytest.approx(
        policy.spec.example(1).images["wrist"].mean() / 255
    )
    policy.close()


def test_a_token_is_the_operators_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = GrootServer(nested, token="secret")
    monkeypatch.setenv("RIG_KEY", "secret")
    bundle = exported(server, tmp_path, "", "--key-variable", "RIG_KEY")
    assert "secret" not in (bundle / "policy.json").read_text()
    with pytest.raises(EngineError, match="failed: Unauthorized"):
        ask(load_policy(bundle))
    policy = open_remote(load_bundle(bundle), access=Access("RIG_KEY"))
    assert ask(policy).horizon == 10
    policy.close()
    server.close()


def test_a_server_that_is_gone_is_named_and_found_again(one: GrootServer, tmp_path: Path) -> None:
    policy = load_policy(exported(one, tmp_path))
    ask(policy)
    one.close()
    for _ in range(2):
        with pytest.raises(EngineError, match=f"{one.uri} cannot be reached"):
            ask(policy)
    again = GrootServer(nested, port=one.port)
    assert ask(policy).horizon == 10
    again.close()
    third = GrootServer(nested, port=one.port)  # it went and came between two chunks
    assert ask(policy).horizon == 10
    policy.close()
    third.close()


def test_who_dies_while_it_computes_is_noticed_before_the_time_is_over(
    one: GrootServer, tmp_path: Path
) -> None:
    policy = load_policy(exported(one, tmp_path, "extra: {timeout_s: 30.0}\n"))
    ask(policy)
    asked = threading.Event()

    def dies(data: dict[str, Any]) -> Any:
        one._over.set()
        one._socket.close()
        asked.set()
        raise SystemExit

    one.infer = dies
    begin = time.monotonic()
    with pytest.raises(EngineError, match="cannot be reached: it hung up"):
        ask(policy)
    assert asked.is_set() and time.monotonic() - begin < 10.0
    policy.close()


def test_a_slow_answer_is_given_up_and_not_taken_for_the_next_one(
    one: GrootServer, tmp_path: Path
) -> None:
    policy = load_policy(exported(one, tmp_path))
    ask(policy)
    release = threading.Event()

    def slow(data: dict[str, Any]) -> Any:
        release.wait(30.0)
        return [{"arm": np.full((1, 10, 7), 9.0), "hand": np.zeros((1, 10, 1))}, {}]

    one.infer = slow
    with pytest.raises(EngineError, match=f"{one.uri} gave no answer within 0.0"):
        ask(policy, deadline_ns=policy._clock() + 50_000_000)
    one.infer = nested
    release.set()
    assert np.abs(ask(policy).actions).max() < 9
    policy.close()


def test_who_waits_for_the_server_is_let_go(one: GrootServer, tmp_path: Path) -> None:
    policy = load_policy(exported(one, tmp_path, "extra: {timeout_s: 30.0}\n"))
    ask(policy)
    release = threading.Event()
    one.infer = lambda data: release.wait(30.0) or {}
    timer = threading.Timer(0.3, policy.hang_up)
    timer.start()
    begin = time.monotonic()
    with pytest.raises(EngineError, match="asked no more"):
        ask(policy)
    assert time.monotonic() - begin < 10.0
    release.set()
    policy.close()


def test_answers_that_do_not_fit_are_named(one: GrootServer, tmp_path: Path) -> None:
    policy = load_policy(exported(one, tmp_path))
    arm, hand = np.zeros((1, 10, 7)), np.zeros((1, 10, 1))
    for answer, words in (
        ([{"arm": arm[:, :, :6], "hand": hand}, {}], r"\[10, 7\].* needs \[H, 8\]: fr3_joint1"),
        ([{"arm": arm[:, :7], "hand": hand[:, :7]}, {}], "sent 7 actions, policy 'bundle' has 10"),
        ([{"arm": arm, "hand": hand[:, :7]}, {}], "actions that fit not"),
        ([{"arm": np.full_like(arm, np.nan), "hand": hand}, {}], "not finite"),
        ([{"legs": arm, "hand": hand}, {}], "sent no 'arm' but: hand, legs"),
        ({"error": "Traceback\n  File\nKeyError: 'state'\n"}, "failed: KeyError: 'state'"),
        (7, "sent no actions but int"),
        (b"\xc1", "no policy server's message"),
    ):
        one.infer = lambda data, answer=answer: answer  # type: ignore[misc]
        with pytest.raises(EngineError, match=words):
            ask(policy)
    one.infer = nested
    assert ask(policy).horizon == 10
    policy.close()


def test_names_and_times_that_the_server_has_not_are_said_at_the_export(
    one: GrootServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(text: str) -> str:
        (tmp_path / "robot.yaml").write_text(text)
        words = ["--out", str(tmp_path / "no"), "--interface", str(tmp_path / "robot.yaml")]
        assert main(["export", f"remote:{one.uri}", *words]) == 1
        return capsys.readouterr().err

    assert "takes cameras ego, wrist, the bundle names head, wrist" in refused(
        FILE.replace("ego: scene", "head: scene")
    )
    assert "takes state arm, hand, the bundle names arm" in refused(
        FILE.replace("hand: [gripper]", "").replace("], }", "]}")
    )
    one.modalities = modalities(False, video=2)
    assert "takes video of 2 steps of time, one is sent" in refused(FILE)
    one.modalities = {}
    assert "says nothing of its modalities: is it GR00T's?" in refused(FILE)


def test_pickles_are_refused_with_what_to_do_instead(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "robot.yaml").write_text(FILE)
    words = ["--out", str(tmp_path / "no"), "--interface", str(tmp_path / "robot.yaml")]
    assert main(["export", "remote:grpc://127.0.0.1:8080", *words]) == 1
    said = capsys.readouterr().err
    assert "pickles" in said and "lerobot:FOLDER" in said


def test_a_plain_line_to_another_machine_needs_the_operator(tmp_path: Path) -> None:
    server = GrootServer(nested)
    bundle = exported(server, tmp_path)
    server.close()
    path = bundle / "policy.json"
    path.write_text(path.read_text().replace(server.uri, "tcp://192.0.2.1:5555"))
    with pytest.raises(BundleError, match="not encrypted.*an SSH tunnel to this machine"):
        load_policy(bundle)
    with pytest.raises(BundleError, match="nobody confirmed the server 192.0.2.1:5555"):
        open_remote(load_bundle(bundle), access=Access(allow_plain=True))


def test_a_policy_node_serves_a_policy_on_a_groot_server(
    one: GrootServer, tmp_path: Path, ros_domain: int
) -> None:
    with served(exported(one, tmp_path), ros_domain) as robot:
        robot.instruct("push the cube")
        robot.hears_more_chunks(3)
        first = np.array(robot.chunks[-1].points[0].positions[:7])
    language = one.requests[-1]["data"]["observation"]["language"]
    assert language == {LANGUAGE: [["push the cube"]]}
    np.testing.assert_allclose(first, 1.01 * STATE[:7], rtol=1e-4)
