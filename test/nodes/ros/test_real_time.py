"""Priorities of processes, where the kernel groups them by session."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

GROUP = Path("/proc/self/autogroup")
ROOT = Path(__file__).resolve().parents[3]
SAY = """
from arfm_ros.nodes.ros import real_time
real_time.{call}
print(open("/proc/self/autogroup").read().split()[-1])
"""


def session_niceness(code: str) -> int:
    """Run the code as the leader of a new session; return what it prints."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    run = subprocess.run(
        command, env=env, start_new_session=True, capture_output=True, text=True, check=True
    )
    return int(run.stdout)


def niceness(call: str) -> int:
    return session_niceness(SAY.format(call=call))


def may_raise() -> bool:
    return os.geteuid() == 0


@pytest.mark.skipif(not GROUP.exists(), reason="the kernel does not group processes by session")
def test_a_process_with_a_session_of_its_own_gets_the_niceness_of_its_group() -> None:
    assert niceness("make_way(whole_process=True)") == 5
    if may_raise():
        assert niceness("raise_process_priority()") == -10


@pytest.mark.skipif(not GROUP.exists(), reason="the kernel does not group processes by session")
def test_a_process_in_another_s_session_leaves_that_alone() -> None:
    """A leader of a session, with a group that says nothing else, starts the process."""
    say = SAY.format(call="make_way(whole_process=True)")
    leader = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {say!r}], check=True)"
    assert session_niceness(leader) == 0
