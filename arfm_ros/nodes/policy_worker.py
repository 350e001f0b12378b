"""The thread that runs the policy: newest observation wins, a chunk at most every period."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace

import numpy as np

from arfm_ros.core.cadence import Cadence
from arfm_ros.core.chunking import Chunking
from arfm_ros.core.data import F32, ActionChunk, Context, Observation
from arfm_ros.core.errors import ArfmError, Cancelled, EngineError, SpecError
from arfm_ros.core.latency import StageLatency
from arfm_ros.core.reuse import ContextReuse
from arfm_ros.core.sync import Missing, Synced
from arfm_ros.nodes.policy_inputs import PolicyInputs, Sample
from arfm_ros.nodes.policy_values import Loaded, Pacing, Ports, Report

WAIT_S = 0.1  # how often the thread looks up when no image comes
STOP_S = 10.0
TRIAL = 20  # chunks of a new policy during which the one before stays at hand


class PolicyWorker:
    """Encode and sample in one thread until `stop`; what goes wrong is in `report`."""

    def __init__(
        self,
        loaded: Loaded,
        inputs: PolicyInputs,
        ports: Ports,
        pacing: Pacing,
    ) -> None:
        self.loaded = loaded  # what drives now
        self._next: Loaded | None = None  # takes over before the next chunk
        self._before: Loaded | None = None  # what comes back if the new one fails
        self._trial = 0  # chunks that it may still fail on
        self._refusal = ""
        self._inputs, self._ports, self.pacing = inputs, ports, pacing
        self.instruction = ""
        self.report = Report()
        self._latency = StageLatency()
        self._stopping, self._cadence = threading.Event(), Cadence()
        self.chunking = Chunking(loaded.spec.rtc)
        self._reuse = ContextReuse()
        self._order = 0  # counts what makes the chunk being computed useless
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="policy")
        self._running: Future[None] = self._pool.submit(self._loop)

    def instruct(self, instruction: str) -> None:
        """Use another instruction from the next image on, whatever the period."""
        if instruction != self.instruction:
            self.instruction = instruction
            self._order += 1
            self._cadence.hurry()

    def drives(self, in_force: bool) -> None:
        """Say whether the robot follows the chunks; a takeover cancels the one being computed."""
        if self.chunking.in_force and not in_force:
            self._order += 1
        self.chunking.in_force = in_force

    def swap_to(self, loaded: Loaded) -> None:
        """Let another policy compute from the next chunk on; the one before it stays at hand."""
        if loaded is not self.loaded:
            self._next = loaded

    def take_refusal(self) -> str:
        """Say, once, why the policy before is driving again; '' if it is not."""
        refusal, self._refusal = self._refusal, ""
        return refusal

    def stop(self) -> None:
        """End the thread; an inference under way is finished but not published."""
        self._stopping.set()
        self._inputs.wake()
        self._pool.shutdown(wait=False)
        if not wait((self._running,), timeout=STOP_S).done:
            raise EngineError(f"the inference under way did not end within {STOP_S:g} s")

    def ended(self) -> bool:
        """Tell whether the thread gave up; raise the error that killed it, if one did."""
        if self._running.done():
            self._running.result()
        return self.report.gave_up

    def counts(self) -> dict[str, int]:
        """Give what is counted, for diagnostics."""
        report = self.report
        return {
            "chunks": report.chunks,
            "failures_in_a_row": report.failures,
            "cancelled": report.cancelled,
            "contexts_reused": self._reuse.count,
        }

    def latency_values(self) -> dict[str, float]:
        """Give p50, p99 and max of every stage in ms."""
        return self._latency.values_ms()

    def _loop(self) -> None:
        while not self._stopping.is_set():
            self._inputs.wait(WAIT_S)
            if not self._stopping.is_set():
                self._step()

    def _step(self) -> None:
        begin_ns = self._ports.now_ns()
        synced = self._inputs.newest(begin_ns)
        trouble = str(synced) if isinstance(synced, Missing) else self._needs_instruction()
        if trouble:
            self.report = replace(self.report, waiting_for=trouble)
        elif isinstance(synced, Synced) and self._is_due(synced, begin_ns):
            self._attempt(synced, begin_ns)

    def _needs_instruction(self) -> str:
        if self.loaded.spec.language.mode == "none" or self.instruction:
            return ""
        return "no instruction: publish one on 'instruction' or set default_instruction"

    def _is_due(self, synced: Synced[Sample], now_ns: int) -> bool:
        if self.pacing.guide and not self.chunking.ready(synced.stamp_ns):
            return False
        taken_ns, interval_ns = self._inputs.taken_ns(synced), self._inputs.interval_ns()
        return self._cadence.due(taken_ns, now_ns, self.pacing.period_ns, interval_ns)

    def _swap(self) -> None:
        """Take over between two chunks: what the robot is doing goes on binding the next one."""
        loaded, self._next = self._next, None
        if loaded is not None:
            self._before, self.loaded, self._trial = self.loaded, loaded, TRIAL
            self._follow()

    def _swap_back(self, error: ArfmError) -> bool:
        """Give the policy before the wheel again if the new one failed at its first chunks."""
        if self._before is None:
            return False
        self._refusal = str(error)
        self.loaded, self._before = self._before, None
        self._follow()
        return True

    def _follow(self) -> None:
        """Let the chunk in force bind the next one, but use no context of another network."""
        self.chunking.follow(self.loaded.spec)
        self._reuse = ContextReuse()

    def _passed(self) -> None:
        self._trial -= 1
        if self._trial <= 0:
            self._before = None

    def _attempt(self, synced: Synced[Sample], begin_ns: int) -> None:
        self._swap()
        report, order = self.report, self._order
        instruction = self.instruction  # another one may come meanwhile
        try:
            chunk, marks = self._infer(synced, begin_ns, instruction, order)
        except Cancelled:
            self.report = replace(report, cancelled=report.cancelled + 1)
            return
        except (SpecError, EngineError) as error:
            if self._swap_back(error):
                self._attempt(synced, begin_ns)  # the same observation: no chunk is missed
            else:
                self._note_failure(error)
            return
        self._passed()
        self.report = Report(chunks=report.chunks + 1, cancelled=report.cancelled)
        if not self._stopping.is_set():
            self._ports.publish(chunk)
            self.chunking.took_over(chunk, instruction, self._ports.now_ns())
            stages = self._note(chunk, marks)
            self._ports.describe(chunk, stages)

    def _note_failure(self, error: SpecError | EngineError) -> None:
        """Wait for other inputs, or count what the engine did and give up at some point."""
        report = self.report
        if isinstance(error, SpecError):
            self.report = replace(report, waiting_for=str(error))
        else:
            failures = report.failures + 1
            gave_up = failures >= self.pacing.max_failures
            self.report = replace(
                report, engine_error=str(error), failures=failures, gave_up=gave_up
            )
            if gave_up:
                self._stopping.set()

    def _infer(
        self, synced: Synced[Sample], begin_ns: int, instruction: str, order: int
    ) -> tuple[ActionChunk, dict[str, int]]:
        pacing, chunk_id = self.pacing, self.report.chunks
        received_ns = max(sample.received_ns for sample in synced.values.values())
        observation = self._inputs.observe(synced, self.loaded.spec, instruction)
        noise = self._noise(chunk_id)
        encode_ns = self._ports.now_ns()
        context = self._context(observation)
        sample_ns = self._ports.now_ns()
        deadline_ns = time.monotonic_ns() + pacing.deadline_ns if pacing.deadline_ns else None
        prefix = None
        if pacing.guide:
            prefix = self.chunking.prefix(observation.stamp_ns, instruction)
        chunk = self.loaded.policy.sample(
            context, noise, prefix, pacing.steps or None, deadline_ns, self._overtaken(order)
        )
        end_ns = self._ports.now_ns()
        if not np.isfinite(chunk.actions).all():
            raise EngineError("the engine returned actions that are not finite: chunk discarded")
        info = replace(
            chunk.info,
            chunk_id=chunk_id,
            bundle_sha256=self.loaded.bundle.sha256,
            seed=pacing.seed,
            inference_begin_ns=begin_ns,
            inference_end_ns=end_ns,
            encode_ns=sample_ns - encode_ns,
            sample_ns=end_ns - sample_ns,
        )
        marks = {
            "sensor_to_received": received_ns - synced.stamp_ns,
            "received_to_begin": begin_ns - received_ns,
            "decode": encode_ns - begin_ns,
            "encode": sample_ns - encode_ns,
            "sample": end_ns - sample_ns,
        }
        return replace(chunk, info=info), marks

    def _context(self, observation: Observation) -> Context:
        found = self._reuse.find(observation, self.pacing.sameness)
        if found is None:
            found = self.loaded.policy.encode(observation)
            if self.pacing.sameness.image > 0:
                self._reuse.keep(observation, found)
        return found

    def _noise(self, chunk_id: int) -> F32:
        """Draw from a seed of its own for every chunk: a run is repeatable, chunks independent."""
        rng = np.random.default_rng((self.pacing.seed, chunk_id))
        return rng.standard_normal(self.loaded.spec.flow_shape, dtype=np.float32)

    def _overtaken(self, order: int) -> Callable[[], bool]:
        return lambda: self._order != order

    def _note(self, chunk: ActionChunk, marks: dict[str, int]) -> dict[str, int]:
        end_ns = self._ports.now_ns()
        total_ns = end_ns - chunk.stamp_ns
        stages = {
            **marks,
            "publish": end_ns - chunk.info.inference_end_ns,
            "sensor_to_chunk": total_ns,
            "overhead": total_ns - marks["encode"] - marks["sample"],
        }
        for stage, duration_ns in stages.items():
            self._latency.add(stage, duration_ns)
        return stages
