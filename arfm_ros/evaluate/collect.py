"""Episodes that a policy drives, alone or with a person who corrects it, failures too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from arfm_ros.core.safety.decision import Decision
from arfm_ros.engines import load_bundle, load_policy
from arfm_ros.evaluate.rollout import RolloutResult, Rollouts
from arfm_ros.sim.drive.driver import DriverConfig
from arfm_ros.sim.record.scribe import Scribe
from arfm_ros.sim.tasks.task import Task


@dataclass(frozen=True, slots=True)
class CollectOptions:
    """Which policy drives, and with what timing."""

    bundle: Path
    driver: DriverConfig = DriverConfig()

    def open(self) -> Collector:
        """Make what records its episodes."""
        return Collector(self)


class Collector:
    """Records episodes one after another; each says in its label which bundle drove."""

    def __init__(self, options: CollectOptions) -> None:
        self._bundle = load_bundle(options.bundle)
        policy = load_policy(options.bundle, threads=1)
        self._rollouts = Rollouts(policy, policy.spec, options.driver)
        self._cameras = tuple(camera.name for camera in policy.spec.cameras)

    def record(self, task_name: str, seed: int, folder: Path) -> bool:
        """Record the episode of `seed` into `folder` and return whether it succeeded."""
        rollouts, driver = self._rollouts, self._rollouts.driver

        def watch(task: Task, decision: Decision) -> None:
            if rollouts.world.time_ns == 0:
                scribe.text("/instruction", driver.instruction)
            scribe.look(task)
            scribe.wished(driver.wish)
            scribe.commanded(decision.command, decision.authority)

        with Scribe(folder, rollouts.world, driver.picture, seed, self._cameras) as scribe:
            driver.on_chunk = scribe.chunk
            try:
                result = rollouts.run(task_name, seed, watch)
            finally:
                driver.on_chunk = None
            scribe.label({
                "task": task_name,
                "success": result.success,
                "seed": seed,
                "seconds": round(result.seconds, 3),
                "source": "policy",
                "bundle": self._bundle.name,
                "bundle_sha256": self._bundle.sha256,
                **_corrections(driver.config, result),
            })
        return result.success


def _corrections(config: DriverConfig, result: RolloutResult) -> dict[str, object]:
    """Say how often a person took over, where one watched."""
    if not config.human:
        return {}
    return {"interventions": result.interventions, "human_s": round(result.human_s, 3)}
