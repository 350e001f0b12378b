"""The robot's recorded commands, sent to the simulated robot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.read.axes import read_axes
from arfm_ros.episodes.read.topics import topics_of
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.sim.world import World

TICK_MS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """What the simulated robot did [N, A] beside what the recorded one did [N, A]."""

    names: tuple[str, ...]
    time_s: NDArray[np.float64]
    simulated: NDArray[np.float64]
    recorded: NDArray[np.float64]

    @property
    def apart(self) -> dict[str, float]:
        """Largest distance of each axis, in its unit."""
        return dict(zip(self.names, np.abs(self.simulated - self.recorded).max(axis=0).tolist()))


def move(reader: EpisodeReader, world: World) -> Moved:
    """Start the simulated robot where the recorded one was and send it the same commands.

    Raises `EpisodeError` naming the axes of the robot that were not recorded or commanded.
    """
    topics = topics_of(world.robot)
    measured = read_axes(reader, topics.states)
    told = read_axes(reader, topics.commands)
    names = world.robot.names
    missing = [name for name in names if name not in measured or name not in told]
    if missing:
        raise EpisodeError(f"{reader.folder} does not tell of {', '.join(missing)} in both ways")
    begin_ns = max(int(measured[name].stamp_ns[0]) for name in names)
    end_ns = max(int(measured[name].stamp_ns[-1]) for name in names)
    at_ns = np.arange(begin_ns, end_ns, TICK_MS * 1_000_000, dtype=np.int64)
    recorded = np.stack([measured[name].at(at_ns) for name in names], axis=1)
    commands = np.stack([told[name].at(at_ns) for name in names], axis=1)
    opens = world.openings
    world.reset(recorded[0][~opens], gripper=float(recorded[0][opens][0]) if opens.any() else 1.0)
    simulated, before = np.empty_like(recorded), commands[0]
    for n, command in enumerate(commands):
        simulated[n] = world.measured()
        world.command(command, (command - before) * 1000.0 / TICK_MS)
        world.step(TICK_MS)
        before = command
    return Moved(names, (at_ns - begin_ns) / 1e9, simulated, recorded)
