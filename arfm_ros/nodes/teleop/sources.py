"""Devices and what they hear: each kind opens its topics and hands plain values on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.node import Node

from arfm_ros.core.errors import ConfigError
from arfm_ros.nodes.arbiter.inputs import moment
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.convert import time_to_ns
from arfm_ros.nodes.teleop.params import TeleopParams
from arfm_ros.nodes.teleop.senders import Senders
from arfm_ros.nodes.teleop.view import RobotView
from arfm_ros.robots.robot import Robot
from arfm_ros.teleop.config import load_config
from arfm_ros.teleop.device import Seat, TeleopDevice
from arfm_ros.teleop.devices.terminal import Terminal

LOOK_S, READ_S = 0.1, 0.005  # of the thread that waits for keys
NOTHING: Callable[[int], None] = lambda ros_ns: None  # noqa: E731


@dataclass(frozen=True, slots=True)
class Source:
    """A device, and what it sends back to whoever holds it (called with the ROS time)."""

    device: TeleopDevice
    answer: Callable[[int], None] = NOTHING


@dataclass(frozen=True, slots=True)
class Desk:
    """What a device is opened with."""

    node: Node
    params: TeleopParams
    robot: Robot
    seat: Seat
    view: RobotView
    senders: Senders
    heard: Callable[[], None] = lambda: None  # called after each message of the device

    def hear(self, topic: str, kind: str, callback: Callable[[Any, int, int], None]) -> None:
        """Hear a topic of any quality: the message, its stamp (0: none) and now, steady ns."""

        def on_message(message: Any) -> None:
            now, header = moment(self.node), getattr(message, "header", None)
            stamp_ns = now.steady_ns if header is None else now.steady(time_to_ns(header.stamp))
            callback(message, stamp_ns, now.steady_ns)
            self.heard()

        row = topics.Topic(topic, kind, topics.COMMAND, topics.COMMAND)
        self.senders.watch(topics.subscription(self.node, row, on_message))

    def config(self, default: str) -> tuple[str, dict[str, Any]]:
        """Read the device's map."""
        name = self.params.config or default
        return Path(name).stem, load_config(name, self.params.device)


def open_keyboard(desk: Desk) -> Source:
    """Take a terminal."""
    from arfm_ros.teleop.devices.keyboard import HELP, KeyboardDevice

    terminal = Terminal(desk.params.terminal)
    device = KeyboardDevice(terminal, desk.seat)
    desk.node.get_logger().info(HELP)
    _watch(terminal, desk)
    return Source(device)


def _watch(terminal: Terminal, desk: Desk) -> None:
    """Have the executor read the keys that are typed, without waiting for its timer."""
    guard = desk.node.create_guard_condition(desk.heard)

    def watch() -> None:
        try:
            while desk.node.context.ok() and not terminal.lost:
                if terminal.typed(LOOK_S):
                    guard.trigger()
                    time.sleep(READ_S)  # until they are read
        except (ConfigError, RuntimeError):
            return  # closed, or the node's handle is gone

    threading.Thread(target=watch, name="terminal", daemon=True).start()


def open_joy(desk: Desk) -> Source:
    """Hear a Joy topic."""
    from arfm_ros.teleop.devices.joy import JoyDevice, read_joy_map

    device = JoyDevice(read_joy_map(*desk.config("gamepad")), desk.seat)

    def on_joy(message: Any, stamp_ns: int, now_ns: int) -> None:
        device.hear(message.axes, message.buttons, stamp_ns, now_ns)

    desk.hear(device.map.topic, "sensor_msgs/msg/Joy", on_joy)
    return Source(device)


def open_leader(desk: Desk) -> Source:
    """Hear a leader arm and its pedal; send it effort where its map says so."""
    from arfm_ros.teleop.devices.leader import LeaderDevice, read_leader_map

    chosen = read_leader_map(*desk.config("gello_fr3"), desk.seat)
    device = LeaderDevice(chosen, desk.seat)

    def on_joints(message: Any, stamp_ns: int, now_ns: int) -> None:
        device.hear(message.name, message.position, stamp_ns, now_ns)

    desk.hear(chosen.topic, topics.JOINT_STATES.type_name, on_joints)
    if chosen.pedal:
        desk.hear(chosen.pedal, "std_msgs/msg/Bool", lambda m, _, now: device.press(m.data, now))
    if not chosen.effort_gain:
        return Source(device)
    name = f"{chosen.topic.rsplit('/', 1)[0]}/effort"
    row = topics.Topic(name, topics.JOINT_STATES.type_name, topics.COMMAND, topics.COMMAND)
    publisher, kind = topics.publisher(desk.node, row), topics.interface(row.type_name)

    def answer(ros_ns: int) -> None:
        effort = device.effort()
        if effort:
            message = kind(name=list(effort), effort=list(effort.values()))
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(ros_ns, 10**9)
            publisher.publish(message)

    return Source(device, answer)


def open_hand(desk: Desk) -> Source:
    """Hear a hand's poses or twists, its clutch and its trigger."""
    from arfm_ros.teleop.devices.hand import HandDevice, read_hand_map

    device = HandDevice(read_hand_map(*desk.config("hand")), desk.seat)

    def on_pose(message: Any, stamp_ns: int, now_ns: int) -> None:
        p, q = message.pose.position, message.pose.orientation
        place, turn = np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w])
        device.hear_pose(place, turn, message.header.frame_id, stamp_ns, now_ns)

    def on_twist(message: Any, stamp_ns: int, now_ns: int) -> None:
        v, w = message.twist.linear, message.twist.angular
        twist = np.array([v.x, v.y, v.z, w.x, w.y, w.z])
        device.hear_twist(twist, message.header.frame_id, stamp_ns, now_ns)

    if device.map.twist:
        desk.hear(device.map.topic, "geometry_msgs/msg/TwistStamped", on_twist)
    else:
        desk.hear(device.map.topic, "geometry_msgs/msg/PoseStamped", on_pose)
    clutch, trigger = device.map.clutch, device.map.trigger
    desk.hear(clutch, "std_msgs/msg/Bool", lambda m, _, now: device.hear_clutch(m.data, now))
    desk.hear(trigger, "std_msgs/msg/Float64", lambda m, *_: device.hear_trigger(m.data))
    return Source(device)


def open_phone(desk: Desk) -> Source:
    """Hear the phone's page."""
    from arfm_ros.teleop.devices.phone import TOPIC, PhoneDevice

    device = PhoneDevice(desk.seat)

    def on_phone(message: Any, stamp_ns: int, now_ns: int) -> None:
        device.hear(message.name, message.position, stamp_ns, now_ns)

    desk.hear(TOPIC, topics.JOINT_STATES.type_name, on_phone)
    return Source(device)


def open_bag(desk: Desk) -> Source:
    """Read a recording."""
    from arfm_ros.teleop.devices.bag import BagDevice, read_recorded

    return Source(BagDevice(read_recorded(Path(desk.params.config), desk.seat), desk.seat))


def open_scripted(desk: Desk) -> Source:
    """Watch the simulation."""
    from arfm_ros.sim.world import World
    from arfm_ros.teleop.devices.scripted import ScriptedDevice, ScriptedHuman

    human = ScriptedHuman(desk.params.task, desk.params.seed)
    device = ScriptedDevice(World(desk.robot), human, desk.seat)
    desk.view.hear_task(device.see)
    return Source(device)


OPEN: dict[str, Callable[[Desk], Source]] = {
    "keyboard": open_keyboard,
    "joy": open_joy,
    "leader": open_leader,
    "hand": open_hand,
    "phone": open_phone,
    "bag": open_bag,
    "scripted": open_scripted,
}
