"""What the robot side costs and adds by itself, beside a robot that costs next to nothing.

The simulator renders pictures on the processor and leaves little of a small machine for the nodes;
here the pictures are recorded ones (`light.robot`), so that what is measured is the stack.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil
from std_msgs.msg import String
from std_srvs.srv import SetBool

from arfm_ros.bringup import NodeProcess, Setup, find_bundle, stack
from arfm_ros.core.errors import ConfigError
from arfm_ros.nodes.ros import topics
from arfm_ros.robots.files.load import load_robot
from arfm_ros.up.light.robot import CAMERAS
from arfm_ros.up.record.rig import Caller, Source, running
from arfm_ros.up.stack.process import Child, stop_all
from arfm_ros.up.targets import Line, at_most
from arfm_ros.up.watch.observer import Observer
from arfm_ros.up.watch.readings import CommandStep

NODES = ("policy_node", "arbiter_node", "recorder_node")
READY_S, SETTLE_S = 60.0, 5.0
PERIOD_S = 0.01
CORE_TARGET, P50_MS, P99_MS, GAP_MS = 60.0, 5.0, 15.0, 20.0


@dataclass(frozen=True, slots=True)
class SideCosts:
    """One run: shares are percent of one core."""

    seconds: float
    shares: Mapping[str, float]  # by node
    network: float  # of the policy node, in the network
    robot: float  # of the light robot itself
    overhead_ms: Mapping[str, float]  # sensor stamp to chunk without inference: p50, p99, max
    latency_ms: Mapping[str, Mapping[str, float]]
    largest_gap_ms: float  # of the joint states' stamps
    chunks: int
    lost: Mapping[str, int]  # messages that the recorder missed, by topic

    @property
    def beside(self) -> float:
        """What the three nodes take beside inference."""
        return sum(self.shares.values()) - self.network

    def as_json(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self) | {"beside_inference": self.beside}

    def lines(self) -> list[Line]:
        """Compare with what it must reach."""
        return [
            at_most("policy, arbiter, recorder beside inference", self.beside, CORE_TARGET, "%"),
            at_most("sensor to chunk without inference, p50", self._of("p50"), P50_MS, "ms"),
            at_most("sensor to chunk without inference, p99", self._of("p99"), P99_MS, "ms"),
            at_most("largest gap of joint states", self.largest_gap_ms, GAP_MS, "ms"),
            at_most("messages lost", sum(self.lost.values()), 0),
        ]

    def _of(self, quantile: str) -> float | None:
        return self.overhead_ms.get(quantile)

    def __str__(self) -> str:
        nodes = ", ".join(f"{name} {share:.0f}" for name, share in self.shares.items())
        return (
            f"{self.chunks} chunks in {self.seconds:.0f} s; percent of one core: {nodes} (of it "
            f"{self.network:.0f} in the network), the recorded robot {self.robot:.0f}"
        )


def measure(episode: Path, policy: str, seconds: float, out: Path, logs: Path) -> SideCosts:
    """Run the robot side beside the pictures of `episode`; raises `ConfigError` for what fails."""
    setup = Setup(sim=True, policy=policy, record=True, out=str(out))
    nodes = [_single(node) for node in stack(setup) if node.name in NODES]
    with _light(episode) as (source, robot_pid), _listening() as (observer, caller):
        children = [Child(node, logs) for node in nodes]
        try:
            _drive(observer, caller, setup)
            caller.hear(SETTLE_S)
            begin = _taken(children, robot_pid, observer)
            caller.hear(seconds)
            end = _taken(children, robot_pid, observer)
            caller.call(topics.RECORDER_STOP)
            caller.hear(1.5)
        finally:
            stop_all(sorted(children, key=lambda child: child.node.stop_rank))
        source.sent()  # raises where it has ended
        return _costs(begin, end, observer, dict(caller.state))


def _single(node: NodeProcess) -> NodeProcess:
    """Have the network compute in one thread, whose processor time is its own."""
    if node.name != "policy_node":
        return node
    return replace(node, parameters={**node.parameters, "threads": 1})


@contextmanager
def _light(episode: Path) -> Generator[tuple[Source, int], None, None]:
    with running("arfm_ros.up.light.robot", str(episode)) as started:
        yield Source(started), started.pid


@contextmanager
def _listening() -> Generator[tuple[Observer, Caller], None, None]:
    limits = {axis.name: axis.velocity for axis in load_robot("fr3").axes if axis.unit != "1"}
    observer, caller = Observer("", CAMERAS, CommandStep(limits, PERIOD_S)), Caller()
    try:
        yield observer, caller
    finally:
        caller.close()
        observer.close()


def _drive(observer: Observer, caller: Caller, setup: Setup) -> None:
    """Bring the stack to where the policy drives and the recorder records."""
    wanted = {node.ready for node in stack(setup) if node.name in NODES}
    caller.until(lambda: wanted <= observer.readings.heard, f"{', '.join(wanted)}", READY_S)
    said = caller.publisher(topics.INSTRUCTION)
    said.publish(String(data=_instruction(setup)))
    engage = topics.ARBITER_ENGAGE
    caller.until(_granted(caller, engage), "engaged arbiter", READY_S)
    caller.call(topics.RECORDER_START)


def _granted(caller: Caller, row: topics.Service) -> Callable[[], bool]:
    def ask() -> bool:
        try:
            caller.call(row, SetBool.Request(data=True))
        except ConfigError:  # refused: not yet
            caller.hear(0.2)
            return False
        return True

    return ask


def _instruction(setup: Setup) -> str:
    from arfm_ros.engines import load_bundle

    spec = load_bundle(find_bundle(setup.policy, setup.task)).spec
    return str(dict(spec.instructions).get(setup.task, ""))


@dataclass(frozen=True, slots=True)
class _Taken:
    at_s: float
    cpu_s: dict[str, float]
    robot_s: float
    network_s: float
    chunks: int


def _taken(children: list[Child], robot_pid: int, observer: Observer) -> _Taken:
    with observer.lock:
        health = dict(observer.readings.health.get("policy_node", {}))
    return _Taken(
        time.monotonic(),
        {child.name: _cpu_s(child.pid) for child in children},
        _cpu_s(robot_pid),
        float(health.get("network_cpu_s", "nan")),
        int(float(health.get("chunks", "0"))),
    )


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _costs(begin: _Taken, end: _Taken, observer: Observer, recorder: dict[str, str]) -> SideCosts:
    passed_s = end.at_s - begin.at_s
    readings = observer.readings
    kept = {k.removesuffix(".lost"): v for k, v in recorder.items() if k.endswith(".lost")}
    return SideCosts(
        seconds=passed_s,
        shares={n: 100 * (end.cpu_s[n] - begin.cpu_s[n]) / passed_s for n in end.cpu_s},
        network=100 * (end.network_s - begin.network_s) / passed_s,
        robot=100 * (end.robot_s - begin.robot_s) / passed_s,
        overhead_ms=readings.latency_ms.get("overhead", {}),
        latency_ms=readings.latency_ms,
        largest_gap_ms=readings.joint_states.largest_gap_ns * 1e-6,
        chunks=end.chunks - begin.chunks,
        lost={name: int(count) for name, count in kept.items() if int(count)},
    )
