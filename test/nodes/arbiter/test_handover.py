"""Between threads nothing is lost: swaps, refusals, instructions, and what a bundle may raise."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from arfm_ros.core.errors import EngineError
from arfm_ros.core.values.data import ActionChunk, Observation
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.core.values.sync import Synced
from arfm_ros.engines import load_bundle
from arfm_ros.nodes.policy.bundle import Successor
from arfm_ros.nodes.policy.values import Loaded, Pacing, Ports
from arfm_ros.nodes.policy.wiring import Sample
from arfm_ros.nodes.policy.worker import PolicyWorker
from arfm_ros.nodes.ros.verdict import Verdict

DEADLINE_S = 20.0
PACING = Pacing(period_ns=0, steps=0, seed=0, deadline_ns=0, max_failures=10**9)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> PolicySpec:
    from policy_rig import write_bundle

    return load_bundle(write_bundle(tmp_path_factory.mktemp("m") / "b", guided=True)).spec


class Inputs:
    """Always a fresh set."""

    def __init__(self) -> None:
        self.stamp_ns = 0

    def wake(self) -> None: ...

    def wait(self, timeout_s: float) -> bool:
        return True

    def awaits(self, now_ns: int) -> bool:
        return False

    def newest(self, now_ns: int) -> Synced[Sample]:
        self.stamp_ns = max(now_ns, self.stamp_ns + 1)
        return Synced(self.stamp_ns, {"scene": Sample(b"", 0)}, {"scene": self.stamp_ns})

    def taken_ns(self, synced: Synced[Sample]) -> int:
        return synced.stamp_ns

    def interval_ns(self) -> int:
        return 0

    def observe(self, synced: Synced[Sample], spec: PolicySpec, instruction: str) -> Observation:
        return Observation({}, np.zeros(8, np.float32), instruction, synced.stamp_ns)

    def fit(self, synced: Synced[Sample], spec: PolicySpec, instruction: str) -> bool:
        return True


class Policy:
    """Answers at once, or raises what it is told to."""

    views = None  # its pictures are seen together

    def __init__(self, spec: PolicySpec, error: Exception | None = None) -> None:
        self.spec, self.error, self.hung_up = spec, error, False
        self.runtime = SimpleNamespace(describe=lambda: "rig")

    def encode(self, observation: Observation) -> Observation:
        return observation

    def hang_up(self) -> None:
        self.hung_up = True

    def sample(self, context: Observation, *rest: Any) -> ActionChunk:
        if self.error is not None:
            raise self.error
        spec = self.spec
        actions = np.zeros(spec.action_shape, np.float32)
        return ActionChunk(actions, context.stamp_ns, spec.dt_ns, spec.action_names)


def loaded(spec: PolicySpec, error: Exception | None = None) -> Loaded:
    bundle = SimpleNamespace(spec=spec, sha256="", name="rig")
    return Loaded(bundle, Policy(spec, error), "rig")  # type: ignore[arg-type]


def worker(spec: PolicySpec, publish: Callable[[ActionChunk], None]) -> PolicyWorker:
    ports = Ports(publish, lambda chunk, stages, recall: None, time.time_ns)
    made = PolicyWorker(loaded(spec), Inputs(), ports, PACING)  # type: ignore[arg-type]
    made.instruct("lift")
    return made


def until(what: Callable[[], Any]) -> Any:
    end = time.monotonic() + DEADLINE_S
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0)
    return found


ERRORS = (EngineError, ValueError, RecursionError, MemoryError, KeyError, ZeroDivisionError)


def test_every_swap_to_a_failing_policy_gives_its_one_refusal_and_the_old_one_drives_on(
    spec: PolicySpec,
) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    chunks: list[ActionChunk] = []
    one = worker(spec, chunks.append)
    first = one.loaded
    try:
        for k in range(300):
            one.swap_to(loaded(spec, ERRORS[k % len(ERRORS)](f"fault {k}")))
            assert f"fault {k}" in until(one.take_refusal)
            one.instruct(f"lift {k}")  # hurries the cadence while the thread looks at it
            one.drives(k % 2 == 0)
            one.judge(Verdict(chunks[-1].stamp_ns if chunks else 0, k % 3 == 0, "no"))
            assert one.loaded is first and one.take_refusal() == "" and not one.ended()
        count = len(chunks)
        until(lambda: len(chunks) > count + 3)
    finally:
        sys.setswitchinterval(before)
        assert one.stop()


def test_of_many_swaps_at_once_the_last_one_drives(spec: PolicySpec) -> None:
    one = worker(spec, lambda chunk: None)
    for _ in range(50):
        several = [loaded(spec) for _ in range(5)]
        for other in several:
            one.swap_to(other)
        until(lambda last=several[-1]: one.loaded is last)
    assert one.stop()


def test_diagnostics_may_be_read_at_any_time(spec: PolicySpec) -> None:
    chunks: list[ActionChunk] = []
    one = worker(spec, chunks.append)

    def read() -> bool:
        assert one.report.delay_ticks >= 0 and not one.report.engine_error
        assert one.counts() and isinstance(one.latency_values(), dict) and not one.ended()
        return len(chunks) >= 300

    until(read)
    assert one.stop()


def test_a_chunk_whose_guide_was_refused_in_the_meantime_is_not_sent(spec: PolicySpec) -> None:
    chunks: list[ActionChunk] = []
    one = worker(spec, chunks.append)
    until(lambda: len(chunks) > 2)
    policy: Any = one.loaded.policy
    asked, go_on = threading.Event(), threading.Event()
    plain = policy.sample

    def slow(context: Observation, noise: Any, prefix: ActionChunk | None, *rest: Any) -> Any:
        if prefix is not None:
            asked.set()
            assert go_on.wait(DEADLINE_S)
        return plain(context)

    policy.sample = slow
    assert asked.wait(DEADLINE_S)
    newest = chunks[-1]
    count, cancelled = len(chunks), one.report.cancelled
    one.judge(Verdict(newest.stamp_ns, False, "too old"))
    policy.sample = plain
    go_on.set()
    until(lambda: one.report.cancelled > cancelled)
    until(lambda: len(chunks) > count)
    assert one.report.refused == 1
    assert one.stop()


@pytest.mark.parametrize("error", [*ERRORS, AttributeError, OSError])
def test_whatever_loading_a_successor_raises_is_told_and_ends_nothing(
    error: type[Exception],
) -> None:
    successor = Successor()

    def work() -> Loaded:
        raise error("bad weights")

    successor.load(work, "other")
    assert "bad weights" in until(successor.take)
    assert successor.take() is None and successor.asked == ""


def test_a_policy_that_never_returns_outlives_neither_stop_nor_the_process() -> None:
    code = (
        "import threading, time\n"
        "from arfm_ros.nodes.ros.background import in_background, end_process\n"
        "in_background(threading.Event().wait, 'policy')\n"
        "raise SystemExit(end_process(3))\n"
    )
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], timeout=30, check=False)
    assert done.returncode == 3 and time.monotonic() - begin < 20


def test_stop_does_not_wait_for_ever(spec: PolicySpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arfm_ros.nodes.policy.worker.STOP_S", 0.05)
    one = worker(spec, lambda chunk: None)
    never, policy = threading.Event(), one.loaded.policy
    policy.sample = lambda *rest: never.wait(DEADLINE_S)  # type: ignore[method-assign,assignment]
    until(lambda: one.report.chunks >= 0)
    begin = time.monotonic()
    one.stop()
    assert time.monotonic() - begin < 2.0 and policy.hung_up  # type: ignore[union-attr]
    never.set()
