"""Laws of the moving mean: it begins where it is told, and nothing of it jumps."""

import numpy as np
import pytest

from arfm_ros.core.safety.smoothing import MovingMean

WINDOW_S, DT_S = 0.04, 0.01


@pytest.mark.parametrize("speed", [-2.0, -0.3, 0.0, 1.3])
def test_a_restart_goes_on_from_its_position_at_its_velocity(speed):
    mean = MovingMean(np.zeros(1), WINDOW_S)
    mean.restart(np.array([0.5]), np.array([speed]))
    position, velocity = mean.mean()
    np.testing.assert_allclose((position[0], velocity[0]), (0.5, speed), atol=1e-12)
    for k in range(1, 12):
        mean.push(DT_S, mean.end + speed * DT_S, np.array([speed]))
        position, velocity = mean.mean()
        expected = (0.5 + k * speed * DT_S, speed)
        np.testing.assert_allclose((position[0], velocity[0]), expected, atol=1e-12)
