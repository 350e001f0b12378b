"""The policy as a lifecycle node: cameras, joint states and instruction in, action chunks out."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from std_msgs.msg import String

from arfm_ros.control.fr3 import JOINT_NAMES
from arfm_ros.core.data import ActionChunk, Policy
from arfm_ros.core.decision import POLICY, SETTLE
from arfm_ros.core.errors import ArfmError, ConfigError
from arfm_ros.core.reuse import Sameness
from arfm_ros.core.rtc import left_over
from arfm_ros.core.spec import PolicySpec
from arfm_ros.nodes import spin, topics
from arfm_ros.nodes.convert import chunk_to_trajectory, info_to_diagnostics
from arfm_ros.nodes.diagnostics import ERROR, OK, WARN, Diagnostics, Health
from arfm_ros.nodes.lifecycle import survive_impossible_transitions
from arfm_ros.nodes.params import declare, knob, read, watch
from arfm_ros.nodes.policy_inputs import PolicyInputs, Wiring, camera_topics
from arfm_ros.nodes.policy_worker import Pacing, PolicyWorker, Ports

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
NS = 1_000_000_000
LOOK_S = 0.1  # between two looks at whether the worker ended
# The worker computes in Python now and then; neither it nor the executor may keep the
# other out for the 5 ms that are Python's default.
SWITCH_INTERVAL_S = 0.0001


@dataclass(frozen=True, slots=True)
class PolicyParams:
    """Parameters of the node; those marked "next configure" wait for that transition."""

    bundle: str = knob("", "bundle folder or name in models/, next configure", live=True)
    autostart: bool = knob(True, "configure and activate without being asked")
    engine: str = knob("onnx", "onnx, tensorrt or tensorrt_rtx, next configure", live=True)
    precision: str = knob("", "fp32, fp16, bf16; '' as built, next configure", live=True)
    providers: tuple[str, ...] = knob(
        ("cpu",), "of onnx, by preference: tensorrt, cuda, cpu, next configure", live=True
    )
    threads: int = knob(2, "inference threads, next configure", 1, 64, live=True)
    period_s: float = knob(0.1, "shortest time between two inferences", 0.0, 10.0, live=True)
    steps: int = knob(0, "flow steps; 0: as the bundle says", 0, 1000, live=True)
    deadline_s: float = knob(0.0, "cut the flow short after this; 0: never", 0.0, 10.0, live=True)
    guide: bool = knob(True, "follow on from the previous chunk if the policy can", live=True)
    reuse: float = knob(0.0, "grey levels within which a context is reused", 0, 255, live=True)
    seed: int = knob(0, "seed of the noise; chunk k uses (seed, k)", 0, 2**31 - 1, live=True)
    max_failures: int = knob(10, "engine errors in a row before giving up", 1, 1000, live=True)
    default_instruction: str = knob("", "used until one is published", live=True)
    cameras: tuple[str, ...] = knob(
        ("scene", "wrist"), "cameras as name or name=topic, next configure", live=True
    )
    transport: str = knob(
        "raw", "image transport, next configure", choices=("raw", "compressed"), live=True
    )
    joints: tuple[str, ...] = knob(
        (*JOINT_NAMES, "gripper"), "joints of the robot, next configure", live=True
    )
    dt_s: float = knob(
        0.05, "time between actions the robot expects, next configure", 0.001, 1.0, live=True
    )
    state_topics: tuple[str, ...] = knob(
        ("joint_states", "gripper/joint_states"), "JointState topics, next configure", live=True
    )
    max_age_s: float = knob(0.3, "oldest usable input, next configure", 0.01, 10.0, live=True)
    tolerance_s: float = knob(
        0.04, "largest difference of stamps in a set, next configure", 0.0, 1.0, live=True
    )
    min_camera_hz: float = knob(5.0, "slowest usable camera, next configure", 0.0, live=True)
    min_state_hz: float = knob(15.0, "slowest usable joint states, next configure", 0.0, live=True)

    def wiring(self, names: tuple[str, ...]) -> Wiring:
        """Give the inputs of a policy that wants the cameras `names`."""
        compressed = self.transport == "compressed"
        cameras = camera_topics(self.cameras, compressed)
        return Wiring(
            cameras={name: cameras[name] for name in names},
            states=self.state_topics,
            compressed=compressed,
            tolerance_ns=int(self.tolerance_s * NS),
            max_age_ns=int(self.max_age_s * NS),
            min_camera_hz=self.min_camera_hz,
            min_state_hz=self.min_state_hz,
        )

    def pacing(self) -> Pacing:
        """Give what the worker may be told while it runs."""
        return Pacing(
            period_ns=int(self.period_s * NS),
            steps=self.steps,
            seed=self.seed,
            deadline_ns=int(self.deadline_s * NS),
            max_failures=self.max_failures,
            guide=self.guide,
            sameness=Sameness(image=self.reuse),
        )


class PolicyNode(LifecycleNode):
    """Configure loads and checks the bundle, activate listens and infers, deactivate stops."""

    def __init__(self) -> None:
        super().__init__("policy_node")
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        survive_impossible_transitions(self)
        self._params = declare(self, PolicyParams)
        watch(self, PolicyParams, self._apply)
        self._bundle: Any = None
        self._policy: Any = None
        self._inputs: PolicyInputs | None = None
        self._worker: PolicyWorker | None = None
        self._refusal = ""  # why the node is not where it should be; latched until a good start
        self._instruction = ""
        self._drives = True  # until an arbiter says who does
        topics.subscription(self, topics.INSTRUCTION, self._on_instruction)
        topics.subscription(self, topics.AUTHORITY, self._on_authority)
        self._chunks = topics.publisher(self, topics.ACTION_CHUNK)
        self._infos = topics.publisher(self, topics.CHUNK_INFO)
        self._diagnostics = Diagnostics(self, self._health)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(LOOK_S, self._look_at_worker, clock=steady)
        self._start_timer = self.create_timer(0.0, self._autostart, clock=steady)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the bundle and check it against the robot; refuse what does not fit."""
        from arfm_ros.bringup import find_bundle
        from arfm_ros.engines import load_bundle, load_policy
        from arfm_ros.engines.proof import require_pass

        params = self._params = read(self, PolicyParams)
        try:
            folder = find_bundle(params.bundle)
            bundle = load_bundle(folder)
            cameras = tuple(camera_topics(params.cameras, compressed=False))
            bundle.check_robot(params.joints, cameras, params.dt_s)
            choice = {"engine": params.engine, "precision": params.precision}
            self._policy = load_policy(
                folder, threads=params.threads, providers=params.providers, **choice
            )
            require_pass(bundle, self._policy.runtime)
            _warm_up(self._policy, bundle.spec)
        except ArfmError as error:
            return self._refuse(f"cannot configure: {error}")
        self._bundle, self._refusal = bundle, ""
        on = self._policy.runtime.describe()
        self.get_logger().info(f"policy '{bundle.name}' ({bundle.sha256[:12]}) is loaded: {on}")
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Listen to the sensors and begin to infer."""
        spec = self._bundle.spec
        try:
            wiring = self._params.wiring(tuple(camera.name for camera in spec.cameras))
        except ConfigError as error:
            return self._refuse(f"cannot activate: {error}")
        self._inputs = PolicyInputs(self, wiring)
        ports = Ports(self._publish, self._describe, self._now_ns)
        self._worker = PolicyWorker(
            self._policy,
            spec,
            self._bundle.sha256,
            self._inputs,
            ports,
            self._params.pacing(),
        )
        self._worker.instruct(self._instruction or self._params.default_instruction)
        self._worker.chunking.in_force = self._drives
        self._refusal = ""
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Finish the inference under way and stop listening."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the engine."""
        self._bundle = self._policy = None
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything."""
        self.close()
        return super().on_shutdown(state)

    def close(self) -> None:
        """Stop the worker before the node is destroyed."""
        self._stop()
        self._bundle = self._policy = None

    def _autostart(self) -> None:
        self._start_timer.cancel()
        if not self._params.autostart:
            return
        if self.trigger_configure() == SUCCESS:
            self.trigger_activate()
        if self._refusal:
            self._diagnostics.publish()
            raise ConfigError(self._refusal)

    def _refuse(self, reason: str) -> TransitionCallbackReturn:
        self._refusal = reason
        self.get_logger().error(reason)
        return FAILURE

    def _stop(self) -> None:
        if self._worker is not None:
            self._worker.stop()
        if self._inputs is not None:
            self._inputs.close()
        self._worker = self._inputs = None

    def _apply(self, params: PolicyParams) -> None:
        self._params = params
        if self._worker is not None:
            self._worker.pacing = params.pacing()
            self._worker.instruct(self._instruction or params.default_instruction)

    def _on_instruction(self, message: String) -> None:
        self._instruction = message.data.strip()
        if self._worker is not None:
            self._worker.instruct(self._instruction or self._params.default_instruction)

    def _on_authority(self, message: String) -> None:
        """Bind no chunk to one that the arbiter does not play."""
        self._drives = message.data in {POLICY, SETTLE}
        if self._worker is not None:
            self._worker.drives(self._drives)

    def _look_at_worker(self) -> None:
        """Take over in the executor's thread what ended the worker."""
        worker = self._worker
        if worker is None or not worker.ended():
            return
        report = worker.report
        self.trigger_deactivate()
        self._refuse(f"gave up after {report.failures} errors in a row: {report.engine_error}")
        self._diagnostics.publish()

    def _now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    def _publish(self, chunk: ActionChunk) -> None:
        self._chunks.publish(chunk_to_trajectory(chunk))

    def _describe(self, chunk: ActionChunk, stages_ns: dict[str, int]) -> None:
        stages = {name: ns / 1e6 for name, ns in stages_ns.items()}
        self._infos.publish(info_to_diagnostics(chunk.info, chunk.stamp_ns, stages))

    def _health(self) -> Health:
        values: dict[str, object] = {"state": self._state_machine.current_state[1]}
        if self._bundle is not None:
            values |= {"bundle": self._bundle.name, "sha256": self._bundle.sha256}
            values |= {"engine": self._policy.runtime.describe()}
        worker, inputs = self._worker, self._inputs
        if worker is None or inputs is None:
            level, message = (ERROR, self._refusal) if self._refusal else (WARN, "not active")
            return Health(level, message, values)
        report = worker.report
        values |= {"instruction": worker.instruction, **worker.counts()}
        values |= {**inputs.values(self._now_ns()), **worker.latency_values()}
        chunking = worker.chunking
        values |= {"rtc": self._rtc_mode(), "delay_ticks": chunking.delay}
        trouble = report.engine_error or report.waiting_for
        slow = chunking.trouble if self._params.guide else ""
        level = ERROR if trouble else WARN if slow else OK
        return Health(level, trouble or slow or "ok", values)

    def _rtc_mode(self) -> str:
        return self._bundle.spec.rtc.mode if self._params.guide else "none"


def _warm_up(policy: Policy, spec: PolicySpec) -> None:
    """Run once on made-up input: the first inference is slow, and a broken engine shows here."""
    noise = np.zeros(spec.action_shape, dtype=np.float32)
    context = policy.encode(spec.example(seed=0))
    chunk = policy.sample(context, noise, steps=1)
    if spec.rtc.mode != "none":
        policy.sample(context, noise, left_over(chunk, chunk.stamp_ns, delay=1), steps=1)


def main() -> int:
    """Run the node as a process."""
    return spin.run(PolicyNode)


if __name__ == "__main__":
    sys.exit(main())
