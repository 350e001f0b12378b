"""A robot of which only the exchange is real: `python -m arfm_ros.fleet.simulated`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from arfm_ros.core.errors import FleetError
from arfm_ros.episodes.write.content import Making
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.fleet.exchange import visit
from arfm_ros.fleet.place import open_place
from arfm_ros.fleet.robot import ALLOWED, Robot
from arfm_ros.wire import messages
from arfm_ros.workers import end_with_parent

MODULE = "arfm_ros.fleet.simulated"
PICTURE = (480, 640, 3)


def simulated_robot(root: Path, name: str) -> Robot:
    """Name the folders of one."""
    home = root / name / "bundles"
    return Robot(name, home, root / name / "episodes", home / ALLOWED)


def record(robot: Robot, count: int, megabytes: float) -> None:
    """Write episodes of about this size, whose pictures nothing makes smaller."""
    import numpy as np

    draw = np.random.default_rng(list(robot.name.encode()))
    for n in range(count):
        making = Making(info={"task": "lift", "operator": robot.name})
        writer = EpisodeWriter(robot.episodes / f"20260101_{n:06d}_lift_{n:04d}", making=making)
        for k in range(max(1, round(megabytes * 1e6 / np.prod(PICTURE)))):
            stamp_ns = 1_767_225_600_000_000_000 + k * 33_000_000
            picture = draw.integers(0, 256, PICTURE, dtype=np.uint8)
            writer.write("/scene/image_raw", *messages.image(stamp_ns, picture), stamp_ns)
            writer.flush()
        writer.label({"success": True}, stamp_ns)
        writer.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Exchange every so many seconds, for ever or once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parent", type=int)
    parser.add_argument("address")
    parser.add_argument("root", type=Path)
    parser.add_argument("name")
    parser.add_argument("every", type=float, help="0: once")
    args = parser.parse_args(arguments)
    end_with_parent(signal.SIGKILL, args.parent)
    robot = simulated_robot(args.root, args.name)
    while True:
        try:
            visit(open_place(args.address), robot, lambda text: print(text, flush=True))
        except FleetError as error:
            print(error, flush=True)
        if not args.every:
            return 0
        time.sleep(args.every)


def command(address: str, root: Path, name: str, every_s: float) -> list[str]:
    """Return the command of such a process, which ends with this one."""
    return [sys.executable, "-m", MODULE, str(os.getpid()), address, str(root), name, f"{every_s}"]


if __name__ == "__main__":
    sys.exit(main())
