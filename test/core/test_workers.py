"""Worker processes: no orphan goes on computing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from arfm_ros.workers import worker_pool

ROOT = Path(__file__).parents[2]
OWNER = """
import os, time
from arfm_ros.workers import worker_pool
if __name__ == "__main__":
    with worker_pool(2) as pool:
        print(*pool.map(os.getenv, ["NONE"]), *(p.pid for p in pool._pool), flush=True)
        pool.map(time.sleep, [60, 60])
"""


def ended(pid: int, within_s: float) -> bool:
    """Tell whether a process ends in time."""
    try:
        psutil.Process(pid).wait(within_s)
    except psutil.TimeoutExpired:
        return False
    except psutil.NoSuchProcess:
        pass
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_process_that_started_them(tmp_path: Path, number: int) -> None:
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as owner:
        assert owner.stdout is not None
        workers = [int(word) for word in owner.stdout.readline().split()[1:]]
        assert len(workers) == 2 and all(map(psutil.pid_exists, workers))
        owner.send_signal(number)
        owner.wait(10)
    assert all(ended(pid, 10) for pid in workers)


def test_every_worker_is_prepared_once() -> None:
    with worker_pool(1, sys.setrecursionlimit, (1234,)) as pool:
        assert pool.apply(sys.getrecursionlimit) == 1234
