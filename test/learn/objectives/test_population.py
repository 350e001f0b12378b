"""ARFM's constants of all that is learned from: what a small batch holds of it does not count."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from arfm_ros.learn.objectives.arfm import Arfm, best_alpha, softmax_weights
from arfm_ros.learn.objectives.population import Population

torch.set_num_threads(1)  # small tensors: more threads only wait for each other
LAWS = {"lam": 2.0, "ess_min": 0.0}


def successes(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Make R* [N] and tasks [N]: half of the one succeed, a twentieth of the other."""
    task = np.repeat([0, 1], [3000, 1000])
    good = rng.random(4000) < np.where(task == 0, 0.5, 0.05)
    rate = np.array([good[task == k].mean() for k in (0, 1)])[task]
    signal = (good - rate) / np.sqrt(rate * (1 - rate))
    return torch.from_numpy(signal), torch.from_numpy(task)


def test_over_all_rows_it_is_the_softmax_a_task() -> None:
    signal, task = successes(np.random.default_rng(0))
    alphas = Arfm().candidates
    whole = Population.of(signal, task, alphas)
    best = whole.best(0.3, 2.0, 0.1)
    assert best == best_alpha(signal, (0.3, 2.0, 0.1), alphas, task)
    same = softmax_weights(signal, best, task)
    assert torch.allclose(whole.weights(signal, task, best), same, rtol=1e-9)
    losses = torch.from_numpy(np.random.default_rng(1).uniform(0.0, 1.0, len(signal)))
    found, told = Arfm(normaliser="data").over(signal, task).weights(losses, signal, task)
    expected, info = Arfm().weights(losses, signal, task)
    assert torch.allclose(found, expected, rtol=1e-9) and told == pytest.approx(info)


@pytest.mark.parametrize("batch", [8, 32, 128])
def test_small_batches_have_the_weights_of_all_rows_in_the_mean(batch: int) -> None:
    """A softmax within a batch gives failures what a task without a success among its rows has."""
    rng = np.random.default_rng(2)
    signal, task = successes(rng)
    data = Arfm(normaliser="data", **LAWS).over(signal, task)
    failed, share = (signal < 0).double(), (task == 1).double()
    whole, _ = data.weights(torch.linspace(0, 1, len(signal)), signal, task)
    sums = {"data": np.zeros(3), "task": np.zeros(3)}
    for _ in range(count := 16_000 // batch):
        rows = torch.from_numpy(rng.integers(0, len(signal), batch))
        losses = torch.from_numpy(rng.uniform(0.0, 1.0, batch))
        for name, one in (("data", data), ("task", Arfm(**LAWS))):
            weights, _ = one.weights(losses, signal[rows], task[rows])
            parts = (weights.sum(), weights @ failed[rows], weights @ share[rows])
            sums[name] += np.array([float(part) for part in parts]) / count
    ideal = [1.0, float(whole @ failed), 0.25]
    spread = float((len(signal) * whole).std()) / np.sqrt(batch * count)
    assert np.abs(sums["data"] - ideal).max() < 4 * spread < 0.1
    if batch == 8:  # of two rows of the hard task nine times of ten none is good
        assert sums["task"][1] - ideal[1] > 0.15


def test_a_tail_and_other_moments() -> None:
    rng = np.random.default_rng(3)
    signal, task = torch.from_numpy(rng.standard_t(2, 5000)), torch.zeros(5000, dtype=torch.int64)
    whole = Population.of(signal, task, Arfm().candidates)
    best = whole.best(0.3, 2.0, 0.1)
    weights = whole.weights(signal, task, best)
    assert 0.1 <= float(1 / weights.square().sum()) / 5000
    assert whole.best(0.3, 2.0, 0.0) > best
    paper = Arfm(normaliser="data", moments="gaussian", lam=0.5).over(signal, task)
    losses = torch.from_numpy(rng.uniform(0.0, 1.0, 5000))
    found, told = paper.weights(losses, signal, task)
    expected, info = Arfm(normaliser="task", moments="gaussian", lam=0.5).weights(
        losses, signal, task
    )
    assert torch.allclose(found, expected, rtol=1e-9) and told == pytest.approx(info)
    same = torch.ones(50, dtype=torch.float64)
    even = Arfm(normaliser="data").over(same, torch.zeros(50))
    weights, _ = even.weights(torch.rand(10), same[:10], torch.zeros(10))
    assert torch.allclose(weights, torch.full((10,), 0.1, dtype=torch.float64))
