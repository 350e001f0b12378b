"""Two threads at rates of their own: contexts by the slow one, chunks by the fast one.

A chunk is made of the newest finished context. Where the network takes the state in each step,
as pi0 does, each chunk has a fresh state, its stamp is that state's, and a context serves many
chunks. Where the state is in the prefix, there is one chunk for each context, with its stamp.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from functools import partial

from arfm_ros.core.values.sync import Missing, Synced
from arfm_ros.nodes.policy.contexts import Contexts, Job
from arfm_ros.nodes.policy.inference import Seen, joined
from arfm_ros.nodes.policy.inputs import PolicyInputs
from arfm_ros.nodes.policy.values import Loaded, Pacing, Ports
from arfm_ros.nodes.policy.wiring import Sample
from arfm_ros.nodes.policy.worker import WAIT_S, PolicyWorker

NS = 1_000_000_000
SHORTEST_S = 0.002  # between two looks
EARLY_S = 0.1  # that a picture may be ahead of the clock; more is a clock that was set back


class FastSlowWorker(PolicyWorker):
    """Sample in the worker's thread what another one encodes; all that is decided is decided here.

    What fails in the slow thread is noted in this one, as if it had happened here.
    """

    def __init__(
        self,
        loaded: Loaded,
        inputs: PolicyInputs,
        ports: Ports,
        pacing: Pacing,
        in_force: bool = True,
    ) -> None:
        self._contexts = Contexts(inputs, self._job, ports.now_ns)
        self._begun_s = 0.0  # steady clock, when the last chunk was begun
        super().__init__(loaded, inputs, ports, pacing, in_force)
        self._slow = self._contexts.begin(self._inference)

    def instruct(self, instruction: str) -> None:
        """Use another instruction: no context of the one before makes a chunk from now on."""
        super().instruct(instruction)
        self._contexts.wake()

    def stop(self) -> bool:
        """End both threads and tell whether they ended; nothing is published from now on."""
        self._stopping.set()
        self._contexts.stop()
        return super().stop()

    def ended(self) -> bool:
        """Tell whether the node gave up; raise the error that killed a thread, if one did."""
        if self._slow.done():
            self._slow.result()
        return super().ended()

    def counts(self) -> dict[str, int]:
        """Give what is counted, for diagnostics."""
        return {**super().counts(), "contexts": self._contexts.made}

    def _threads(self) -> tuple[Future[None], ...]:
        return (self._running, self._slow)

    def _wait(self) -> None:
        """Wait for a context, or until a chunk of the one there is due."""
        left_s, spec = WAIT_S, self.loaded.spec
        if spec.state_in_step and self._contexts.newest(self.loaded, self.instruction):
            left_s = self._begun_s + self.pacing.period_ns / NS - time.monotonic()
        self._contexts.wait(min(max(left_s, SHORTEST_S), WAIT_S))

    def _job(self) -> Job | None:
        """Say what the slow thread is to encode; in that thread."""
        instruction = self.instruction
        if self._stopping.is_set() or self._needs_instruction():
            return None
        return Job(self.loaded, instruction, self.pacing)

    def _consider(self, synced: Synced[Sample], now_ns: int) -> None:
        """Make a chunk of the newest context if one is due."""
        order, asked = self._order, self.instruction  # in this order: a newer one cancels
        for failure in self._contexts.failures():
            if failure.job.same(self.loaded, asked):
                self._failed(failure.error, failure.synced)
        seen = self._contexts.newest(self.loaded, asked)
        trouble = self._staleness(seen, now_ns)
        if trouble:
            self._tell(waiting_for=trouble)
        elif seen is not None and self.loaded.spec.state_in_step:
            self._act_afresh(seen, order, now_ns)
        elif seen is not None and self._begins(seen.synced.stamp_ns, seen.taken_ns, 0, now_ns):
            self._try(lambda: seen, seen.synced, order, asked)

    def _act_afresh(self, seen: Seen, order: int, now_ns: int) -> None:
        """Make a chunk of a context and of the newest states."""
        states = self._inputs.newest_states(now_ns)
        if isinstance(states, Missing):
            self._tell(waiting_for=str(states))
        elif self._begins(states.stamp_ns, states.stamp_ns, self.pacing.period_ns, now_ns):
            renew = partial(self._inference.renew, seen, states, now_ns)
            self._try(renew, joined(seen.synced, states), order, seen.observation.instruction)

    def _begins(self, stamp_ns: int, taken_ns: int, period_ns: int, now_ns: int) -> bool:
        """Tell whether a chunk of a stamp is due, and note when it was begun."""
        if self.pacing.guide and not self._chunking.ready(stamp_ns):
            return False
        slack_ns = round(2 * SHORTEST_S * NS)  # of which the cadence takes half
        due = self._cadence.due(taken_ns, now_ns, period_ns, slack_ns)
        if due:
            self._begun_s = time.monotonic()
        return due

    def _staleness(self, seen: Seen | None, now_ns: int) -> str:
        """Say why no context may be used, '' if one may or none has been made yet."""
        limit_s = self._inputs.wiring.max_age_ns / NS
        told = f"at most {limit_s:.2g} s is allowed (max_age_s)"
        if seen is not None:
            age_s = (now_ns - seen.taken_ns) / NS
            usable = -EARLY_S <= age_s <= limit_s
            return "" if usable else f"the context is {age_s:.2g} s old, {told}"
        busy_s = self._contexts.busy_s
        if busy_s <= limit_s or self.report.engine_error:
            return ""
        return f"no context yet: one is being computed for {busy_s:.2g} s, {told}"
