"""Robots other than the FR3: what is read of them, and what does not fit is named."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from learn_rig import CONFIG, DT_NS, NAMES, SMALL, plan, silent, write_episodes

from arfm_ros.cli import train as verb
from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.spec import Axis
from arfm_ros.engines import load_policy
from arfm_ros.episodes.windows import read_episode
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.export.bundle import export_bundle
from arfm_ros.export.running import Running
from arfm_ros.learn.data.frames import FramesConfig, load_frames
from arfm_ros.learn.data.recorded import embodiment_of, look_at
from arfm_ros.learn.data.targets import keyframes
from arfm_ros.learn.loop.begin import start
from arfm_ros.learn.loop.checkpoint import load_checkpoint
from arfm_ros.learn.model.network import ModelConfig
from arfm_ros.robots.embodiment import Embodiment, default, read_urdf
from arfm_ros.wire import messages

FR3 = default()

ARM = tuple(f"ur_joint_{i}" for i in range(6))
URDF = """<robot name="ur">
  <joint name="ur_joint_0" type="revolute"><limit lower="-6.2" upper="6.2" velocity="2"/></joint>
  <joint name="ur_joint_1" type="continuous"/>
  <joint name="ur_joint_2" type="prismatic"><limit lower="0" upper="0.4"/></joint>
  <joint name="mount" type="fixed"/>
</robot>"""


def write_arm(
    folder: Path, gripper: str = "", joints: Sequence[str] = ARM, dt_ns: int = DT_NS
) -> Path:
    """Record an arm with one camera, called eye; its gripper, if any, closes halfway."""
    writer = EpisodeWriter(folder)
    writer.write("/instruction", *messages.string("press the button"), 0)
    rng = np.random.default_rng(len(folder.name))
    for i in range(12):
        now = (i + 1) * dt_ns
        position = np.linspace(0.1, 0.6, len(joints)) * i / 12
        writer.write("/arbiter/authority", *messages.string("policy"), now)
        writer.write("/joint_states", *messages.joint_state(now, joints, position), now)
        names, command = list(joints), [*(position + 0.02)]
        if gripper:
            opening = float(i < 6)
            state = messages.joint_state(now, [gripper], [opening])
            writer.write("/gripper/joint_states", *state, now)
            names, command = [*names, gripper], [*command, opening]
        writer.write("/arbiter/command", *messages.joint_state(now, names, command), now)
        picture = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
        compressed = messages.compressed_image(now, jpeg, "eye")
        writer.write("/eye/image_raw/compressed", *compressed, now)
    writer.label({"task": "press", "success": True}, 12 * dt_ns)
    return writer.close()


def trained(root: Path, state: tuple[str, ...] = ()) -> tuple[Path, Path]:
    """Train an arm without a gripper; returns (its episodes, its run folder)."""
    data, out = root / "data", root / "run"
    for n in range(2):
        write_arm(data / f"e{n}")
    (root / "ur.urdf").write_text(URDF)
    planned = replace(plan(data, out), model=replace(SMALL, cameras=(("eye", 32, 32),)))
    start(replace(planned, urdf=root / "ur.urdf", state=state), say=silent)
    return data, out


def test_an_arm_without_a_gripper_is_trained(tmp_path: Path) -> None:
    data, out = trained(tmp_path)
    saved = load_checkpoint(out)
    spec = saved.spec
    assert spec.state_names == spec.action_names == ARM and spec.relative == (True,) * 6
    assert spec.action[0] == Axis(ARM[0], "rad", -6.2, 6.2)
    assert spec.action[1] == Axis(ARM[1]) and spec.action[2] == Axis(ARM[2], "m", 0.0, 0.4)
    assert spec.action[5] == Axis(ARM[5])  # not in the description: no limits
    assert set(saved.validation) == {"val_loss", "joint_error_rad", "keyframe_error_rad"}
    assert all(np.isfinite(value) for value in saved.validation.values())
    further = replace(plan(data, tmp_path / "more"), init=out)  # read as the policy has it
    assert start(further, say=silent).spec.action == spec.action


@pytest.mark.slow
def test_the_bundle_of_an_arm_without_a_gripper_runs_and_is_trained_further(
    tmp_path: Path,
) -> None:
    data, out = trained(tmp_path)
    assert export_bundle(
        out, tmp_path / "bundle", "press", 1, Running("guided"), say=silent
    ).passed
    policy = load_policy(tmp_path / "bundle", threads=1)
    noise = np.zeros(policy.spec.flow_shape, np.float32)
    chunk = policy.sample(policy.encode(policy.spec.example(0)), noise)
    assert chunk.names == ARM and chunk.actions.shape == (16, 6)
    further = replace(plan(data, tmp_path / "more"), init=tmp_path / "bundle")
    assert start(further, say=silent).spec.action_names == ARM


def test_the_gripper_is_what_its_topic_names_and_is_absolute(tmp_path: Path) -> None:
    write_arm(tmp_path / "data" / "e", gripper="robotiq")
    described = {"robotiq": Axis("robotiq", "rad", 0.0, 0.8)}
    robot = embodiment_of(look_at([tmp_path / "data"]), described)
    assert robot.action_names == (*ARM, "robotiq") == robot.state_names
    assert robot.action[-1] == Axis("robotiq", "1", 0.0, 1.0)
    assert robot.relative == (True,) * 6 + (False,)
    config = FramesConfig(cameras=(("eye", 32, 32),), robot=robot)
    frames = load_frames([tmp_path / "data"], tmp_path / "cache", config)
    before, after = frames.keyframe[0], frames.keyframe[-1]
    assert before[6] == 1.0 and after[6] == 0.0  # the switch, then the end


def test_a_new_policy_sees_what_it_is_told_to_of_what_was_measured(tmp_path: Path) -> None:
    _, out = trained(tmp_path, state=("ur_joint_[0-2]", "ur_joint_5"))
    spec = load_checkpoint(out).spec
    assert spec.state_names == (*ARM[:3], ARM[5]) and spec.action_names == ARM
    assert spec.relative == (True, True, True, False, False, True)
    (other := tmp_path / "other").mkdir()
    with pytest.raises(ConfigError, match="--state elbow: measured are ur_joint_0, ur_joint_1"):
        trained(other, state=("ur_joint_0", "elbow"))


def test_a_command_that_is_not_measured_is_learned_as_it_is(tmp_path: Path) -> None:
    recorded = look_at([write_arm(tmp_path / "e").parent])
    assert recorded is not None
    robot = embodiment_of(replace(recorded, arm=ARM[:5]), {})
    assert robot.state_names == ARM[:5] and robot.relative == (True,) * 5 + (False,)
    with pytest.raises(ConfigError, match="nothing of what was commanded .ur_joint_0.* have a, b"):
        embodiment_of(replace(recorded, arm=("a", "b")), {})


def test_the_fr3_keeps_its_order_and_its_limits(tmp_path: Path) -> None:
    recorded = look_at([write_episodes(tmp_path / "data", 2)])
    assert recorded is not None and recorded.cameras == ("scene", "wrist")
    turned = replace(recorded, commanded=recorded.commanded[::-1])
    assert embodiment_of(recorded, {}) == embodiment_of(turned, {}) == FR3
    alone = replace(recorded, commanded=recorded.commanded[:7], grippers=())
    assert embodiment_of(alone, {}) == Embodiment(FR3.state[:7], FR3.action[:7])


def test_caches_of_the_fr3_from_before_there_were_other_robots_stay_valid(tmp_path: Path) -> None:
    data = write_episodes(tmp_path / "data", 2)
    sizes = [(f.parent.name, [f.stat().st_size]) for f in sorted(data.rglob("*.mcap"))]
    read = {"cameras": CONFIG.cameras, "names": NAMES, "horizon": 16, "dt_ns": DT_NS, "tokens": 16}
    read |= {"vocabulary": 512, "success_only": False, "authority": (), "objects": ()}
    key = hashlib.sha256(json.dumps([2, read, sizes]).encode()).hexdigest()
    assert load_frames([data], tmp_path / "cache", CONFIG).key == key


def test_without_a_gripper_the_keyframe_is_the_last_command(tmp_path: Path) -> None:
    arrays = read_episode(write_arm(tmp_path / "e"), {"eye": (32, 32)}, ARM, ARM, DT_NS)
    axes = tuple(map(Axis, ARM))
    found = keyframes(arrays, Embodiment(axes, axes))
    np.testing.assert_array_equal(found, np.repeat(arrays.commands[-1:], len(found), axis=0))


def test_a_policy_and_episodes_that_disagree_are_told_in_everything(tmp_path: Path) -> None:
    start(plan(write_episodes(tmp_path / "fr3", 2), tmp_path / "run"), say=silent)
    write_arm(tmp_path / "ur" / "e", dt_ns=4 * DT_NS)
    with pytest.raises(ConfigError) as caught:
        start(replace(plan(tmp_path / "ur", tmp_path / "b"), init=tmp_path / "run"), say=silent)
    said = str(caught.value)
    assert f"do not fit the policy in {tmp_path / 'run'} (give episodes of its robot" in said
    assert "cameras scene, wrist missing, recorded are eye" in said
    assert "states fr3_joint1, fr3_joint2" in said and "actions fr3_joint1" in said
    assert "commands come every 200 ms, dt is 50 ms" in said
    with pytest.raises(ConfigError, match="--camera, --dt.*cameras scene, wrist missing"):
        start(plan(tmp_path / "ur", tmp_path / "c"), say=silent)


def test_frames_are_read_at_the_step_of_the_policy_before(tmp_path: Path) -> None:
    data = write_episodes(tmp_path / "data", 2)
    slow = replace(plan(data, tmp_path / "slow"), dt_ns=2 * DT_NS)
    first = start(slow, say=silent)
    second = start(replace(plan(data, tmp_path / "b"), init=slow.out), say=silent)
    assert first.spec.dt_ns == second.spec.dt_ns == 2 * DT_NS
    assert second.provenance["data_sha256"] == first.provenance["data_sha256"]


def test_a_file_that_is_no_robot_description_is_refused(tmp_path: Path) -> None:
    for text, why in (("not xml", "cannot read"), ("<robot/>", "no URDF with joints")):
        (tmp_path / "x.urdf").write_text(text)
        with pytest.raises(ConfigError, match=why):
            read_urdf(tmp_path / "x.urdf")
    (tmp_path / "x.urdf").write_text(URDF.replace('"-6.2"', '"${low}"'))
    with pytest.raises(ConfigError, match="'ur_joint_0' has limits that are no numbers"):
        read_urdf(tmp_path / "x.urdf")


def test_the_command_line_describes_a_new_policy(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    words = ["data", "--out", "run", "--steps", "1", "--camera", "eye=64x64", "--dt", "0.1"]
    given = verb.new_policy(parser.parse_args([*words, "--urdf", "ur.urdf"]))
    assert given["model"].cameras == (("eye", 64, 64),) and given["dt_ns"] == 100_000_000
    assert given["urdf"] == Path("ur.urdf")
    assert verb.new_policy(parser.parse_args(words[:5])) == {"urdf": None}
    for more, why in (
        (["--init", "b"], "--camera with --init"),
        (["--camera", "a=1"], "NAME=HEIGHTxWIDTH"),
        (["--dt", "0"], "--dt 0: needs seconds"),
    ):
        with pytest.raises(ConfigError, match=why):
            verb.new_policy(parser.parse_args([*words, *more]))
    with pytest.raises(ConfigError, match="multiples of 32"):
        ModelConfig(cameras=(("eye", 50, 50),))
