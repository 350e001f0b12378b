"""Record many episodes, on several processes, skipping those that are there already."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.progress import track

from arfm_ros.core.errors import ConfigError
from arfm_ros.workers import worker_pool


class Recorder(Protocol):
    """Records episodes one after another."""

    def record(self, task_name: str, seed: int, folder: Path) -> bool:
        """Record the episode of `seed` into `folder` and return whether it succeeded."""
        ...


class Options(Protocol):
    """How episodes are made; goes to every process."""

    def open(self) -> Recorder:
        """Make what records them."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Which episodes: `count` seeds from `seed` on for each task."""

    tasks: tuple[str, ...]
    count: int
    seed: int
    out: Path
    name: str  # of a folder, with {task} in it; the seed is appended
    by_task: bool = False  # one task after the other: where opening one takes long

    def jobs(self) -> Iterator[tuple[str, int, Path]]:
        """Yield task, seed and folder of each episode."""
        seeds = range(self.seed, self.seed + self.count)
        pairs = [(task, seed) for seed in seeds for task in self.tasks]
        if self.by_task:
            pairs.sort(key=lambda pair: self.tasks.index(pair[0]))
        for task, seed in pairs:
            yield task, seed, self.out / f"{self.name.format(task=task)}_{seed:06d}"


NOTES = "demos.json"

_recorder: Recorder | None = None


def record_batch(batch: Batch, options: Options, workers: int) -> dict[str, tuple[int, int]]:
    """Record what is missing of `batch` and return (successes, episodes) per task of that."""
    if batch.count < 1 or workers < 1:
        raise ConfigError(
            f"--episodes {batch.count} and --workers {workers} need to be at least 1"
        )
    batch.out.mkdir(parents=True, exist_ok=True)
    jobs = [job for job in batch.jobs() if not job[2].exists()]
    good: Counter[str] = Counter()
    total: Counter[str] = Counter()
    with worker_pool(workers, _start, (options,)) as pool:
        for task, success in track(
            pool.as_done(_record, jobs), total=len(jobs), description="episodes"
        ):
            total[task] += 1
            good[task] += success
    for _, _, folder in jobs:  # what processes that were killed had not finished
        for left in batch.out.glob(f".{folder.name}.*"):
            shutil.rmtree(left, ignore_errors=True)
    return {task: (good[task], total[task]) for task in batch.tasks}


def note_command(out: Path, command: str) -> None:
    """Add to `out`/demos.json how its episodes were made; training copies it to the model card."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / NOTES
    commands: list[str] = json.loads(path.read_text()) if path.exists() else []
    if command not in commands:
        path.write_text(json.dumps([*commands, command], indent=1) + "\n")


def _start(options: Options) -> None:
    global _recorder
    _recorder = options.open()


def _record(job: tuple[str, int, Path]) -> tuple[str, bool]:
    task, seed, folder = job
    assert _recorder is not None
    # A worker of a killed run may still be at its last episode: each writes a folder of its own.
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    success = _recorder.record(task, seed, unfinished)
    try:
        unfinished.rename(folder)
    except OSError:  # that worker was first: the same start, the same episode
        if not folder.is_dir():
            raise
        shutil.rmtree(unfinished)
    return task, success
