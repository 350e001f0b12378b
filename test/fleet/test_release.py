"""A new bundle takes over on a robot, or does not: signed, whole, proven, between episodes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from episode_rig import T0
from fleet_rig import KINDS, allow, make_key, make_robot, store

pytest.importorskip("fsspec")
if shutil.which("ssh-keygen") is None:
    pytest.skip("needs ssh-keygen", allow_module_level=True)

from arfm_ros.bringup import find_bundle
from arfm_ros.cli.__main__ import main
from arfm_ros.core.errors import BundleError, ConfigError
from arfm_ros.engines.bundle import WEIGHTS, file_sha256
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.fleet import robot as robots
from arfm_ros.fleet.content import bundle_item
from arfm_ros.fleet.exchange import fleet, visit
from arfm_ros.fleet.place import open_place
from arfm_ros.fleet.release import publish
from arfm_ros.fleet.robot import Robot, adopt
from arfm_ros.wire import messages

SHIPPED = find_bundle("fr3_tabletop")


class Said(list):
    def __call__(self, text: str) -> None:
        self.append(text)

    def __contains__(self, word: object) -> bool:
        return any(str(word) in line for line in self)


def variant(root: Path, name: str) -> Path:
    """Copy the shipped bundle, with another card: another bundle for a store."""
    folder = shutil.copytree(SHIPPED, root / name)
    (folder / "README.md").write_text(name)
    return folder


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path / "keys")


@pytest.fixture
def robot(tmp_path: Path, key: Path) -> Robot:
    made = make_robot(tmp_path / "r1", episodes=1)
    allow(key, made.allowed)
    return made


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with store("folder", tmp_path, monkeypatch) as address:
        yield open_place(address)


@pytest.fixture
def proven(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Let every bundle pass, and note which were tried."""
    tried: list[Path] = []
    monkeypatch.setattr(robots, "require_proof", lambda folder, *_, **__: tried.append(folder))
    return tried


def card(robot: Robot) -> str:
    return (robot.link / "README.md").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_a_release_drives_and_the_one_before_comes_back(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: Path, robot: Robot, proven
) -> None:
    one, two = variant(tmp_path, "one"), variant(tmp_path, "two")
    with store(kind, tmp_path, monkeypatch) as address:
        place = open_place(address)
        for serial, bundle in enumerate((one, two, one), 1):
            assert publish(place, bundle, key).serial == serial
            assert visit(place, robot, Said()).failed == ()
            assert card(robot) == bundle.name
            assert adopt(place, robot, Said()).serial == serial
        (row,) = fleet(place)
    assert (row["robot"], row["serial"], row["problem"]) == ("r1", 3, "")
    assert row["bundle"] == bundle_item(one).sha256
    assert len(proven) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_bundle_that_was_changed_in_the_store_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: Path, robot: Robot, proven
) -> None:
    with store(kind, tmp_path, monkeypatch) as address:
        place = open_place(address)
        publish(place, variant(tmp_path, "one"), key)
        visit(place, robot, Said())
        item = publish(place, variant(tmp_path, "two"), key).item
        name = f"{item.path}/policy.json"
        whole = place.read(name, 0, 1 << 30)
        place.write(name, whole.replace(b"fr3_joint1", b"fr3_joint2", 1))
        for _ in range(2):
            (problem,) = visit(place, robot, Said()).failed
            assert "policy.json was changed" in problem
            assert (card(robot), robot.state().serial) == ("one", 1)
        assert "was changed" in fleet(place)[0]["problem"]
        place.write(name, whole)
        assert visit(place, robot, Said()).failed == ()
    assert card(robot) == "two"


def test_what_nobody_known_signed_is_passed_over_and_stops_nothing(
    tmp_path: Path, key: Path, robot: Robot, place, proven
) -> None:
    publish(place, variant(tmp_path, "one"), key)
    stranger = make_key(tmp_path / "keys", "mallory")
    other = publish(place, variant(tmp_path, "two"), stranger)
    name = f"releases/{other.serial:09d}-{other.item.sha256[:12]}.json"
    raw = json.loads(place.read(name, 0, 1 << 20))
    place.write("releases/999999999-x.json", b"\xff not even JSON")
    mine = json.loads(place.read(min(place.sizes("releases")), 0, 1 << 20))
    forged = raw | {"signature": mine["signature"]}  # a good signature, of something else
    place.write("releases/000000003-x.json", json.dumps(forged).encode())
    place.write("releases/000000004-x.json", json.dumps(mine).encode())  # an old one, renumbered
    said = Said()
    adopt(place, robot, said)
    assert card(robot) == "one"
    assert "999999999-x.json is passed over" in said
    assert "not signed by anybody" in said
    assert "its number is 1" in said


def test_an_older_release_never_comes_back_by_itself(
    tmp_path: Path, key: Path, robot: Robot, place, proven
) -> None:
    publish(place, variant(tmp_path, "one"), key)
    publish(place, variant(tmp_path, "two"), key)
    adopt(place, robot, Said())
    place.remove([max(place.sizes("releases"))])
    adopt(place, robot, Said())
    assert card(robot) == "two"


def test_a_release_may_be_for_some_robots_only(
    tmp_path: Path, key: Path, robot: Robot, place, proven
) -> None:
    publish(place, variant(tmp_path, "one"), key)
    publish(place, variant(tmp_path, "two"), key, ("r7",))
    other = make_robot(tmp_path / "r7", "r7", 0)
    allow(key, other.allowed)
    for one in (robot, other):
        visit(place, one, Said())
    assert (card(robot), card(other)) == ("one", "two")


def test_a_bundle_that_does_not_pass_here_is_tried_once(
    tmp_path: Path, key: Path, robot: Robot, place, monkeypatch: pytest.MonkeyPatch, proven
) -> None:
    publish(place, variant(tmp_path, "one"), key)
    adopt(place, robot, Said())

    def fails(folder: Path, *_: object, **__: object) -> None:
        proven.append(folder)
        raise BundleError("it differs")

    monkeypatch.setattr(robots, "require_proof", fails)
    publish(place, variant(tmp_path, "two"), key)
    said = Said()
    for _ in range(3):
        visit(place, robot, said)
    assert (card(robot), len(proven)) == ("one", 2)
    assert "it differs" in said
    assert fleet(place)[0]["refused"] == "it differs"


def test_a_bundle_that_does_not_drive_makes_room_for_the_one_before(
    tmp_path: Path, key: Path, robot: Robot, place, proven
) -> None:
    driven: list[str] = []

    class Node:
        def swap(self, link: Path) -> str:
            driven.append((link / "README.md").read_text())
            return "too slow here" if driven[-1] == "two" else ""

    robot = replace(robot, drives=Node())
    for name in ("one", "two"):
        publish(place, variant(tmp_path, name), key)
        adopt(place, robot, Said())
    assert driven == ["one", "two", "one"]
    assert card(robot) == "one"
    assert robot.state().refused == "too slow here"


def test_a_bundle_waits_for_the_end_of_an_episode(
    tmp_path: Path, key: Path, robot: Robot, place, proven
) -> None:
    publish(place, variant(tmp_path, "one"), key)
    adopt(place, robot, Said())
    publish(place, variant(tmp_path, "two"), key)
    writer = EpisodeWriter(robot.episodes / "now")
    writer.write("/joint_states", *messages.joint_state(T0, ["a"], [1.0]), T0)
    said = Said()
    for _ in range(2):
        state = adopt(place, robot, said)
    assert (card(robot), state.waits, len(proven)) == ("one", True, 2)
    assert "an episode is being recorded" in said
    writer.close()
    assert not adopt(place, robot, said).waits
    assert (card(robot), len(proven)) == ("two", 2)


def test_without_signers_or_a_key_nothing_goes(
    tmp_path: Path, key: Path, robot: Robot, place
) -> None:
    with pytest.raises(ConfigError, match="does not sign"):
        publish(place, SHIPPED, tmp_path / "no key")
    publish(place, SHIPPED, key)
    robot.allowed.unlink()
    with pytest.raises(ConfigError, match="allowed_signers"):
        adopt(place, robot, Said())


def test_signed_weights_that_compute_something_else_are_refused_by_the_gate(
    tmp_path: Path, key: Path, robot: Robot, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "store").mkdir()
    words = [str(tmp_path / "store"), "--robot", "r1", "--bundles", str(robot.home)]
    words += ["--episodes", str(robot.episodes)]
    release = ["sync", str(tmp_path / "store"), "--key", str(key), "--release"]
    assert main([*release, str(SHIPPED)]) == 0
    assert main(["sync", *words]) == 0
    good = robot.link.resolve()
    assert json.loads((good / "parity.json").read_text())["passed"] is True
    bad = variant(tmp_path, "bad")
    weights = bytearray((bad / WEIGHTS).read_bytes())
    weights[-4_000_000:] = bytes(4_000_000)
    (bad / WEIGHTS).write_bytes(weights)
    raw = json.loads((bad / "policy.json").read_text())
    raw["sha256"][WEIGHTS] = file_sha256(bad / WEIGHTS)
    (bad / "policy.json").write_text(json.dumps(raw))
    assert main([*release, str(bad)]) == 0
    assert main(["sync", *words]) == 0
    assert "differs from its reference" in capsys.readouterr().out
    assert robot.link.resolve() == good
    assert main(["sync", words[0], "--status"]) == 0
    assert "differs" in " ".join(capsys.readouterr().out.split())
