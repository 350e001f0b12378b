"""Which topic of a recording holds what: joints, commands, cameras, words, success."""

from __future__ import annotations

from dataclasses import dataclass, replace

from arfm_ros.robots.robot import Group, Robot, RobotAxis


@dataclass(frozen=True, slots=True)
class Call:
    """What messages call an axis: value = scale * number + offset."""

    said: str
    axis: str
    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Source:
    """A topic of joint values; a relative name is one in the episode's namespace."""

    topic: str
    calls: tuple[Call, ...] = ()  # none: every joint under the name that it has there
    joints: tuple[str, ...] = ()  # what the values of a message without names are called
    rest: bool = False  # joints that no call names are there too, under the name that they have


@dataclass(frozen=True, slots=True)
class Topics:
    """Where a recording holds what; the defaults are our own recordings'.

    Of two topics that tell of the same axis the first one counts.
    """

    states: tuple[Source, ...] = (Source("joint_states"), Source("gripper/joint_states"))
    commands: tuple[Source, ...] = (Source("arbiter/command"),)
    next_state: tuple[str, ...] = ()  # axes whose command is where they were measured next
    cameras: tuple[tuple[str, str], ...] = ()  # name, topic; of another: <name>/image_raw
    instruction: str = ""  # words where no topic tells any
    instruction_topic: str = "instruction"
    task: str = ""  # where no label names one
    success: bool | None = None  # where neither a label nor `success_topic` says
    success_topic: str = ""  # Bool, or String "true" or "false"
    groups: tuple[str, ...] = ()  # of the robot that are learned; none: all
    received: bool = False  # times are those of the recorder, not of the headers


OWN = Topics()


def topics_of(robot: Robot) -> Topics:
    """Return where our recordings of a robot hold its state and its pictures.

    The state is on the robot's topics, else, as a simulator writes it, on the usual ones under
    the axes' own names.
    """
    topics = dict.fromkeys(topic for group in robot.groups for topic in group.state_topics)
    there = {t: [g for g in robot.groups if t in g.state_topics] for t in topics}
    states = [Source(topic, calls_of(*groups)) for topic, groups in there.items()]
    own = tuple(Call(name, name) for name in robot.names)
    states += [replace(source, calls=own) for source in OWN.states]
    cameras = tuple((camera.name, camera.topic) for camera in robot.cameras)
    return Topics(states=tuple(states), cameras=cameras)


def calls_of(*groups: Group) -> tuple[Call, ...]:
    """Return what the axes of groups are called: as published, and by their own names."""
    return tuple(call for group in groups for axis in group.axes for call in _calls(axis))


def _calls(axis: RobotAxis) -> tuple[Call, ...]:
    published = Call(axis.message_name, axis.name, axis.scale, axis.offset)
    own = Call(axis.name, axis.name)
    return (published,) if axis.message_name == axis.name else (published, own)
