"""The arbiter's ROS parameters, and what the core makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from arfm_ros.core.safety.decision import ArbiterConfig
from arfm_ros.core.safety.watch import WatchConfig
from arfm_ros.core.sharing.modes import MODES, Sharing
from arfm_ros.installed import share
from arfm_ros.nodes.arbiter.robot import DrivenRobot, with_controller, with_plain_grippers
from arfm_ros.nodes.ros.params import knob
from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.robot import Robot
from arfm_ros.words.lexicon import WORDS, Lexicon, load_lexicon

NS = 1_000_000_000
FIRST_RUN_SPEED = 0.25


@dataclass(frozen=True)
class ArbiterParams:
    """How fast, how far and how long; times in seconds."""

    rate_hz: float = knob(100.0, "commands per second", 20.0, 500.0)
    priority: int = knob(20, "real-time priority of the tick where permitted, 0: none", 0, 90)
    robot: str = knob("fr3", "name in config/robots, or the path of a YAML")
    controller: str = knob("", "kind of controller of the arms (docs/controllers.md), '': YAML's")
    command_topic: str = knob("", "command topic of the arm, '': the controller's own")
    plain_grippers: bool = knob(
        False, "numbers on CONTROLLER/commands for grippers with an action: without control_msgs"
    )
    speed: float = knob(
        FIRST_RUN_SPEED,
        "how fast plans are played and limits count, 1: as planned; raise it once the first runs "
        "went well",
        0.01,
        1.0,
        live=True,
    )
    margin_rad: float = knob(-1.0, "kept to the joint limits, below 0: the YAML's", -1.0, 0.5)
    velocity_scale: float = knob(0.9, "part of the joints' velocity limits in use", 0.01, 1.0)
    acceleration_scale: float = knob(0.6, "part of the acceleration limits in use", 0.01, 1.0)
    smooth: float = knob(0.1, "what is sent is the mean over so long", 0.004, 0.2)
    controller_stiffness: tuple[float, ...] = knob(
        (), "CRISP's nullspace.stiffness times its weights, per joint; empty: the YAML's"
    )
    controller_damping: tuple[float, ...] = knob(
        (), "CRISP's nullspace.damping times its weights, per joint; empty: the YAML's"
    )
    controller_max_torque: float = knob(
        0.0,
        "CRISP's nullspace.max_tau: joints are no faster than it can brake; 0: the YAML's",
        0.0,
        200.0,
    )
    workspace: tuple[float, ...] = knob(
        (), "box for the tool: x, y, z of its low and high corner, empty: that of the robot's YAML"
    )
    keep_out: tuple[float, ...] = knob(
        (), "boxes to stay out of beside those of the robot's YAML: six numbers each"
    )
    self_distance: float = knob(
        0.01, "least distance of the hand and the forearm from the rest of the arm", -1.0, 0.2
    )
    tracking_rad: float = knob(
        -1.0, "hold when the arm is farther from its command, below 0: the YAML's", -1.0, 3.0
    )
    blend: float = knob(0.2, "hand-over from one chunk to the next", 0.0, 1.0)
    state_gap_max: float = knob(0.1, "hold while no joint state came for longer", 0.01, 2.0)
    state_age_max: float = knob(0.25, "hold while its stamp is older", 0.01, 2.0)
    state_lost: float = knob(0.5, "hold until a reset when it is older than this", 0.05, 10.0)
    state_jump: float = knob(0.2, "rad beyond what a joint can move between states", 0.01, 3.0)
    state_frozen: float = knob(
        0.2, "hold when states repeat for longer while a joint is to move", 0.02, 10.0
    )
    follow_time: float = knob(0.3, "the arm moves with its command within this time", 0.05, 10.0)
    pose_tolerance: float = knob(
        0.05, "m between current_pose and the joint states' tool, 0: not compared", 0.0, 1.0
    )
    gripper_age_max: float = knob(1.0, "oldest usable state of the gripper", 0.05, 60.0)
    stall_max: float = knob(0.1, "own silence after which a fresh chunk is needed", 0.03, 2.0)
    stall_lost: float = knob(0.5, "own silence after which it holds until a reset", 0.05, 10.0)
    observation_age_max: float = knob(5.0, "oldest observation of a usable chunk", 0.1, 60.0)
    estop_heartbeat: float = knob(
        0.0, "an e-stop that is silent for longer is pressed, 0: never", 0.0, 10.0
    )
    human_age_max: float = knob(0.2, "hold when the teleop target is older", 0.02, 2.0)
    human_blend: float = knob(1.0, "0 policy .. 1 human while teleop is engaged", 0.0, 1.0)
    mode: str = knob(
        "policy", "who shares the arm how: docs/authority.md", choices=MODES, live=True
    )
    shared_weight: float = knob(0.5, "the person's weight in mode shared", 0.01, 0.99)
    assist: tuple[str, ...] = knob(
        (), "groups that are the person's in mode assist, empty: the first"
    )
    give_back: float = knob(0.5, "time in which the policy's weight comes back", 0.0, 5.0)
    settle: float = knob(0.15, "time for which the end of a chunk is still gone to", 0.0, 5.0)
    words: str = knob("", "YAML of words, '': config/words.yaml")
    nudges: bool = knob(True, "corrections move the tool; false: they are the policy's", live=True)

    def robot_value(self, description: str = "") -> Robot:
        """Return the robot with the controllers that it has; raises `ConfigError`.

        `description`: the URDF that the running robot publishes.
        """
        given = {
            "stiffness": self.controller_stiffness,
            "damping": self.controller_damping,
            "max_torque_nm": self.controller_max_torque,
        }
        options = {name: value for name, value in given.items() if value}
        robot = load_robot(self.robot, description)
        if self.plain_grippers:
            robot = with_plain_grippers(robot)
        return with_controller(robot, self.controller, self.command_topic, options)

    def lexicon(self) -> Lexicon:
        """Return what words mean; raises `ConfigError`."""
        return load_lexicon(Path(self.words) if self.words else share("config", WORDS))

    def config(self, driven: DrivenRobot) -> ArbiterConfig:
        """Return what the core needs."""
        scales = (self.velocity_scale * self.speed, self.acceleration_scale)
        limits = driven.limits(self.margin_rad, scales, self.tracking_rad)
        period_ns = round(NS / self.rate_hz)
        return ArbiterConfig(
            limits=limits,
            period_ns=period_ns,
            step_max_ns=period_ns,  # a late tick must not make a larger step
            smooth_ns=round(self.smooth * NS),
            speed=self.speed,
            blend_ns=round(self.blend * NS),
            watch=self._watch(),
            stall_max_ns=round(self.stall_max * NS),
            stall_lost_ns=round(self.stall_lost * NS),
            observation_age_max_ns=round(self.observation_age_max * NS),
            estop_silence_ns=round(self.estop_heartbeat * NS),
            human_age_max_ns=round(self.human_age_max * NS),
            human_blend=self.human_blend,
            settle_ns=round(self.settle * NS),
            sharing=self._sharing(),
            lanes=driven.lanes(),
            space=driven.space(self.workspace, self.keep_out, self.self_distance),
        )

    def _sharing(self) -> Sharing:
        return Sharing(self.mode, self.shared_weight, self.assist, round(self.give_back * NS))

    def _watch(self) -> WatchConfig:
        return WatchConfig(
            gap_max_ns=round(self.state_gap_max * NS),
            age_max_ns=round(self.state_age_max * NS),
            lost_ns=round(self.state_lost * NS),
            jump_rad=self.state_jump,
            frozen_ns=round(self.state_frozen * NS),
            follow_ns=round(self.follow_time * NS),
        )
