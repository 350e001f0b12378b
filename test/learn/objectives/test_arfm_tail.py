"""Signals with a long tail: a share of the batch keeps its weight."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from arfm_ros.learn.objectives.arfm import Arfm


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_a_signal_with_a_long_tail_leaves_a_share_of_the_batch_its_weight(scale: float) -> None:
    rng = np.random.default_rng(0)
    tail = torch.from_numpy(rng.standard_t(2, 256) * scale).float()
    losses = torch.from_numpy(rng.uniform(0.05, 0.3, 256)).float()
    free, info = Arfm(ess_min=0.0, alpha_min=1e-3, alpha_max=50.0).weights(losses, tail)
    held, kept = Arfm(ess_min=0.1, alpha_min=1e-3, alpha_max=50.0).weights(losses, tail)
    assert info["ess"] < 0.1 * 256 <= kept["ess"]
    assert kept["alpha"] < info["alpha"]
    assert held.sum() == pytest.approx(1.0, abs=1e-5) and free.max() > held.max()
