"""The arbiter's ROS parameters, and what the core makes of them."""

from __future__ import annotations

from dataclasses import dataclass

from arfm_ros.control.backends import BACKENDS
from arfm_ros.control.limits import fr3_limits
from arfm_ros.core.decision import ArbiterConfig
from arfm_ros.nodes.params import knob

NS = 1_000_000_000


@dataclass(frozen=True)
class ArbiterParams:
    """How fast, how far and how long; times in seconds."""

    rate_hz: float = knob(100.0, "commands per second", 20.0, 500.0)
    priority: int = knob(20, "real-time priority of the tick where permitted, 0: none", 0, 90)
    backend: str = knob("crisp_joint", "kind of controller", choices=tuple(BACKENDS))
    command_topic: str = knob("", "command topic, empty: the backend's own")
    margin_rad: float = knob(0.02, "distance kept to the joint limits", 0.0, 0.5)
    velocity_scale: float = knob(0.9, "part of the joints' velocity limits in use", 0.01, 1.0)
    acceleration_scale: float = knob(0.9, "part of the acceleration limits in use", 0.01, 1.0)
    tracking_rad: float = knob(0.5, "hold when the arm is farther from its command", 0.01, 3.0)
    blend: float = knob(0.1, "hand-over from one chunk to the next", 0.0, 1.0)
    state_gap_max: float = knob(0.1, "hold while no joint state came for longer", 0.01, 2.0)
    state_age_max: float = knob(0.25, "hold while its stamp is older", 0.01, 2.0)
    state_lost: float = knob(0.5, "hold until a reset when it is older than this", 0.05, 10.0)
    human_age_max: float = knob(0.2, "hold when the teleop target is older", 0.02, 2.0)
    human_blend: float = knob(1.0, "0 policy .. 1 human while teleop is engaged", 0.0, 1.0)

    def config(self) -> ArbiterConfig:
        """Return what the core needs."""
        limits = fr3_limits(
            self.margin_rad, self.velocity_scale, self.acceleration_scale, self.tracking_rad
        )
        period_ns = round(NS / self.rate_hz)
        return ArbiterConfig(
            limits=limits,
            period_ns=period_ns,
            step_max_ns=period_ns,  # a late tick must not make a larger step
            blend_ns=round(self.blend * NS),
            state_gap_max_ns=round(self.state_gap_max * NS),
            state_age_max_ns=round(self.state_age_max * NS),
            state_lost_ns=round(self.state_lost * NS),
            human_age_max_ns=round(self.human_age_max * NS),
            human_blend=self.human_blend,
        )
