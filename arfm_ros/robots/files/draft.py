"""Draft the YAML of a robot from what it publishes: a start, for a human to finish."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.files.urdf import Joint, Urdf, read_urdf

ACCELERATION = 2.0  # rad/s^2 or m/s^2: slow for any arm
FINGER = re.compile(r"gripper|finger|knuckle|jaw|hand", re.IGNORECASE)
TOOL = re.compile(r"tcp|tool|grasp|end_effector|_ee$|flange", re.IGNORECASE)
COMMANDS = (  # type of message or action, how its name ends, kind of controller
    ("trajectory_msgs/msg/JointTrajectory", "/joint_trajectory", "jtc"),
    ("sensor_msgs/msg/JointState", "target_joint", "crisp_joint"),
    ("std_msgs/msg/Float64MultiArray", "/commands", "forward_position"),
)
GRIPPER_COMMANDS = (
    ("control_msgs/action/ParallelGripperCommand", "", "parallel_gripper_command"),
    ("control_msgs/action/GripperCommand", "", "gripper_command"),
    ("std_msgs/msg/Float64MultiArray", "/commands", "float64_array"),
)
IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


@dataclass(frozen=True, slots=True)
class Heard:
    """What a running robot publishes and listens to; topics without the leading slash."""

    description: str
    states: Mapping[str, Mapping[str, float]]  # topic of joint states -> joint -> position
    inputs: Mapping[str, str] = field(default_factory=dict)  # topic or action -> type
    images: tuple[str, ...] = ()


def draft(name: str, heard: Heard, description: str) -> str:
    """Return the text of a YAML; `description` is what it names as its URDF.

    Raises `ConfigError` where no joint that moves is heard.
    """
    urdf = read_urdf(heard.description, "the robot_description that was heard")
    source = {joint: topic for topic, states in heard.states.items() for joint in states}
    moved = [urdf.joints[joint] for joint in urdf.movable if joint in source]
    if not moved:
        topics = ", ".join(heard.states) or "none"
        raise ConfigError(
            f"no joint of the description is in the joint states heard ({topics}): is the joint "
            "state broadcaster active?"
        )
    fingers = [joint for joint in moved if FINGER.search(joint.name)]
    chains = _chains(urdf, [joint for joint in moved if joint not in fingers])
    lines = [
        "# Drafted from a running robot. See to the lines that say CHECK, then: arfm robot check",
        f"name: {name}",
        f"description: {description}",
        "groups:",
    ]
    arm_names = _names("arm", [chain[0].name for chain in chains])
    for group, chain in zip(arm_names, chains):
        lines += _arm(group, chain, urdf, heard, source)
    for group, joint in zip(_names("gripper", [f.name for f in fingers]), fingers):
        lines += _gripper(group, joint, heard, source)
    if heard.images:
        lines += ["cameras:", *(f"  {_camera(topic)}: {topic}" for topic in heard.images)]
    return "\n".join(lines) + "\n"


def _names(word: str, firsts: list[str]) -> list[str]:
    """Name groups: by side where the joints are named so, by number where there are several."""
    sides = [next((s for s in ("left", "right") if first.startswith(s)), "") for first in firsts]
    if len(set(sides)) == len(firsts):
        return [f"{side}_{word}".lstrip("_") for side in sides]
    return [f"{word}_{i + 1}" for i in range(len(firsts))]


def _chains(urdf: Urdf, joints: list[Joint]) -> list[list[Joint]]:
    """Sort joints into chains from the root outwards; a fork begins new ones."""
    above = {joint.child: joint for joint in urdf.joints.values()}
    names = {joint.name for joint in joints}

    def parent(joint: Joint) -> Joint | None:
        found = above.get(joint.parent)
        while found is not None and found.name not in names:
            found = above.get(found.parent)
        return found

    parents = {joint.name: parent(joint) for joint in joints}
    chains: list[list[Joint]] = []
    for joint in sorted(joints, key=lambda one: _depth(one, parents)):
        before = parents[joint.name]
        alone = sum(p is not None and p == before for p in parents.values()) == 1
        chain = next((c for c in chains if before is not None and c[-1] == before), None)
        if chain is not None and alone:
            chain.append(joint)
        else:
            chains.append([joint])
    return chains


def _depth(joint: Joint, parents: Mapping[str, Joint | None]) -> int:
    depth, at = 0, parents[joint.name]
    while at is not None:
        depth, at = depth + 1, parents[at.name]
    return depth


def _tool(urdf: Urdf, link: str) -> str:
    """Find the tool's frame: of the links that stand still on `link` the one named like a tool."""
    found, known = [link], [link]
    while found:
        at = found.pop()
        ahead = [j.child for j in urdf.joints.values() if j.parent == at and not j.unit]
        found += ahead
        known += ahead
    return next((name for name in reversed(known) if TOOL.search(name)), known[-1])


def _arm(
    group: str, chain: list[Joint], urdf: Urdf, heard: Heard, source: Mapping[str, str]
) -> list[str]:
    names = [joint.name for joint in chain]
    topics = list(dict.fromkeys(source[name] for name in names))
    at = [_position(heard, source, joint) for joint in chain]
    slow = [joint.name for joint in chain if not joint.velocity > 0.0]
    lines = [f"  {group}:", "    kind: arm", f"    joints: [{', '.join(names)}]"]
    lines += [f"    home: [{', '.join(f'{value:.4f}' for value in at)}]  # CHECK: where it stood"]
    if slow:
        lines.append(f"    velocity: 0.5  # CHECK: the URDF has none for {', '.join(slow)}")
    return [
        *lines,
        f"    acceleration: {ACCELERATION}  # CHECK: a URDF has none; slow for any arm",
        "    margin: 0.02",
        *_controller(COMMANDS, heard, group, "jtc"),
        f"    state_topics: [{', '.join(topics)}]",
        f"    base: {chain[0].parent}",
        f"    tool: {_tool(urdf, chain[-1].child)}  # CHECK",
    ]


def _gripper(group: str, joint: Joint, heard: Heard, source: Mapping[str, str]) -> list[str]:
    # a finger that slides opens to its end; one that turns mostly closes to it
    closed, wide = (joint.high, joint.low) if joint.unit == "rad" else (joint.low, joint.high)
    return [
        f"  {group}:",
        "    kind: gripper",
        "    joints:",
        f"      {group}:",
        f"        opening: {{joint: {joint.name}, closed: {closed:g}, open: {wide:g}}}  # CHECK",
        "        velocity: 5.0",
        "        acceleration: 200.0",
        "        chunk_tolerance: 0.5",
        *_controller(GRIPPER_COMMANDS, heard, group, "gripper_command"),
        f"    state_topics: [{source[joint.name]}]",
    ]


def _controller(
    kinds: tuple[tuple[str, str, str], ...], heard: Heard, group: str, otherwise: str
) -> list[str]:
    """Say which controller is there, by what it listens to; of several those of the same side."""
    grips = kinds is GRIPPER_COMMANDS
    side = group.partition("_")[0] if group.startswith(("left", "right")) else ""
    for type_name, end, kind in kinds:
        for topic, found in sorted(heard.inputs.items()):
            fits = found == type_name and topic.endswith(end) and side in topic
            if fits and (not end or bool(FINGER.search(topic)) == grips):
                return [
                    f"    controller: {{kind: {kind}}}",
                    f"    command_topics: {{command: {topic}}}",
                ]
    return [f"    controller: {{kind: {otherwise}}}  # CHECK: none was heard"]


def _position(heard: Heard, source: Mapping[str, str], joint: Joint) -> float:
    measured = heard.states[source[joint.name]][joint.name]
    return min(max(measured, joint.low), joint.high)


def _camera(topic: str) -> str:
    """Name a camera by its topic, without what all of them end in."""
    words = [w for w in topic.split("/") if w not in ("image_raw", "compressed", "color", "rgb")]
    return "_".join(words) or "camera"


def write_new(folder: Path, name: str, text: str, description: str) -> Path:
    """Write NAME.yaml and NAME.urdf, return the YAML; raises `ConfigError` where one exists."""
    paths = folder / f"{name}.yaml", folder / f"{name}.urdf"
    for path in paths:
        if path.exists():
            raise ConfigError(f"{path} exists: give another name, or another folder with --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, written in zip(paths, (text, description)):
            path.write_text(written)
    except OSError as error:
        raise ConfigError(f"cannot write {folder}: {error} (--out)") from error
    return paths[0]
