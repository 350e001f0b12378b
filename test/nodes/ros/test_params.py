"""ROS parameters come from a dataclass: typed, described, ranged, and refused in one line."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

import pytest
import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter

from arfm_ros.core.errors import ConfigError
from arfm_ros.nodes.ros.params import declare, knob, refuse_unknown, watch

DOMAIN = 41


@dataclass(frozen=True, slots=True)
class Settings:
    rate_hz: float = knob(10.0, "how often", 1.0, 100.0, live=True)
    steps: int = knob(3, "how many", 1)
    mode: str = knob("slow", "which way", choices=("slow", "fast"), live=True)
    verbose: bool = knob(False, "say more")
    names: tuple[str, ...] = knob((), "whom")
    gains: tuple[float, ...] = knob((1.0, 2.0), "how hard")
    share: float = knob(0.5, "how much of it", live=True)

    def __post_init__(self) -> None:
        if self.mode == "fast" and self.rate_hz > 50.0:
            raise ConfigError("fast needs rate_hz up to 50")


@pytest.fixture(scope="module")
def context():
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    yield context
    rclpy.shutdown(context=context)


@pytest.fixture
def make(context):
    nodes = []

    def node(**overrides):
        given = [Parameter(name, value=value) for name, value in overrides.items()]
        nodes.append(Node("settings", context=context, parameter_overrides=given))
        return nodes[-1]

    yield node
    for one in nodes:
        one.destroy_node()


def test_without_overrides_the_dataclass_holds_the_defaults(make):
    assert declare(make(), Settings) == Settings()


def test_overrides_arrive_with_their_types(make):
    given = {
        "rate_hz": 20.0,
        "steps": 7,
        "mode": "fast",
        "verbose": True,
        "names": ["a", "b"],
        "gains": [0.5],
    }
    got = declare(make(**given), Settings)
    assert got == Settings(20.0, 7, "fast", True, ("a", "b"), (0.5,))


@pytest.mark.parametrize(
    "name,value,message",
    [
        ("rate_hz", 0.5, "'rate_hz' is 0.5, needs a number .* from 1 up to 100"),
        ("rate_hz", 10, "'rate_hz' is 10, needs a number with a decimal point"),
        ("steps", 0, "'steps' is 0, needs an integer from 1"),
        ("steps", "many", "'steps' is 'many', needs an integer"),
        ("mode", "warp", "'mode' is 'warp', needs one of slow, fast"),
        ("names", "a", "'names' is 'a', needs a list of texts"),
        ("rate_hz", math.nan, "'rate_hz' is nan, needs a number .* from 1 up to 100"),
        ("rate_hz", math.inf, "'rate_hz' is inf, needs a number .* from 1 up to 100"),
        ("share", math.inf, "'share' is inf, needs finite numbers"),
        ("gains", [1.0, math.nan], r"'gains' is \[1.0, nan\], needs finite numbers"),
    ],
)
def test_a_bad_value_is_refused_with_what_came_and_what_is_needed(make, name, value, message):
    with pytest.raises(ConfigError, match=message):
        declare(make(**{name: value}), Settings)


def test_an_unknown_parameter_is_refused_with_the_likely_one(make):
    node = make(rate_hs=20.0)
    declare(node, Settings)
    with pytest.raises(ConfigError, match="no parameter 'rate_hs'; did you mean 'rate_hz'"):
        refuse_unknown(node)


def test_descriptions_and_ranges_can_be_asked_for(make):
    node = make()
    declare(node, Settings)
    about = node.describe_parameter("rate_hz")
    assert about.description == "how often" and not about.read_only
    assert about.floating_point_range[0].to_value == 100.0
    assert node.describe_parameter("steps").integer_range[0].from_value == 1
    assert node.describe_parameter("steps").read_only


def test_a_prefix_keeps_two_sets_of_parameters_apart(make):
    node = make(**{"b.steps": 5})
    assert declare(node, Settings, "a.").steps == 3
    assert declare(node, Settings, "b.").steps == 5


def test_a_live_change_is_handed_over_and_a_bad_one_refused_with_the_reason(make):
    node, seen = make(), []
    declare(node, Settings)
    watch(node, Settings, seen.append)
    rate, mode = Parameter("rate_hz", value=60.0), Parameter("mode", value="fast")
    assert node.set_parameters([rate])[0].successful
    refused = node.set_parameters([mode])[0]
    assert not refused.successful and "up to 50" in refused.reason
    assert not node.set_parameters([Parameter("mode", value="warp")])[0].successful
    nothing = node.set_parameters([Parameter("share", value=math.nan)])[0]
    assert not nothing.successful and "needs finite numbers" in nothing.reason
    assert not node.set_parameters([Parameter("steps", value=9)])[0].successful
    assert [settings.rate_hz for settings in seen] == [60.0]


def test_a_field_without_a_knob_is_a_programming_error(make):
    @dataclass(frozen=True)
    class Wrong:
        x: float = field(default=1.0)

    with pytest.raises(TypeError, match="make it with knob"):
        declare(make(), Wrong)


def test_every_node_describes_all_its_parameters():
    from arfm_ros.nodes.policy_node import PolicyParams

    assert all(one.metadata["knob"].text for one in fields(PolicyParams))
