"""A reward that is scaled or shifted gives the same weights, whatever the batch; a raw one not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from arfm_ros.learn.objectives.arfm import Arfm
from arfm_ros.learn.objectives.objective import Objective
from arfm_ros.learn.objectives.rwr import Rwr
from arfm_ros.learn.signals.rl_signal import SignalConfig, centred

EPISODES, TICKS = 16, 32  # rows: 512


def returns() -> tuple[np.ndarray, np.ndarray]:
    """Give returns of two tasks that end at very different times, and the task of each row."""
    rng = np.random.default_rng(0)
    seconds = np.repeat(rng.uniform(2.0, 9.0, EPISODES), TICKS)
    task = np.repeat(np.arange(EPISODES) % 2, TICKS)
    return np.exp(-0.3 * seconds) * np.where(task, 1.0, 0.1), task


def signal(values: np.ndarray, task: np.ndarray, config: SignalConfig) -> np.ndarray:
    episode = np.repeat(np.arange(EPISODES), TICKS)
    found = np.zeros(len(values))
    for one in (0, 1):
        rows = task == one
        found[rows] = centred(values[rows], episode[rows], config)
    return found


def weights(objective: Objective, given: np.ndarray, task: np.ndarray, batch: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    rows = rng.permutation(len(given))[:batch]
    losses = torch.from_numpy(rng.uniform(0.05, 0.6, batch))
    made, _ = objective.weights(
        losses, torch.from_numpy(given[rows]), torch.from_numpy(task[rows])
    )
    return made.numpy()


@pytest.mark.parametrize("objective", [Arfm(), Rwr()], ids=lambda one: one.name)
@pytest.mark.parametrize("batch", [32, 128, 512])
@pytest.mark.parametrize("scale,shift", [(0.1, 0.0), (10.0, 0.0), (1.0, 5.0), (3.0, -2.0)])
def test_scale_and_shift_of_the_reward_leave_the_weights_alone(
    objective: Objective, batch: int, scale: float, shift: float
) -> None:
    values, task = returns()
    plain = signal(values, task, SignalConfig())
    other = signal(scale * values + shift, task, SignalConfig())
    same = weights(objective, plain, task, batch)
    np.testing.assert_allclose(weights(objective, other, task, batch), same, rtol=1e-6)
    assert same.max() > 1.5 * same.min()  # something is told apart


def test_without_the_z_score_a_small_reward_is_plain_flow_matching_to_arfm() -> None:
    values, task = returns()
    raw = SignalConfig(z_score=False)
    spread = [
        float(np.std(weights(Arfm(), signal(scale * values, task, raw), task, 256)) * 256)
        for scale in (0.01, 1.0, 10.0)
    ]
    assert spread[0] < 0.02 < spread[1] < spread[2]  # alpha is bounded in units of the reward


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_a_beta_without_z_score_stands_for_one_scale_of_the_reward(scale: float) -> None:
    values = torch.tensor([0.0, 0.0, 0.5, 0.5], dtype=torch.float64)
    objective = Rwr(beta=4.0, z_score=0.0)
    made, _ = objective.weights(torch.ones(4), scale * values)
    half = min(np.exp(4.0 * 0.25 * scale), 100.0)
    low = np.exp(-4.0 * 0.25 * scale)
    np.testing.assert_allclose(made.numpy(), np.array([low, low, half, half]) / 4, rtol=1e-6)
