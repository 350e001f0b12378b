"""ARFM: the adaptive scale against known roots, and the laws of its weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.loop.replicas import Part, relative_slopes
from arfm_ros.learn.objectives.arfm import (
    PAPER,
    Arfm,
    best_alpha,
    effective_samples,
    softmax_weights,
    solve_alpha,
)

LAM = 5e-4
VECTORS = [  # sigma_R, sigma_L^2, alpha* at lambda = 5e-4
    (1, 1e-4, 0.692884558420422),
    (0.5, 1e-4, 1.09315697527366),
    (1, 4e-4, 0.397527856763884),
    (3, 1e-4, 0.303735257646613),
    (0.1, 1e-3, 0.249533530228992),
    (1, 1e-2, 0.0249533530228992),
]


def paper(**knobs: Any) -> Arfm:
    """Make the objective with the paper's knobs where no others are given."""
    return Arfm(**{**PAPER, **knobs})


def batch(seed: int, size: int = 64, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw (losses, R*) of a batch."""
    rng = torch.Generator().manual_seed(seed)
    losses = 0.02 * torch.rand(size, generator=rng, dtype=torch.float64)
    return losses, scale * torch.randn(size, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize(("sigma_r", "variance_l", "alpha"), VECTORS)
def test_alpha_meets_the_known_values(sigma_r: float, variance_l: float, alpha: float) -> None:
    assert solve_alpha(sigma_r, math.sqrt(variance_l), LAM) == pytest.approx(alpha, abs=1e-9)
    assert paper().alpha(sigma_r, math.sqrt(variance_l))[0] == pytest.approx(alpha, abs=1e-9)


@pytest.mark.parametrize("x", [1e-16, 1e-9, 1e-4, 0.02, 0.5, 1.0, 4.0, 20.0, 200.0])
@pytest.mark.parametrize(("sigma_r", "sigma_l"), [(1.0, 0.01), (1e-3, 0.5), (40.0, 1e-4)])
def test_alpha_inverts_the_condition_it_solves(x: float, sigma_r: float, sigma_l: float) -> None:
    scale = 4 * math.exp(2 * x) - 2 * math.exp(x)
    lam = sigma_l**2 / sigma_r * math.sqrt(x) * scale
    assert solve_alpha(sigma_r, sigma_l, lam) == pytest.approx(math.sqrt(x) / sigma_r, rel=1e-9)


@pytest.mark.parametrize(("sigma_r", "variance_l", "alpha"), VECTORS)
def test_the_objective_falls_up_to_alpha_and_rises_behind_it(
    sigma_r: float, variance_l: float, alpha: float
) -> None:
    def slope(a: float) -> float:  # of J = sigma_L^2 (e^(2 x) - e^x) - lambda a sigma_R^2
        x = (a * sigma_r) ** 2
        variance = variance_l * 2 * a * sigma_r**2 * (2 * math.exp(2 * x) - math.exp(x))
        return variance - LAM * sigma_r**2

    assert slope(alpha * (1 - 1e-9)) < 0 < slope(alpha * (1 + 1e-9))
    slopes = [slope(a) for a in np.linspace(0.0, 3 * alpha, 200)]
    assert slopes == sorted(slopes)  # J is convex: there is no other root


def test_the_paper_s_knobs_are_a_flag_and_the_defaults_say_success_or_failure() -> None:
    arfm = paper()
    assert (arfm.lam, arfm.alpha_min, arfm.alpha_max) == (5e-4, 0.01, 5.0)
    assert (arfm.moments, arfm.normaliser) == ("gaussian", "batch") and arfm.iterations >= 20
    own = Arfm()
    assert (own.lam, own.moments, own.normaliser) == (2.0, "batch", "data")
    # at the spread of losses that trained networks have the paper's alpha is plain flow matching
    succeeded = torch.tensor([1.0, 1.0, -1.0, -1.0]).double()
    assert arfm.alpha(1.0, 0.15, succeeded)[0] < 0.02 < 1.0 < own.alpha(1.0, 0.15, succeeded)[0]


def test_twenty_iterations_come_within_a_hundred_thousandth() -> None:
    for sigma_r, variance_l, alpha in VECTORS:
        found = solve_alpha(sigma_r, math.sqrt(variance_l), LAM, iterations=20)
        assert found == pytest.approx(alpha, rel=1e-5)


def test_alpha_is_at_most_half_of_lambda_over_the_variance_of_the_losses() -> None:
    rng = np.random.default_rng(0)
    for sigma_r, sigma_l, lam in 10 ** rng.uniform(-4, 2, (200, 3)):
        assert 0 < solve_alpha(sigma_r, sigma_l, lam) <= lam / (2 * sigma_l**2) * (1 + 1e-12)


def test_alpha_falls_with_the_spread_of_returns_and_of_losses() -> None:
    by_r = [solve_alpha(s, 0.01, LAM) for s in np.geomspace(1e-3, 1e3, 30)]
    by_l = [solve_alpha(1.0, s, LAM) for s in np.geomspace(1e-4, 10, 30)]
    assert by_r == sorted(by_r, reverse=True) and by_l == sorted(by_l, reverse=True)


def test_edge_cases_give_a_bound_and_never_nan() -> None:
    arfm = paper()
    assert arfm.alpha(0.0, 0.1)[0] == arfm.alpha_min
    assert arfm.alpha(0.0, 0.0)[0] == arfm.alpha_min
    assert arfm.alpha(1.0, 0.0)[0] == arfm.alpha_max
    assert paper(lam=0.0).alpha(1.0, 0.1)[0] == arfm.alpha_min
    assert arfm.alpha(float("nan"), 0.1)[0] == arfm.alpha(1.0, float("inf"))[0] == arfm.alpha_min
    for sigma_r in (1e-300, 1e-12, 1e12, 1e300):
        for sigma_l in (1e-150, 1e-12, 1e12, 1e150):
            assert arfm.alpha_min <= arfm.alpha(sigma_r, sigma_l)[0] <= arfm.alpha_max


def test_clipping_is_told() -> None:
    arfm = paper(alpha_min=0.1, alpha_max=0.5)
    assert arfm.alpha(1.0, 1e-2) == (0.5, True)
    assert arfm.alpha(1.0, 0.1) == (0.1, True)
    assert arfm.alpha(1.0, 2e-2) == (solve_alpha(1.0, 2e-2, LAM), False)


def test_bounds_that_cross_and_too_few_iterations_are_refused() -> None:
    for knobs in ({"alpha_min": 2.0, "alpha_max": 1.0}, {"lam": -1.0}, {"iterations": 10}):
        with pytest.raises(ConfigError, match="need"):
            paper(**knobs)  # type: ignore


def test_no_scale_is_plain_flow_matching() -> None:
    losses, signal = batch(0)
    value, info = paper(alpha_min=0.0, alpha_max=0.0).loss(losses, signal)
    assert value.item() == pytest.approx(losses.mean().item(), rel=1e-14)
    assert info["ess"] == pytest.approx(64)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 5.0, 1e6])
def test_equal_returns_weigh_the_same_at_any_scale(alpha: float) -> None:
    weights = softmax_weights(torch.full((49,), 0.7, dtype=torch.float64), alpha)
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / 49), atol=0, rtol=1e-13)


def test_a_constant_added_to_the_returns_changes_nothing() -> None:
    losses, signal = batch(1)
    one, other = (paper().weights(losses, s) for s in (signal, signal + 123.0))
    torch.testing.assert_close(one[0], other[0], atol=1e-12, rtol=0)
    assert one[1]["alpha"] == pytest.approx(other[1]["alpha"])


def test_weights_keep_the_order_of_the_returns_and_sum_to_one() -> None:
    losses, signal = batch(2, scale=3.0)
    weights, _ = paper().weights(losses, signal)
    assert torch.equal(weights.argsort(), signal.argsort())
    assert weights.sum().item() == pytest.approx(1.0)


def test_returns_of_thousands_do_not_overflow() -> None:
    weights = softmax_weights(torch.tensor([-4e5, 0.0, 4e5], dtype=torch.float64), 5.0)
    assert weights.tolist() == [0.0, 0.0, 1.0]


def test_with_the_scale_the_effective_samples_fall_and_the_signal_rises() -> None:
    _, signal = batch(3)
    weights = [softmax_weights(signal, a) for a in np.linspace(0, 5, 40)]
    samples = [effective_samples(w) for w in weights]
    gained = [float((w * signal).sum()) for w in weights]
    assert samples == sorted(samples, reverse=True) and samples[0] == pytest.approx(64)
    assert gained == sorted(gained)


def test_gaussian_returns_leave_exp_minus_x_of_the_samples() -> None:
    _, signal = batch(4, size=400_000)
    signal = (signal - signal.mean()) / signal.std(correction=0)
    for alpha in (0.2, 0.5, 0.8):
        share = effective_samples(softmax_weights(signal, alpha)) / len(signal)
        assert share == pytest.approx(math.exp(-(alpha**2)), rel=0.02)


@pytest.mark.parametrize("rate", [0.25, 0.5, 0.75])
def test_binary_returns_leave_the_successes(rate: float) -> None:
    size = 64
    signal = (torch.arange(size) < rate * size).double()
    assert effective_samples(softmax_weights(signal, 60.0)) == pytest.approx(rate * size)


def test_a_normaliser_a_task_gives_each_task_its_share_of_the_batch() -> None:
    losses, signal = batch(9)
    task = torch.arange(64) % 4 // 3  # 48 and 16
    shifted = signal + 5.0 * task
    found, info = paper(normaliser="task").weights(losses, shifted, task)
    for number, share in enumerate((0.75, 0.25)):
        own = task == number
        alone = softmax_weights(signal[own], info["alpha"])
        torch.testing.assert_close(found[own], share * alone, atol=0, rtol=1e-12)
    one, _ = paper(normaliser="task").weights(losses, signal, torch.zeros(64))
    torch.testing.assert_close(one, paper().weights(losses, signal)[0], atol=0, rtol=1e-13)


def test_with_a_normaliser_a_task_all_successes_count_the_same() -> None:
    """Few successes make z-scores high; a softmax over the batch takes the others' weight."""
    task = torch.arange(128) // 64
    good = torch.arange(128) % 64 < torch.where(task == 0, 48, 16)
    rate = torch.where(task == 0, 0.75, 0.25).double()
    signal = (good.double() - rate) / (rate * (1 - rate)).sqrt()
    losses, _ = batch(10, size=128)
    knobs = {"lam": 100.0, "moments": "batch"}
    mixed, _ = paper(**knobs).weights(losses, signal, task)
    apart, info = paper(**knobs, normaliser="task").weights(losses, signal, task)
    assert mixed[good & (task == 0)].sum() < 0.05
    assert apart[good & (task == 0)].sum().item() == pytest.approx(0.5, abs=1e-3)
    assert info["ess"] == pytest.approx(1 / (0.25 / 48 + 0.25 / 16), rel=1e-2)


def test_the_gradient_is_that_of_the_losses_with_the_weights_held() -> None:
    inputs = torch.randn(16, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    _, signal = batch(5, size=16)
    theta = torch.ones(5, dtype=torch.float64, requires_grad=True)

    def losses() -> torch.Tensor:
        return 0.001 * (inputs @ theta).square()

    value, info = paper().loss(losses(), signal)
    (whole,) = torch.autograd.grad(value, theta)
    weights, _ = paper().weights(losses().detach(), signal)
    parts = [torch.autograd.grad(loss, theta, retain_graph=True)[0] for loss in losses()]
    expected = sum(w * g for w, g in zip(weights, parts))
    torch.testing.assert_close(whole, expected, atol=1e-14, rtol=1e-12)
    assert info["alpha"] > 0.01


def test_info_reports_what_the_scale_was_solved_from() -> None:
    losses, signal = batch(6)
    _, info = paper().loss(losses, signal)
    assert info["sigma_r"] == pytest.approx(float(np.std(signal.numpy())))
    assert info["sigma_l"] == pytest.approx(float(np.std(losses.numpy())))
    assert info["alpha"] == paper().alpha(info["sigma_r"], info["sigma_l"])[0]
    assert 1 <= info["ess"] <= 64 and info["clipped"] == 0.0


def test_a_batch_in_one_part_or_in_two_gets_the_same_weights() -> None:
    losses, signal = batch(7)

    def parts(count: int) -> list[Part]:
        pairs = zip(losses.float().chunk(count), signal.chunk(count))
        none = torch.zeros(64 // count)
        return [Part(loss, none, r, none, {}) for loss, r in pairs]

    (whole,), info = relative_slopes(parts(1), paper().loss)
    halves, again = relative_slopes(parts(2), paper().loss)
    assert torch.equal(whole, torch.cat(halves)) and info == again
    weights, _ = paper().weights(losses.float().double(), signal)
    torch.testing.assert_close(whole, (64 * weights).float(), atol=0, rtol=0)


@pytest.mark.parametrize("size", [1, 3, 49, 50, 128, 1000])
def test_constant_returns_weigh_every_sample_exactly_one(size: int) -> None:
    losses, _ = batch(8, size=size)
    part = Part(losses.float(), torch.zeros(size), torch.full((size,), 0.3), torch.zeros(size), {})
    (slopes,), _ = relative_slopes([part], paper().loss)
    assert torch.equal(slopes, torch.ones(size))


def binary(rate: float, size: int = 400) -> torch.Tensor:
    """Make z-scored R* of a batch in which a share `rate` succeeded."""
    success = (torch.arange(size) < rate * size).double()
    return (success - success.mean()) / success.std(correction=0)


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.9])
def test_moments_of_the_batch_keep_failures_out_where_signal_is_worth_their_variance(
    rate: float,
) -> None:
    sigma_l, signal = 0.15, binary(rate)
    worth = 2 * sigma_l**2 / rate  # of dJ/dP at P = 1, with the weight P of the successes
    worth /= math.sqrt((1 - rate) / rate) + math.sqrt(rate / (1 - rate))
    alphas = [
        paper(lam=k * worth, moments="batch").alpha(1.0, sigma_l, signal) for k in (0.5, 1.5)
    ]
    assert alphas[0][0] < 2.5 and not alphas[0][1]
    assert alphas[1] == (5.0, True)
    assert paper(lam=1.5 * worth).alpha(1.0, sigma_l, signal)[0] < 1.5  # as if it were a Gaussian


def test_moments_of_the_batch_minimise_what_the_weights_cost_and_gain() -> None:
    losses, signal = batch(0, 256)
    fine = np.geomspace(0.01, 5.0, 5000)
    alpha = best_alpha(signal, (0.1, 0.02, 0.0), fine)
    costs = []
    for one in (alpha / 1.01, alpha, alpha * 1.01):
        weights = softmax_weights(signal, one)
        spread = 256 / effective_samples(weights) - 1
        costs.append(0.1**2 * spread - 0.02 * float((weights * signal).sum()))
    assert costs[1] < costs[0] and costs[1] < costs[2]


def test_unknown_moments_are_refused() -> None:
    with pytest.raises(ConfigError, match="gaussian, batch"):
        paper(moments="median")
