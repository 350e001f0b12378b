"""Run episodes in simulation: reset, instruct, record, let the policy drive, label, report.

The procedure runs on a thread of its own, so that it reads top to bottom; the executor's thread
only fills in what was received. An error of the procedure is raised again by a timer. The other
nodes may start in any order and at any time: each is waited for.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.srv import SetParameters
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.time import Time
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.decision import IDLE
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.params import declare, knob
from arfm_ros.nodes.ros.patience import Asking, Patience, values_of
from arfm_ros.nodes.ros.spin import run

CHECK_PERIOD_S = 0.02
SIM_PARAMETERS = topics.Service("sim_node/set_parameters", "rcl_interfaces/srv/SetParameters")
CALLED = (
    SIM_PARAMETERS,
    topics.SIM_RESET,
    topics.ARBITER_ENGAGE,
    topics.RECORDER_START,
    topics.RECORDER_LABEL,
    topics.RECORDER_STOP,
)


@dataclass(frozen=True)
class RolloutParams:
    """What to run, and how long to wait for whom."""

    task: str = knob("lift", "task of every episode")
    seed: int = knob(0, "seed of the first episode; each next one adds 1", 0)
    episodes: int = knob(5, "episodes to run; 0 goes on until stopped", 0)
    time_limit: float = knob(20.0, "an episode fails after this many seconds of its task", 1.0)
    hold: float = knob(0.3, "success counts when it lasted this many seconds", 0.0, 10.0)
    record: bool = knob(True, "record every episode")
    patience: float = knob(120.0, "seconds to wait for a service, a chunk or the task", 1.0)


@dataclass(frozen=True, slots=True)
class TaskState:
    """What the simulator last said about its task."""

    seed: int
    success: bool
    elapsed_s: float


class SuccessHold:
    """Decide from successive task states whether an episode is over."""

    def __init__(self, hold_s: float, time_limit_s: float) -> None:
        self._hold_s, self._time_limit_s = hold_s, time_limit_s
        self._since_s: float | None = None

    def over(self, state: TaskState) -> bool | None:
        """Return True for success held long enough, False beyond the limit, None to go on."""
        if not state.success:
            self._since_s = None
            return False if state.elapsed_s >= self._time_limit_s else None
        if self._since_s is None:
            self._since_s = state.elapsed_s
        return True if state.elapsed_s - self._since_s >= self._hold_s else None


class RolloutNode(Node):
    """Run `episodes` episodes and end the process with status 0."""

    def __init__(self) -> None:
        super().__init__("rollout_node")
        self._params = declare(self, RolloutParams)
        self._patience = Patience(self, self._params.patience)
        self._asking = Asking(self, CALLED, self._patience)
        self._state: TaskState | None = None
        self._recorder: Mapping[str, str] = {}
        self._authority = ""
        self._chunk_stamp_ns = 0
        self._outcome: BaseException | None = None
        self._instruction = topics.publisher(self, topics.INSTRUCTION)
        self._label = topics.publisher(self, topics.EPISODE_LABEL)
        self._result = topics.publisher(self, topics.EPISODE_RESULT)
        topics.subscription(self, topics.TASK_STATE, self._on_task_state)
        topics.subscription(self, topics.ACTION_CHUNK, self._on_chunk)
        topics.subscription(self, topics.RECORDER_STATE, self._on_recorder)
        topics.subscription(self, topics.AUTHORITY, self._on_authority)
        self._thread = threading.Thread(target=self._procedure, name="episodes", daemon=True)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._check_timer = self.create_timer(CHECK_PERIOD_S, self._check, clock=steady)

    def close(self) -> None:
        """Make the procedure leave at its next wait."""
        self._patience.stop()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def _on_task_state(self, message: Any) -> None:
        values = values_of(message)
        self._state = TaskState(
            int(values.get("seed", "0")),
            values.get("success", "").lower() in {"true", "1"},
            float(values.get("elapsed_s", "0")),
        )
        self._patience.note()

    def _on_chunk(self, message: Any) -> None:
        self._chunk_stamp_ns = Time.from_msg(message.header.stamp).nanoseconds
        self._patience.note()

    def _on_authority(self, message: String) -> None:
        self._authority = message.data
        self._patience.note()

    def _on_recorder(self, message: Any) -> None:
        self._recorder = values_of(message)
        self._patience.note()

    def _check(self) -> None:
        if not self._thread.is_alive() and self._thread.ident is None:
            self._thread.start()  # the executor spins from here on, so that answers arrive
        if self._outcome is not None:
            raise self._outcome

    def _procedure(self) -> None:
        try:
            self._run_all()
        except BaseException as error:  # noqa: BLE001 - thread border: `_check` raises it again
            self._outcome = error
        else:
            self._outcome = SystemExit(0)

    def _run_all(self) -> None:
        index = 0
        while not self._params.episodes or index < self._params.episodes:
            self._run_one(index)
            index += 1
        self._engage(False)
        self._result.wait_for_all_acked(Duration(seconds=2))

    def _run_one(self, index: int) -> None:
        self._engage(False)
        # it brakes first; what it still sends must not pull the arm of the next episode away
        what = "idle of arbiter_node: see its message in /diagnostics"
        self._patience.wait(lambda: self._authority == IDLE, what)
        begin_ns = self.get_clock().now().nanoseconds
        about = self._reset(self._params.seed + index)
        self._instruction.publish(String(data=str(about.get("instruction", ""))))
        what = "chunk of policy_node: see its message in /diagnostics"
        self._patience.wait(lambda: self._chunk_stamp_ns >= begin_ns, what)
        bag = self._record() if self._params.record else ""
        self._engage(True)
        success, seconds = self._drive(int(about.get("seed", 0)))
        label = {
            "task": about.get("task", self._params.task),
            "seed": about.get("seed", 0),
            "success": success,
            "reason": "held" if success else "time limit",
            "seconds": round(seconds, 3),
        }
        if self._params.record:
            bag = self._label_and_stop(label) or bag
        result = {"index": index, **label, "bag": bag}
        self._result.publish(String(data=json.dumps(result)))
        verdict = "success" if success else "failure"
        self.get_logger().info(f"episode {index}: {label['task']} {verdict} in {seconds:.1f} s")

    def _record(self) -> str:
        """Start an episode; return its folder."""
        before = self._recorder.get("folder")

        def begun() -> bool:
            state = self._recorder
            return state.get("recording") == "true" and state.get("folder") != before

        return self._call(topics.RECORDER_START, Trigger.Request(), begun)

    def _label_and_stop(self, label: Mapping[str, object]) -> str:
        self._label.publish(String(data=json.dumps(label)))
        self._call(topics.RECORDER_LABEL, SetBool.Request(data=bool(label["success"])))
        return self._call(
            topics.RECORDER_STOP,
            Trigger.Request(),
            lambda: self._recorder.get("recording") == "false",
        )

    def _engage(self, driving: bool) -> None:
        """Let the arbiter drive or idle; what refuses while the stack starts may soon be over."""
        request = SetBool.Request(data=driving)
        self._asking.ask(topics.ARBITER_ENGAGE, request, passes=True)

    def _reset(self, seed: int) -> Mapping[str, Any]:
        """Set the task up anew; return what the simulator says about it."""
        wanted = (Parameter("task", value=self._params.task), Parameter("seed", value=seed))
        request = SetParameters.Request(parameters=[p.to_parameter_msg() for p in wanted])
        for result in self._asking.ask(SIM_PARAMETERS, request).results:
            if not result.successful:
                raise ConfigError(f"sim_node refuses the task or seed: {result.reason}")
        answer = self._call(topics.SIM_RESET, Trigger.Request())
        self._state = None
        try:
            about: Mapping[str, Any] = json.loads(answer)
        except json.JSONDecodeError as error:
            raise ConfigError(f"sim/reset answered '{answer}', needs JSON") from error
        return about

    def _drive(self, seed: int) -> tuple[bool, float]:
        """Wait for the end of the episode; return (success, seconds of the task)."""
        watch = SuccessHold(self._params.hold, self._params.time_limit)
        while True:
            self._state = None
            self._patience.wait(lambda: self._state is not None, "task/state of sim_node")
            state = self._state
            if state is None or state.seed != seed:
                continue  # a message from before the reset
            verdict = watch.over(state)
            if verdict is not None:
                return verdict, state.elapsed_s

    def _call(
        self, row: topics.Service, request: Any, done: Callable[[], bool] = lambda: False
    ) -> str:
        """Call a service and return its message; raise `ConfigError` when it refuses.

        Where the answer is lost although the recorder is `done`, it is the recorder's folder.
        """
        answer = self._asking.ask(row, request, done)
        if answer is None:
            return self._recorder.get("folder", "")
        if not answer.success:
            raise ConfigError(f"service {row.name} refused: {answer.message}")
        return str(answer.message)


def main() -> int:
    """Run the node as a process."""
    return run(RolloutNode)


if __name__ == "__main__":
    sys.exit(main())
