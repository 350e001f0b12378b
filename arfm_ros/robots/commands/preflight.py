"""What every kind of controller checks before anything is engaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from arfm_ros.robots.commands.controller import Topic, message_names
from arfm_ros.robots.commands.graph import (
    FAIL,
    WARN,
    ControllerInfo,
    Endpoint,
    Finding,
    Graph,
    HeardJoints,
)
from arfm_ros.robots.robot import Group

RATE_MIN_HZ, RATE_GOOD_HZ = 20.0, 90.0
SKEW_WARN_S, SKEW_FAIL_S = 0.05, 0.5
OUTSIDE = 0.01  # rad, m or opening that a measured position may lie beyond a limit


def of_group(group: Group, topics: Sequence[Topic], graph: Graph) -> tuple[Finding, ...]:
    """Check the command topics and the joint states of a group."""
    found = [finding for topic in topics for finding in command_topic(topic, graph)]
    return (*found, *joint_states(group, graph))


def command_topic(topic: Topic, graph: Graph) -> Iterator[Finding]:
    """Check who is on a command topic: one controller that hears us, and no other publisher."""
    name, ends = graph.resolve(topic.name), graph.ends(topic.name)
    others = [one.node for one in ends.publishers if one.node != graph.node]
    ours = len(ends.publishers) - len(others)
    if ours > 1:
        others.append(f"another {graph.node}")
    if others:
        yield Finding(FAIL, f"{name} has another publisher: {', '.join(others)}", "stop it")
    if not ends.subscribers:
        knob = f"start the controller, or command_topics: {{{topic.role}: ...}}"
        yield Finding(FAIL, f"nobody subscribes to {name}", knob)
    for end in ends.subscribers:
        yield from _subscriber(topic, name, end)


def joint_states(group: Group, graph: Graph) -> Iterator[Finding]:
    """Check names, limits, rates and stamps of the joint states that tell of a group."""
    needed = message_names(group)
    wanted = {graph.resolve(topic) for topic in group.state_topics}
    heard = [one for one in graph.joints if graph.resolve(one.topic) in wanted]
    for topic in sorted(wanted - {graph.resolve(one.topic) for one in heard}):
        yield from _unheard(group, topic, graph)
    told = {name for one in heard for name in one.names}
    missing = [name for name in needed if name not in told]
    if heard and missing:
        text = f"joint states lack {', '.join(missing)}; they have {', '.join(sorted(told))}"
        knob = f"state_topics of group '{group.name}', or what its axes are published as"
        yield Finding(FAIL, text, knob)
    for one in heard:
        if set(needed) & set(one.names):
            yield from _quality(one)
            yield from _limits(group, one)


def order(group: Group, graph: Graph, why: str) -> Iterator[Finding]:
    """Check that joint states list the axes in the group's order, where targets have no names."""
    needed = message_names(group)
    wanted = {graph.resolve(topic) for topic in group.state_topics}
    for one in graph.joints:
        listed = tuple(name for name in one.names if name in needed)
        differs = listed != tuple(name for name in needed if name in one.names)
        if graph.resolve(one.topic) in wanted and differs:
            text = f"{one.topic} lists {', '.join(listed)}, ours are {', '.join(needed)}; {why}"
            knob = f"axes of group '{group.name}' in the order of the controller's joints"
            yield Finding(WARN, text, knob)


def active(name: str, graph: Graph) -> Iterator[Finding]:
    """Check that the controller is active, where a controller manager tells."""
    if graph.controllers is None:
        return
    found = graph.controller(name)
    if found is None:
        known = ", ".join(one.name for one in graph.controllers) or "none"
        yield Finding(FAIL, f"no controller '{name}', there are: {known}", "option name")
    elif found.state != "active":
        knob = f"ros2 control switch_controllers --activate {name}"
        yield Finding(FAIL, f"controller '{name}' is {found.state}, needs to be active", knob)


def parameter_joints(name: str, group: Group, graph: Graph) -> Iterator[Finding]:
    """Check that the controller's parameter `joints` names the axes, by index in this order."""
    found, needed = graph.controller(name), message_names(group)
    joints = _joints(found)
    if joints is None or joints == needed:
        return
    text = f"controller '{name}' has joints {', '.join(joints)}, ours are {', '.join(needed)}"
    knob = f"axes of group '{group.name}', or the controller's parameter joints"
    by_name = found is not None and "Trajectory" in found.kind
    severity = WARN if by_name and set(joints) == set(needed) else FAIL
    yield Finding(severity, text, knob)


def _joints(found: ControllerInfo | None) -> tuple[str, ...] | None:
    told = None if found is None else found.parameters.get("joints")
    return tuple(str(one) for one in told) if isinstance(told, (list, tuple)) else None


def _subscriber(topic: Topic, name: str, end: Endpoint) -> Iterator[Finding]:
    needed = topic.interface
    if end.type_name != needed:
        text = f"{end.node} wants {end.type_name} on {name}, it would get {needed}"
        yield Finding(FAIL, text, "the group's controller or its command_topics")
    if end.latched:
        text = f"{end.node} asks for transient local on {name}, commands are volatile: not heard"
        yield Finding(FAIL, text, "the reader's durability: volatile")
    if end.reliable and not topic.reliable:
        text = f"{end.node} asks for reliable on {name}, commands are best effort: not heard"
        yield Finding(FAIL, text, "the reader's reliability: best effort")


def _unheard(group: Group, topic: str, graph: Graph) -> Iterator[Finding]:
    publishers = graph.ends(topic).publishers
    if publishers:
        text = f"{topic} has a publisher ({publishers[0].node}), but nothing came"
        yield Finding(FAIL, text, "network, ROS_DOMAIN_ID, or whether the driver runs")
    else:
        knob = f"state_topics of group '{group.name}', or start the joint state broadcaster"
        yield Finding(FAIL, f"nobody publishes {topic}", knob)


def _quality(one: HeardJoints) -> Iterator[Finding]:
    if one.rate_hz < RATE_GOOD_HZ:
        severity = FAIL if one.rate_hz < RATE_MIN_HZ else WARN
        text = f"{one.topic} comes at {one.rate_hz:.0f} Hz, needs {RATE_GOOD_HZ:.0f}"
        knob = "state_topics: the driver's own topic, or the broadcaster's update rate"
        yield Finding(severity, text, knob)
    if abs(one.skew_s) > SKEW_WARN_S:
        severity = FAIL if abs(one.skew_s) > SKEW_FAIL_S else WARN
        where = "behind" if one.skew_s > 0 else "ahead of"
        text = f"stamps of {one.topic} are {abs(one.skew_s):.3f} s {where} this machine's clock"
        yield Finding(
            severity, text, "chrony or PTP on both machines, use_sim_time on both or none"
        )


def _limits(group: Group, one: HeardJoints) -> Iterator[Finding]:
    at = dict(zip(one.names, one.positions))
    for axis in group.axes:
        if axis.message_name not in at:
            continue
        value = axis.scale * at[axis.message_name] + axis.offset
        if not axis.low - OUTSIDE <= value <= axis.high + OUTSIDE:
            text = (
                f"{axis.name} is at {value:.3f} {axis.unit}, "
                f"limits {axis.low:.3f} to {axis.high:.3f}"
            )
            knob = "move it inside by hand, or the axis's scale, offset and limits"
            yield Finding(FAIL, text, knob)
