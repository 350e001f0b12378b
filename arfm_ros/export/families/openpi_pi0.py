"""pi0 of openpi (Black et al. 2024): its own files, the network split as LeRobot's port of it."""

from __future__ import annotations

from arfm_ros.export.families.lerobot_pi0 import LeRobotPi0
from arfm_ros.export.family import register
from arfm_ros.export.openpi.checkpoint import OpenPiFlow

register(
    OpenPiFlow(
        name="pi0",
        config=("lerobot.policies.pi0.configuration_pi0", "PI0Config"),
        network=("lerobot.policies.pi0.modeling_pi0", "PI0Pytorch"),
        split=LeRobotPi0,
        silent=LeRobotPi0,
        quantiles=False,
        length=48,
    )
)
