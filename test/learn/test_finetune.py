"""What training keeps of the policy it begins with: its eyes, and not how it acts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from learn_rig import exported, plan, silent, write_episode

from arfm_ros.cli.__main__ import main
from arfm_ros.engines import load_policy
from arfm_ros.learn.loop.begin import prepare, start
from arfm_ros.learn.loop.checkpoint import Checkpoint, load_checkpoint
from arfm_ros.learn.objectives.flow_loss import FlowConfig
from arfm_ros.study.rollouts import TorchPolicy


def joined(weights: dict[str, torch.Tensor], part: str) -> torch.Tensor:
    """Join all weights of a part of a network."""
    return torch.cat([value.flatten() for name, value in weights.items() if name.startswith(part)])


@pytest.mark.parametrize("threads", [1, 2])
def test_frozen_eyes_stay_while_the_rest_learns(
    threads: int, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run, _ = exported(tmp_path_factory)
    task = plan(run.parent / "data", tmp_path, threads=threads, freeze_vision=True)
    after = start(replace(task, init=run), say=silent)
    begin, now = load_checkpoint(run).average, after.model
    assert torch.equal(joined(now, "cameras."), joined(begin, "cameras."))
    for part in ("features.", "fuse.", "velocity_net."):
        assert not torch.equal(joined(now, part), joined(begin, part))


def test_a_stopped_run_with_frozen_eyes_goes_on(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run, _ = exported(tmp_path_factory)
    data = run.parent / "data"

    def train(steps: int, resume: bool) -> Checkpoint:
        made = plan(data, tmp_path, steps=steps, freeze_vision=True)
        return start(replace(made, init=run, resume=resume), say=silent)

    first, then = train(2, False), train(4, True)
    assert (first.step, then.step) == (2, 4)
    assert torch.equal(joined(first.model, "cameras."), joined(then.model, "cameras."))


def test_a_new_velocity_network_begins_anew_behind_the_same_eyes(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run, _ = exported(tmp_path_factory)
    first = tmp_path / "late"
    data = run.parent / "data"
    start(plan(data, first, flow=FlowConfig(delay_max=4)), say=silent)
    task = replace(plan(data, tmp_path / "new"), init=first, new_velocity=True)
    trainer, _ = prepare(task, "", silent)
    begin, now = load_checkpoint(first).average, trainer.model.state_dict()
    same = {name for name, value in begin.items() if torch.equal(value, now[name])}
    assert {n for n in begin if n.startswith(("cameras.", "fuse.", "words."))} <= same
    assert not {n for n in same if n.startswith("velocity_net.") and begin[n].unique().numel() > 2}
    assert trainer.config.flow.delay_max == 0 and trainer.sampler.spec.rtc.mode == "none"


def test_a_policy_is_normalised_for_the_tasks_it_will_learn_later(tmp_path: Path) -> None:
    near, far = tmp_path / "near", tmp_path / "far"
    write_episode(near / "a", 1)
    write_episode(near / "b", 2)
    for seed in range(3, 7):
        write_episode(far / f"e{seed}", seed, frames=24)
    alone = start(plan(near, tmp_path / "alone"), say=silent).spec
    wide = replace(plan(near, tmp_path / "wide"), statistics=(near, far))
    both = plan(near, tmp_path / "both")
    everything = start(replace(both, data=(near, far)), say=silent).spec
    after = start(wide, say=silent).spec
    np.testing.assert_allclose(after.state_norm.scale, everything.state_norm.scale, rtol=0.2)
    assert np.abs(after.state_norm.offset - alone.state_norm.offset).max() > 1e-3
    assert after.instructions == alone.instructions and after.cameras == alone.cameras
    further = start(replace(plan(far, tmp_path / "more"), init=wide.out), say=silent).spec
    np.testing.assert_array_equal(further.action_norm.scale, after.action_norm.scale)


def test_statistics_of_a_policy_that_has_its_own_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--out", str(tmp_path / "o"), "--steps", "1", "--statistics", "x", "--init", "y")
    assert main(["train", str(tmp_path), *words]) == 1
    assert "--statistics with --init: the policy in y has its own" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--freeze-vision", "--new-velocity"])
def test_eyes_need_a_policy_to_come_from(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(tmp_path), "--out", str(tmp_path / "o"), "--steps", "1", flag]) == 1
    assert f"{flag} without --init" in capsys.readouterr().err


def test_torch_in_lanes_sees_what_the_exported_bundle_does(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    run, folder = exported(tmp_path_factory)
    policy, bundle = TorchPolicy(load_checkpoint(run)), load_policy(folder, threads=1)
    rng = np.random.default_rng(0)
    seen = [
        replace(
            bundle.spec.example(seed),
            images={
                camera.name: rng.integers(0, 255, (240, 320, 3), dtype=np.uint8)
                for camera in bundle.spec.cameras
            },
        )
        for seed in range(2)
    ]
    noise = rng.standard_normal((2, *bundle.spec.flow_shape)).astype(np.float32)
    for observation, x, chunk in zip(seen, noise, policy.chunks(seen, noise)):
        same = bundle.sample(bundle.encode(observation), x)
        assert np.abs(same.actions - chunk.actions).max() < 1e-5
