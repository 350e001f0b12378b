"""Worker processes: no orphan goes on computing, and none that fails keeps its owner waiting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from arfm_ros.core.errors import ConfigError
from arfm_ros.workers import worker_pool

ROOT = Path(__file__).parents[2]
OWNER = """
import os, signal, time
from arfm_ros.workers import worker_pool
def pid(job):
    time.sleep(0.5)
    return os.getpid()
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a test in the background ignores it
    with worker_pool(2) as workers:
        print(*set(workers.in_order(pid, range(4))), flush=True)
        list(workers.in_order(time.sleep, [60, 60]))
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_process_that_started_them(tmp_path: Path, number: int) -> None:
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
    ) as owner:
        assert owner.stdout is not None
        workers = [int(word) for word in owner.stdout.readline().split()]
        assert len(workers) == 2 and all(map(psutil.pid_exists, workers))
        owner.send_signal(number)
        owner.wait(10)
    assert all(ended(pid, 10) for pid in workers)


def test_every_worker_is_prepared_once() -> None:
    with worker_pool(1, sys.setrecursionlimit, (1234,)) as workers:
        assert list(workers.in_order(recursion_limit, [0, 1])) == [1234, 1234]


def recursion_limit(_: int) -> int:
    """Tell a worker's."""
    return sys.getrecursionlimit()


def fail(text: str) -> None:
    """Fail, as a preparation or a job."""
    raise ConfigError(text)


def die(number: int) -> int:
    """End by a signal at job 1, as when memory runs out."""
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_an_error_of_the_preparation_ends_the_run_with_its_own_text() -> None:
    with (
        pytest.raises(ConfigError, match="no kinematics here"),
        worker_pool(2, fail, ("no kinematics here",)) as workers,
    ):
        list(workers.as_done(recursion_limit, [0, 1, 2]))


def test_an_error_of_a_job_is_raised_with_its_own_text() -> None:
    with pytest.raises(ConfigError, match="of a job"), worker_pool(1) as workers:
        list(workers.as_done(fail, ["of a job"]))


def test_a_worker_that_the_kernel_kills_ends_the_run_and_says_so() -> None:
    with (
        pytest.raises(ConfigError, match="ended by itself.*--workers"),
        worker_pool(1) as workers,
    ):
        list(workers.in_order(die, [0, 1, 2]))
