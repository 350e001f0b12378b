"""Add episodes to a LeRobotDataset v3.0, each at once.

The files of an episode are written beside the dataset, synced, and renamed into place; it counts
once `meta/info.json` says so, which is replaced last. A kill at any time leaves all that counted
before: what lies beyond is overwritten by whoever goes on.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from arfm_ros.core.errors import EpisodeError
from arfm_ros.datasets.frames import encoded, pictures
from arfm_ros.datasets.lerobot import layout
from arfm_ros.datasets.lerobot.stats import (
    PictureStats,
    Stats,
    as_json,
    from_columns,
    stats_of,
    together,
)
from arfm_ros.datasets.lerobot.tables import (
    columns_of,
    data_table,
    episode_table,
    read_tasks,
    task_table,
)
from arfm_ros.datasets.lerobot.video import write_video
from arfm_ros.datasets.libraries import library
from arfm_ros.datasets.resample import Resampling
from arfm_ros.datasets.rows import Rows
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.series import decode_image
from arfm_ros.episodes.write.durable import lock, sync_folder, write_durably

WORK, LOCK = ".converting", ".lock"


class DatasetWriter:
    """A dataset in `root`, new or one that this package began; a context manager.

    Raises `EpisodeError` where something else is in `root`, or another process writes it.
    """

    def __init__(
        self, root: Path, how: Resampling, video: bool = True, robot: str = "arfm"
    ) -> None:
        self.root, self._how, self._video, self._robot = Path(root), how, video, robot
        self._info: dict[str, Any] = {}
        self._tasks: list[str] = []
        self._stats: list[dict[str, Stats]] = []
        self.sources: set[str] = set()  # hashes of the bags that are in it
        self._locked = self._open()

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self.root / WORK, ignore_errors=True)
        self._locked.close()

    @property
    def episodes(self) -> int:
        """How many are in it."""
        return int(self._info.get("total_episodes", 0))

    def add(
        self, reader: EpisodeReader, rows: Rows, source: Mapping[str, Any], returns: Any = None
    ) -> int:
        """Add one episode and return its number. Raises `EpisodeError` where it does not fit.

        `source` is what is kept beside it (its key `sha256` names it), `returns` a table of the
        side-car or None.
        """
        work = self.root / WORK
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        index = self.episodes
        cameras, stats = self._pictures(reader, rows, index)
        features = layout.features_of(rows.state_names, rows.action_names, cameras)
        info = self._info or layout.info_of(
            features, self._how.fps, self._robot, self._how.described()
        )
        _check_same(features, info["features"], rows.folder)
        task = rows.instruction or rows.task
        tasks = self._tasks if task in self._tasks else [*self._tasks, task]
        begin, count = int(info["total_frames"]), len(rows.stamp_ns)
        columns = columns_of(rows, self._how.fps, index, begin, tasks.index(task))
        images = {k: encoded(reader, rows.shots[k.removeprefix(layout.IMAGE_KEY)]) for k, f in
                  features.items() if f["dtype"] == "image"}  # fmt: skip
        self._parquet(layout.place(layout.DATA, index), data_table(columns | images, features))
        stats |= {key: stats_of(value) for key, value in columns.items()}
        row = self._row(index, begin, count, task, stats)
        self._parquet(layout.place(layout.EPISODES, index), episode_table(row))
        self._text(Path(layout.SOURCE.format(index=index)), dict(source))
        if returns is not None:
            self._parquet(layout.place(layout.RETURNS, index), returns)
        self._commit(info, tasks, index, count, stats)
        self.sources.add(str(source.get("sha256", "")))
        return index

    def _open(self) -> IO[str]:
        self.root.mkdir(parents=True, exist_ok=True)
        there = {path.name for path in self.root.iterdir()} - {
            WORK,
            LOCK,
            "data",
            "videos",
            "meta",
        }
        path = self.root / layout.INFO
        if there or (path.exists() and not (self.root / "meta" / "arfm").is_dir()):
            raise EpisodeError(f"{self.root} holds something else already: name another folder")
        locked = open(self.root / LOCK, "w", encoding="utf-8")  # noqa: SIM115
        if not lock(locked.fileno()):
            raise EpisodeError(f"{self.root} is being written by another process")
        if path.exists():
            self._info = json.loads(path.read_text())
            if self._info["fps"] != self._how.fps or (
                self._info.get("arfm_resampling") != self._how.described()
            ):
                raise EpisodeError(
                    f"{self.root} was begun with fps {self._info['fps']} and "
                    f"{self._info.get('arfm_resampling')}: go on with the same"
                )
            self._tasks = read_tasks(self.root / layout.TASKS)[: self._info["total_tasks"]]
            for index in range(self.episodes):
                self._learn(index)
        return locked

    def _learn(self, index: int) -> None:
        """Read what is known of an episode that is in the dataset."""
        pq = library("pyarrow.parquet")
        row = pq.read_table(self.root / layout.place(layout.EPISODES, index)).to_pylist()[0]
        keys = {k.split("/")[1] for k in row if k.startswith("stats/")}
        self._stats.append(from_columns(row, sorted(keys)))
        source = self.root / layout.SOURCE.format(index=index)
        self.sources.add(str(json.loads(source.read_text()).get("sha256", "")))

    def _pictures(
        self, reader: EpisodeReader, rows: Rows, index: int
    ) -> tuple[dict[str, dict[str, Any]], dict[str, Stats]]:
        """Write the videos; say what the cameras' columns are, and count their pictures."""
        cameras: dict[str, dict[str, Any]] = {}
        stats = {}
        for name, shot in rows.shots.items():
            counted = PictureStats(len(rows.stamp_ns))
            height, width = _size(reader, shot.topic)
            about: dict[str, Any] = {"dtype": "image", "height": height, "width": width}
            frames = _counted(pictures(reader, shot), counted)
            if self._video:
                key = layout.IMAGE_KEY + name
                path = self._new(layout.place(layout.VIDEO, index, key))
                about |= {"dtype": "video", "info": write_video(path, frames, self._how.fps)}
            else:
                for _ in frames:
                    pass
            cameras[name] = about
            stats[layout.IMAGE_KEY + name] = counted.stats()
        return cameras, stats

    def _row(
        self, index: int, begin: int, count: int, task: str, stats: Mapping[str, Stats]
    ) -> dict[str, Any]:
        chunk, file = divmod(index, layout.CHUNK)
        row: dict[str, Any] = {"episode_index": index, "tasks": [task], "length": count}
        row |= {"data/chunk_index": chunk, "data/file_index": file}
        row |= {"dataset_from_index": begin, "dataset_to_index": begin + count}
        for key in (k for k in stats if k.startswith(layout.IMAGE_KEY) and self._video):
            row |= {f"videos/{key}/chunk_index": chunk, f"videos/{key}/file_index": file}
            row |= {f"videos/{key}/from_timestamp": 0.0}
            row |= {f"videos/{key}/to_timestamp": count / self._how.fps}
        for key, one in as_json(stats).items():
            row |= {f"stats/{key}/{name}": value for name, value in one.items()}
        return row | {"meta/episodes/chunk_index": chunk, "meta/episodes/file_index": file}

    def _commit(
        self,
        info: dict[str, Any],
        tasks: list[str],
        index: int,
        count: int,
        stats: dict[str, Stats],
    ) -> None:
        """Move everything to its place; `info.json` comes last."""
        self._parquet(layout.TASKS, task_table(tasks))
        work = self.root / WORK
        files = sorted(path for path in work.rglob("*") if path.is_file())
        for path in files:
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        for path in files:
            target = self.root / path.relative_to(work)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
        for folder in {self.root / path.parent.relative_to(work) for path in files}:
            sync_folder(folder)
        self._stats.append(stats)
        write_durably(self.root / layout.STATS, json.dumps(as_json(together(self._stats))))
        total = index + 1
        info = info | {
            "total_episodes": total,
            "total_frames": info["total_frames"] + count,
            "total_tasks": len(tasks),
            "splits": {"train": f"0:{total}"},
        }
        write_durably(self.root / layout.INFO, json.dumps(info, indent=2))
        sync_folder(self.root / "meta")
        self._info, self._tasks = info, tasks

    def _new(self, relative: Path) -> Path:
        path = self.root / WORK / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _parquet(self, relative: Path, table: Any) -> None:
        library("pyarrow.parquet").write_table(table, self._new(relative))

    def _text(self, relative: Path, value: Mapping[str, Any]) -> None:
        self._new(relative).write_text(json.dumps(value, indent=1, default=str))


def _counted(frames: Any, counted: PictureStats) -> Any:
    for rgb in frames:
        counted.add(rgb)
        yield rgb


def _size(reader: EpisodeReader, topic: str) -> tuple[int, int]:
    height, width, _ = decode_image(next(reader.records({topic}))).shape
    return int(height), int(width)


def _check_same(new: layout.Features, old: layout.Features, folder: Path) -> None:
    """Raise `EpisodeError` naming a column that is another one than in the dataset."""
    for key in {**new, **old}:
        first, second = (
            {k: v for k, v in side.get(key, {}).items() if k != "info"} for side in (old, new)
        )
        if json.dumps(first, sort_keys=True) != json.dumps(second, sort_keys=True):
            raise EpisodeError(
                f"{folder}: {key} is {second or 'missing'}, the dataset has {first or 'none'}"
            )
