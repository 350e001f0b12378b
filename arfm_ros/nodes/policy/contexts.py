"""The slow half of a policy: a thread that encodes the newest observation, again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue

from arfm_ros.core.chunks.cadence import Cadence
from arfm_ros.core.values.sync import Missing, Synced
from arfm_ros.nodes.policy.inference import Inference, Seen
from arfm_ros.nodes.policy.inputs import PolicyInputs
from arfm_ros.nodes.policy.values import Loaded, Pacing
from arfm_ros.nodes.policy.wiring import Sample
from arfm_ros.nodes.ros.background import in_background
from arfm_ros.nodes.ros.real_time import make_way

WAIT_S = 0.1  # how often the thread looks up when no image comes


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What contexts are wanted for."""

    loaded: Loaded
    instruction: str
    pacing: Pacing

    def same(self, loaded: Loaded, instruction: str) -> bool:
        """Tell whether a context of this job is one of that policy and that instruction."""
        return self.loaded is loaded and self.instruction == instruction


@dataclass(frozen=True, slots=True, eq=False)
class Failure:
    """Why there is no context of a set of samples."""

    job: Job
    synced: Synced[Sample]
    error: Exception


class Contexts:
    """Keep the newest finished context; a failure takes it away until the next good one.

    One thread asks. It is woken by a new context, a failure and `wake`.
    """

    def __init__(
        self, inputs: PolicyInputs, wanted: Callable[[], Job | None], now_ns: Callable[[], int]
    ) -> None:
        """`wanted` is asked before each context, in the slow thread; None: none is wanted."""
        self._inputs, self._wanted, self._now_ns = inputs, wanted, now_ns
        self._stopping, self._changed = threading.Event(), threading.Condition()
        self._news = False
        self._newest: tuple[Job, Seen] | None = None
        self._failures: SimpleQueue[Failure] = SimpleQueue()
        self._cadence = Cadence()
        self._last: Job | None = None  # what the last context was made for
        self._busy_since_s: float | None = None  # steady clock
        self.made = 0

    def begin(self, inference: Inference) -> Future[None]:
        """Start the thread."""
        self._inference = inference
        return in_background(self._loop, "contexts")

    def stop(self) -> None:
        """Let the thread end after the context under way."""
        self._stopping.set()
        self._inputs.wake()
        self.wake()

    def wake(self) -> None:
        """Let `wait` return."""
        with self._changed:
            self._news = True
            self._changed.notify_all()

    def wait(self, timeout_s: float) -> None:
        """Wait for what came since the last call."""
        with self._changed:
            if not self._news:
                self._changed.wait(timeout_s)
            self._news = False

    def newest(self, loaded: Loaded, instruction: str) -> Seen | None:
        """Give the newest context of that very policy and instruction, or None."""
        newest = self._newest
        if newest is None or not newest[0].same(loaded, instruction):
            return None
        return newest[1]

    def failures(self) -> list[Failure]:
        """Give what failed since the last call, in order."""
        found = []
        while True:
            try:
                found.append(self._failures.get_nowait())
            except Empty:
                return found

    @property
    def busy_s(self) -> float:
        """Seconds that the context under way has taken; 0 while none is."""
        since_s = self._busy_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def _loop(self) -> None:
        make_way()  # the chunks are what moves the robot
        while not self._stopping.is_set():
            self._inputs.wait(WAIT_S)
            job = None if self._stopping.is_set() else self._wanted()
            if job is not None:
                self._step(job)

    def _step(self, job: Job) -> None:
        now_ns = self._now_ns()
        synced = self._inputs.newest(now_ns)
        if isinstance(synced, Missing) or not self._is_due(job, synced, now_ns):
            return
        self._busy_since_s = time.monotonic()
        try:
            seen = self._inference.look(job.loaded, job.pacing, synced, job.instruction)
        except Exception as error:  # noqa: BLE001  thread border: the other thread notes it
            self._newest = None
            self._failures.put(Failure(job, synced, error))
        else:
            self._newest, self.made = (job, replace(seen, apart=True)), self.made + 1
        self._busy_since_s = None
        self.wake()

    def _is_due(self, job: Job, synced: Synced[Sample], now_ns: int) -> bool:
        """Take every new set; one for each chunk, where no chunk is made twice of a context."""
        if self._last is None or not self._last.same(job.loaded, job.instruction):
            self._cadence = Cadence()
        self._last = job
        if self._inputs.awaits(now_ns):
            return False
        once = not job.loaded.spec.state_in_step
        taken_ns, interval_ns = self._inputs.taken_ns(synced), self._inputs.interval_ns()
        period_ns = job.pacing.period_ns if once else 0
        return self._cadence.due(taken_ns, now_ns, period_ns, interval_ns)
