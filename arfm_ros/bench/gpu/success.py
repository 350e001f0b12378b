"""Success in the simulator with the network on the GPU, each observation by way of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from arfm_ros.bench.gpu.parts import EPISODES, TINY_EPISODES, Report, Setting
from arfm_ros.bench.gpu.tabletop import first_policy
from arfm_ros.core.values.statistics import wilson

TASKS, FIRST_SEED = ("lift", "place"), 1_000_000  # the starts that `arfm eval` takes


def measure(setting: Setting, report: Report) -> None:
    """Run the episodes of both tasks in turns; what was finished is told after each."""
    from arfm_ros.evaluate.rollout import Rollouts

    policy = first_policy(setting, Path(setting.bundle))
    report(runtime=policy.runtime.as_dict())
    rollouts = Rollouts(policy, policy.spec)
    wins: dict[str, list[bool]] = {task: [] for task in TASKS}
    count = TINY_EPISODES if setting.tiny else EPISODES
    try:
        for seed in range(FIRST_SEED, FIRST_SEED + count):
            for task in TASKS:
                wins[task].append(rollouts.run(task, seed).success)
                report(wanted=count, tasks={name: _told(won) for name, won in wins.items()})
    finally:
        rollouts.close()


def _told(won: list[bool]) -> dict[str, Any]:
    return {
        "successes": sum(won),
        "episodes": len(won),
        "interval_95": wilson(sum(won), len(won)),
    }
