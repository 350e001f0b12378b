"""The policy as a lifecycle node: cameras, joint states and instruction in, action chunks out."""

from __future__ import annotations

import sys
from concurrent.futures import wait
from functools import partial

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import String

from arfm_ros.core.errors import ArfmError, BundleError, ConfigError
from arfm_ros.core.safety.decision import BY_CHUNK
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.core.values.recall import Recall
from arfm_ros.nodes.policy.bundle import Successor, load_checked, load_successor
from arfm_ros.nodes.policy.doubt import Doubts
from arfm_ros.nodes.policy.fast_slow import FastSlowWorker
from arfm_ros.nodes.policy.inputs import PolicyInputs
from arfm_ros.nodes.policy.params import PolicyParams
from arfm_ros.nodes.policy.values import Loaded, Ports
from arfm_ros.nodes.policy.worker import PolicyWorker
from arfm_ros.nodes.ros import spin, topics
from arfm_ros.nodes.ros.background import end_process, in_background, one_line
from arfm_ros.nodes.ros.convert import chunk_to_trajectory, info_to_diagnostics
from arfm_ros.nodes.ros.diagnostics import ERROR, OK, WARN, Diagnostics, Health
from arfm_ros.nodes.ros.lifecycle import survive_impossible_transitions
from arfm_ros.nodes.ros.params import declare, read, watch
from arfm_ros.nodes.ros.verdict import diagnostics_to_verdict
from arfm_ros.words.lexicon import INSTRUCTION, NUDGE

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
TOGETHER = "reuse_views: this bundle encodes its pictures together (arfm export --views)"
AGAIN = "when the cause is gone: ros2 lifecycle set"
LOOK_S = 0.1  # between two looks at whether the worker ended
# The worker computes in Python now and then; neither it nor the executor may keep the
# other out for the 5 ms that are Python's default.
SWITCH_INTERVAL_S = 0.0001


class PolicyNode(LifecycleNode):
    """Configure loads and checks the bundle, activate listens and infers, deactivate stops."""

    def __init__(self) -> None:
        super().__init__("policy_node")
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        survive_impossible_transitions(self)
        self._params = declare(self, PolicyParams)
        watch(self, PolicyParams, self._apply)
        self.add_post_set_parameters_callback(self._on_set)
        self._loaded: Loaded | None = None
        self._successor = Successor()
        self._restoring = False  # the parameter `bundle` is being set back
        self._not_swapped = ""  # why the bundle last asked for does not run
        self._inputs: PolicyInputs | None = None
        self._worker: PolicyWorker | None = None
        self._last: PolicyWorker | None = None  # the one in use, or the one before
        self._refusal = ""  # why the node is not where it should be; latched until a good start
        self._instruction, self._lexicon = "", self._params.lexicon()
        self._drives = True  # until an arbiter says who does
        topics.subscription(self, topics.INSTRUCTION, self._on_instruction)
        questions = topics.publisher(self, topics.QUESTION)
        self._doubts = Doubts(
            lambda text: questions.publish(String(data=text)),
            self._params.ask_default,
            self._params.ask_timeout_s,
        )
        topics.subscription(self, topics.ANSWER, lambda said: self._doubts.answered(said.data))
        topics.subscription(self, topics.AUTHORITY, self._on_authority)
        topics.subscription(self, topics.CHUNK_RESULT, self._on_verdict)
        self._chunks = topics.publisher(self, topics.ACTION_CHUNK)
        self._infos = topics.publisher(self, topics.CHUNK_INFO)
        self._diagnostics = Diagnostics(self, self._health)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(LOOK_S, self._look_at_worker, clock=steady)
        self._start_timer = self.create_timer(0.0, self._autostart, clock=steady)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the bundle and check it against the robot; refuse what does not fit."""
        params = self._params = read(self, PolicyParams)
        try:
            loaded = self._load(params)
        except ArfmError as error:
            return self._refuse(f"cannot configure: {error}")
        self._loaded, self._refusal, self._not_swapped = loaded, "", ""
        bundle, on = loaded.bundle, loaded.policy.runtime.describe()
        self.get_logger().info(f"policy '{bundle.name}' ({bundle.sha256[:12]}) is loaded: {on}")
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Listen to the sensors and begin to infer."""
        assert self._loaded is not None  # an inactive node is configured
        if self._last is not None and self._last.alive():  # and an engine serves one thread
            return self._refuse("cannot activate: an inference has not ended yet, try again")
        names = tuple(camera.name for camera in self._loaded.spec.cameras)
        try:
            wiring = self._params.wiring(names)
        except ConfigError as error:
            return self._refuse(f"cannot activate: {error}")
        self._inputs = PolicyInputs(self, wiring)
        ports = Ports(self._publish, self._describe, self._now_ns, self._doubts.waits)
        make = FastSlowWorker if self._params.fast_slow else PolicyWorker
        self._worker = self._last = make(
            self._loaded, self._inputs, ports, self._params.pacing(), self._drives
        )
        self._worker.instruct(self._instruction or self._params.default_instruction)
        self._refusal = ""
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Finish the inference under way and stop listening."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the engine."""
        self._loaded = None
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything."""
        self.close()
        return super().on_shutdown(state)

    def close(self) -> None:
        """Stop the worker before the node is destroyed."""
        self._stop()
        self._loaded = None

    def _autostart(self) -> None:
        self._start_timer.cancel()
        if not self._params.autostart:
            return
        if self.trigger_configure() == SUCCESS:
            self.trigger_activate()
        if self._refusal:
            self._diagnostics.publish()
            raise ConfigError(self._refusal)

    def _load(self, params: PolicyParams) -> Loaded:
        """Load and check; a server that hangs does not keep the node from being stopped."""
        loading = in_background(partial(load_checked, params), "bundle")
        while not wait((loading,), timeout=LOOK_S).done:
            if not self.context.ok():
                raise ConfigError("the node was stopped while it loaded")
        try:
            return loading.result()
        except ArfmError:
            raise
        except Exception as error:  # noqa: BLE001  thread border
            raise BundleError(f"bundle '{params.bundle}': {one_line(error)}") from error

    def _refuse(self, reason: str) -> TransitionCallbackReturn:
        self._refusal = reason
        self.get_logger().error(reason)
        return FAILURE

    def _stop(self) -> None:
        self._successor.forget()
        if self._worker is not None and not self._worker.stop():
            self.get_logger().warning("the inference under way does not end: it is left alone")
        if self._inputs is not None:
            self._inputs.close()
        self._worker = self._inputs = None

    def _apply(self, params: PolicyParams) -> None:
        self._params = params
        if self._worker is not None:
            self._worker.pacing = params.pacing()
            self._worker.instruct(self._instruction or params.default_instruction)

    def _on_instruction(self, message: String) -> None:
        """Take an instruction; a correction beside it, where the policy reads any text."""
        meaning = self._lexicon.read(message.data)
        reads = self._loaded is not None and self._loaded.spec.language.mode == "tokenizer"
        if meaning.kind == NUDGE and reads and self._instruction and self._worker is not None:
            self._worker.instruct(f"{self._instruction}, {meaning.text}")
            return
        if meaning.kind != INSTRUCTION and message.data.strip():
            return  # the arbiter does it
        self._instruction = meaning.text
        if self._worker is not None:
            self._worker.instruct(self._instruction or self._params.default_instruction)

    def _on_authority(self, message: String) -> None:
        """Bind no chunk to one that the arbiter does not play."""
        self._drives = message.data in BY_CHUNK
        if self._worker is not None:
            self._worker.drives(self._drives)

    def _on_verdict(self, message: DiagnosticArray) -> None:
        """Let no chunk follow on from one that the arbiter refused."""
        verdict = diagnostics_to_verdict(message)
        if verdict is not None and self._worker is not None:
            self._worker.judge(verdict)

    def _on_set(self, changes: list[Parameter]) -> None:
        """Load another bundle while the robot moves; the same name may lead to another one."""
        asked = any(change.name == "bundle" for change in changes)
        if self._worker is None or self._restoring or not asked:
            return
        params, running = read(self, PolicyParams), self._worker.loaded
        self._not_swapped = ""
        self._successor.load(partial(load_successor, params, running), params.bundle)

    def _look_at_successor(self, worker: PolicyWorker) -> None:
        """Hand the worker what was loaded, and note what it made of it."""
        found = self._successor.take()
        if isinstance(found, Loaded):
            worker.swap_to(found)
        refused = found if isinstance(found, str) else worker.take_refusal()
        if worker.loaded is not self._loaded:
            self._loaded, bundle = worker.loaded, worker.loaded.bundle
            self.get_logger().info(f"policy '{bundle.name}' ({bundle.sha256[:12]}) has taken over")
        if refused:
            asked = self.get_parameter("bundle").value
            self._not_swapped = f"bundle '{asked}' refused: {refused}"
            self.get_logger().error(self._not_swapped)
            self._restoring = True
            self.set_parameters([Parameter("bundle", value=worker.loaded.asked)])
            self._restoring = False
            self._diagnostics.publish()

    def _look_at_worker(self) -> None:
        """Take over in the executor's thread what ended the worker."""
        worker = self._worker
        if worker is None:
            return
        self._look_at_successor(worker)
        if not worker.ended():
            return
        report = worker.report
        self.trigger_deactivate()
        back = f"{AGAIN} {self.get_fully_qualified_name()} activate"
        self._refuse(
            f"gave up after {report.failures} errors in a row: {report.engine_error}; {back}"
        )
        self._diagnostics.publish()

    def _now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    def _publish(self, chunk: ActionChunk) -> None:
        self._chunks.publish(chunk_to_trajectory(chunk))

    def _describe(self, chunk: ActionChunk, stages_ns: dict[str, int], recall: Recall) -> None:
        stages = {name: ns / 1e6 for name, ns in stages_ns.items()}
        self._infos.publish(info_to_diagnostics(chunk.info, chunk.stamp_ns, stages, recall))

    def _health(self) -> Health:
        values: dict[str, object] = {"state": self._state_machine.current_state[1]}
        if self._loaded is not None:
            bundle = self._loaded.bundle
            values |= {"bundle": bundle.name, "sha256": bundle.sha256}
            values |= {"engine": self._loaded.policy.runtime.describe()}
            values |= {"loading": self._successor.asked, "not_swapped": self._not_swapped}
        worker, inputs = self._worker, self._inputs
        if worker is None or inputs is None:
            level, message = (ERROR, self._refusal) if self._refusal else (WARN, "not active")
            return Health(level, message, values)
        report = worker.report
        values |= {"instruction": worker.instruction, **worker.counts()}
        values |= {**inputs.values(self._now_ns()), **worker.latency_values()}
        values |= {"rtc": self._rtc_mode(), "delay_ticks": report.delay_ticks}
        values |= {"waiting_for": report.waiting_for, "refusal": report.refusal}
        trouble = report.waiting_for or report.engine_error  # the first is the newer one
        refused = f"the arbiter refused the last chunk: {report.refusal}"
        minor = self._not_swapped or (refused if report.refusal and self._drives else "")
        minor = minor or (report.too_late if self._params.guide else "")
        if self._params.reuse_views > 0.0 and worker.loaded.policy.views is None:
            minor = minor or TOGETHER
        level = ERROR if trouble else WARN if minor else OK
        return Health(level, trouble or minor or "ok", values)

    def _rtc_mode(self) -> str:
        loaded = self._loaded
        return loaded.spec.rtc.mode if self._params.guide and loaded is not None else "none"


def main() -> int:
    """Run the node as a process."""
    return end_process(spin.run(PolicyNode))


if __name__ == "__main__":
    sys.exit(main())
