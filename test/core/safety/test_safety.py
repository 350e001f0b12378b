"""What wants to become a command is checked at the door."""

import numpy as np
import pytest

from arfm_ros.core.errors import ConfigError, SafetyError
from arfm_ros.core.safety.limits import check_chunk
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.robots.fr3.limits import fr3_limits

LIMITS = fr3_limits()
MIDDLE = 0.5 * (LIMITS.low + LIMITS.high)


def chunk_of(actions, names=LIMITS.names):
    return ActionChunk(np.asarray(actions, np.float32), 0, 50_000_000, names)


def test_actions_a_little_beyond_a_limit_are_clipped_and_far_ones_refused():
    actions = np.tile(MIDDLE, (4, 1))
    actions[2, 7] = 1.2
    assert check_chunk(chunk_of(actions), LIMITS)[2, 7] == 1.0
    actions[1, 0] = LIMITS.high[0] + 0.5
    with pytest.raises(SafetyError, match="beyond the limit of fr3_joint1"):
        check_chunk(chunk_of(actions), LIMITS)


def test_a_chunk_that_is_not_finite_or_not_ours_is_refused_by_name():
    actions = np.tile(MIDDLE, (4, 1))
    actions[3, 5] = np.nan
    with pytest.raises(SafetyError, match="not finite: fr3_joint6"):
        check_chunk(chunk_of(actions), LIMITS)
    with pytest.raises(SafetyError, match="the robot takes fr3_joint1"):
        check_chunk(chunk_of(actions[:, :2], ("a", "b")), LIMITS)


def test_limits_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="margin"):
        fr3_limits(margin_rad=2.0)
    with pytest.raises(ConfigError, match="velocity_scale"):
        fr3_limits(velocity_scale=1.5)
