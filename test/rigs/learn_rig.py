"""Small real episodes, and a small training run made of them, for the tests of learning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from arfm_ros.core.values.normalize import Affine
from arfm_ros.core.values.spec import Axis, CameraInput, PolicySpec, Rtc
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.learn.data.augment import AugmentConfig
from arfm_ros.learn.data.dataset import Sampler, fit_spec, make_sampler
from arfm_ros.learn.data.frames import Frames, load_frames
from arfm_ros.learn.loop.begin import Plan, frames_config
from arfm_ros.learn.loop.train import TrainConfig
from arfm_ros.learn.model.network import ModelConfig
from arfm_ros.robots.embodiment import default
from arfm_ros.wire import messages

torch.set_num_threads(1)  # beside other processes, more threads wait for each other
SIZE = 32
NAMES = default().action_names
DT_NS = 50_000_000
SMALL = ModelConfig(
    cameras=(("scene", SIZE, SIZE), ("wrist", SIZE, SIZE)), dim=32, blocks=1, width=8, keypoints=8
)
CONFIG = frames_config(SMALL)
HOME = np.array([0.0, -0.8, 0.0, -2.3, 0.0, 1.6, 0.8, 1.0])


def write_episode(
    folder: Path,
    seed: int,
    frames: int = 12,
    success: bool | None = True,
    progress: Sequence[float] = (),
) -> Path:
    """Write one episode: a bright square whose column says where joint 1 is commanded to go.

    The gripper closes halfway; the last quarter is commanded by a human. `progress` is what the
    task says frame by frame; `success` None leaves the label out.
    """
    rng = np.random.default_rng(seed)
    goal = rng.uniform(-0.5, 0.5)
    writer = EpisodeWriter(folder)
    writer.write("/instruction", *messages.string("lift the cube"), 0)
    for i in range(frames):
        now = (i + 1) * DT_NS
        command = HOME.copy()
        command[0] = goal * (i + 1) / frames
        command[7] = float(i < frames // 2)
        state = command - np.array([0.02, *[0.0] * 7])
        who = "human" if i >= 3 * frames // 4 else "policy"
        writer.write("/arbiter/authority", *messages.string(who), now)
        joints = messages.joint_state(now, NAMES[:7], state[:7])
        writer.write("/joint_states", *joints, now)
        gripper = messages.joint_state(now, NAMES[7:], state[7:])
        writer.write("/gripper/joint_states", *gripper, now)
        for camera in ("scene", "wrist"):
            picture = _picture(goal, rng)
            jpeg = cv2.imencode(".jpg", picture[:, :, ::-1])[1].tobytes()
            topic = f"/{camera}/image_raw/compressed"
            writer.write(topic, *messages.compressed_image(now, jpeg, camera), now)
        writer.write("/arbiter/command", *messages.joint_state(now, NAMES, command), now)
        if progress:
            values = {"seed": seed, "success": "false", "progress": progress[i]}
            writer.write("/task/state", *messages.diagnostic_array(now, "lift", values), now)
    label = {"task": "lift"} | ({} if success is None else {"success": success})
    writer.label(label, frames * DT_NS)
    return writer.close()


def write_episodes(root: Path, count: int = 4) -> Path:
    """Write `count` episodes below `root`; the last one failed."""
    for n in range(count):
        write_episode(root / f"episode_{n}", n, success=n < count - 1)
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record four episodes, once a file of tests."""
    return write_episodes(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def frames(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Frames:
    """Read the episodes of `data`, once a file of tests."""
    return load_frames([data], tmp_path_factory.mktemp("cache"), CONFIG)


def sampler_of(frames: Frames, augment: AugmentConfig) -> Sampler:
    """Sample all rows of `frames`, with normalization fitted to them and seed 0."""
    rows = np.arange(len(frames))
    return make_sampler(frames, rows, fit_spec(frames, CONFIG, rows), augment, seed=0)


def silent(text: str) -> None:
    """Say nothing."""


def plan(data: Path, out: Path, **options: object) -> Plan:
    """Plan a run of seconds."""
    train = {"steps": 4, "batch": 8, "threads": 1, "precision": "fp32", "held_out": 0.25}
    return Plan((data,), out, TrainConfig(**{**train, **options}), model=SMALL)  # type: ignore


def spec(rtc: str = "none") -> PolicySpec:
    """Make a specification that no training made."""
    axes = tuple(Axis(name, "rad", -3.0, 3.0) for name in NAMES)
    rng = np.random.default_rng(0)
    shape = (SMALL.horizon, len(NAMES))
    return PolicySpec(
        name="rig",
        cameras=tuple(CameraInput(*camera) for camera in SMALL.cameras),
        state=axes,
        action=axes,
        horizon=SMALL.horizon,
        dt_ns=DT_NS,
        state_norm=_affine(rng, (len(NAMES),)),
        action_norm=_affine(rng, shape),
        relative=(True,) * 7 + (False,),
        rtc=Rtc(rtc),
        instructions={"lift": "lift the cube"},
    )


def _affine(rng: np.random.Generator, shape: tuple[int, ...]) -> Affine:
    return Affine(
        rng.normal(size=shape).astype(np.float32), rng.uniform(0.1, 2, shape).astype(np.float32)
    )


def _picture(goal: float, rng: np.random.Generator) -> np.ndarray:
    picture = rng.integers(0, 40, (SIZE, SIZE, 3), dtype=np.uint8)
    column = int((goal + 0.5) * (SIZE - 8))
    picture[12:20, column : column + 8] = (220, 30, 30)
    return picture


def trained(root: Path, **options: Any) -> tuple[Path, Path]:
    """Train for a few steps below `root` and export; returns (run folder, bundle)."""
    from arfm_ros.export.bundle import export_bundle
    from arfm_ros.learn.loop.begin import start

    run, bundle = root / "run", root / "bundle"
    if not bundle.exists():
        options = {"steps": 20, "learning_rate": 3e-3, **options}
        start(plan(write_episodes(root / "data"), run, **options), say=silent)
        export_bundle(run, bundle, "rig", threads=1, say=silent)
    return run, bundle


def exported(factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Train for a few steps and export, once a session; returns (run folder, bundle)."""
    return trained(factory.getbasetemp() / "rig")


def blind_exported(factory: pytest.TempPathFactory) -> Path:
    """Export a tiny policy that sees objects' poses and no images, hardly trained, once a session.

    Beside it lie the two demonstrations that it has seen.
    """
    from arfm_ros.export.bundle import export_bundle
    from arfm_ros.learn.loop.begin import start
    from arfm_ros.sim.record.demos import DemoOptions
    from arfm_ros.study.blind import BLIND

    root = factory.getbasetemp() / "blind"
    bundle = root / "bundle"
    if not bundle.exists():
        demonstrator = DemoOptions(cameras=()).open()
        for seed in (1, 2):
            assert demonstrator.record("lift", seed, root / "demos" / f"demo_{seed}")
        tiny = replace(BLIND, dim=16, blocks=1)
        start(replace(plan(root / "demos", root / "run"), model=tiny), say=silent)
        export_bundle(root / "run", bundle, "blind", threads=1)
    return bundle
