"""The embedded robot: any robot of config/robots, simulated, behind its controllers' topics.

Two threads beside the executor: one steps physics and control on absolute deadlines, a little
ahead of the wall clock, and publishes each state at its own time; one renders the cameras
meanwhile. The executor serves commands, parameters and services.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial

from builtin_interfaces.msg import Time
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from arfm_ros.nodes.ros import spin, topics
from arfm_ros.nodes.ros.diagnostics import OK, WARN, Diagnostics, Health
from arfm_ros.nodes.ros.params import declare, refuse_unknown
from arfm_ros.nodes.ros.real_time import raise_process_priority
from arfm_ros.nodes.sim.cameras import CameraFeed, CameraSettings, Snapshot
from arfm_ros.nodes.sim.inputs import inputs_of
from arfm_ros.nodes.sim.outputs import ClockOutput, outputs_of, to_stamp
from arfm_ros.nodes.sim.params import SimParams, cameras_of
from arfm_ros.robots.files.load import load_robot
from arfm_ros.sim.controllers.crisp import CONTROLLERS
from arfm_ros.sim.pace import ClockOffset, Divider, Pace
from arfm_ros.sim.tasks import tasks_of
from arfm_ros.sim.timeline import Instant, Send, Timeline
from arfm_ros.sim.trial import Trial
from arfm_ros.sim.view.render import SceneState
from arfm_ros.sim.world import STEP_NS, World

# Physics runs at 1 kHz in pairs of steps: half the wake-ups, and commands still apply within 2 ms.
STEPS_PER_TICK = 2
TICK_NS = STEPS_PER_TICK * STEP_NS
TASK_STATE_HZ = 20.0
# A Python thread that computes may keep the interpreter this long from the physics thread.
SWITCH_INTERVAL_S = 0.0005
# A launch-wide Ctrl-C reaches the robot and the arbiter at once. A robot does not vanish: it
# follows until nobody has commanded it for so long, and whoever commands it can brake.
SILENCE_NS = 1_000_000_000


class SimNode(Node):
    """Simulated robot, cameras and task as one ROS 2 node."""

    STOP_S = 3.5  # longest time to follow commands after a signal; launch forces it later

    def __init__(self) -> None:
        super().__init__("sim_node")
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        params = declare(self, SimParams)
        refuse_unknown(self)  # before the slow parts of starting up
        self._lock = threading.Lock()  # guards world, its controllers and trial
        self._world = World(load_robot(params.robot), seed=params.seed)
        self._trial = Trial(self._world, params.task)
        self._trial.reset(params.seed)
        self._skew_ns = 0  # from the world's time to ROS time, at the newest instant
        self._inputs = inputs_of(
            self, self._world, self._lock, params.controller, lambda: self._skew_ns
        )
        self._outputs = outputs_of(self, self._world)
        self._clock_output = ClockOutput(self) if params.publish_clock else None
        self._cameras = self._open_cameras(params)
        topics.service(self, topics.SIM_RESET, self._on_reset)
        self.add_on_set_parameters_callback(self._refuse_bad)
        self.add_post_set_parameters_callback(self._apply_parameters)
        self._origin_ns = self.get_clock().now().nanoseconds
        self._joint_due, self._pose_due = (
            Divider(params.joint_rate_hz),
            Divider(params.pose_rate_hz),
        )
        self._camera_due, self._task_due = Divider(params.camera_rate_hz), Divider(TASK_STATE_HZ)
        self._ros_offset = ClockOffset(
            time.monotonic_ns, lambda: int(self.get_clock().now().nanoseconds)
        )
        self._failure: Exception | None = None
        self._stopping = threading.Event()
        self._pace = Pace(TICK_NS, time.monotonic_ns())
        self._timeline = Timeline(self._pace, params.lookahead_ms * 1_000_000)
        if self._cameras is not None:
            self._cameras.send_by(self._timeline)
        self._seen = (0, time.monotonic_ns(), 0)  # ticks, time, overruns at the last diagnostics
        self._diagnostics = Diagnostics(self, self._health)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(0.1, self._raise_failures, clock=steady)
        self._physics = threading.Thread(target=self._run, name="physics", daemon=True)
        self._physics.start()

    def begin_stop(self) -> None:
        """Go on until nobody commands the robot any more."""
        self._inputs.commanded_ns = time.monotonic_ns()

    def stopped(self) -> bool:
        """Say whether the commands have ended; without a publisher there are none to wait for."""
        silent = time.monotonic_ns() - self._inputs.commanded_ns > SILENCE_NS
        return silent or not self._inputs.commanders()

    def close(self) -> None:
        """Stop the threads; `spin.run` calls it before the node is destroyed."""
        self._stopping.set()
        self._physics.join(timeout=2.0)
        if self._cameras is not None:
            self._cameras.close()

    def _open_cameras(self, params: SimParams) -> CameraFeed | None:
        if not params.cameras and not params.view:
            return None
        shape = (params.image_height, params.image_width)
        named = cameras_of(params.cameras, self._world)
        settings = CameraSettings(named, *shape, params.jpeg_quality, params.view)
        return CameraFeed(self, self._world.model, settings)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        task, seed = self.get_parameter("task").value, self.get_parameter("seed").value
        with self._lock:
            instruction = self._trial.choose(task).reset(seed)
            self._inputs.forget()
            instant = self._timeline.restart(time.monotonic_ns())
            tell = None if instant is None else self._outputs.joints(self._stamp(instant))
        if instant is not None and tell is not None:  # the new start is told at once: no gap
            self._timeline.post(instant, [tell])
        response.success = True
        response.message = json.dumps({"task": task, "seed": seed, "instruction": instruction})
        return response

    def _refuse_bad(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        choices = {"task": tasks_of(self._world), "controller": CONTROLLERS}
        for one in parameters:
            allowed = choices.get(one.name, (one.value,))
            if one.value not in allowed:
                reason = f"{one.name} is {one.value!r}, needs one of {', '.join(allowed)}"
                return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    def _apply_parameters(self, parameters: Sequence[Parameter]) -> None:
        for one in parameters:
            if one.name == "controller":
                self._inputs.select(str(one.value))

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                instant = self._timeline.tick(time.monotonic_ns())
                if instant is not None:
                    self._compute(instant)
                else:
                    time.sleep(self._pace.wait_s(time.monotonic_ns()))
        except ExternalShutdownException:
            return
        except Exception as error:  # noqa: BLE001  thread border: raised again by the executor
            if not self._stopping.is_set() and self.context.ok():
                self._failure = error

    def _compute(self, instant: Instant) -> None:
        with self._lock:
            self._world.step(STEPS_PER_TICK)
            self._skew_ns = self._stamp_ns(instant) - self._world.time_ns
            sends = self._sends(instant)
        self._timeline.post(instant, sends)

    def _sends(self, instant: Instant) -> list[Send]:
        """Collect what is to be told about an instant that the world has just reached."""
        world, elapsed_ns = self._world, instant.elapsed_ns
        stamp = self._stamp(instant)
        frame = self._cameras is not None and self._camera_due.due(elapsed_ns)
        joints, tool = self._joint_due.due(elapsed_ns), self._pose_due.due(elapsed_ns)
        sends: list[Send] = []
        if self._clock_output is not None:
            sends.append(partial(self._clock_output.publish, stamp))
        if frame or joints:  # a frame has the state of its very instant, sent before it
            sends.append(self._outputs.joints(stamp))
        if frame or tool:
            sends.append(self._outputs.grippers(stamp))
        if self._cameras is not None and frame:
            self._cameras.offer(Snapshot(SceneState.of(world.data), instant, stamp))
        if tool:
            sends.append(self._outputs.tools(stamp))
        if self._task_due.due(elapsed_ns):
            health = Health(OK, "ok", self._trial.report())
            sends.append(partial(self._outputs.task, self._trial.name, health, stamp))
        return sends

    def _stamp(self, instant: Instant) -> Time:
        return to_stamp(self._stamp_ns(instant))

    def _stamp_ns(self, instant: Instant) -> int:
        """Return the ROS time at which the instant is due, so that stamps are evenly spaced."""
        if self._clock_output is not None:
            return self._origin_ns + instant.elapsed_ns
        return instant.due_ns + self._ros_offset.offset_ns

    def _raise_failures(self) -> None:
        failures = (self._failure, self._cameras.error if self._cameras is not None else None)
        for failure in failures:
            if failure is not None:
                raise failure

    def _health(self) -> Health:
        pace, feed = self._pace, self._cameras
        wrong, told = self._inputs.health()
        ticks, since_ns, overruns = self._seen
        now_ns = time.monotonic_ns()
        factor = (pace.ticks - ticks) * TICK_NS / max(1, now_ns - since_ns)
        new_overruns = pace.overruns - overruns
        self._seen = (pace.ticks, now_ns, pace.overruns)
        self._ros_offset.refresh()
        values: dict[str, object] = {
            "real_time_factor": factor,
            "overruns": pace.overruns,
            "overruns_last_second": new_overruns,
            "dropped_ticks": pace.dropped,
            **told,
        }
        if feed is not None:
            values.update({f"frames.{name}": count for name, count in feed.published.items()})
            values.update({f"jpegs.{name}": count for name, count in feed.compressed.items()})
            values["frames_skipped"], values["frames_late"] = feed.skipped, feed.late
        if wrong:
            return Health(WARN, wrong, values)
        if factor < 0.95:
            return Health(WARN, f"simulation runs at {factor:.2f} of real time", values)
        return Health(OK, "ok", values)


def main() -> int:
    """Run the node as a process; a robot does not wait for those who command it."""
    raise_process_priority()  # before DDS starts its threads
    return spin.run(SimNode)


if __name__ == "__main__":
    sys.exit(main())
