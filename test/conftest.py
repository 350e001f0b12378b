"""What every test shares: the environment of the stack, and a ROS domain of its own."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from arfm_ros.bringup import prepare_environment

HERE = Path(__file__).resolve().parent
# rigs lie beside the tests that use them, and some tests use what others have
sys.path[:0] = sorted({str(path.parent) for path in HERE.rglob("*.py")} - set(sys.path))
prepare_environment()
for rig in ("arbiter_rig", "client_rig", "sim_rig"):
    pytest.register_assert_rewrite(rig)  # a rig's assertion that fails shows its values


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `arfm test` run two kinds of tests beside each other."""
    text = "only tests that start a robot's processes (robot), or only the others (other)"
    parser.addoption("--lane", choices=("robot", "other"), help=text)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of one lane."""
    lane = config.getoption("--lane")
    if lane is None:
        return
    kept, left = [], []
    for item in items:
        robot = "ros_domain" in getattr(item, "fixturenames", ())
        robot |= item.get_closest_marker("robot") is not None
        (kept if robot == (lane == "robot") else left).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep what was imported and collected out of every later look for garbage: it stays."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def ros_domain() -> Iterator[int]:
    """Reserve a free ROS_DOMAIN_ID for one test and for the processes that it starts."""
    from arfm_ros.up.domain import reserve_domain

    before = os.environ.pop("ROS_DOMAIN_ID", None)
    domain, reservation = reserve_domain()
    os.environ["ROS_DOMAIN_ID"] = str(domain)
    yield domain
    del os.environ["ROS_DOMAIN_ID"]
    if before is not None:
        os.environ["ROS_DOMAIN_ID"] = before
    if reservation is not None:
        reservation.close()
