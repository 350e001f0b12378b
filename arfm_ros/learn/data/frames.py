"""All frames of a set of episodes as flat arrays, cached on disk for a quick second start."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import EpisodeError
from arfm_ros.core.values.data import F32, U8
from arfm_ros.core.values.text import tokenize
from arfm_ros.episodes.folders import is_learned, read_files
from arfm_ros.episodes.read.topics import OWN, Topics
from arfm_ros.learn.data.interventions import Interventions, Tally
from arfm_ros.learn.data.reading import NOTHING, EpisodeRead, read_all
from arfm_ros.learn.data.spaces import Spaces, written
from arfm_ros.learn.data.targets import chunks_of, keyframes
from arfm_ros.learn.data.usable import held_back
from arfm_ros.learn.signals.rewards import TERMS, human_steps
from arfm_ros.robots.embodiment import Embodiment, default, gripper_columns

VERSION = 2
COLUMNS = ("state", "chunk", "keyframe", "episode", "returns", "human", "kinds", "stamp_ns")


@dataclass(frozen=True, slots=True)
class FramesConfig:
    """What is read from the episodes; a change makes a new cache."""

    cameras: tuple[tuple[str, int, int], ...] = (("scene", 96, 128), ("wrist", 96, 128))
    robot: Embodiment = field(default_factory=default)
    horizon: int = 16
    dt_ns: int = 50_000_000
    tokens: int = 16
    vocabulary: int = 512
    success_only: bool = False
    authority: tuple[str, ...] = ()  # keep only chunks commanded by these; empty: all
    objects: tuple[str, ...] = ()  # numbers of objects behind the joints in the state
    topics: Topics = OWN  # which topic holds what
    spaces: Spaces | None = None  # of the actions; None: positions of the robot's axes
    interventions: Interventions | None = None  # learn of corrections alone; None: of everything


@dataclass(frozen=True, slots=True)
class Frames:
    """N observations with what was commanded after each; `episode` indexes the E episodes.

    `kinds` [N] say why it is learned from; `stamp_ns` [N], `folders` [E]: empty in older caches.
    """

    images: dict[str, U8]  # camera -> [N, H, W, 3]
    state: F32  # [N, S]
    chunk: F32  # [N, H, A], absolute, physical units; or in the spaces of the actions
    keyframe: F32  # [N, A], command at the next gripper switch, or the episode's last one
    episode: NDArray[np.int32]  # [N]
    tokens: NDArray[np.int64]  # [E, L]
    instructions: tuple[str, ...]  # [E]
    tasks: tuple[str, ...]  # [E]
    returns: F32  # [N, len(TERMS)], reward per remaining step, see `rewards.returns_to_go`
    human: NDArray[np.bool_]  # [N], a human commanded the next step
    success: NDArray[np.int8]  # [E], 1 succeeded, 0 failed, -1 nobody said
    skipped: tuple[str, ...] = ()  # episodes that could not be read, and why
    notes: tuple[str, ...] = ()  # what was found of interventions
    kinds: NDArray[np.int8] = field(default_factory=lambda: NOTHING)
    stamp_ns: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    folders: tuple[str, ...] = ()
    key: str = ""  # the same for the same episodes, read the same way

    def __len__(self) -> int:
        return len(self.state)

    @property
    def task_numbers(self) -> NDArray[np.int64]:
        """Number the tasks in the order of their names: that of each episode [E]."""
        numbers = {task: number for number, task in enumerate(sorted(set(self.tasks)))}
        return np.array([numbers[task] for task in self.tasks], np.int64)


def find_episodes(roots: Sequence[Path]) -> list[Path]:
    """List the episode folders at or below `roots`. Raises `EpisodeError` if there is none."""
    if missing := [str(root) for root in roots if not root.is_dir()]:
        raise EpisodeError(f"no such folder: {', '.join(missing)}; give folders of episodes")
    bags = (bag for root in roots for bag in root.rglob("*.mcap"))
    found = set(filter(is_learned, {bag.parent for bag in bags}))
    if not found:
        if any(next(root.rglob("*.db3"), None) for root in roots):
            raise EpisodeError(
                "bags of sqlite3 (*.db3) are not read: `arfm episodes convert --from rosbag2`"
            )
        places = ", ".join(str(root) for root in roots)
        raise EpisodeError(f"no episode (*.mcap) below {places}; record some or run `arfm demos`")
    return sorted(found)


def load_frames(roots: Sequence[Path], cache: Path, config: FramesConfig) -> Frames:
    """Read the episodes below `roots`, or the copy in `cache` if nothing changed since."""
    folders = find_episodes(roots)
    key = _cache_key(folders, config)
    frames = _cached(cache, config)
    if frames is not None and frames.key == key:
        return frames
    try:
        _build(folders, cache, config, key)
    except OSError as error:
        raise EpisodeError(f"cannot write the frame cache in {cache}: {error}") from error
    return open_frames(cache, config)


def _cached(cache: Path, config: FramesConfig) -> Frames | None:
    """Open the cache if it is there and whole."""
    try:
        frames = open_frames(cache, config)
    except (EpisodeError, OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    whole = all(len(pixels) == len(frames) for pixels in frames.images.values())
    return frames if whole else None


def _cache_key(folders: Sequence[Path], config: FramesConfig) -> str:
    sizes = [(f.name, [p.stat().st_size for p in read_files(f)]) for f in folders]
    text = json.dumps([VERSION, _what_is_read(config), sizes])
    return hashlib.sha256(text.encode()).hexdigest()


def _what_is_read(config: FramesConfig) -> dict[str, Any]:
    """Give what decides the frames; of the default robot its names alone.

    So older caches of it stay valid. Topics count where they are not those of our recordings.
    """
    robot = config.robot
    grippers = gripper_columns((*robot.state, *robot.action))
    plain = asdict(replace(config, spaces=None))
    read = {("names" if k == "robot" else k): v for k, v in plain.items()}
    read["names"] = [robot.state_names, robot.action_names, grippers]
    if config.topics == OWN:
        del read["topics"]
    del read["spaces"]
    if config.interventions is None:
        del read["interventions"]
    if config.spaces:
        read["spaces"] = config.spaces.described()
    return read if robot != default() else read | {"names": robot.action_names}


def _build(folders: Sequence[Path], cache: Path, config: FramesConfig, key: str) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    (index := cache / "frames.json").unlink(missing_ok=True)
    rows: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    success, skipped, tally = [], [], Tally()
    texts, names = list[tuple[str, str]](), list[str]()
    files = {name: open(cache / f"{name}.u8", "wb") for name, _, _ in config.cameras}  # noqa: SIM115
    try:
        for episode in read_all(folders, config):
            if isinstance(episode, str):
                skipped.append(episode)
                continue
            arrays, keep = episode.arrays, episode.keep
            if episode.drove is not None:
                tally.add(episode.drove, episode.kinds[keep])
            if not len(keep):
                skipped += held_back(arrays, config)
                continue
            _append(rows, episode, config)
            rows["episode"].append(np.full(len(keep), len(texts), np.int32))
            texts.append((arrays.instruction, arrays.task))
            names.append(str(arrays.folder))
            success.append(-1 if arrays.success is None else int(arrays.success))
            for name, file in files.items():
                file.write(np.ascontiguousarray(arrays.images[name][keep]).tobytes())
    finally:
        for file in files.values():
            file.close()
    tally.check(config.horizon * config.dt_ns / 1e9)
    if not texts:
        why = f"; {len(skipped)} cannot be used, first {skipped[0]}" * bool(skipped)
        raise EpisodeError(
            f"none of {len(folders)} episodes has a usable step; loosen the filter{why}"
        )
    columns = {name: np.concatenate(parts) for name, parts in rows.items()}
    np.savez(cache / "frames.npz", **columns, success=np.array(success, np.int8))
    told = {"key": key, "texts": texts, "skipped": skipped, "notes": tally.notes()}
    _replace(index, json.dumps(told | {"folders": names}))


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)


def _append(rows: dict[str, list[Any]], episode: EpisodeRead, config: FramesConfig) -> None:
    arrays, keep = episode.arrays, episode.keep
    state = arrays.state[keep]
    chunks = chunks_of(arrays, keep, config.horizon, config.dt_ns)
    ahead = keyframes(arrays, config.robot)[keep]
    if config.spaces:
        chunks = written(config.spaces, chunks, state)
        ahead = written(config.spaces, ahead[:, None], state)[:, 0]
    rows["state"].append(state)
    rows["stamp_ns"].append(arrays.stamp_ns[keep])
    rows["chunk"].append(chunks)
    rows["keyframe"].append(ahead)
    rows["returns"].append(episode.returns[keep])
    rows["human"].append(human_steps(arrays)[keep])
    rows["kinds"].append(episode.kinds[keep] if len(episode.kinds) else NOTHING)


def open_frames(cache: Path, config: FramesConfig) -> Frames:
    """Open what an earlier `load_frames` left in `cache`."""
    index = cache / "frames.json"
    if not index.is_file():
        raise EpisodeError(f"no frames in {cache}: the run folder of `arfm train` holds them")
    noted = json.loads(index.read_text())
    texts = noted["texts"]
    with np.load(cache / "frames.npz") as rows:
        arrays = {name: rows[name] for name in rows.files}
    count = len(arrays["state"])
    if "returns" not in arrays:  # written before rewards were: enough for an export
        arrays["returns"] = np.full((count, len(TERMS)), np.nan, np.float32)
        arrays["human"] = np.zeros(count, np.bool_)
        arrays["success"] = np.full(len(texts), -1, np.int8)
    images = {
        name: np.memmap(cache / f"{name}.u8", np.uint8, "r").reshape(-1, height, width, 3)
        for name, height, width in config.cameras
    }
    ids = [tokenize(text, config.tokens, config.vocabulary) for text, _ in texts]
    return Frames(
        images=images,
        tokens=np.stack(ids),
        instructions=tuple(text for text, _ in texts),
        tasks=tuple(task for _, task in texts),
        skipped=tuple(noted.get("skipped", ())),
        notes=tuple(noted.get("notes", ())),
        folders=tuple(noted.get("folders", ())),
        key=noted["key"],
        **arrays,
    )
