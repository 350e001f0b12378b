"""Parameters of the simulated robot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from arfm_ros.nodes.ros.params import knob
from arfm_ros.nodes.ros.robot_topics import camera_rows
from arfm_ros.sim.controllers.crisp import CONTROLLERS, JOINT
from arfm_ros.sim.tasks import TASKS
from arfm_ros.sim.world import World, default_robot, is_fr3


@dataclass(frozen=True, slots=True)
class SimParams:
    """Parameters of the node; `task`, `seed` and `controller` may be set while it runs."""

    robot: str = knob("fr3", "robot that is simulated: a name in config/robots or a YAML file")
    task: str = knob("lift", "task that sim/reset sets up", choices=tuple(TASKS), live=True)
    seed: int = knob(0, "seed of the next sim/reset", 0, 2**31 - 1, live=True)
    controller: str = knob(JOINT, "active controller", choices=CONTROLLERS, live=True)
    lookahead_ms: int = knob(
        18,
        "how far physics runs before the wall clock, in ms: images are rendered in that time and "
        "leave at their stamp, and a command acts that much later; 0: images leave late instead",
        0,
        50,
    )
    joint_rate_hz: float = knob(
        250.0, "rate of joint_states; every camera frame brings one more", 10.0, 500.0
    )
    pose_rate_hz: float = knob(100.0, "rate of current_pose and gripper/joint_states", 1.0, 500.0)
    camera_rate_hz: float = knob(30.0, "rate of every camera", 1.0, 120.0)
    cameras: tuple[str, ...] = knob(
        ("scene", "wrist"), "cameras to publish; [''] for none, these two for all that there are"
    )
    image_height: int = knob(240, "image height in pixels", 16, 960)
    image_width: int = knob(320, "image width in pixels", 16, 1280)
    jpeg_quality: int = knob(95, "quality of /compressed images", 1, 100)
    publish_clock: bool = knob(False, "publish /clock and stamp with simulated time")
    view: bool = knob(False, "open MuJoCo's viewer (needs a display)")


def has_stock_topics(world: World) -> bool:
    """Tell whether the robot is the FR3 with the topics of config/robots/fr3.yaml."""
    stock = default_robot()
    if not is_fr3(world.robot):
        return False
    pairs = zip(world.robot.groups, stock.groups, strict=True)
    return all(
        (a.state_topics, dict(a.command_topics), a.controller.kind)
        == (b.state_topics, dict(b.command_topics), b.controller.kind)
        for a, b in pairs
    )


def cameras_of(names: tuple[str, ...], world: World) -> Mapping[str, str]:
    """Return the topic of raw images of each camera; the parameter's default stands for all.

    A topic is the one that the robot's YAML names, else NAME/image_raw.
    """
    wanted = world.cameras if names == ("scene", "wrist") else names
    return {name: one.raw.name for name, one in camera_rows(world.robot, wanted).items()}
