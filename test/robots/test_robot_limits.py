"""The limits of a robot's command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.limits import Limits
from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.fr3.gains import PUBLISHED, TUNED, JointGains
from arfm_ros.robots.fr3.limits import fr3_limits
from arfm_ros.robots.limits import Clamps, limits

ARM = str(Path(__file__).parent / "made_up_arm" / "arm.yaml")
FIELDS = ("low", "high", "velocity", "acceleration", "tracking", "chunk_tolerance")


def assert_same(found: Limits, wanted: Limits) -> None:
    """Compare bit for bit."""
    assert found.names == wanted.names
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)
    assert (found.together is None) == (wanted.together is None)
    if found.together is not None and wanted.together is not None:
        np.testing.assert_array_equal(found.together, wanted.together)
    assert found.slowdown is not None and wanted.slowdown is not None
    for name in ("low", "high", "offset", "deceleration"):
        np.testing.assert_array_equal(
            getattr(found.slowdown, name), getattr(wanted.slowdown, name), err_msg=name
        )


@pytest.mark.parametrize("gains", [None, PUBLISHED, TUNED])
@pytest.mark.parametrize("options", [(0.02, 0.9, 0.7, 0.5), (0.05, 0.31, 0.17, 0.2)])
def test_the_fr3_has_the_limits_it_always_had(
    gains: JointGains | None, options: tuple[float, float, float, float]
) -> None:
    clamps = None
    if gains is not None:
        clamps = Clamps(
            np.append(gains.speed_max(), np.inf),
            np.append(gains.acceleration_max(), np.inf),
            np.pad(gains.together(), ((0, 1), (0, 1))),
        )
    found = limits(load_robot("fr3"), *options, clamps=clamps)
    assert_same(found, fr3_limits(*options, controller=gains))


def test_the_fr3s_own_options_are_the_defaults() -> None:
    assert_same(limits(load_robot("fr3")), fr3_limits())


def test_the_limits_of_a_group_are_a_part_of_the_robots() -> None:
    robot = load_robot("fr3_two_arms")
    whole, part = limits(robot), limits(robot.group("right_arm"))
    columns = [whole.names.index(name) for name in part.names]
    np.testing.assert_array_equal(whole.low[columns], part.low)
    np.testing.assert_array_equal(part.low, np.asarray(fr3.POSITION_MIN_RAD) + 0.02)


def test_margins_are_of_each_axis_and_an_endless_joint_has_no_ends() -> None:
    found = limits(load_robot(ARM))
    assert found.low[0] == -0.49 and found.high[1] == np.inf
    assert found.slowdown is None
    turned = limits(load_robot(ARM), margin_rad=0.1, tracking_rad=0.3)
    assert turned.low[0] == -0.49 and turned.low[2] == -0.4
    assert turned.tracking[1] == 0.3 and turned.tracking[0] == np.inf


def test_a_scale_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"velocity_scale is 1.5, needs to be in \(0, 1\]"):
        limits(load_robot("fr3"), velocity_scale=1.5)
