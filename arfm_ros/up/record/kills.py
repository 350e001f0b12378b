"""Kill the recorder at random moments and look what is left."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mcap.reader import make_reader
from rosbags.rosbag2 import Reader

from arfm_ros.episodes.edit.recover import recover
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.write.durable import partial_of
from arfm_ros.nodes.ros import topics
from arfm_ros.up.record.measure import Load
from arfm_ros.up.record.rig import Caller, recorder, source

AT_ONCE_S, LATER_S = 0.02, 1.5  # after the answer to a label, in turn


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill; `lost_s` of received joint states, newest in the bag to the moment of the kill."""

    after_label_s: float
    lost_s: float
    label_kept: bool
    opens: bool  # in `mcap` and `rosbags`, with the same number of messages
    messages: int

    def as_json(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def kills(count: int, load: Load, out: Path, seed: int) -> list[Kill]:
    """Kill `count` recorders while they record `load`, each just after an answered label."""
    rng, done = np.random.default_rng(seed), []
    with source(load.joints_hz, load.cameras_hz, load.kind):
        for number in range(count):
            longest_s = AT_ONCE_S if number % 2 == 0 else LATER_S
            caller = Caller()
            try:
                done.append(_kill(caller, load, out, rng, longest_s))
            finally:
                caller.close()
    return done


def _kill(
    caller: Caller, load: Load, out: Path, rng: np.random.Generator, longest_s: float
) -> Kill:
    with recorder(out, load.kind) as process:
        folder = Path(caller.call(topics.RECORDER_START))
        heard = topics.JOINT_STATES.name
        caller.until(lambda: int(caller.state.get(heard, "0")) > 0, "joint states")
        caller.hear(float(rng.uniform(0.0, 1.0)))
        caller.call(topics.RECORDER_LABEL)
        wait_s = float(rng.uniform(0.0, longest_s))
        time.sleep(wait_s)
        killed_ns = time.time_ns()
        process.kill()
        process.wait()
    found = recover(partial_of(folder)).folder
    reader = EpisodeReader(found)
    times = [r.log_time_ns for r in reader.records({"/" + topics.JOINT_STATES.name})]
    return Kill(
        after_label_s=wait_s,
        lost_s=max(killed_ns - max(times, default=0), 0) / 1e9,
        label_kept=reader.label().get("success") is True,
        opens=_opens(found),
        messages=sum(1 for _ in reader.records()),
    )


def _opens(folder: Path) -> bool:
    """Read the bag with two foreign libraries."""
    (bag,) = folder.glob("*.mcap")
    with open(bag, "rb") as file:
        one = make_reader(file)
        summary = one.get_summary()
        counted = sum(1 for _ in one.iter_messages())
    with Reader(folder) as other:
        same = other.message_count == counted == sum(1 for _ in other.messages())
    return same and summary is not None and summary.statistics.message_count == counted
