"""Where LeRobotDataset v3.0 keeps what, and what its `info.json` says.

One data file, one video a camera and one row of `meta/episodes` an episode, each in a file of its
own: so an episode is added without touching the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

VERSION = "v3.0"
CHUNK = 1000  # files of a folder
PLACE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
DATA = f"data/{PLACE}.parquet"
VIDEO = f"videos/{{video_key}}/{PLACE}.mp4"
EPISODES = f"meta/episodes/{PLACE}.parquet"
RETURNS = f"meta/arfm/returns/{PLACE}.parquet"
SOURCE = "meta/arfm/episode-{index:06d}.json"
INFO, STATS, TASKS = Path("meta/info.json"), Path("meta/stats.json"), Path("meta/tasks.parquet")
IMAGE_KEY, STAMP_KEY = "observation.images.", "stamp_ns"
COUNTED = ("timestamp", "frame_index", "episode_index", "index", "task_index")
Features = dict[str, dict[str, Any]]


def place(pattern: str, index: int, video_key: str = "") -> Path:
    """Return where the file of an episode lies."""
    chunk, file = divmod(index, CHUNK)
    return Path(pattern.format(chunk_index=chunk, file_index=file, video_key=video_key))


def features_of(
    state: Sequence[str], action: Sequence[str], cameras: Mapping[str, Mapping[str, Any]]
) -> Features:
    """Describe all columns; `cameras`: name -> dtype, height, width and what a video is."""
    found: Features = {"observation.state": _numbers("float32", list(state))}
    for key in ("action", "action.sent", "action.policy", "action.human"):
        found[key] = _numbers("float32", list(action))
    found["next.reward"] = _numbers("float32")
    for key in ("next.done", "next.truncated", "next.success", "intervention"):
        found[key] = _numbers("bool")
    found[STAMP_KEY] = _numbers("int64")
    for name, about in cameras.items():
        found[f"{STAMP_KEY}.{name}"] = _numbers("int64")
        found[IMAGE_KEY + name] = {
            "dtype": about["dtype"],
            "shape": [about["height"], about["width"], 3],
            "names": ["height", "width", "channels"],
        } | ({"info": about["info"]} if "info" in about else {})
    found |= {"timestamp": _numbers("float32")}
    return found | {key: _numbers("int64") for key in COUNTED[1:]}


def _numbers(dtype: str, names: list[str] | None = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [len(names) if names else 1], "names": names}


def info_of(features: Features, fps: int, robot: str, how: Mapping[str, str]) -> dict[str, Any]:
    """Give `info.json` of a dataset without episodes."""
    return {
        "codebase_version": VERSION,
        "robot_type": robot,
        "total_episodes": 0,
        "total_frames": 0,
        "total_tasks": 0,
        "chunks_size": CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": fps,
        "splits": {},
        "data_path": DATA,
        "video_path": VIDEO,
        "features": features,
        "arfm_resampling": dict(how),
    }
