"""One run of the stack from the first process to the report."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from arfm_ros.bringup import (
    FRANKA,
    RANGE_VARIABLE,
    TASKS,
    Setup,
    environment,
    find_bundle,
    stack,
)
from arfm_ros.core.errors import ArfmError, ConfigError
from arfm_ros.nodes.ros.robot_topics import CameraRows, camera_rows
from arfm_ros.robots.files.load import load_robot
from arfm_ros.up import domain
from arfm_ros.up.shared_memory import remove_orphans
from arfm_ros.up.stack.supervisor import Supervisor, log_folder
from arfm_ros.up.watch import report, table
from arfm_ros.up.watch.display import Display
from arfm_ros.up.watch.frames import count_bags
from arfm_ros.up.watch.observer import Observer
from arfm_ros.up.watch.readings import CommandStep, Readings

ARBITER_PERIOD_S = 0.01
ROBOT_TIMEOUT_S, POLL_S = 6.0, 0.1


def run(setup: Setup, begin_s: float | None = None) -> dict[str, Any]:
    """Run the stack; return the report, in which `error` is empty when all went well.

    `begin_s` of the monotonic clock is where the time to first motion starts (default: now).
    Raises `ArfmError` when it could not even start.
    """
    begin_s = time.monotonic() if begin_s is None else begin_s
    console, bundle = Console(), bundle_facts(find_bundle(setup.policy, setup.task))
    remove_orphans()
    robot = load_robot("fr3" if setup.robot == FRANKA else setup.robot)
    limits = {axis.name: axis.velocity for axis in robot.axes if axis.unit != "1"}
    with own_domain(setup):
        nodes, logs = stack(setup), log_folder()
        steps = CommandStep(limits, ARBITER_PERIOD_S)
        observer = Observer(setup.namespace, bundle["cameras"], steps, robot)
        observer.begin(begin_s)
        greet(console, setup, bundle["name"], logs)
        if not setup.sim:
            require_robot(observer)
        with Display(console, observer) as display:
            supervisor = Supervisor(nodes, logs, observer.readings, display)
            error = supervise(supervisor, console)
            if not error and not supervisor.watched.interrupted:
                observer.hear_out(setup.episodes if setup.sim else 0)
        observer.close()
    outcome = report.build(observer.readings, supervisor.watched, observer.steps)
    outcome |= {
        "error": error,
        "bundle": {key: bundle[key] for key in ("name", "sha256")},
        "frames": frames(observer.readings, camera_rows(robot, bundle["cameras"] or ("",))),
        "setup": asdict(setup),
        "logs": str(logs),
    }
    table.show_summary(console, observer.readings, outcome)
    if error:
        table.show_error(console, observer.readings, error)
    return outcome


@contextmanager
def own_domain(setup: Setup) -> Generator[None, None, None]:
    """Give a simulation a free ROS domain of its own, on this machine only.

    What the user set stays, and a robot is in the domain it is in.
    """
    if not setup.sim:
        yield
        return
    number, reservation = domain.reserve_domain()
    given = {"ROS_DOMAIN_ID": str(number), RANGE_VARIABLE: environment(True)[RANGE_VARIABLE]}
    before = {name: os.environ[name] for name in given if name in os.environ}
    os.environ |= given
    try:
        yield
    finally:
        for name in given:
            del os.environ[name]
        os.environ |= before
        if reservation is not None:
            reservation.close()


def process_begin_s() -> float:
    """Return when this process began, on the monotonic clock; `./arfm` is the same process."""
    return time.monotonic() - (time.time() - psutil.Process().create_time())


def require_robot(observer: Observer) -> None:
    """Wait for joint states of a real robot; raise `ConfigError` saying what is needed."""
    until_s = time.monotonic() + ROBOT_TIMEOUT_S
    while observer.readings.joint_states.count == 0:
        if time.monotonic() > until_s:
            observer.close()
            raise ConfigError(
                f"no robot: nothing on joint_states for {ROBOT_TIMEOUT_S:.0f} s in ROS domain "
                f"{os.environ.get('ROS_DOMAIN_ID', '0')}. Start its driver and its CRISP "
                "controllers first (docs/robot.md), set ROS_DOMAIN_ID and --namespace to theirs, "
                "or add --sim for the simulated robot"
            )
        time.sleep(POLL_S)


def bundle_facts(folder: Path) -> dict[str, Any]:
    """Check the bundle and return its name, hash and cameras; raise `BundleError` or so."""
    from arfm_ros.engines import load_bundle

    bundle = load_bundle(folder)
    cameras = tuple(camera.name for camera in bundle.spec.cameras)
    return {"name": bundle.name, "sha256": bundle.sha256, "cameras": cameras}


def supervise(supervisor: Supervisor, console: Console) -> str:
    """Run to the end; return the error as text, "" without one."""
    try:
        complaints = supervisor.run()
    except ArfmError as error:
        return str(error)
    for complaint in complaints:
        console.print(complaint, highlight=False)
    return ""


def greet(console: Console, setup: Setup, bundle: str, logs: Path) -> None:
    """Say what is about to happen."""
    where = "simulated" if setup.sim else "real"
    console.print(
        f"[bold]{where} {setup.robot}[/], policy '{bundle}', ROS domain "
        f"{os.environ.get('ROS_DOMAIN_ID', '0')}; Ctrl-C stops; logs: {logs}",
        highlight=False,
        soft_wrap=True,
    )


def frames(readings: Readings, cameras: Mapping[str, CameraRows]) -> dict[str, dict[str, int]]:
    """Count published and recorded frames over all bags of the run."""
    counts = count_bags(readings.bags.values(), readings.frames, cameras)
    return {name: asdict(count) for name, count in counts.items()}


def suggest(setup: Setup, outcome: dict[str, Any]) -> None:
    """Say what a first user may try next."""
    bags = [one["bag"] for one in outcome["episodes"] if one["bag"]]
    other = next(task for task in TASKS if task != setup.task)
    lines = ["", "next:"]
    if bags:
        shown = os.path.relpath(bags[-1])
        lines.append(f"  ./arfm show {shown if len(shown) < len(bags[-1]) else bags[-1]}")
    lines.append(f"  ./arfm up {setup.robot} --sim --task {other}")
    lines.append(f"  ./arfm up {setup.robot} --sim --episodes 100 --json out.json")
    print("\n".join(lines))
