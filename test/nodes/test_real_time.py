"""Priorities of processes, where the kernel groups them by session."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

GROUP = Path("/proc/self/autogroup")
ROOT = Path(__file__).resolve().parents[2]
SAY = """
from arfm_ros.nodes.ros import real_time
real_time.{call}
print(open("/proc/self/autogroup").read().split()[-1])
"""


def niceness(call: str, own_session: bool) -> int:
    command = [sys.executable, "-c", SAY.format(call=call)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        command, env=env, start_new_session=own_session, capture_output=True, text=True, check=True
    )
    return int(run.stdout)


def may_raise() -> bool:
    return os.geteuid() == 0


@pytest.mark.skipif(not GROUP.exists(), reason="the kernel does not group processes by session")
def test_a_process_with_a_session_of_its_own_gets_the_niceness_of_its_group() -> None:
    assert niceness("make_way(whole_process=True)", own_session=True) == 5
    if may_raise():
        assert niceness("raise_process_priority()", own_session=True) == -10


@pytest.mark.skipif(not GROUP.exists(), reason="the kernel does not group processes by session")
def test_a_process_in_another_s_session_leaves_that_alone() -> None:
    before = int(GROUP.read_text().split()[-1])
    assert niceness("make_way(whole_process=True)", own_session=False) == before
