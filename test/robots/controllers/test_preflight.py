"""What a preflight finds in a graph; a graph with nothing wrong gives no finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import fr3_rig
import numpy as np
import pytest
from controller_rig import HOME, arm, gripper

from arfm_ros.robots.commands.controller import Tools, message_names
from arfm_ros.robots.commands.graph import (
    FAIL,
    WARN,
    ControllerInfo,
    Endpoint,
    Finding,
    Graph,
    HeardJoints,
    TopicEnds,
)
from arfm_ros.robots.commands.messages import JOINT_STATE
from arfm_ros.robots.commands.registry import kinds, make_controller
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.robot import Group

US = "/arbiter_node"
JTC = "joint_trajectory_controller/JointTrajectoryController"
TOOLS = Tools(forward=fr3_rig.forward)


def group_of(kind: str) -> Group:
    return gripper(kind) if kinds()[kind].axes_max == 1 else arm(kind)


def good(group: Group) -> Graph:
    """Return a graph in which all is well for a group."""
    (topic,) = make_controller(group, TOOLS).topics(group)
    kind = topic.interface
    ends = TopicEnds((Endpoint(US, kind),), (Endpoint("/controller", kind),))
    names = message_names(group)
    position = tuple(HOME[: len(names)]) if group.kind == "arm" else (0.5,)
    heard = HeardJoints("joint_states", names, tuple(map(float, position)), 500.0, 0.002)
    return Graph(US, {f"/{topic.name}": ends}, (heard,))


def findings(group: Group, graph: Graph) -> Sequence[Finding]:
    return make_controller(group, TOOLS).preflight(graph)


def only(found: Sequence[Finding], severity: str, text: str, knob: str) -> None:
    assert [one.severity for one in found] == [severity]
    assert text in found[0].text and knob in found[0].knob


def with_ends(graph: Graph, **changed: tuple[Endpoint, ...]) -> Graph:
    ((name, ends),) = graph.topics.items()
    return replace(graph, topics={name: replace(ends, **changed)})


def with_heard(graph: Graph, **changed: object) -> Graph:
    return replace(graph, joints=(replace(graph.joints[0], **changed),))  # type: ignore[arg-type]


def with_controller(graph: Graph, name: str, state: str = "active", **told: object) -> Graph:
    info = ControllerInfo(name, JTC if "traj" in name else "", state, told)
    return replace(graph, controllers=(info,))


@pytest.mark.parametrize("kind", [name for name in kinds() if name != "forward_velocity"])
def test_where_all_is_well_nothing_is_found(kind: str) -> None:
    group = group_of(kind)
    assert not findings(group, good(group))


CRISP = arm("crisp_joint")


def test_nobody_subscribes_to_the_command_topic() -> None:
    found = findings(CRISP, with_ends(good(CRISP), subscribers=()))
    only(found, FAIL, "nobody subscribes to /target_joint", "command_topics: {command: ...}")


def test_names_of_topics_are_relative_to_our_namespace() -> None:
    graph = good(CRISP)
    moved = replace(
        graph,
        namespace="/left",
        topics={"/left/target_joint": next(iter(graph.topics.values()))},
    )
    assert not findings(CRISP, moved)


def test_another_publisher_on_the_command_topic() -> None:
    kind = JOINT_STATE
    two = (Endpoint(US, kind), Endpoint("/teleop", kind))
    only(findings(CRISP, with_ends(good(CRISP), publishers=two)), FAIL, "/teleop", "stop it")
    twice = (Endpoint(US, kind), Endpoint(US, kind))
    found = findings(CRISP, with_ends(good(CRISP), publishers=twice))
    only(found, FAIL, f"another {US}", "stop it")


def test_a_subscriber_of_another_type() -> None:
    wrong = (Endpoint("/other", "geometry_msgs/msg/PoseStamped"),)
    found = findings(CRISP, with_ends(good(CRISP), subscribers=wrong))
    only(found, FAIL, "would get sensor_msgs/msg/JointState", "command_topics")


def test_a_subscriber_that_asks_for_more_than_commands_offer() -> None:
    late = (Endpoint("/c", JOINT_STATE, latched=True),)
    found = findings(CRISP, with_ends(good(CRISP), subscribers=late))
    only(found, FAIL, "transient local", "volatile")


def test_a_best_effort_subscriber_hears_reliable_commands() -> None:
    easy = (Endpoint("/c", JOINT_STATE, reliable=False),)
    assert not findings(CRISP, with_ends(good(CRISP), subscribers=easy))


def test_nobody_publishes_joint_states() -> None:
    found = findings(CRISP, replace(good(CRISP), joints=()))
    only(found, FAIL, "nobody publishes /joint_states", "state_topics")


def test_a_publisher_of_joint_states_that_says_nothing() -> None:
    graph = replace(good(CRISP), joints=())
    silent = TopicEnds((Endpoint("/driver", JOINT_STATE),))
    graph = replace(graph, topics={**graph.topics, "/joint_states": silent})
    only(findings(CRISP, graph), FAIL, "has a publisher (/driver), but nothing came", "network")


def test_joint_states_with_other_names() -> None:
    names = (*fr3.JOINT_NAMES[:6], "panda_joint7")
    found = findings(CRISP, with_heard(good(CRISP), names=names))
    only(found, FAIL, "lack fr3_joint7; they have fr3_joint1", "state_topics")


def test_joint_states_in_another_order_where_targets_are_read_by_index() -> None:
    turned = with_heard(
        good(CRISP),
        names=tuple(fr3.JOINT_NAMES[::-1]),
        positions=tuple(map(float, HOME[6::-1])),
    )
    only(findings(CRISP, turned), WARN, "by index", "order of the controller's joints")
    assert not findings(arm("jtc"), replace(turned, topics=good(arm("jtc")).topics))


def test_a_joint_outside_of_its_limits() -> None:
    at = (3.0, *map(float, HOME[1:7]))
    found = findings(CRISP, with_heard(good(CRISP), positions=at))
    only(found, FAIL, "fr3_joint1 is at 3.000 rad, limits", "limits")


def test_limits_are_in_our_numbers_not_in_those_of_the_message() -> None:
    robotiq = gripper("float64_array", scale=-1.25, offset=1.0)
    assert not findings(robotiq, with_heard(good(robotiq), positions=(0.79,)))
    only(findings(robotiq, with_heard(good(robotiq), positions=(0.9,))), FAIL, "-0.125 1", "scale")


@pytest.mark.parametrize(("rate_hz", "severity"), [(10.0, FAIL), (30.0, WARN)])
def test_joint_states_that_come_too_rarely(rate_hz: float, severity: str) -> None:
    found = findings(CRISP, with_heard(good(CRISP), rate_hz=rate_hz))
    only(found, severity, f"at {rate_hz:.0f} Hz, needs 90", "the driver's own topic")


@pytest.mark.parametrize(
    ("skew_s", "severity", "where"),
    [(0.1, WARN, "behind"), (-0.1, WARN, "ahead of"), (2.0, FAIL, "behind"), (-9, FAIL, "ahead")],
)
def test_stamps_of_another_clock(skew_s: float, severity: str, where: str) -> None:
    found = findings(CRISP, with_heard(good(CRISP), skew_s=skew_s))
    only(found, severity, where, "chrony")


def test_joint_states_of_other_parts_of_the_robot_do_not_count() -> None:
    graph = good(CRISP)
    other = HeardJoints("joint_states", ("wheel",), (9.9,), 5.0, 3.0)
    assert not findings(CRISP, replace(graph, joints=(*graph.joints, other)))


def test_a_controller_that_is_not_there_or_not_active() -> None:
    graph, name = good(CRISP), "joint_impedance_controller"
    assert not findings(CRISP, with_controller(graph, name))
    found = findings(CRISP, with_controller(graph, name, "inactive"))
    only(found, FAIL, "is inactive, needs to be active", f"--activate {name}")
    found = findings(CRISP, with_controller(graph, "gravity_compensation"))
    only(found, FAIL, f"no controller '{name}', there are: gravity_comp", "option name")
    found = findings(CRISP, replace(graph, controllers=()))
    only(found, FAIL, "there are: none", "option name")


def test_a_trajectory_controller_that_starts_from_the_measured_state_or_does_not_interpolate() -> (
    None
):
    group, name = arm("jtc"), "joint_trajectory_controller"
    bad = with_controller(good(group), name, interpolate_from_desired_state=False)
    only(findings(group, bad), WARN, "it jerks", "interpolate_from_desired_state: true")
    steps = with_controller(good(group), name, interpolation_method="none")
    only(findings(group, steps), WARN, "it steps", "interpolation_method: splines")
    fine = {"interpolate_from_desired_state": True, "interpolation_method": "splines"}
    assert not findings(group, with_controller(good(group), name, **fine))


def test_a_trajectory_controller_that_stops_before_the_arbiter_would() -> None:
    group, name, key = arm("jtc"), "joint_trajectory_controller", "fr3_joint2.trajectory"
    strict = with_controller(good(group), name, **{f"constraints.{key}": 0.2})
    only(findings(group, strict), WARN, "stops when fr3_joint2 trails by 0.2", key)
    wide = tuple(replace(axis, tracking=0.1) for axis in group.axes)
    assert not findings(replace(group, axes=wide), strict)
    assert not findings(group, with_controller(good(group), name, **{f"constraints.{key}": 0.0}))


def test_a_controller_with_other_joints_or_another_order() -> None:
    names, turned = list(fr3.JOINT_NAMES), list(fr3.JOINT_NAMES[::-1])
    for kind, name, order in (
        ("jtc", "joint_trajectory_controller", WARN),  # it reads by name
        ("forward_position", "forward_position_controller", FAIL),
        ("crisp_joint", "joint_impedance_controller", FAIL),
    ):
        group = arm(kind)
        assert not findings(group, with_controller(good(group), name, joints=names))
        found = findings(group, with_controller(good(group), name, joints=turned))
        only(found, order, "has joints fr3_joint7", "parameter joints")
        found = findings(group, with_controller(good(group), name, joints=names[:6]))
        only(found, FAIL, "ours are fr3_joint1", "parameter joints")


def test_a_velocity_controller_says_what_happens_when_the_arbiter_dies() -> None:
    graph = good(arm("forward_velocity"))
    only(findings(arm("forward_velocity"), graph), WARN, "for ever", "driver_timeout_s")
    slow = arm("forward_velocity", driver_timeout_s=0.2)
    only(findings(slow, graph), FAIL, "moves an axis by up to", "timeout")
    assert not findings(arm("forward_velocity", driver_timeout_s=0.02), graph)


def test_every_finding_says_what_to_turn() -> None:
    bad = Graph(US)
    for kind in kinds():
        found = findings(group_of(kind), bad)
        assert found and all(one.text and one.knob for one in found)
        assert np.isin([one.severity for one in found], (WARN, FAIL)).all()
