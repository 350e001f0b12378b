"""Parameters of the teleoperation node."""

from __future__ import annotations

from dataclasses import dataclass

from arfm_ros.nodes.ros.params import knob
from arfm_ros.teleop.cartesian import CartesianConfig

DEVICES = ("keyboard", "joy", "leader", "hand", "phone", "bag", "scripted")


@dataclass(frozen=True)
class TeleopParams:
    """Which device drives which arm, and how fast."""

    device: str = knob("keyboard", "what the person drives with", choices=DEVICES)
    config: str = knob(
        "",
        "map of the device, a name in config/teleop or a YAML; of a bag its folder; '': default",
    )
    robot: str = knob("fr3", "name in config/robots, or the path of a YAML")
    group: str = knob("", "arm that is driven, '': the first")
    rate_hz: float = knob(100.0, "how often the device is read", 20.0, 250.0)
    terminal: str = knob("/dev/tty", "terminal of the keyboard")
    task: str = knob("lift", "task of the scripted human")
    seed: int = knob(0, "of the scripted human", 0)
    move_m_s: float = knob(0.25, "largest speed of the tool", 0.005, 1.5)
    turn_rad_s: float = knob(1.0, "largest turning speed of the tool", 0.01, 3.0)
    ahead_rad: float = knob(0.12, "the target is at most so far from the arm", 0.01, 1.0)
    joint_speed: float = knob(0.5, "part of the joints' velocity limits in use", 0.01, 1.0)

    def cartesian(self) -> CartesianConfig:
        """Return what moves a tool."""
        return CartesianConfig(
            move_m_s=self.move_m_s,
            turn_rad_s=self.turn_rad_s,
            ahead_rad=self.ahead_rad,
            joint_speed=self.joint_speed,
        )
