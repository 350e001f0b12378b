"""Laws of the normalisation."""

from __future__ import annotations

import numpy as np
import pytest

from arfm_ros.core.errors import SpecError
from arfm_ros.core.values.normalize import Affine, fit_affine


def test_unnormalise_inverts_normalise() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(3.0, 5.0, (200, 16, 8)).astype(np.float32)
    affine = fit_affine(samples)
    back = affine.unnormalise(affine.normalise(samples))
    np.testing.assert_allclose(back, samples, atol=1e-5)


def test_fitted_samples_come_out_with_zero_mean_and_unit_scale() -> None:
    samples = np.random.default_rng(1).normal(-2.0, 0.3, (500, 8)).astype(np.float32)
    z = fit_affine(samples).normalise(samples)
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(z.std(axis=0), 1.0, atol=1e-4)


def test_a_constant_value_does_not_blow_up() -> None:
    affine = fit_affine(np.full((10, 2), 0.7, np.float32), floor=0.01)
    assert affine.normalise(np.full(2, 0.8, np.float32)) == pytest.approx(10.0, rel=1e-4)


def test_results_are_float32_whatever_comes_in() -> None:
    affine = fit_affine(np.random.default_rng(0).normal(size=(9, 3)))
    assert affine.normalise(np.zeros(3)).dtype == np.float32
    assert affine.unnormalise(np.zeros(3)).dtype == np.float32


@pytest.mark.parametrize(
    ("offset", "scale", "says"),
    [
        ([0.0, 0.0], [1.0], "differ"),
        ([np.nan, 0.0], [1.0, 1.0], "not finite"),
        ([0.0, 0.0], [1.0, 0.0], "<= 0"),
    ],
)
def test_bad_statistics_are_refused(offset: list[float], scale: list[float], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        Affine(np.asarray(offset, np.float32), np.asarray(scale, np.float32))
