"""A LeRobot episode as one of ours: its rows become messages at their own stamps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from arfm_ros.core.errors import EpisodeError
from arfm_ros.core.safety.decision import HUMAN, POLICY
from arfm_ros.datasets.lerobot.layout import STAMP_KEY
from arfm_ros.datasets.lerobot.read import LerobotEpisode, LerobotFolder
from arfm_ros.episodes.series import U8
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.wire import messages

EPOCH_NS, APART_NS = 1_700_000_000 * 10**9, 1_000 * 10**9  # of datasets without real stamps
QUALITY = 95


def write_episode(folder: LerobotFolder, index: int, target: Path) -> Path:
    """Write episode `index` into the new folder `target`."""
    one = folder.episode(index)
    return _Scribe(folder, one, EpisodeWriter(target)).write()


class _Scribe:
    def __init__(self, folder: LerobotFolder, one: LerobotEpisode, writer: EpisodeWriter) -> None:
        self._one, self._writer, self._fps = one, writer, folder.fps
        if "observation.state" not in one.columns or "action" not in one.columns:
            have = ", ".join(one.columns)
            raise EpisodeError(f"{folder.root} needs observation.state and action, has {have}")
        self._state_names, self._action_names = (
            folder.names(key) for key in ("observation.state", "action")
        )
        self._cameras = tuple(folder.cameras)
        self._stamps = _stamps(one)
        self._tools = frozenset(one.source.get("tools", _tools(self._state_names, one)))

    def write(self) -> Path:
        one, writer, stamps = self._one, self._writer, self._stamps
        begin_ns, period_ns = int(stamps[0]), round(1e9 / self._fps)
        if one.source.get("info"):
            writer.tell(one.source["info"], begin_ns)
        self._put(
            "/instruction", messages.string(one.source.get("instruction", one.task)), begin_ns
        )
        self._authority(period_ns)
        frames = {name: self._frames(name) for name in self._cameras}
        state = np.atleast_2d(one.columns["observation.state"].T).T
        action = np.atleast_2d(one.columns["action"].T).T
        for n, stamp in enumerate(stamps.tolist()):
            self._measured(stamp, state[n])
            for name, coming in frames.items():
                self._picture(name, n, next(coming))
            due = stamp + period_ns
            self._put(
                "/arbiter/command", messages.joint_state(due, self._action_names, action[n]), due
            )
            self._human(n, due)
        self._labels(int(stamps[-1]) + period_ns)
        return writer.close()

    def _put(self, topic: str, message: messages.Serialized, stamp_ns: int) -> None:
        self._writer.write(topic, *message, stamp_ns)

    def _measured(self, stamp_ns: int, values: Any) -> None:
        pairs = list(zip(self._state_names, values.tolist()))
        for topic, tools in (("/joint_states", False), ("/gripper/joint_states", True)):
            mine = [(name, value) for name, value in pairs if (name in self._tools) is tools]
            if mine:
                names, numbers = zip(*mine)
                self._put(topic, messages.joint_state(stamp_ns, names, numbers), stamp_ns)

    def _frames(self, camera: str) -> Iterator[bytes]:
        if camera in self._one.images:
            yield from self._one.images[camera]
            return
        for rgb in self._one.frames(camera, self._fps):
            yield _jpeg(rgb)

    def _picture(self, camera: str, n: int, data: bytes) -> None:
        own = self._one.columns.get(f"{STAMP_KEY}.{camera}")
        stamps = self._stamps if own is None else own.reshape(-1)
        if n and stamps[n] == stamps[n - 1]:
            return  # the same picture in two rows
        stamp = int(stamps[n])
        topic = f"/{camera}/image_raw/compressed"
        self._put(topic, messages.compressed_image(stamp, data, camera), stamp)

    def _human(self, n: int, due_ns: int) -> None:
        wanted = self._one.columns.get("action.human")
        if wanted is not None and np.isfinite(wanted[n]).all():
            message = messages.joint_state(due_ns, self._action_names, np.atleast_1d(wanted[n]))
            self._put("/teleop/target_joint", message, due_ns)

    def _authority(self, period_ns: int) -> None:
        told = [(int(stamp), str(word)) for stamp, word in self._one.source.get("authority", ())]
        by_human = self._one.columns.get("intervention")
        if not told and by_human is not None:
            words = [HUMAN if human else POLICY for human in by_human.reshape(-1).tolist()]
            told = [
                (int(stamp) + period_ns, word)
                for n, (stamp, word) in enumerate(zip(self._stamps, words))
                if n == 0 or words[n - 1] != word
            ]
        for stamp, word in told:
            self._put("/arbiter/authority", messages.string(word), stamp)

    def _labels(self, stamp_ns: int) -> None:
        given = self._one.source.get("labels")
        for label in given if given is not None else [_label(self._one)]:
            self._writer.label(label, stamp_ns)


def _stamps(one: LerobotEpisode) -> Any:
    own = one.columns.get(STAMP_KEY)
    if own is not None:
        return own.reshape(-1).astype(np.int64)
    since = np.round(one.columns["timestamp"].reshape(-1).astype(np.float64) * 1e9)
    return EPOCH_NS + one.index * APART_NS + since.astype(np.int64)


def _tools(names: tuple[str, ...], one: LerobotEpisode) -> list[str]:
    """Take for openings what is called a gripper and stays within 0..1."""
    values = np.atleast_2d(one.columns["observation.state"].T)
    return [
        name
        for name, row in zip(names, values)
        if "gripper" in name and row.min() >= 0 and row.max() <= 1
    ]


def _label(one: LerobotEpisode) -> Mapping[str, object]:
    """Say what a foreign dataset says: its task, and success where a column tells it."""
    said = one.columns.get("next.success")
    told = {} if said is None else {"success": bool(said.reshape(-1)[-1])}
    return {"task": one.task} | told


def _jpeg(rgb: U8) -> bytes:
    done, data = cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise EpisodeError(f"a picture {rgb.shape} cannot be written as JPEG")
    return data.tobytes()
