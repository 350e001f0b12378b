"""A person who knows how: the simulation's expert, with reaction time, patience and noise.

It watches the policy. Where the task makes no progress for longer than its patience it notices,
takes over after its reaction time, drives for a while as the expert would, and gives back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.sim.expert.quality import Quality, draw_flaws
from arfm_ros.sim.expert.scripted import Expert
from arfm_ros.sim.world import STEP_NS, World
from arfm_ros.teleop.device import F64, JOINTS, NS, Seat, TeleopState, TeleopTarget

IMPROVED = 0.01  # of the task's progress, 0..1: less is none
POSE = "pose_"
OLD_NS = NS // 2


@dataclass(frozen=True, slots=True)
class Person:
    """What the person is like; pairs are drawn from evenly, s."""

    patience_s: tuple[float, float] = (1.5, 3.0)
    reaction_s: tuple[float, float] = (0.2, 0.5)
    drive_s: tuple[float, float] = (3.0, 6.0)
    quality: Quality = Quality(noise_m=0.002)


class ScriptedHuman:
    """Decides when to take over, and drives; for one episode after another."""

    def __init__(self, task: str, seed: int, person: Person = Person()) -> None:
        self._person, self._task, self._seed = person, task, seed
        self.begin(seed)

    def begin(self, seed: int) -> None:
        """Start an episode; the same seed gives the same person."""
        self._rng = np.random.default_rng([seed, 7])
        self._expert = Expert(self._task, draw_flaws(self._person.quality, self._rng))
        self.interventions, self.driven_ns = 0, 0
        self._driving, self._until_ns = False, 0
        self._at_ns = -1
        self._watch(0)

    @property
    def driving(self) -> bool:
        """Whether the person has the arm."""
        return self._driving

    def account(self) -> tuple[int, float]:
        """Return how often the person took over in this episode, and for how many seconds."""
        return self.interventions, self.driven_ns / NS

    def act(self, world: World, progress: float, now_ns: int, period_ns: int) -> F64 | None:
        """Return the command [A] of all axes, None while the policy is left alone.

        Call it every `period_ns` of the world's time.
        """
        if self._at_ns < 0:
            self._watch(now_ns)
        self._at_ns = now_ns
        if self._driving and now_ns >= self._until_ns:
            self._driving = False
            self._watch(now_ns)
        if not self._driving and self._notices(progress, now_ns):
            self._driving, self.interventions = True, self.interventions + 1
            self._until_ns = now_ns + self._draw(self._person.drive_s)
            self._expert.forget()
        if not self._driving:
            return None
        self.driven_ns += period_ns
        return self._expert.act(world, period_ns / NS)

    def _notices(self, progress: float, now_ns: int) -> bool:
        if progress > self._best + IMPROVED:
            self._best, self._improved_ns = progress, now_ns
        return progress < 1.0 and now_ns - self._improved_ns > self._patience_ns

    def _watch(self, now_ns: int) -> None:
        """Begin to watch the policy, which has done nothing yet."""
        self._best, self._improved_ns = -1.0, now_ns
        person = self._person
        self._patience_ns = self._draw(person.patience_s) + self._draw(person.reaction_s)

    def _draw(self, seconds: tuple[float, float]) -> int:
        return round(float(self._rng.uniform(*seconds)) * NS)


class ScriptedDevice:
    """The scripted human at a running simulation: it sees what `task/state` says of the objects.

    Its world is a copy that is put into the measured state whenever the task is told; so it sees
    late, as a person does.
    """

    def __init__(self, world: World, human: ScriptedHuman, seat: Seat) -> None:
        self._world, self._human, self._seat = world, human, seat
        self._seen_ns, self._progress, self._seed = 0, 0.0, -1
        self._read_ns = 0
        self.trouble = "nothing was heard from task/state yet"

    def see(self, positions: F64, task: Mapping[str, str], stamp_ns: int) -> None:
        """Take the axes' positions [A] at the moment that `task/state` tells of.

        Raises `ConfigError` where it tells of no objects: only a simulation does.
        """
        poses = {k.removeprefix(POSE): v for k, v in task.items() if k.startswith(POSE)}
        if not poses:
            raise ConfigError("task/state tells of no objects: a scripted human needs --sim")
        seed = int(task.get("seed", "0"))
        if seed != self._seed:
            self._seed = seed
            self._human.begin(seed)
        openings = self._world.openings
        grip = float(positions[openings][0]) if openings.any() else 1.0
        self._world.reset(positions[~openings], grip)
        for name, text in poses.items():
            pose = np.array([float(word) for word in text.split()])
            self._world.place(name, pose[:3], _yaw(pose[3:]))
        now = replace(self._world.snapshot(), steps=stamp_ns // STEP_NS)
        self._world.restore(now)
        self._progress, self._seen_ns = float(task.get("progress", "0")), stamp_ns

    def read(self, now_ns: int) -> Mapping[str, TeleopTarget]:
        """Return the expert's command while the person drives."""
        age_ns = now_ns - self._seen_ns
        self.trouble = "task/state is silent" if age_ns > OLD_NS else ""
        period_ns, self._read_ns = min(now_ns - self._read_ns, NS // 20), now_ns
        if self.trouble:
            return {}
        command = self._human.act(self._world, self._progress, now_ns, max(period_ns, 1))
        if command is None:
            return {}
        target = TeleopTarget(JOINTS, command, now_ns, names=self._seat.names)
        return {self._seat.arm: target}

    def feel(self, state: TeleopState) -> None:
        """Feel nothing: it sees."""

    def close(self) -> None:
        """Hold nothing."""


def _yaw(quaternion: F64) -> float:
    x, y, z, w = quaternion
    return float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))
