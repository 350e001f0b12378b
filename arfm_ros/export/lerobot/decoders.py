"""LeRobot's policies that are no flow: ACT and Diffusion Policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.export.lerobot import act as lerobot_act
from arfm_ros.export.lerobot import diffusion as lerobot_diffusion
from arfm_ros.export.lerobot.inputs import Statistics, check_inputs, read_statistics
from arfm_ros.export.vla.interface import Interface
from arfm_ros.export.vla.network import SplitNetwork


@dataclass(frozen=True, slots=True)
class Decoder:
    """A policy type of LeRobot's config.json."""

    where: tuple[str, str]  # module and class of the policy
    split: Callable[[Any, Statistics], SplitNetwork]
    describe: Callable[[Any, Statistics, Interface, str], PolicySpec]


DECODERS = {
    "act": Decoder(
        ("lerobot.policies.act.modeling_act", "ACTPolicy"),
        lerobot_act.LeRobotAct,
        lerobot_act.describe,
    ),
    "diffusion": Decoder(
        ("lerobot.policies.diffusion.modeling_diffusion", "DiffusionPolicy"),
        lerobot_diffusion.LeRobotDiffusion,
        lerobot_diffusion.describe,
    ),
}


def split_decoder(
    decoder: Decoder, policy: Any, folder: Path, robot: Interface, name: str
) -> tuple[SplitNetwork, PolicySpec]:
    """Split the policy of the checkpoint in `folder` and describe it.

    Raises `ConfigError` for what is missing in `folder` or does not fit the robot.
    """
    check_inputs(policy.config)
    known = read_statistics(folder, policy.config)
    return decoder.split(policy, known), decoder.describe(policy, known, robot, name)
