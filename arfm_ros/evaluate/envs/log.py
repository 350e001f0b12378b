"""What happens in an environment as an episode; its topics are those of a robot's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from arfm_ros.core.values.data import Observation
from arfm_ros.episodes.read.body import said_body
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.evaluate.envs.environment import F64, Body, Step
from arfm_ros.sim.record.scribe import EPISODE_NS, EPOCH_NS, EPOCHS
from arfm_ros.wire import messages
from arfm_ros.wire.images import to_jpeg

STATE = "/environment/state"
FRAME_NS = 50_000_000  # between two pictures, at least: those of a robot come no faster


class Log:
    """One episode in `folder`, which must not exist.

    Times are ns since the start of the episode; `seed` tells episodes apart in absolute time.
    """

    def __init__(self, folder: Path, body: Body, environment: str, seed: int) -> None:
        told = said_body(body.axes, STATE, _topics(body.cameras), body.dt_ns)
        self._writer, self._body = EpisodeWriter(folder), body
        self._begin_ns = EPOCH_NS + seed % EPOCHS * EPISODE_NS
        self._writer.tell({"environment": environment, **told}, self._begin_ns)
        self._poor: list[list[int]] = []
        self._frame_ns = 0  # when the next picture is due

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()

    def instructed(self, instruction: str, authority: str) -> None:
        """Write what is to be done, and who does it."""
        self._put("/instruction", messages.string(instruction), 0)
        self._put("/arbiter/authority", messages.string(authority), 0)

    def saw(self, at_ns: int, seen: Observation, step: Step | None) -> None:
        """Write an observation of all that the body senses, and what the step before came to."""
        if at_ns >= self._frame_ns:
            self._frame_ns = at_ns + FRAME_NS
            for camera, image in seen.images.items():
                jpeg = messages.compressed_image(self._begin_ns + at_ns, to_jpeg(image), camera)
                self._put(f"/{_topics((camera,))[camera]}", jpeg, at_ns)
        values = {
            "success": str(step is not None and step.success).lower(),
            "progress": round(step.progress, 4) if step else 0.0,
            "elapsed_s": at_ns / 1e9,
        }
        stamp = self._begin_ns + at_ns
        self._put("/task/state", messages.diagnostic_array(stamp, "task", values), at_ns)
        self._put(STATE, messages.joint_state(stamp, self._body.seen, seen.state), at_ns)

    def did(self, at_ns: int, action: F64) -> None:
        """Write an action [A], which is due at `at_ns`."""
        names = self._body.axes.action_names
        message = messages.joint_state(self._begin_ns + at_ns, names, action)
        self._put("/arbiter/command", message, at_ns)

    def poor(self, begin_ns: int, end_ns: int) -> None:
        """Keep that what was done in between is known to be bad."""
        if self._poor and self._poor[-1][1] == begin_ns:
            self._poor[-1][1] = end_ns
        else:
            self._poor.append([begin_ns, end_ns])

    def ended(self, at_ns: int, label: Mapping[str, object]) -> None:
        """Write the label; what was bad is in it, for evaluation only."""
        whole = {**label, **({"poor_ns": self._poor} if self._poor else {})}
        self._writer.label(whole, self._begin_ns + at_ns)

    def _put(self, topic: str, message: messages.Serialized, at_ns: int) -> None:
        self._writer.write(topic, message[0], message[1], self._begin_ns + at_ns)


def _topics(cameras: tuple[str, ...]) -> dict[str, str]:
    return {name: f"{name}/image_raw/compressed" for name in cameras}
