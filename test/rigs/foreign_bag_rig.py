"""A bag of a UR5e as another stack records it, written by rosbags, with standard messages only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)
T = STORE.types
NS = 10**9
BEGIN_NS = 1_750_000_000 * NS
ARM = (
    *("shoulder_pan_joint", "shoulder_lift_joint", "elbow_joint"),
    *("wrist_1_joint", "wrist_2_joint", "wrist_3_joint"),
)
KNUCKLE = "robotiq_85_left_knuckle_joint"
PUBLISHED = (ARM[2], KNUCKLE, ARM[1], ARM[0], *ARM[3:])  # as its driver orders them
HOME = np.array([0.0, -1.57, 1.57, -1.57, -1.57, 0.0])
TRAJECTORY = "/scaled_joint_trajectory_controller/joint_trajectory"
JOINTS_HZ, CAMERA_HZ, COMMAND_HZ = 500, 15, 100
TOPICS = f"""
states: [/joint_states]
commands:
  - {TRAJECTORY}
  - {{topic: /gripper/commands, joints: [{KNUCKLE}]}}
cameras: {{eye: /camera/color/image_raw}}
instruction: press the button
task: press
success_topic: /operator/success
"""


def wanted(t_s: float, goal: float) -> np.ndarray:
    """Arm positions [6] that are commanded: the first joint goes to `goal` and back."""
    arm = HOME.copy()
    arm[0] += goal * np.sin(np.pi * t_s)
    arm[3] += 0.2 * t_s
    return arm


def knuckle(t_s: float) -> float:
    """Angle of the gripper: open (0) at first, closed (0.8) after 0.8 s."""
    return 0.8 * float(t_s >= 0.8)


def write_bag(folder: Path, goal: float, seconds: float = 1.6, commands: bool = True) -> Path:
    """Write a bag of an arm that follows 10 ms late, seen at 1280 x 720 bgr8 and 15 Hz."""
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections: dict[str, Any] = {}
        for stamp, topic, message in sorted(
            messages(goal, seconds, commands), key=lambda one: one[0]
        ):
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], stamp, STORE.serialize_cdr(message, kind))
    return folder


def messages(goal: float, seconds: float, commands: bool) -> Iterator[tuple[int, str, Any]]:
    """Give (time, topic, message) of all that is recorded."""
    for t, stamp in times(JOINTS_HZ, seconds):
        arm = dict(zip(ARM, wanted(max(t - 0.01, 0.0), goal))) | {KNUCKLE: knuckle(t - 0.05)}
        yield stamp, "/joint_states", joint_state(stamp, PUBLISHED, [arm[n] for n in PUBLISHED])
    for t, stamp in times(CAMERA_HZ, seconds):
        yield stamp, "/camera/color/image_raw", picture(stamp, wanted(t, goal)[0])
    if commands:
        for t, stamp in times(COMMAND_HZ, seconds):
            period = 1 / COMMAND_HZ
            yield stamp, TRAJECTORY, trajectory(stamp, ARM, wanted(t + period, goal), period)
        for t in (0.0, 0.8):
            layout = T["std_msgs/msg/MultiArrayLayout"](dim=[], data_offset=0)
            array = T["std_msgs/msg/Float64MultiArray"](layout, np.array([knuckle(t)]))
            yield BEGIN_NS + int(t * NS), "/gripper/commands", array
    end = BEGIN_NS + int(seconds * NS)
    yield end, "/operator/success", T["std_msgs/msg/Bool"](data=True)


def times(rate_hz: int, seconds: float) -> Iterator[tuple[float, int]]:
    """Give (s, ns) of all ticks of a rate."""
    for n in range(int(seconds * rate_hz)):
        yield n / rate_hz, BEGIN_NS + n * NS // rate_hz


def header(stamp_ns: int) -> Any:
    """Make a header."""
    stamp = T["builtin_interfaces/msg/Time"](*divmod(stamp_ns, NS))
    return T["std_msgs/msg/Header"](stamp=stamp, frame_id="")


def joint_state(stamp_ns: int, names: tuple[str, ...], values: list[float]) -> Any:
    """Make a joint state with velocities, as drivers send them."""
    position, none = np.array(values), np.empty(0)
    return T["sensor_msgs/msg/JointState"](
        header(stamp_ns), list(names), position, 0 * position, none
    )


def trajectory(stamp_ns: int, names: tuple[str, ...], to: np.ndarray, after_s: float) -> Any:
    """Make a trajectory of one point that is due so long after its stamp."""
    none = np.empty(0)
    due = T["builtin_interfaces/msg/Duration"](*divmod(round(after_s * NS), NS))
    point = T["trajectory_msgs/msg/JointTrajectoryPoint"](to, none, none, none, due)
    return T["trajectory_msgs/msg/JointTrajectory"](header(stamp_ns), list(names), [point])


def picture(stamp_ns: int, pan_rad: float) -> Any:
    """Make a 1280 x 720 bgr8 image: a red bar at the column that the first joint points to."""
    pixels = np.full((720, 1280, 3), 30, np.uint8)
    column = int(600 + 500 * np.clip(pan_rad, -1, 1))
    pixels[:, column : column + 80] = (30, 30, 220)  # blue, green, red
    return T["sensor_msgs/msg/Image"](
        header=header(stamp_ns),
        height=720,
        width=1280,
        encoding="bgr8",
        is_bigendian=0,
        step=3 * 1280,
        data=pixels.reshape(-1),
    )
