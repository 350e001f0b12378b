"""What to train on, how, and where to leave it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from arfm_ros.core.values.spec_reading import Plain
from arfm_ros.episodes.read.topics import OWN, Topics
from arfm_ros.learn.data.interventions import Interventions
from arfm_ros.learn.loop.train import TrainConfig
from arfm_ros.learn.model.network import ModelConfig
from arfm_ros.robots.robot import Robot


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that `begin.start` trains."""

    data: tuple[Path, ...]
    out: Path
    train: TrainConfig
    statistics: tuple[Path, ...] = ()  # episodes whose spread a new policy's normalisation takes
    success_only: bool = False
    authority: tuple[str, ...] = ()
    interventions: Interventions | None = None  # learn from corrections alone
    init: Path | None = None
    warm_start: Path | None = None  # a run or bundle, of another robot it may be
    resume: bool = False
    new_velocity: bool = False  # `init` gives what it sees, not how it acts
    model: ModelConfig = field(default_factory=ModelConfig)
    cache: Path | None = None  # of the frames, for several runs on the same data; else in `out`
    robot: Robot | None = None  # whose axes a new policy has; None: those that were commanded
    state: tuple[str, ...] = ()  # what a new policy sees of what was measured; nothing: all
    topics: Topics = OWN  # which topic of the episodes holds what
    actions: tuple[Mapping[str, Plain], ...] = ()  # spaces of a new policy's actions
    urdf: Path | None = None  # limits and units of joints where no robot is named
    dt_ns: int = 0  # between two actions; 0: as the episodes say, or 50 ms; `init` has its own
