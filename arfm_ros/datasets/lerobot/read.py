"""Read a LeRobotDataset, v3.0 or v2.1, episode by episode."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import EpisodeError
from arfm_ros.datasets.lerobot import layout
from arfm_ros.datasets.lerobot.tables import read_tasks
from arfm_ros.datasets.lerobot.video import read_video
from arfm_ros.datasets.libraries import library
from arfm_ros.episodes.series import U8
from arfm_ros.wire.images import decode_compressed

READ = ("v3.0", "v2.1")


@dataclass(frozen=True, slots=True, eq=False)
class LerobotEpisode:
    """One episode: its columns [T, ...] and where its videos are and begin."""

    index: int
    columns: dict[str, NDArray[Any]]
    task: str
    videos: dict[str, tuple[Path, float]]  # camera -> file, s where the episode begins
    images: dict[str, list[bytes]]  # camera -> JPEG or PNG of every row
    source: dict[str, Any]  # what this package wrote beside it

    def frames(self, camera: str, fps: int) -> Iterator[U8]:
        """Yield the picture [H, W, 3] RGB of every row."""
        if camera in self.images:
            yield from (decode_compressed(data) for data in self.images[camera])
            return
        path, begin_s = self.videos[camera]
        times = begin_s + self.columns["timestamp"].astype(np.float64)
        yield from read_video(path, times, 0.5 / fps)


def is_lerobot(folder: Path) -> bool:
    """Tell whether a folder holds a LeRobotDataset."""
    return (folder / layout.INFO).is_file()


class LerobotFolder:
    """A dataset on the disk; raises `EpisodeError` for one that is none or of another version."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        try:
            self.info: dict[str, Any] = json.loads((self.root / layout.INFO).read_text())
            self.version = str(self.info["codebase_version"])
            self.fps, self.features = round(self.info["fps"]), self.info["features"]
        except (OSError, ValueError, KeyError) as error:
            raise EpisodeError(f"{root} is no LeRobotDataset: {error}") from error
        if self.version not in READ:
            raise EpisodeError(f"{root} is {self.version}, needs one of {', '.join(READ)}")
        self.tasks, self._rows = self._read_meta()

    def __len__(self) -> int:
        return int(self.info["total_episodes"])

    @property
    def cameras(self) -> dict[str, str]:
        """Name -> column of pictures."""
        kinds = {k: f["dtype"] for k, f in self.features.items()}
        keys = [key for key, kind in kinds.items() if kind in {"video", "image"}]
        return {key.removeprefix(layout.IMAGE_KEY).replace(".", "_"): key for key in keys}

    def names(self, key: str) -> tuple[str, ...]:
        """Give what the numbers of a column are called; without names: axis_0, axis_1, ..."""
        about = self.features[key]
        said = about.get("names")
        while isinstance(said, dict):  # {"motors": [...]}, or {"joint": number}
            inner = next(iter(said.values()), None)
            said = inner if isinstance(inner, (list, dict)) else list(said)
        count = int(about["shape"][0])
        good = isinstance(said, list) and len(said) == count
        return tuple(map(str, said or ())) if good else tuple(f"axis_{n}" for n in range(count))

    def episode(self, index: int) -> LerobotEpisode:
        """Read one episode."""
        row = self._rows[index]
        table = library("pyarrow.parquet").read_table(
            self.root / self._data(index, row), filters=[("episode_index", "=", index)]
        )
        cameras = self.cameras
        images = {n: self._images(table, key) for n, key in cameras.items() if key in
                  table.column_names}  # fmt: skip
        columns = {
            key: np.array(table[key].to_pylist())
            for key in table.column_names
            if key not in cameras.values()
        }
        videos = {n: self._video(index, row, k) for n, k in cameras.items() if n not in images}
        source = self.root / layout.SOURCE.format(index=index)
        task = columns["task_index"].reshape(-1)[0] if "task_index" in columns else None
        return LerobotEpisode(
            index=index,
            columns=columns,
            task="" if task is None else self.tasks[int(task)],
            videos=videos,
            images=images,
            source=json.loads(source.read_text()) if source.is_file() else {},
        )

    def _read_meta(self) -> tuple[list[str], list[dict[str, Any]]]:
        meta = self.root / "meta"
        if self.version == "v2.1":
            rows = _lines(meta / "tasks.jsonl")
            tasks = [row["task"] for row in sorted(rows, key=lambda row: row["task_index"])]
            return tasks, _lines(meta / "episodes.jsonl")
        pq, found = library("pyarrow.parquet"), []
        for path in sorted((meta / "episodes").glob("*/*.parquet")):
            names = [n for n in pq.read_schema(path).names if not n.startswith("stats/")]
            found += pq.read_table(path, columns=names).to_pylist()
        return read_tasks(self.root / layout.TASKS), found

    def _data(self, index: int, row: dict[str, Any]) -> Path:
        if self.version == "v2.1":
            return self._old(self.info["data_path"], index)
        place = {key: row[f"data/{key}"] for key in ("chunk_index", "file_index")}
        return Path(self.info["data_path"].format(**place))

    def _video(self, index: int, row: dict[str, Any], key: str) -> tuple[Path, float]:
        pattern = self.info["video_path"]
        if self.version == "v2.1":
            return self.root / self._old(pattern, index, key), 0.0
        place = {name: row[f"videos/{key}/{name}"] for name in ("chunk_index", "file_index")}
        begin = float(row[f"videos/{key}/from_timestamp"])
        return self.root / pattern.format(video_key=key, **place), begin

    def _old(self, pattern: str, index: int, key: str = "") -> Path:
        chunk = index // int(self.info["chunks_size"])
        return Path(pattern.format(episode_chunk=chunk, episode_index=index, video_key=key))

    def _images(self, table: Any, key: str) -> list[bytes]:
        rows = table[key].to_pylist()
        return [row["bytes"] or (self.root / row["path"]).read_bytes() for row in rows]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
