"""Episodes of an environment's own expert, in the episode format.

What the robot is, its axes, their units, how long an action takes, is in the episode itself: a
new policy is made for it without a robot's YAML.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.episodes.authorities import EXPERT
from arfm_ros.evaluate.envs.catalogue import ENVIRONMENTS
from arfm_ros.evaluate.envs.environment import Act, Body, Cameras, Environment
from arfm_ros.evaluate.envs.flaws import Flawed
from arfm_ros.evaluate.envs.log import Log
from arfm_ros.sim.expert.quality import Quality

TAIL_S = 0.3  # that is still recorded after success
NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class EnvironmentOptions:
    """How demonstrations of an environment are made."""

    name: str
    quality: Quality = field(default_factory=Quality)
    cameras: Cameras = ()

    def open(self) -> EnvironmentDemonstrator:
        """Make what records them. Raises `ConfigError` where the environment has no expert."""
        return EnvironmentDemonstrator(self)


class EnvironmentDemonstrator:
    """Records episodes one after another in one environment."""

    def __init__(self, options: EnvironmentOptions) -> None:
        kind = ENVIRONMENTS[options.name]
        if kind.body is None or kind.sense is None or kind.expert is None:
            raise ConfigError(f"environment '{options.name}' has no expert of its own")
        self._options, self._expert = options, kind.expert
        self._body: Body = kind.body
        self._world: Environment = kind.sense(kind.body.seen, options.cameras)

    def record(self, task_name: str, seed: int, folder: Path) -> bool:
        """Record the episode of `seed` into `folder` and return whether it succeeded."""
        seen = self._world.reset(task_name, seed)
        hand = self._flawed(self._expert(task_name), seed)
        dt_ns, at_ns, end_ns, success, step = self._body.dt_ns, 0, 0, False, None
        with closing(Log(folder, self._body, self._options.name, seed)) as log:
            log.instructed(seen.instruction, EXPERT)
            while not end_ns or at_ns < end_ns:
                log.saw(at_ns, seen, step)
                action = hand.act(seen, at_ns / NS, dt_ns / NS)
                if hand.poor(at_ns / NS):
                    log.poor(at_ns, at_ns + dt_ns)
                at_ns += dt_ns
                log.did(at_ns, action)
                step = self._world.step(action)
                seen = step.observation
                if step.over and not end_ns:
                    success, over_ns = step.success, at_ns
                    end_ns = at_ns + (round(TAIL_S * NS) if success else 0)
            log.ended(
                at_ns,
                {
                    "task": task_name,
                    "success": success,
                    "seed": seed,
                    "seconds": round(over_ns / NS, 4),
                    "source": EXPERT,
                    "flawed": hand.flawed,
                },
            )
        return success

    def _flawed(self, expert: Act, seed: int) -> Flawed:
        axes, rng = self._body.axes.action, np.random.default_rng([seed, 7])
        return Flawed(expert, self._options.quality, axes, rng)
