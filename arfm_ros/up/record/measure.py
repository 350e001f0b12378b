"""What the recorder loses and costs, with numbered messages through real DDS."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from arfm_ros.core.errors import ConfigError
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.write import manifest
from arfm_ros.nodes.ros import topics
from arfm_ros.up.record.rig import Caller, recorder, source
from arfm_ros.wire.joints import read_joint_state

SETTLE_S = 1.0  # from the start until it is measured


@dataclass(frozen=True, slots=True)
class Load:
    """What is published."""

    seconds: float
    joints_hz: float = 1000.0
    cameras_hz: float = 30.0
    kind: str = "compressed"  # or raw


@dataclass(frozen=True, slots=True)
class RecordCosts:
    """One episode."""

    load: Load
    folder: str
    published: dict[str, int]  # by topic, between the first and the last recorded one
    lost: dict[str, int]  # by the numbers that DDS gives
    numbers_missing: int  # joint states, by the number that each carries as its position
    said_lost: dict[str, int]  # what the recorder noted while it recorded
    core_percent: float  # of the recorder's process
    megabytes_s: float
    put_p50_ms: float  # to a factor of two
    put_p999_ms: float

    def as_json(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def measure(load: Load, out: Path) -> RecordCosts:
    """Record one episode of `load` below `out` and account for every message."""
    caller = Caller()
    try:
        with source(load.joints_hz, load.cameras_hz, load.kind), recorder(out, load.kind) as node:
            folder = Path(caller.call(topics.RECORDER_START))
            heard = topics.JOINT_STATES.name
            caller.until(lambda: int(caller.state.get(heard, "0")) > 0, "joint states")
            caller.hear(SETTLE_S)
            share = _core_percent(caller, psutil.Process(node.pid), load.seconds)
            caller.call(topics.RECORDER_LABEL)
            caller.call(topics.RECORDER_STOP)
            state = dict(caller.state)
    finally:
        caller.close()
    return _account(load, folder, share, state)


def _core_percent(caller: Caller, process: psutil.Process, seconds: float) -> float:
    before, begin_s = process.cpu_times(), time.monotonic()
    caller.hear(seconds)
    after, passed_s = process.cpu_times(), time.monotonic() - begin_s
    used_s = after.user + after.system - before.user - before.system
    return 100 * used_s / passed_s


def _account(load: Load, folder: Path, share: float, state: dict[str, str]) -> RecordCosts:
    known = manifest.load(folder)
    if known is None:
        raise ConfigError(f"{folder} has no manifest")
    sensors = {name: row for name, row in known.topics.items() if row["rate_hz"] > 10}
    reader = EpisodeReader(folder)
    said = reader.label().get("lost", {})
    return RecordCosts(
        load=load,
        folder=str(folder),
        published={name: int(row["published"]) for name, row in sensors.items()},
        lost={name: int(row["dropped"]) for name, row in sensors.items()},
        numbers_missing=_missing(reader),
        said_lost=dict(said) if isinstance(said, dict) else {},
        core_percent=share,
        megabytes_s=known.bytes / 1e6 / max(known.seconds, 1e-9),
        put_p50_ms=float(state.get("put_p50_ms", "nan")),
        put_p999_ms=float(state.get("put_p999_ms", "nan")),
    )


def _missing(reader: EpisodeReader) -> int:
    """Count joint states that are not there, between the first and the last one."""
    numbers = [
        int(next(iter(read_joint_state(record.cdr).values())))
        for record in reader.records({"/" + topics.JOINT_STATES.name})
    ]
    return numbers[-1] - numbers[0] + 1 - len(numbers) if numbers else 0
