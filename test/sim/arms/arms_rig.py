"""A simulated robot as a process, and a client that hears it."""

from __future__ import annotations

import signal

from sim_rig import SimClient, start

from arfm_ros.nodes.ros import topics
from arfm_ros.up.domain import reserve_domain

DESCRIPTION = topics.Topic(
    "robot_description", "std_msgs/msg/String", topics.LATCHED, topics.LATCHED
)


class Robot:
    """A simulated robot and a client of it."""

    def __init__(self, robot: str, states: tuple[str, ...], cameras: bool = False) -> None:
        domain, self._reservation = reserve_domain()
        words = ["-p", f"robot:={robot}", "-p", "task:=reach"]
        words += [] if cameras else ["-p", "cameras:=['']"]
        self.process, self.client = start(domain, *words), SimClient(domain)
        self.rows = [topics.JOINT_STATES.at(name) for name in states]
        for row in (*self.rows, topics.DIAGNOSTICS, topics.CURRENT_POSE, DESCRIPTION):
            self.client.listen(row)
        self.client.until(lambda: self.client.heard[states[0]], timeout_s=60.0)

    def positions(self, number: int = 0) -> dict[str, float]:
        message = self.client.count(self.rows[number], 1)[-1]
        return dict(zip(message.name, message.position))

    def __enter__(self) -> Robot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.client.close()
        self.process.send_signal(signal.SIGINT)
        output, _ = self.process.communicate(timeout=20)
        if self._reservation is not None:
            self._reservation.close()
        assert self.process.returncode == 0 and "Traceback" not in output, output
