"""Training on real (small) episodes: what is read, what a batch holds, how a run continues."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import learn_rig
import numpy as np
import pytest
import torch
from learn_rig import CONFIG, SMALL, plan, sampler_of, silent, write_episode, write_episodes

from arfm_ros.cli import train as verb
from arfm_ros.core.errors import ConfigError, EpisodeError
from arfm_ros.learn.data.augment import AugmentConfig, draw_changes, recolour, shift_images
from arfm_ros.learn.data.dataset import Sampler, Share, split_episodes
from arfm_ros.learn.data.frames import Frames, find_episodes, load_frames
from arfm_ros.learn.loop.begin import start
from arfm_ros.learn.loop.checkpoint import load_checkpoint
from arfm_ros.learn.loop.replicas import Part, Replicas
from arfm_ros.learn.loop.train import TrainConfig
from arfm_ros.learn.model.network import FlowPolicy

data, frames = learn_rig.data, learn_rig.frames  # the fixtures


@pytest.fixture
def sampler(frames: Frames) -> Sampler:
    return sampler_of(frames, AugmentConfig())


def test_every_step_of_every_episode_is_read(frames: Frames) -> None:
    assert len(frames) == 4 * 12
    assert frames.images["scene"].shape == (48, 32, 32, 3)
    assert frames.chunk.shape == (48, 16, 8)
    assert set(frames.tasks) == {"lift"} and frames.tokens[0].any()


def test_chunks_hold_the_commands_that_followed_and_then_the_last_one(frames: Frames) -> None:
    first = np.flatnonzero(frames.episode == 0)
    goal = frames.chunk[first[-1], 0, 0]
    np.testing.assert_allclose(
        frames.chunk[first[0], :11, 0], goal * np.arange(2, 13) / 12, atol=1e-6
    )
    np.testing.assert_allclose(frames.chunk[first[0], 11:, 0], goal, atol=1e-6)


def test_the_keyframe_is_the_command_where_the_gripper_next_switches(frames: Frames) -> None:
    first = np.flatnonzero(frames.episode == 0)
    goal = frames.chunk[first[-1], 0, 0]
    before, after = frames.keyframe[first[0]], frames.keyframe[first[-1]]
    assert before[0] == pytest.approx(goal * 6 / 12, abs=1e-6) and before[7] == 1.0
    assert after[0] == pytest.approx(goal, abs=1e-6) and after[7] == 0.0


def test_filters_drop_failed_episodes_and_other_authorities(data: Path, tmp_path: Path) -> None:
    good = load_frames([data], tmp_path / "good", replace(CONFIG, success_only=True))
    assert len(good.tasks) == 3
    human = load_frames([data], tmp_path / "human", replace(CONFIG, authority=("human",)))
    assert np.bincount(human.episode).tolist() == [4] * 4  # its three and the one before
    said = "loosen the filter; 4 cannot be used, first episode_0: .* human 25%, policy 75%"
    with pytest.raises(EpisodeError, match=said):  # every chunk has human parts
        load_frames([data], tmp_path / "policy", replace(CONFIG, authority=("policy",)))


def test_a_second_start_reads_the_cache_and_new_episodes_rebuild_it(tmp_path: Path) -> None:
    data, cache = write_episodes(tmp_path / "data", 2), tmp_path / "cache"
    load_frames([data], cache, CONFIG)
    built = (cache / "scene.u8").stat().st_mtime_ns
    load_frames([data], cache, CONFIG)
    assert (cache / "scene.u8").stat().st_mtime_ns == built
    write_episode(data / "one_more", 9)
    assert len(load_frames([data], cache, CONFIG)) == 36


def test_no_episodes_and_no_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="no episode"):
        find_episodes([tmp_path])
    with pytest.raises(EpisodeError, match="no such folder.*missing"):
        find_episodes([tmp_path / "missing"])


def test_held_out_episodes_are_whole_and_apart(frames: Frames) -> None:
    rows, held = split_episodes(frames, 0.25, seed=0)
    assert len(rows) + len(held) == len(frames)
    assert not set(frames.episode[rows]) & set(frames.episode[held])


def test_a_batch_without_augmentation_undoes_to_the_data(sampler: Sampler) -> None:
    rows = np.array([3, 17])
    batch, spec, frames = sampler.gather(rows), sampler.spec, sampler.frames
    for i, row in enumerate(rows):
        chunk = spec.unnormalise_actions(batch.actions[i].numpy(), frames.state[row])
        np.testing.assert_allclose(chunk, frames.chunk[row], atol=1e-5)
    state = spec.state_norm.unnormalise(batch.state.numpy())
    np.testing.assert_allclose(state, frames.state[rows], atol=1e-5)
    pixels = (batch.images["scene"].permute(0, 2, 3, 1).numpy() + 1) * 127.5
    np.testing.assert_allclose(pixels, frames.images["scene"][rows], atol=0.01)


def test_the_same_step_gives_the_same_batch_and_an_epoch_shows_everything(
    sampler: Sampler,
) -> None:
    one, again = sampler.batch(5, 8), sampler.batch(5, 8)
    torch.testing.assert_close(one.images["scene"], again.images["scene"], atol=0, rtol=0)
    torch.testing.assert_close(one.state, again.state, atol=0, rtol=0)
    still = replace(sampler, augment=AugmentConfig(0, 0, 0, 0, 0))
    seen = torch.cat([still.batch(step, 8).actions for step in range(len(sampler.rows) // 8)])
    everything = still.gather(sampler.rows).actions
    assert torch.allclose(seen.sum(0), everything.sum(0), atol=1e-3)


def test_shifted_images_keep_their_content_and_move_by_at_most_the_limit() -> None:
    images = np.zeros((50, 16, 16, 3), np.uint8)
    images[:, 8, 8] = 255
    corners = np.random.default_rng(0).integers(0, 5, (50, 2))
    shifted = shift_images(images, corners, 2)
    where = np.argwhere(shifted[..., 0] == 255)
    assert len(where) == 50
    assert np.abs(where[:, 1:] - 8).max() == 2
    assert shift_images(images, corners, 0) is images


def test_colour_jitter_that_is_switched_off_changes_nothing() -> None:
    images = torch.rand(2, 3, 4, 4)
    off = AugmentConfig(0, 0.0, 0.0, 0.0, 0.0)
    drawn = draw_changes(off, (2, 8), ("scene",), np.random.default_rng(0))
    after = recolour(images.clone(), drawn.gain["scene"], drawn.offset["scene"])
    torch.testing.assert_close(after, images, atol=0, rtol=0)


def test_two_replicas_leave_the_gradient_of_the_mean_loss() -> None:
    torch.manual_seed(0)
    model = FlowPolicy(SMALL)
    states = torch.randn(2, 3, 8)

    def forward(network: FlowPolicy, share: Share) -> Part:
        losses = network.state(states[share.index]).square().mean(dim=1)
        return Part(losses, torch.zeros(3), torch.zeros(3), torch.zeros(3), {})

    Replicas(model, 2).gradients(forward)
    shared = model.state.weight.grad
    assert shared is not None
    together = FlowPolicy(SMALL)
    together.load_state_dict(model.state_dict())
    together.state(states.flatten(0, 1)).square().mean().backward()
    torch.testing.assert_close(shared, together.state.weight.grad, atol=1e-6, rtol=1e-5)


def test_the_learning_rate_warms_up_and_ends_at_a_hundredth() -> None:
    config = TrainConfig(steps=100, learning_rate=1.0)
    rates = [config.rate(config.progress(step, 0.0)) for step in range(101)]
    assert rates[0] < 0.05 and max(rates) == pytest.approx(1.0, abs=0.02)
    assert rates[-1] == pytest.approx(0.01, abs=1e-6)
    assert rates[5:] == sorted(rates[5:], reverse=True)


def test_a_run_lowers_the_loss_and_describes_itself(data: Path, tmp_path: Path) -> None:
    start(plan(data, tmp_path, steps=60, learning_rate=3e-3, log_every_s=0.0), "cmd", silent)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:5])
    saved = load_checkpoint(tmp_path)
    assert saved.step == 60
    assert saved.provenance["command"] == "cmd"
    assert saved.provenance["data"] == {"lift": {"episodes": 4, "observations": 48}}
    assert set(saved.validation) >= {"val_loss", "joint_error_rad", "gripper_accuracy"}
    assert str(tmp_path) not in json.dumps(saved.provenance)


def test_a_run_started_from_a_checkpoint_keeps_its_normalisation(
    data: Path, tmp_path: Path
) -> None:
    first = start(plan(data, tmp_path / "a"), say=silent)
    write_episode(tmp_path / "other" / "e", 77)
    write_episode(tmp_path / "other" / "f", 78)
    tuned = replace(plan(tmp_path / "other", tmp_path / "b"), init=tmp_path / "a")
    second = start(tuned, say=silent)
    np.testing.assert_array_equal(first.spec.action_norm.offset, second.spec.action_norm.offset)


def test_a_folder_that_holds_a_run_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    start(plan(data, tmp_path), say=silent)
    with pytest.raises(ConfigError, match="--resume"):
        start(plan(data, tmp_path), say=silent)


def test_a_budget_is_either_minutes_or_steps() -> None:
    for options in ({}, {"steps": 3, "minutes": 1.0}):
        with pytest.raises(ConfigError, match="either"):
            TrainConfig(**options)  # type: ignore


def test_the_recorded_command_names_no_local_folder() -> None:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    args = parser.parse_args(["/some/where/demos", "--out", "/else/run", "--minutes", "5"])
    text = verb.command(args)
    assert text.startswith("./arfm train demos --out run --minutes 5.0")
    assert "/" not in text.removeprefix("./")


def test_a_limit_that_leaves_nothing_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="all 36 observations .*--outlier 0 takes them all"):
        start(plan(data, tmp_path, outlier=1e-3), say=silent)
