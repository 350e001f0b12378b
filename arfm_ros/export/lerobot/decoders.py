"""LeRobot's policies that are no flow: opened, split and described."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.export.lerobot.checkpoint import (
    LIBRARY,
    feature_sizes,
    open_policy,
    policy_class_of,
    read_config,
)
from arfm_ros.export.lerobot.inputs import Statistics, check_inputs, read_statistics
from arfm_ros.export.vla.interface import Interface
from arfm_ros.export.vla.network import Opened, SplitNetwork, freeze


@dataclass(frozen=True, slots=True)
class LeRobotDecoder:
    """A policy of LeRobot that reads no instruction."""

    name: str  # `type` of config.json
    where: tuple[str, str]  # module and class of the policy
    split: Callable[[Any, Statistics], SplitNetwork]
    describe: Callable[[Any, Statistics, Interface, str], PolicySpec]
    library: str = LIBRARY

    def takes(self, config: Mapping[str, Any]) -> bool:
        """Tell whether a checkpoint with this config.json is one."""
        return config.get("type") == self.name

    def open(self, folder: Path, robot: Interface, name: str) -> Opened:
        """Open a checkpoint folder as policy `name` for `robot`."""
        policy_class, made_by = policy_class_of(self.name, self.where)
        config = read_config(folder)
        feature_sizes(config, robot)  # refuses another robot
        policy = open_policy(folder, config, policy_class, runs=True)
        check_inputs(policy.config)
        known = read_statistics(folder, policy.config)
        network: Any = self.split(policy, known)
        return Opened(freeze(network), self.describe(policy, known, robot, name), "", made_by)
