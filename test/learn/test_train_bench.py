"""What a step costs, and batches that are made ahead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import learn_rig
import numpy as np
import pytest
import torch
from learn_rig import SMALL, plan, sampler_of, silent

from arfm_ros.bench.step_costs import FEWEST, StepCosts, measure_steps
from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.statistics import median_interval
from arfm_ros.learn.data.augment import AugmentConfig
from arfm_ros.learn.data.dataset import WHOLE, Batch, Sampler, Share
from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.data.loader import Direct, Prefetch
from arfm_ros.learn.loop.train import TrainConfig, Trainer
from arfm_ros.learn.model.network import FlowPolicy

data, frames = learn_rig.data, learn_rig.frames  # the fixtures
CPU = torch.device("cpu")


@pytest.fixture
def sampler(frames: Frames) -> Sampler:
    return sampler_of(frames, AugmentConfig())


def tensors(batch: Batch) -> list[torch.Tensor]:
    return [*batch.images.values(), *batch[1:]]


def same(one: Batch, other: Batch) -> bool:
    return all(map(torch.equal, tensors(one), tensors(other)))


def test_a_batch_made_ahead_is_the_one_asked_for(sampler: Sampler) -> None:
    direct, ahead = Direct(sampler, 8, CPU), Prefetch(sampler, 8, CPU)
    half = Share(1, 2)
    for step, share in ((0, WHOLE), (1, WHOLE), (7, WHOLE), (8, half), (3, half), (4, half)):
        assert same(direct.batch(step, share), ahead.batch(step, share))


def test_training_on_batches_made_ahead_takes_the_same_steps(sampler: Sampler) -> None:
    def weights(prefetch: bool) -> torch.Tensor:
        torch.manual_seed(0)
        config = TrainConfig(steps=9, batch=6, threads=1, precision="fp32", device="cpu")
        trainer = Trainer(FlowPolicy(SMALL), sampler, config)
        if prefetch:
            trainer.loader = Prefetch(sampler, 6, CPU)
        for _ in range(3):
            trainer.step()
        return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])

    assert torch.equal(weights(False), weights(True))


def test_an_error_in_a_batch_made_ahead_is_raised_where_it_is_asked_for(sampler: Sampler) -> None:
    loader = Prefetch(replace(sampler, signal=np.zeros(1)), 8, CPU)
    for _ in range(2):
        with pytest.raises(IndexError):
            loader.batch(0, WHOLE)


def test_paired_steps_are_measured_on_the_same_data(data: Path, tmp_path: Path) -> None:
    costs = measure_steps(plan(data, tmp_path), seconds=0.01, say=silent)
    assert costs.pairs >= FEWEST and costs.batch == 8 and costs.threads == 1
    assert costs.plain_ms > 0 and costs.arfm_ms > 0 and costs.samples_s > 0
    assert costs.interval[0] <= costs.ratio <= costs.interval[1]
    assert costs.processor_interval[0] <= costs.processor_ratio <= costs.processor_interval[1]
    assert 0 < costs.waiting < 1
    assert costs.observations == 36 and costs.machine["torch"]


def test_a_costly_arfm_or_a_slow_loader_misses_the_targets() -> None:
    one = (1.0, 1.0)
    good = StepCosts(9, *one, 1.02, one, 1.0, one, 0.1, 8.0, 8, 1, "cpu", "fp32", 9, 9, {})
    assert good.met
    assert not replace(good, ratio=1.021).met and not replace(good, waiting=0.11).met


def test_the_interval_of_a_median_holds_the_median_of_what_it_was_drawn_from() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(100):
        low, high = median_interval(rng.exponential(1.0, 60), resamples=300, seed=seed)
        held += low <= np.log(2) <= high
    assert 88 <= held <= 100
    assert median_interval([2.0, 2.0]) == (2.0, 2.0)
    with pytest.raises(ConfigError, match="no median"):
        median_interval([])
