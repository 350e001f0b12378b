"""A bundle may name a server; only the operator may trust it, give it a key, or a plain line."""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from openpi_rig import PolicyServer
from policy_rig import DEADLINE_S, Robot, start_node
from test_mutated_bundles import VALUES
from test_policy_node import change
from test_remote import FILE, NAMES, actions, exported

from arfm_ros.cli.__main__ import main
from arfm_ros.core.errors import ArfmError, BundleError, ConfigError
from arfm_ros.engines import load_bundle, load_policy
from arfm_ros.engines.server.address import Server
from arfm_ros.engines.server.remote import open_remote
from arfm_ros.engines.server.trust import (
    Access,
    host_of,
    is_loopback,
    known_hosts_path,
    require_trust,
)

FAR = "ws://192.0.2.1:8000"  # of a network for documentation: nobody is there
STOPS_S = 8.0


@pytest.fixture(autouse=True)
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.fixture
def server() -> Iterator[PolicyServer]:
    server = PolicyServer(actions)
    yield server
    server.close()


@pytest.fixture
def bundle(server: PolicyServer, tmp_path: Path) -> Path:
    (tmp_path / "robot.yaml").write_text(FILE)
    return exported(server, tmp_path / "robot.yaml")


def ask_for(bundle: Path, **changes: Any) -> None:
    """Rewrite what a bundle says of its server."""
    path = bundle / "policy.json"
    raw = json.loads(path.read_text())
    raw["remote"] |= changes
    path.write_text(json.dumps(raw))


@pytest.mark.parametrize(
    ("uri", "host", "here"),
    [
        ("ws://localhost:8000", "localhost:8000", True),
        ("ws://127.0.0.1", "127.0.0.1:80", True),
        ("wss://[::1]:9", "[::1]:9", True),
        ("wss://Lab.Example/path", "lab.example:443", False),
        ("ws://127.0.0.1.example:8000", "127.0.0.1.example:8000", False),
        ("ws://2130706433:8000", "2130706433:8000", False),
        ("ws://0.0.0.0:8000", "0.0.0.0:8000", False),
    ],
)
def test_the_host_is_the_one_that_is_connected_to(uri: str, host: str, here: bool) -> None:
    assert (host_of(uri), is_loopback(uri)) == (host, here)


@pytest.mark.parametrize(
    "uri",
    ["", "ws://", "ws://a b:1", "ws://localhost@evil.example", "ws://h:99999", "ws://[::1", "x"],
)
def test_an_address_that_is_none_is_refused(uri: str) -> None:
    with pytest.raises(BundleError):
        host_of(uri)


def test_a_line_that_everybody_can_read_needs_to_be_allowed(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not encrypted.*wss://.*allow_plain.*--allow-plain"):
        require_trust(FAR, Access(), tmp_path)
    with pytest.raises(BundleError, match="nobody confirmed the server 192.0.2.1:8000"):
        require_trust(FAR, Access(allow_plain=True), tmp_path)


def test_a_host_is_confirmed_once_and_kept_by_this_user_only(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask_for(bundle, uri="wss://lab.invalid:8000")
    with pytest.raises(BundleError, match=f"run `arfm check {bundle} --trust-host lab.invalid:8"):
        load_policy(bundle)
    assert main(["check", str(bundle), "--trust-host", "other.invalid:8000"]) == 1
    assert "but the server is lab.invalid:8000" in capsys.readouterr().err
    assert not known_hosts_path().exists()
    assert main(["check", str(bundle), "--trust-host", "lab.invalid:8000"]) == 1
    said = capsys.readouterr()
    assert "lab.invalid:8000 is confirmed" in said.out and "cannot be reached" in said.err
    assert known_hosts_path().stat().st_mode & 0o077 == 0
    load_policy(bundle)  # opened from now on; it connects at its first chunk
    ask_for(bundle, uri="wss://lab.invalid:8001")  # another port is another server
    with pytest.raises(BundleError, match="nobody confirmed the server lab.invalid:8001"):
        load_policy(bundle)


def test_the_question_is_put_to_whoever_sits_there(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask_for(bundle, uri="wss://lab.invalid:8000")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    asked: list[str] = []

    def answer(word: str) -> None:
        monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or word)

    answer("")
    assert main(["check", str(bundle)]) == 1 and "lab.invalid:8000" in asked[0]
    assert not known_hosts_path().exists()
    answer("y")
    assert main(["check", str(bundle)]) == 1
    assert "lab.invalid:8000" in known_hosts_path().read_text()
    assert main(["check", str(bundle)]) == 1 and len(asked) == 2


def test_a_bundle_names_no_variable_and_gets_no_key_that_the_operator_did_not_name(
    server: PolicyServer, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "very secret")
    ask_for(bundle, key_variable="SECRET")
    with pytest.raises(BundleError, match="asks for a key in 'SECRET'.*--key-variable"):
        load_policy(bundle)
    ask_for(bundle, key_variable="")  # as bundles of earlier versions have it
    policy = load_policy(bundle)
    policy.sample(policy.encode(policy.spec.example(0)), np.zeros(policy.spec.flow_shape))
    policy.close()
    assert "Authorization" not in server.headers[-1]
    with pytest.raises(ConfigError, match="set UNSET to the API key"):
        open_remote(load_bundle(bundle), access=Access("UNSET"))


@pytest.mark.parametrize("seed", range(10))
def test_a_server_s_description_is_read_strictly(bundle: Path, seed: int) -> None:
    rng, raw = random.Random(seed), json.loads((bundle / "policy.json").read_text())["remote"]
    for _ in range(40):
        broken = json.loads(json.dumps(raw))
        holder = rng.choice([broken, broken["state"], broken["images"]])
        holder[rng.choice([*holder, "more"])] = rng.choice(VALUES)
        try:
            Server.from_json(broken).check(load_bundle(bundle).spec)
        except BundleError:
            pass


def test_a_node_sends_nothing_to_a_host_that_nobody_confirmed(
    bundle: Path, ros_domain: int
) -> None:
    with socket.socket() as listening:  # every address of this machine, so none of loopback
        listening.bind(("0.0.0.0", 0))
        listening.listen()
        listening.settimeout(0.2)
        ask_for(bundle, uri=f"ws://0.0.0.0:{listening.getsockname()[1]}")
        process = start_node(bundle, "allow_plain:=true")
        _, err = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 1 and "Traceback" not in err
        assert "nobody confirmed the server 0.0.0.0:" in err
        assert f"run `arfm check {bundle} --trust-host 0.0.0.0:" in err
        with pytest.raises(TimeoutError):
            listening.accept()


def ends(process: subprocess.Popen[str], number: int) -> None:
    begin = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=DEADLINE_S)
    assert time.monotonic() - begin < STOPS_S and "Traceback" not in err
    assert process.returncode in {0, 1}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_hangs_outlives_neither_deactivate_nor_stop(
    server: PolicyServer, bundle: Path, ros_domain: int, number: int
) -> None:
    ask_for(bundle, timeout_s=60.0)
    process, robot, release = start_node(bundle), Robot(ros_domain), threading.Event()
    try:
        robot.instruct("lift the cube")
        robot.hears_more_chunks(2)

        def hang(request: dict[str, Any]) -> dict[str, object]:
            hung.set()
            release.wait(60.0)
            return {"actions": np.zeros((10, 8))}

        for end in (lambda: change(robot, Transition.TRANSITION_DEACTIVATE), None):
            hung = threading.Event()
            server.infer = hang
            assert hung.wait(DEADLINE_S)
            if end is None:
                ends(process, number)
                continue
            begin = time.monotonic()
            assert end() and time.monotonic() - begin < STOPS_S
            server.infer = actions
            assert change(robot, Transition.TRANSITION_ACTIVATE)
            robot.hears_more_chunks(2)
    finally:
        release.set()
        process.kill()
        process.communicate()
        robot.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_hangs_while_the_node_loads_does_not_keep_it_from_stopping(
    server: PolicyServer, bundle: Path, ros_domain: int, number: int
) -> None:
    ask_for(bundle, timeout_s=60.0)
    hung, release = threading.Event(), threading.Event()

    def hang(request: dict[str, Any]) -> dict[str, object]:
        hung.set()
        release.wait(60.0)
        return {"actions": np.zeros((10, len(NAMES)))}

    server.infer = hang
    process = start_node(bundle)
    try:
        assert hung.wait(DEADLINE_S)
        ends(process, number)
    finally:
        release.set()
        process.kill()
        process.communicate()


def test_an_export_asks_no_server_that_was_not_confirmed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "robot.yaml").write_text(FILE)
    words = ["--interface", str(tmp_path / "robot.yaml"), "--out", str(tmp_path / "out")]
    for options, says in (
        ((), "is not encrypted"),
        (("--allow-plain",), "nobody confirmed the server 192.0.2.1:8000"),
    ):
        assert main(["export", f"remote:{FAR}", *words, *options]) == 1
        assert says in capsys.readouterr().err
    assert issubclass(BundleError, ArfmError) and not (tmp_path / "out").exists()
