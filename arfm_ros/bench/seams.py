"""What a joint_trajectory_controller makes of a stream of chunks, for each way to send it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from arfm_ros.bench.chunk_stream import BEGIN_NS, CONSTRUCT, NS, ChunkStream
from arfm_ros.bench.encodings import (
    TICK_NS,
    Encoding,
    ObservationStamped,
    Ours,
    PointPerStep,
    Trimmed,
)
from arfm_ros.core.chunks.seams import QUANTILE
from arfm_ros.core.safety.limits import F64
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.sim.controllers.jtc import JtcConfig, JtcCore

UPDATE_NS = 2_000_000  # 500 Hz
LAG_S = 0.01  # of the arm behind its command, first order
STEP_TARGET_RAD, ACCELERATION_TARGET = 0.0041, 487.0
SECONDS_MIN = 1.0
OURS = "ours"
ENCODINGS: Mapping[str, Callable[[F64], Encoding]] = {
    "observation-stamped positions": lambda start: ObservationStamped(),
    "one point per step, time 0": lambda start: PointPerStep(),
    "trimmed >= 1 dt": lambda start: Trimmed(1, velocities=False, from_desired=False),
    "trimmed >= 3 dt, velocities, desired state": lambda start: Trimmed(3, True, True),
    OURS: Ours,
    "ours, measured state": lambda start: Ours(start, from_desired=False),
}


@dataclass(frozen=True, slots=True)
class Row:
    """What one way to send came to; all joints and cycles together."""

    largest_step_rad: float  # of the command in a cycle of 2 ms
    acceleration_999_rad_s2: float  # 99.9 % of the sizes of second differences
    speed_999_rad_s: float
    messages: int
    rejections: Mapping[str, int]
    chunks_refused: int

    @property
    def rejected(self) -> int:
        """Messages that the controller rejected."""
        return sum(self.rejections.values())


def measure(name: str, seconds: float, seed: int) -> Row:
    """Run one way to send on the stream of `seed` for simulated `seconds`."""
    stream = ChunkStream(seed)
    encoding = ENCODINGS[name](stream.start)
    config = JtcConfig(
        fr3.JOINT_NAMES, UPDATE_NS, interpolate_from_desired_state=encoding.from_desired
    )
    core = JtcCore(config, stream.start[: fr3.DOF])
    commands = drive(core, encoding, stream, seconds)
    steps = np.diff(commands, axis=0)
    bends = np.abs(np.diff(steps, axis=0)) / (UPDATE_NS / NS) ** 2
    return Row(
        float(np.abs(steps).max()),
        float(np.quantile(bends, QUANTILE)),
        float(np.quantile(np.abs(steps), QUANTILE) * NS / UPDATE_NS),
        core.accepted + core.rejections.total(),
        dict(core.rejections),
        getattr(encoding, "refused", 0),
    )


def drive(core: JtcCore, encoding: Encoding, stream: ChunkStream, seconds: float) -> F64:
    """Return the commands [T, 7] of every cycle."""
    arrivals = list(stream.arrivals(seconds))[::-1]
    measured = stream.start[: fr3.DOF].copy()
    follow = UPDATE_NS / NS / (LAG_S + UPDATE_NS / NS)
    commands = []
    for now_ns in range(BEGIN_NS, BEGIN_NS + round(seconds * NS), UPDATE_NS):
        while arrivals and arrivals[-1].at_ns <= now_ns:
            for message in encoding.chunk(arrivals.pop().chunk, now_ns):
                core.accept(message, now_ns)
        if (now_ns - BEGIN_NS) % TICK_NS == 0:
            for message in encoding.tick(measured, now_ns):
                core.accept(message, now_ns)
        command, _ = core.sample(now_ns, measured)
        measured += follow * (command - measured)
        commands.append(command)
    return np.array(commands)


def met(rows: Mapping[str, Row]) -> bool:
    """Tell whether ours is the smoothest row, or below the targets, and nothing was rejected."""
    ours, others = rows[OURS], [row for name, row in rows.items() if not name.startswith(OURS)]
    step = max(STEP_TARGET_RAD, min(row.largest_step_rad for row in others))
    bend = max(ACCELERATION_TARGET, min(row.acceleration_999_rad_s2 for row in others))
    smooth = ours.largest_step_rad <= step and ours.acceleration_999_rad_s2 <= bend
    return smooth and ours.rejected == 0 and ours.chunks_refused == 0


def as_json(rows: Mapping[str, Row], seconds: float, seed: int) -> dict[str, object]:
    """Return the table, and what it was made with."""
    return {
        "seconds": seconds,
        "seed": seed,
        "stream": CONSTRUCT,
        "update_hz": NS // UPDATE_NS,
        "arm_lag_s": LAG_S,
        "met": met(rows),
        "rows": {name: asdict(row) for name, row in rows.items()},
    }
