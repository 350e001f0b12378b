"""Every topic and service of the stack: name, type, quality of service. One row each.

Names are relative, so a namespace moves the whole stack. The table needs no ROS to be read.

Sensor data is *published* reliable with a short history and *subscribed* best effort, depth 1: a
reliable publisher serves reliable readers (the recorder, which must lose nothing) and best-effort
ones (the policy, which wants the newest) alike, while a best-effort publisher gives a reliable
reader nothing at all. Drivers of real cameras and ros2_control's joint state broadcaster publish
reliable too; where one does not, `best_effort` subscribers still hear it. Keep-last history means
that a slow reliable reader loses old samples instead of blocking the publisher.

What a row says about its reader is what it gets from a publisher that offers it. Publishers that
offer less are heard as well: `subscription` adds readers that ask for less, see `hearing`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any


@dataclass(frozen=True, slots=True)
class Qos:
    """The three policies that differ between our topics; the rest is ROS's default."""

    reliable: bool
    depth: int = 1
    latched: bool = False  # transient local: a late reader gets the last value

    def down(self) -> tuple[Qos, ...]:
        """Give this and what asks for less, strictest first: one of them hears any publisher."""
        weaker = []
        if self.latched:
            weaker.append(replace(self, latched=False))
        if self.reliable:
            weaker.append(replace(self, latched=False, reliable=False))
        return (self, *weaker)

    def profile(self) -> Any:
        """Build the `rclpy.qos.QoSProfile`."""
        from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

        return QoSProfile(
            depth=self.depth,
            reliability=(
                ReliabilityPolicy.RELIABLE if self.reliable else ReliabilityPolicy.BEST_EFFORT
            ),
            durability=(
                DurabilityPolicy.TRANSIENT_LOCAL if self.latched else DurabilityPolicy.VOLATILE
            ),
        )


NEWEST = Qos(reliable=False)  # a reader that wants the newest sensor value
STREAM = Qos(reliable=True, depth=10)  # a writer of sensor data, and a reader that wants all of it
COMMAND = Qos(reliable=True)
LATCHED = Qos(reliable=True, latched=True)
EVENT = Qos(reliable=True, depth=50)  # rare messages none of which may be lost
# the same for a reader that is discovered late: on a busy machine that can take seconds
KEPT = Qos(reliable=True, depth=50, latched=True)


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic; `name` may hold `{camera}`, to be filled in by `of`."""

    name: str
    type_name: str  # package/msg/Type
    writer: Qos
    reader: Qos

    def of(self, camera: str) -> Topic:
        """Give the topic of one camera."""
        return replace(self, name=self.name.format(camera=camera))

    def at(self, name: str) -> Topic:
        """Give the same topic under another name (a parameter says where it really is)."""
        return replace(self, name=name)


@dataclass(frozen=True, slots=True)
class Service:
    """One service."""

    name: str
    type_name: str  # package/srv/Type


# The robot
JOINT_STATES = Topic("joint_states", "sensor_msgs/msg/JointState", STREAM, NEWEST)
GRIPPER_STATES = Topic("gripper/joint_states", "sensor_msgs/msg/JointState", STREAM, NEWEST)
CURRENT_POSE = Topic("current_pose", "geometry_msgs/msg/PoseStamped", STREAM, NEWEST)
CURRENT_TWIST = Topic("current_twist", "geometry_msgs/msg/TwistStamped", STREAM, NEWEST)
TARGET_JOINT = Topic("target_joint", "sensor_msgs/msg/JointState", COMMAND, COMMAND)
TARGET_POSE = Topic("target_pose", "geometry_msgs/msg/PoseStamped", COMMAND, COMMAND)
TARGET_WRENCH = Topic("target_wrench", "geometry_msgs/msg/WrenchStamped", COMMAND, COMMAND)
TARGET_STIFFNESS = Topic("target_stiffness", "std_msgs/msg/Float64MultiArray", COMMAND, COMMAND)
GRIPPER_COMMAND = Topic(
    "gripper/gripper_position_controller/commands",
    "std_msgs/msg/Float64MultiArray",
    COMMAND,
    COMMAND,
)

# Cameras
IMAGE = Topic("{camera}/image_raw", "sensor_msgs/msg/Image", STREAM, NEWEST)
COMPRESSED_IMAGE = Topic(
    "{camera}/image_raw/compressed", "sensor_msgs/msg/CompressedImage", STREAM, NEWEST
)
CAMERA_INFO = Topic("{camera}/camera_info", "sensor_msgs/msg/CameraInfo", STREAM, NEWEST)

# The task (simulation)
TASK_STATE = Topic("task/state", "diagnostic_msgs/msg/DiagnosticArray", STREAM, COMMAND)
ROBOT_DESCRIPTION = Topic("robot_description", "std_msgs/msg/String", LATCHED, LATCHED)
INSTRUCTION = Topic("instruction", "std_msgs/msg/String", LATCHED, LATCHED)
# texts as string parameters: no standard service has a text
INSTRUCT = Service("instruction", "rcl_interfaces/srv/SetParameters")
SIM_RESET = Service("sim/reset", "std_srvs/srv/Trigger")

# The policy
ACTION_CHUNK = Topic(
    "policy/action_chunk", "trajectory_msgs/msg/JointTrajectory", COMMAND, COMMAND
)
POLICY_STATE = Service("policy_node/get_state", "lifecycle_msgs/srv/GetState")
CHUNK_INFO = Topic("policy/chunk_info", "diagnostic_msgs/msg/DiagnosticArray", STREAM, STREAM)

QUESTION = Topic("policy/question", "std_msgs/msg/String", EVENT, EVENT)
ANSWER = Topic("policy/answer", "std_msgs/msg/String", EVENT, EVENT)

# The human
TELEOP_TARGET = Topic("teleop/target_joint", "sensor_msgs/msg/JointState", COMMAND, COMMAND)
TELEOP_ENGAGED = Topic("teleop/engaged", "std_msgs/msg/Bool", COMMAND, COMMAND)

# The arbiter
# a reader that keeps more than the last value: a release must not overwrite a press unread
ESTOP = Topic("estop", "std_msgs/msg/Bool", LATCHED, KEPT)
AUTHORITY = Topic("arbiter/authority", "std_msgs/msg/String", LATCHED, LATCHED)
ARBITER_COMMAND = Topic("arbiter/command", "sensor_msgs/msg/JointState", STREAM, NEWEST)
CHUNK_RESULT = Topic("arbiter/chunk_result", "diagnostic_msgs/msg/DiagnosticArray", STREAM, STREAM)
ARBITER_REQUEST = Topic("arbiter/request", "std_msgs/msg/String", EVENT, EVENT)
ARBITER_ANSWER = Topic("arbiter/answer", "std_msgs/msg/String", EVENT, EVENT)
OWNERS = Topic("arbiter/owners", "diagnostic_msgs/msg/DiagnosticArray", LATCHED, LATCHED)
DISAGREEMENT = Topic("arbiter/disagreement", "diagnostic_msgs/msg/DiagnosticArray", STREAM, STREAM)
ARBITER_TAKEOVER = Service("arbiter/takeover", "std_srvs/srv/SetBool")
ARBITER_ENGAGE = Service("arbiter/engage", "std_srvs/srv/SetBool")
ARBITER_RESET = Service("arbiter/reset", "std_srvs/srv/Trigger")
ESTOP_PRESS = Service("estop", "std_srvs/srv/SetBool")

# The recorder and the episodes
RECORDER_STATE = Topic("recorder/state", "diagnostic_msgs/msg/DiagnosticArray", STREAM, COMMAND)
RECORDER_START = Service("recorder/start", "std_srvs/srv/Trigger")
RECORDER_STOP = Service("recorder/stop", "std_srvs/srv/Trigger")
RECORDER_DISCARD = Service("recorder/discard", "std_srvs/srv/Trigger")
RECORDER_LABEL = Service("recorder/label", "std_srvs/srv/SetBool")
EPISODE_LABEL = Topic("episode/label", "std_msgs/msg/String", EVENT, EVENT)
EPISODE_RESULT = Topic("episode/result", "std_msgs/msg/String", KEPT, KEPT)

# The console
CONSOLE_URL = Service("console/url", "std_srvs/srv/Trigger")

# Absolute by ROS convention (REP 107); remap it to move it.
DIAGNOSTICS = Topic("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", STREAM, STREAM)


def interface(type_name: str) -> Any:
    """Import the Python class of `package/msg/Type` or `package/srv/Type`."""
    package, kind, name = type_name.split("/")
    return getattr(import_module(f"{package}.{kind}"), name)


def publisher(node: Any, topic: Topic, qos: Qos | None = None) -> Any:
    """Create the publisher of `topic` on `node`."""
    return node.create_publisher(
        interface(topic.type_name), topic.name, (qos or topic.writer).profile()
    )


def subscription(
    node: Any,
    topic: Topic,
    callback: Callable[[Any], None],
    qos: Qos | None = None,
    raw: bool = False,
) -> Any:
    """Hear every publisher of a topic, each message once; `raw` gives serialized CDR bytes.

    With `qos` it is one plain reader that asks for exactly that. The result has
    `get_publisher_count()` and `destroy()`.
    """
    kind, asked = interface(topic.type_name), (qos or topic.reader).down()
    if qos is not None or len(asked) == 1:
        return node.create_subscription(kind, topic.name, callback, asked[0].profile(), raw=raw)
    from arfm_ros.nodes.ros.hearing import Hearing, How

    # A latched value is sent once, so that every kind of reader has to be there before it.
    profiles, late = [one.profile() for one in asked], not topic.reader.latched
    return Hearing(node, (kind, topic.name), callback, profiles, How(raw, late))


def polled(
    node: Any, topic: Topic, callback: Callable[..., None], raw: bool = False, timed: bool = False
) -> Any:
    """Hear every publisher of a topic whenever `poll()` is called, as much as its reader keeps.

    For what must not wait until an executor comes to it, and for what comes more often than it is
    wanted. With `timed` the callback is also told when a message came, ns of the system clock.
    """
    from arfm_ros.nodes.ros.hearing import Hearing, How, Unexecuted

    profiles = [one.profile() for one in topic.reader.down()]
    kind, how = interface(topic.type_name), How(raw, group=Unexecuted(), timed=timed)
    return Hearing(node, (kind, topic.name), callback, profiles, how)


def service(node: Any, row: Service, callback: Callable[[Any, Any], Any]) -> Any:
    """Create the server of a service."""
    return node.create_service(interface(row.type_name), row.name, callback)


def client(node: Any, row: Service) -> Any:
    """Create a client of a service."""
    return node.create_client(interface(row.type_name), row.name)
