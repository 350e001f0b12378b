"""Chunks that a running policy node made are computed again from what was recorded, bit by bit."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from graph_rig import CAMERAS, HEIGHT, WIDTH
from policy_rig import NAMES, Robot, served, write_bundle
from rclpy.serialization import serialize_message

from arfm_ros.core.chunks.rtc import left_over
from arfm_ros.core.errors import BundleError, EpisodeError, SpecError
from arfm_ros.core.values.data import ActionChunk, Observation
from arfm_ros.core.values.recall import Recall, recall_of
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.core.values.sync import Synced
from arfm_ros.engines import load_bundle, load_policy
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.export.calibrate import observations
from arfm_ros.nodes.policy.inference import Inference, Wish
from arfm_ros.nodes.policy.values import Loaded, Pacing, Ports
from arfm_ros.nodes.policy.wiring import Sample
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.convert import info_to_diagnostics
from arfm_ros.replay.counterfactual import ask, plot
from arfm_ros.replay.recompute import DIFFERS, EXACT, INPUTS, recompute
from arfm_ros.wire import messages
from arfm_ros.wire.cdr import header_stamp_ns
from arfm_ros.wire.images import decode
from arfm_ros.wire.joints import read_joint_state

T0 = 1_700_000_000_000_000_000
HEARD = (
    topics.JOINT_STATES,
    topics.GRIPPER_STATES,
    topics.ACTION_CHUNK,
    topics.CHUNK_INFO,
    topics.AUTHORITY,
    *(topics.IMAGE.of(camera=name) for name in CAMERAS),
)


def record(robot: Robot, heard: list[tuple[str, str, bytes, int]]) -> None:
    """Note every serialized message of a robot from now on."""

    def note(topic: topics.Topic) -> None:
        def keep(cdr: bytes) -> None:
            heard.append((f"/{topic.name}", topic.type_name, bytes(cdr), time.time_ns()))

        topics.subscription(robot.node, topic, keep, raw=True)

    for topic in HEARD:
        note(topic)


def write(folder: Path, heard: list[tuple[str, str, bytes, int]]) -> EpisodeReader:
    writer = EpisodeWriter(folder)
    for topic, type_name, cdr, stamp in heard:
        writer.write(topic, type_name, cdr, stamp)
    return EpisodeReader(writer.close())


def outcomes(reader: EpisodeReader, bundle: Path) -> Counter[str]:
    known, policy = load_bundle(bundle), load_policy(bundle, threads=1)
    again = recompute(reader, policy, known.spec, known.sha256, policy.runtime.describe())
    return Counter(one.outcome for one in again)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundles") / "guided", guided=True)


def test_every_chunk_of_a_running_node_is_computed_again_bit_by_bit(
    ros_domain: int, bundle: Path, tmp_path: Path
) -> None:
    heard: list[tuple[str, str, bytes, int]] = []
    rng = np.random.default_rng(0)
    with served(bundle, ros_domain) as robot:
        record(robot, heard)
        robot.instruct("lift the cube")
        robot.until(lambda: robot.chunks, timeout_s=120.0)  # a busy machine starts slowly
        for authority in ("policy", "human", "policy"):  # a takeover in between
            robot.hands_over_to(authority)
            for _ in range(3):
                robot.picture = {
                    name: rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
                    for name in CAMERAS
                }
                robot.position = robot.position + np.float32(0.01)
                robot.hears_more_chunks(2)
    reader = write(tmp_path / "episode", heard)
    found = outcomes(reader, bundle)
    assert set(found) <= {EXACT, "not recorded"} and found[EXACT] >= 10  # the first: before us
    known, policy = load_bundle(bundle), load_policy(bundle, threads=1)
    made = [one.made for one in recompute(reader, policy, known.spec, known.sha256)]
    assert any(one.recall.follows is not None for one in made)  # guided ones are among them
    seen = list(observations(known, [tmp_path / "episode"]))  # what calibration looks at
    assert len(seen) >= 10 and seen[0].images.keys() == set(CAMERAS)
    _told_apart(reader, bundle, tmp_path, heard)


def _told_apart(
    reader: EpisodeReader, bundle: Path, tmp_path: Path, heard: list[tuple[str, str, bytes, int]]
) -> None:
    """Other pictures, another bundle and another engine's numbers are told by name."""
    dark = []
    for topic, type_name, cdr, stamp in heard:
        if topic.endswith("image_raw"):
            cdr = cdr[:-100] + bytes(100)
        dark.append((topic, type_name, cdr, stamp))
    assert outcomes(write(tmp_path / "dark", dark), bundle)[INPUTS] >= 10
    other = write_bundle(tmp_path / "other", seed=1)
    with pytest.raises(BundleError, match="made by bundle"):
        outcomes(reader, other)
    known, policy = load_bundle(bundle), load_policy(other, threads=1)
    spec = replace(known.spec, rtc=load_bundle(other).spec.rtc)
    first = next(iter(recompute(reader, policy, spec, known.sha256)))
    assert first.outcome in {DIFFERS, "not recorded"}
    asked = ask(reader, policy, load_bundle(other).spec)
    assert len(asked.chunks) >= 10 and asked.apart["fr3_joint1"] > 0
    assert plot(reader, asked, "against", tmp_path / "a.png").stat().st_size > 1000


class Inputs:
    """What the node listens to, but that its messages are handed over."""

    def observe(self, synced: Synced[Sample], spec: PolicySpec, instruction: str) -> Observation:
        images = {n: decode(synced.values[n].cdr, compressed=False) for n in CAMERAS}
        arm, hand = (
            read_joint_state(synced.values[n].cdr)
            for n in ("joint_states", "gripper/joint_states")
        )
        state = np.array([(arm | hand)[name] for name in spec.state_names]).astype(np.float32)
        return Observation(images, state, instruction, synced.stamp_ns, synced.stamps_ns)


def test_what_the_node_computes_is_computed_again_bit_by_bit(bundle: Path, tmp_path: Path) -> None:
    known, rng = load_bundle(bundle), np.random.default_rng(0)
    loaded = Loaded(known, load_policy(bundle, threads=1), "rig", None, NAMES)
    ports = Ports(lambda chunk: None, lambda chunk, stages, recall: None, lambda: 0)
    inference, before = Inference(Inputs(), ports), None  # type: ignore[arg-type]
    pacing = Pacing(50_000_000, 0, 7, 0, 3)
    writer = EpisodeWriter(tmp_path / "episode")
    for n in range(12):
        now = T0 + n * 100_000_000
        sent = {c: messages.image(now, rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
                for c in CAMERAS}  # fmt: skip
        state = rng.normal(size=8)
        sent["joint_states"] = messages.joint_state(now - 1, NAMES[:7], state[:7])
        sent["gripper/joint_states"] = messages.joint_state(now - 2, NAMES[7:], state[7:])
        # each topic has a state at the stamp of the other's too, which the policy did not take
        for name, names, at in (("gripper/joint_states", NAMES[7:], now - 1),
                                ("joint_states", NAMES[:7], now - 2)):  # fmt: skip
            other = messages.joint_state(at, names, rng.normal(size=len(names)))
            writer.write(f"/{name}", *other, now)
        for name, message in sent.items():
            writer.write(f"/{name}/image_raw" if name in CAMERAS else f"/{name}", *message, now)
        stamps = {name: header_stamp_ns(cdr) for name, (_, cdr) in sent.items()}
        values = {name: Sample(cdr, now) for name, (_, cdr) in sent.items()}
        synced = Synced(min(stamps.values()), values, stamps)
        binding = before

        def binds(stamp_ns: int, words: str, previous: ActionChunk | None = binding) -> object:
            return None if previous is None else left_over(previous, stamp_ns, 2)

        wish = Wish("lift the cube", n, lambda: False)
        seen = inference.look(loaded, pacing, synced, wish.instruction)  # type: ignore[arg-type]
        before, _, _ = inference.act(seen, pacing, wish, binds)  # type: ignore[arg-type]
        told = info_to_diagnostics(before.info, before.stamp_ns, {}, inference.recall(before))
        kind = "diagnostic_msgs/msg/DiagnosticArray"
        writer.write("/policy/chunk_info", kind, serialize_message(told), now)
    reader = EpisodeReader(writer.close())
    assert outcomes(reader, bundle) == {EXACT: 12}


def test_an_episode_that_does_not_say_what_its_chunks_are_made_of_is_refused(
    bundle: Path, tmp_path: Path
) -> None:
    info = messages.diagnostic_array(1, "policy/chunk", {"chunk_id": 0})
    reader = write(tmp_path / "old", [("/policy/chunk_info", *info, 1)])
    with pytest.raises(EpisodeError, match="older version"):
        outcomes(reader, bundle)


def test_what_a_chunk_is_made_of_is_read_as_it_was_written() -> None:
    bound = np.arange(6, dtype=np.float32).reshape(2, 3)
    one = Recall("lift", 3, "onnx", ({"scene": 5},), {"scene": 7}, 8, 9, bound, 1, True)
    again = recall_of(one.as_text())
    assert again == one
    np.testing.assert_array_equal(again.follows, bound)
    with pytest.raises(SpecError):
        recall_of("{}")


def test_the_stamp_of_a_message_moves_and_nothing_else_of_it() -> None:
    from arfm_ros.nodes.replay import moved
    from arfm_ros.wire.cdr import header_stamp_ns

    _, cdr = messages.joint_state(5_000_000_000, ["a"], [1.0])
    new = moved(cdr, 4_000_000_000, 10_000_000_000)
    assert header_stamp_ns(new) == 15_000_000_000
    assert (new[:4], new[12:]) == (cdr[:4], cdr[12:])
