"""Topics of a robot: where it tells its state, hears commands and shows its pictures."""

from __future__ import annotations

from arfm_ros.nodes.arbiter.actions import is_action
from arfm_ros.nodes.ros.topics import COMMAND, JOINT_STATES, Topic
from arfm_ros.robots.commands.whole import WholeRobot
from arfm_ros.robots.robot import Robot


def rows(robot: Robot) -> tuple[Topic, ...]:
    """Return state and command topics; what goes by an action is no topic."""
    states = dict.fromkeys(t for group in robot.groups for t in group.state_topics)
    listened = [topic for those in WholeRobot(robot).topics().values() for topic in those]
    commands = [
        Topic(topic.name, topic.interface, COMMAND, COMMAND)
        for topic in listened
        if not is_action(topic)
    ]
    return (*(JOINT_STATES.at(name) for name in states), *commands)
