"""Objectives that take a signal for more than a weight: a filter by it, and guidance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from learn_rig import SMALL, plan, silent, write_episodes

from arfm_ros.core.errors import ConfigError, EpisodeError
from arfm_ros.engines import EnginePolicy, load_policy
from arfm_ros.export.bundle import export_bundle
from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.loop.begin import start
from arfm_ros.learn.loop.checkpoint import build_policy, load_checkpoint
from arfm_ros.learn.model.network import FlowPolicy
from arfm_ros.learn.objectives.advantage_conditioned import AdvantageConditioned
from arfm_ros.learn.objectives.filtered_signal import FilteredSignal
from arfm_ros.learn.signals.rl_signal import SignalConfig, parse_reward

SUCCESS = SignalConfig(parse_reward("success"))


def of_tasks(values: list[float], tasks: str) -> tuple[Frames, np.ndarray]:
    """One observation an episode."""
    n = len(values)
    none = np.zeros((n, 1), np.float32)
    frames = Frames(
        images={}, state=none, chunk=none[:, None], keyframe=none, tokens=np.zeros((n, 1), int),
        episode=np.arange(n, dtype=np.int32), instructions=("",) * n, tasks=tuple(tasks),
        returns=none, human=np.zeros(n, bool), success=np.ones(n, np.int8),
    )  # fmt: skip
    return frames, np.array(values)


def test_the_filter_keeps_the_better_half_of_each_task() -> None:
    frames, signal = of_tasks([1, 2, 3, 4, 10, 20, 30, 40], "aaaabbbb")
    kept = FilteredSignal().rows(frames, np.arange(8), signal)
    assert kept.tolist() == [2, 3, 6, 7]
    mostly_poor, told = of_tasks([0, 0, 0, 1], "aaaa")
    assert FilteredSignal().rows(mostly_poor, np.arange(4), told).tolist() == [3]
    mostly_good, told = of_tasks([0, 1, 1, 1], "aaaa")
    assert FilteredSignal().rows(mostly_good, np.arange(4), told).tolist() == [1, 2, 3]
    with pytest.raises(EpisodeError, match="nothing to choose by"):
        FilteredSignal().rows(*(frames, np.arange(8), np.zeros(8)))
    with pytest.raises(ConfigError, match="quantile 1.5"):
        FilteredSignal(quantile=1.5)


def test_the_indicator_says_good_or_poor_and_is_dropped_in_its_share() -> None:
    signal = torch.tensor([-1.0, 0.0, 0.5, 2.0])
    objective = AdvantageConditioned(drop=0.25)
    assert objective.condition(signal).tolist() == [-1.0, -1.0, 1.0, 1.0]
    told = objective.condition(signal, torch.tensor([0.9, 0.1, 0.3, 0.2]))
    assert told.tolist() == [-1.0, 0.0, 1.0, 0.0]
    assert objective.target(np.zeros(3)) == 1.0
    with pytest.raises(ConfigError, match="guidance -1"):
        AdvantageConditioned(guidance=-1.0)


def test_guidance_is_the_velocity_beyond_the_condition_and_only_where_it_is_asked_for() -> None:
    torch.manual_seed(0)
    shape = replace(SMALL, conditioned=True, guidance=3.0)
    model = FlowPolicy(shape).eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.2)
    model.returns.target.fill_(1.0)
    images = {name: torch.rand(2, 3, h, w) for name, h, w in shape.cameras}
    seen = (images, torch.rand(2, shape.state), torch.ones(2, 16, dtype=torch.int64))
    x, t = torch.randn(2, shape.horizon, shape.actions), torch.full((2,), 0.4)
    told, _ = model.encode(*seen)
    free, _ = model.encode(*seen, torch.zeros(2))
    v_told, v_free = model.velocity(x, t, told), model.velocity(x, t, free)
    model.guiding = True
    guided = model.velocity(x, t, told)
    torch.testing.assert_close(guided, v_free + 3.0 * (v_told - v_free), atol=1e-3, rtol=1e-3)
    assert (guided - v_told).abs().max() > 1e-4


@pytest.mark.slow
def test_what_is_trained_with_guidance_is_exported_with_it_and_passes_its_check(
    tmp_path: Path,
) -> None:
    data = write_episodes(tmp_path / "data", 4)
    objective = AdvantageConditioned(guidance=2.0)
    run = plan(data, tmp_path / "run", objective=objective, signal=SUCCESS, steps=6)
    start(run, say=silent)
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint.config.guidance == 2.0 and build_policy(checkpoint).guiding
    with torch.no_grad():
        build_policy(checkpoint)
    assert export_bundle(tmp_path / "run", tmp_path / "bundle", "told", 1, say=silent).passed
    policy = load_policy(tmp_path / "bundle", threads=1)
    assert isinstance(policy, EnginePolicy)
    noise = np.zeros(policy.spec.flow_shape, np.float32)
    chunk = policy.sample(policy.encode(policy.spec.example(0)), noise)
    assert np.isfinite(chunk.actions).all()
