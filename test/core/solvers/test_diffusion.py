"""Laws of the diffusion samplers: known distributions come out, in any number of steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from arfm_ros.core.errors import Cancelled, EngineError, SpecError
from arfm_ros.core.solvers.sampler import DIFFUSION, PREDICTIONS, Sampler
from arfm_ros.core.solvers.sampling import make_solver
from arfm_ros.core.solvers.solver import Field, Integration, solve

SHAPE = (16, 8)
LEVELS = 100
COSINE = np.cos((np.arange(1, LEVELS + 1) / LEVELS + 0.008) / 1.008 * np.pi / 2) ** 2
ALPHAS = np.maximum(COSINE, 1e-3 * np.linspace(2, 1, LEVELS)).astype(np.float32)


def noise(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def sampler(kind: str, prediction: str = "epsilon", clip: float = 0.0) -> Sampler:
    return Sampler(kind, ALPHAS, prediction, clip)


def gaussian(prediction: str, mean: float, std: float) -> Field:
    """Return the best network for actions that are N(mean, std^2), in closed form."""

    def predict(x: np.ndarray, t: float) -> np.ndarray:
        alpha = float(ALPHAS[int(t)])
        signal, sigma = alpha**0.5, (1 - alpha) ** 0.5
        clean = mean + signal * std**2 / (alpha * std**2 + sigma**2) * (x - signal * mean)
        epsilon = (x - signal * clean) / sigma
        known = {"epsilon": epsilon, "sample": clean, "v_prediction": 0 * x}
        known["v_prediction"] = signal * epsilon - sigma * clean
        return known[prediction]

    return predict


def run(
    which: Sampler, field: Field, start: np.ndarray, steps: int, **more: object
) -> Integration:
    return solve(make_solver(which, steps, start), field, start, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", DIFFUSION)
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("steps", [1, 7, 100])
def test_a_network_that_knows_the_only_answer_reaches_it(
    kind: str, prediction: str, steps: int
) -> None:
    result = run(sampler(kind, prediction), gaussian(prediction, 0.7, 0.0), noise(), steps)
    np.testing.assert_allclose(result.sample, 0.7, atol=1e-4)
    assert result.steps == steps and result.sample.dtype == np.float32


@pytest.mark.parametrize("kind", DIFFUSION)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_what_is_sampled_has_the_distribution_that_was_learned(kind: str, prediction: str) -> None:
    start = noise(1, (200, 200))
    x = run(sampler(kind, prediction), gaussian(prediction, 0.3, 0.5), start, LEVELS).sample
    assert x.mean() == pytest.approx(0.3, abs=0.02)
    assert x.std() == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize("kind", DIFFUSION)
def test_the_network_is_told_equally_spaced_levels_down_to_the_last(kind: str) -> None:
    seen: list[float] = []
    run(sampler(kind), lambda x, t: (seen.append(t), x)[1], noise(), 5)
    assert seen == [80.0, 60.0, 40.0, 20.0, 0.0]


@pytest.mark.parametrize("kind", DIFFUSION)
def test_the_same_noise_gives_the_same_chunk_and_other_noise_another(kind: str) -> None:
    field = gaussian("epsilon", 0.0, 0.5)
    one, same, other = (run(sampler(kind), field, noise(seed), 20).sample for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1


def test_ancestral_sampling_adds_noise_of_its_own_at_every_step_but_the_last() -> None:
    def still(x: np.ndarray, t: float) -> np.ndarray:
        return 0 * x

    start = noise()
    ddpm, ddim = (
        run(sampler(kind, "sample"), still, start, 10, keep_trace=True).trace
        for kind in DIFFUSION[::-1]
    )
    gaps = [np.abs(a - b).max() for a, b in zip(ddpm, ddim)]
    assert gaps[0] == 0 and min(gaps[1:-1]) > 1e-2
    np.testing.assert_array_equal(ddpm[-1], 0)


def test_a_predicted_action_is_clipped_where_the_training_did() -> None:
    field = gaussian("epsilon", 3.0, 0.0)
    for kind in DIFFUSION:
        assert run(sampler(kind), field, noise(), 10).sample.max() == pytest.approx(3, abs=1e-3)
        assert run(sampler(kind, clip=1.0), field, noise(), 10).sample.max() == pytest.approx(1)


@pytest.mark.parametrize("kind", DIFFUSION)
def test_being_out_of_time_finishes_with_the_clean_actions_of_the_level_it_is_at(
    kind: str,
) -> None:
    field = gaussian("sample", 0.2, 0.5)
    result = run(
        sampler(kind, "sample"), field, noise(), 10, out_of_time=lambda left: left <= 7,
        keep_trace=True,
    )  # fmt: skip
    assert result.steps == 4
    np.testing.assert_allclose(result.sample, field(result.trace[3], 60.0), atol=1e-6)


@pytest.mark.parametrize("kind", (*DIFFUSION, "regression"))
def test_every_kind_can_be_cancelled_and_discards_what_is_not_finite(kind: str) -> None:
    which = sampler(kind) if kind in DIFFUSION else Sampler(kind)
    with pytest.raises(Cancelled, match="before step 1 of"):
        run(which, lambda x, t: x, noise(), 10, cancelled=lambda: True)
    with pytest.raises(EngineError, match="not finite at t ="):
        run(which, lambda x, t: np.full_like(x, np.nan), noise(), 10)


def test_a_regression_asks_once_and_takes_no_noise() -> None:
    answer = noise(3)
    for start in (noise(0), noise(1)):
        result = run(Sampler("regression"), lambda x, t: answer, start, 50)
        np.testing.assert_array_equal(result.sample, answer)
        assert result.steps == 1


def test_more_steps_than_levels_are_refused() -> None:
    with pytest.raises(EngineError, match="steps is 101, the policy has 100 levels"):
        make_solver(sampler("ddim"), 101, noise())
    with pytest.raises(EngineError, match="at least 1"):
        make_solver(sampler("ddpm"), 0, noise())


def test_a_sampler_that_contradicts_itself_is_refused() -> None:
    for change, says in [
        ({"kind": "magic"}, "sampler kind 'magic', needs one of flow, ddim"),
        ({"kind": "flow"}, "'flow' has 100 levels"),
        ({"alphas_cumprod": np.zeros(0, np.float32)}, "'ddim' has 0 levels"),
        ({"alphas_cumprod": ALPHAS[::-1].copy()}, "need to fall"),
        ({"prediction": "x"}, "prediction 'x'"),
        ({"clip": -1.0}, "clip is -1.0"),
    ]:
        with pytest.raises(SpecError, match=says):
            replace(sampler("ddim"), **change)  # type: ignore[arg-type]
