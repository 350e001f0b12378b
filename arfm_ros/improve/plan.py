"""What a round of improvement is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.data.interventions import Interventions
from arfm_ros.learn.loop.train import TrainConfig
from arfm_ros.sim.tasks import make_task

EPISODES, TRAIN, BUNDLE, RESULTS, ACTIVE = "episodes", "train", "bundle", "evaluate", "active"
SEEDS_FROM, SEEDS_APART, ROUNDS = 2_000_000, 100_000, 10_000


@dataclass(frozen=True, slots=True)
class Plan:
    """Which policy, on what, how much, and where it all goes."""

    bundle: Path
    out: Path
    tasks: tuple[str, ...]
    train: TrainConfig
    episodes: int = 50  # a task, driven in the simulator
    recorded: Path | None = None  # instead: episodes recorded on a running robot
    data: tuple[Path, ...] = ()  # older episodes to train on as well
    eval_episodes: int = 100  # a task, of each policy
    workers: int = 2
    interventions: Interventions | None = None  # a person corrects, and is learned from
    activate: Path | None = None  # a link to move to the new bundle
    command: str = ""

    def __post_init__(self) -> None:
        for task in self.tasks:
            make_task(task)
        for name in ("episodes", "eval_episodes", "workers"):
            if getattr(self, name) < 1:
                flag = "--" + name.replace("_", "-")
                raise ConfigError(f"{flag} {getattr(self, name)} needs to be at least 1")
        if max(self.episodes, self.eval_episodes) > SEEDS_APART // 2:
            raise ConfigError(f"at most {SEEDS_APART // 2} episodes a task")

    def seeds(self, sha256: str) -> tuple[int, int]:
        """Give the first seeds of collection and evaluation for the bundle of that hash.

        Every round sees other starts: on those of the last one a policy was chosen already.
        """
        first = SEEDS_FROM + int(sha256[:8], 16) % ROUNDS * SEEDS_APART
        return first, first + SEEDS_APART // 2

    def as_json(self, sha256: str) -> Mapping[str, Any]:
        """Return what has to stay the same for the run to go on."""
        return {
            "bundle": self.bundle.name,
            "bundle_sha256": sha256,
            "tasks": list(self.tasks),
            "episodes": self.episodes,
            "from_episodes": str(self.recorded or ""),
            "data": [str(path) for path in self.data],
            "eval_episodes": self.eval_episodes,
            "interventions": self.interventions and asdict(self.interventions),
            "train": {"objective": type(self.train.objective).__name__} | asdict(self.train),
        }
