"""The thread that runs the policy: newest observation wins, a chunk at most every period.

What other threads want of it goes through one queue, which it empties between two inferences, so
that nothing is lost and nothing changes in the middle of one. Beside that they only read `report`
and `loaded`, which are replaced whole.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue

from arfm_ros.core.chunks.cadence import Cadence
from arfm_ros.core.chunks.chunking import Chunking
from arfm_ros.core.errors import Cancelled, EngineError, SpecError
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.core.values.sync import Missing, Synced
from arfm_ros.nodes.policy.inference import Inference, Seen, Wish
from arfm_ros.nodes.policy.inputs import PolicyInputs
from arfm_ros.nodes.policy.trial import Trial
from arfm_ros.nodes.policy.values import Loaded, Pacing, Ports, Report
from arfm_ros.nodes.policy.wiring import Sample
from arfm_ros.nodes.policy.wording import Wording
from arfm_ros.nodes.ros.background import in_background, one_line
from arfm_ros.nodes.ros.verdict import Verdict

WAIT_S = 0.1  # how often the thread looks up when no image comes
STOP_S = 2.0


class PolicyWorker:
    """Encode and sample until `stop`; what goes wrong is in `report`. One thread orders it."""

    def __init__(
        self,
        loaded: Loaded,
        inputs: PolicyInputs,
        ports: Ports,
        pacing: Pacing,
        in_force: bool = True,
    ) -> None:
        self._inputs, self._ports, self.pacing = inputs, ports, pacing
        self._wording = Wording()
        self.instruction, self.report = "", Report()
        self._trial, self._inference = Trial(loaded), Inference(inputs, ports)
        self._cadence, self._chunking = Cadence(), Chunking(loaded.spec.rtc)
        self._chunking.in_force = self._in_force = in_force
        self._orders: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._verdicts: SimpleQueue[Callable[[], None]] = SimpleQueue()  # also during inference
        self._refusals: SimpleQueue[str] = SimpleQueue()  # why the policy before drives again
        self._stopping = threading.Event()
        self._order = 0  # counts what makes the chunk being computed useless
        self._failing_since_ns = 0  # of the steady clock
        self._bound_ns: int | None = None  # stamp of the chunk that binds the one being computed
        self._running = in_background(self._loop, "policy")

    @property
    def loaded(self) -> Loaded:
        """What drives now."""
        return self._trial.loaded

    def instruct(self, instruction: str) -> None:
        """Use another instruction from the next image on, whatever the period."""
        if instruction != self.instruction:
            self.instruction = instruction
            self._order += 1
            self._orders.put(self._cadence.hurry)

    def drives(self, in_force: bool) -> None:
        """Say whether the robot follows the chunks; a takeover cancels the one being computed."""
        if self._in_force and not in_force:
            self._order += 1
        self._in_force = in_force
        self._orders.put(partial(setattr, self._chunking, "in_force", in_force))

    def swap_to(self, loaded: Loaded) -> None:
        """Let another policy compute from the next chunk on; the one before it stays at hand."""
        self._orders.put(partial(self._swap, loaded))

    def judge(self, verdict: Verdict) -> None:
        """Take the arbiter's word for a chunk; what follows on from a refused one is cancelled."""
        if not verdict.accepted and verdict.stamp_ns == self._bound_ns:
            self._order += 1
        self._verdicts.put(partial(self._judged, verdict))

    def take_refusal(self) -> str:
        """Say, once, why the policy before is driving again; '' if it is not."""
        try:
            return self._refusals.get_nowait()
        except Empty:
            return ""

    def stop(self) -> bool:
        """End the thread, tell whether it ended or is stuck; nothing is published from now on."""
        self._stopping.set()
        self._inputs.wake()
        self.loaded.policy.hang_up()
        return not wait(self._threads(), timeout=STOP_S).not_done

    def ended(self) -> bool:
        """Tell whether the thread gave up; raise the error that killed it, if one did."""
        if self._running.done():
            self._running.result()
        return self.report.gave_up

    def alive(self) -> bool:
        """Tell whether the thread is still at work."""
        return not all(thread.done() for thread in self._threads())

    def _threads(self) -> tuple[Future[None], ...]:
        return (self._running,)

    def latency_values(self) -> dict[str, float]:
        """Give p50, p99 and max of every stage in ms."""
        return self._inference.latency_values()

    def counts(self) -> dict[str, int]:
        """Give what is counted, for diagnostics."""
        report = self.report
        return {
            "chunks": report.chunks,
            "failures_in_a_row": report.failures,
            "cancelled": report.cancelled,
            "chunks_refused": report.refused,
            **self._inference.counts(),
        }

    def _loop(self) -> None:
        while not self._stopping.is_set():
            self._wait()
            if not self._stopping.is_set():
                self._step()

    def _wait(self) -> None:
        self._inputs.wait(WAIT_S)

    def _step(self) -> None:
        self._obey()
        begin_ns = self._ports.now_ns()
        synced = self._inputs.newest(begin_ns)
        trouble = str(synced) if isinstance(synced, Missing) else self._needs_instruction()
        if trouble:
            self._tell(waiting_for=trouble)
        elif isinstance(synced, Synced):
            self._consider(synced, begin_ns)

    def _consider(self, synced: Synced[Sample], now_ns: int) -> None:
        if self._is_due(synced, now_ns):
            self._attempt(synced)

    def _obey(self) -> None:
        """Do what was ordered since the last time."""
        _empty(self._orders)
        _empty(self._verdicts)
        chunking = self._chunking
        if (chunking.delay, chunking.trouble) != (self.report.delay_ticks, self.report.too_late):
            self._tell(delay_ticks=chunking.delay, too_late=chunking.trouble)

    def _tell(self, **changes: object) -> None:
        self.report = replace(self.report, **changes)  # type: ignore[arg-type]

    def _needs_instruction(self) -> str:
        return self._wording.trouble(self.loaded.spec, self.instruction, self.pacing.obey_unknown)

    def _is_due(self, synced: Synced[Sample], now_ns: int) -> bool:
        if self.pacing.guide and not self._chunking.ready(synced.stamp_ns):
            return False
        if self._inputs.awaits(now_ns):
            return False
        taken_ns, interval_ns = self._inputs.taken_ns(synced), self._inputs.interval_ns()
        return self._cadence.due(taken_ns, now_ns, self.pacing.period_ns, interval_ns)

    def _judged(self, verdict: Verdict) -> None:
        if verdict.accepted:
            self._chunking.accept(verdict.stamp_ns, verdict.begin_ns, verdict.dt_ns)
            self._chunking.ahead_ns = verdict.ahead_ns
            self._tell(refusal="")
        elif self._chunking.knows(verdict.stamp_ns):  # not another sender's
            self._chunking.refuse(verdict.stamp_ns)
            self._tell(refused=self.report.refused + 1, refusal=verdict.reason or "no reason")

    def _swap(self, loaded: Loaded) -> None:
        """Take over between two chunks: what the robot is doing goes on binding the next one."""
        if self._trial.begin(loaded):
            self._chunking.follow(loaded.spec)

    def _swap_back(self, reason: str) -> bool:
        """Give the policy before the wheel again if the new one failed at its first chunks."""
        if not self._trial.fail():
            return False
        self._refusals.put(reason)
        self._chunking.follow(self.loaded.spec)
        return True

    def _attempt(self, synced: Synced[Sample]) -> None:
        """Make a chunk; where the policy before comes back, by that one: none is missed."""
        order, asked = self._order, self.instruction  # another one may come meanwhile
        look = partial(self._inference.look, self.loaded, self.pacing, synced, asked)
        if self._try(look, synced, order, asked):
            self._attempt(synced)

    def _try(
        self, look: Callable[[], Seen], synced: Synced[Sample], order: int, instruction: str
    ) -> bool:
        """Make a chunk of what `look` gives, send it; tell whether the policy before is back."""

        def overtaken() -> bool:
            return self._order != order or self._stopping.is_set()

        back, wish = False, Wish(instruction, self.report.chunks, overtaken)
        try:
            made = self._inference.act(look(), self.pacing, wish, self._binds)
        except Cancelled:
            self._cancelled()
        except Exception as error:  # noqa: BLE001  thread border: a bundle may do anything
            back = self._failed(error, synced)
        else:
            self._trial.passed()
            limit, found = self.pacing.ask_above, self._inference.spread
            if limit > 0.0 and self._ports.doubts(found, limit):
                self._tell(waiting_for="an answer to a question of its own")
            elif overtaken():  # at the last moment
                self._cancelled()
            else:
                self._send(*made, instruction)
        self._bound_ns = None
        return back

    def _failed(self, error: Exception, synced: Synced[Sample]) -> bool:
        """Note what went wrong with a set; tell whether the policy before is driving again."""
        if isinstance(error, SpecError):
            return self._note_input(error, synced)
        told = str(error) if isinstance(error, EngineError) else one_line(error)
        return self._note_failure(told)

    def _cancelled(self) -> None:
        self._tell(cancelled=self.report.cancelled + 1)

    def _binds(self, stamp_ns: int, instruction: str) -> ActionChunk | None:
        """Give what binds the chunk of an observation, and note whose refusal would undo it."""
        _empty(self._verdicts)
        previous = self._chunking.previous
        follows = self._chunking.prefix(stamp_ns, instruction, self.pacing.period_ns)
        if follows is not None and previous is not None:
            self._bound_ns = previous.stamp_ns
        return follows

    def _send(
        self, chunk: ActionChunk, path: ActionChunk, marks: dict[str, int], instruction: str
    ) -> None:
        """Publish a chunk as the path that it is, unless what it follows on from was refused."""
        _empty(self._verdicts)
        if self._bound_ns is not None and not self._chunking.knows(self._bound_ns):
            self._cancelled()
            return
        chunks = self.report.chunks + 1
        self._tell(chunks=chunks, waiting_for="", engine_error="", failures=0)
        if not self._stopping.is_set():
            # Noted first: the arbiter may answer before `publish` returns.
            self._chunking.took_over(chunk, instruction, self._ports.now_ns())
            self._ports.publish(path)
            stages = self._inference.note(chunk, marks)
            self._ports.describe(chunk, stages, self._inference.recall(chunk))

    def _note_input(self, error: SpecError, synced: Synced[Sample]) -> bool:
        """Wait for other inputs; a policy on trial that alone cannot take these has failed."""
        before = self._trial.before
        if before is not None and self._inputs.fit(synced, before.spec, self.instruction):
            return self._swap_back(str(error))
        self._tell(waiting_for=str(error))
        return False

    def _note_failure(self, error: str) -> bool:
        """Go back to the policy before, or count what the engine did and give up at some point."""
        if self._swap_back(error):
            return True
        failures, now_ns = self.report.failures + 1, time.monotonic_ns()
        if failures == 1:
            self._failing_since_ns = now_ns
        lasted = now_ns - self._failing_since_ns >= self.pacing.patience_ns
        gave_up = failures >= self.pacing.max_failures and lasted
        self._tell(engine_error=error, waiting_for="", failures=failures, gave_up=gave_up)
        if gave_up:
            self._stopping.set()
        return False


def _empty(orders: SimpleQueue[Callable[[], None]]) -> None:
    """Do what was ordered, in that order."""
    while True:
        try:
            order = orders.get_nowait()
        except Empty:
            return
        order()
