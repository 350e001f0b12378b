"""Convert many episodes, with progress; one that does not fit is told and left out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from arfm_ros.core.errors import EpisodeError
from arfm_ros.datasets.lerobot.write import DatasetWriter
from arfm_ros.datasets.resample import Resampling
from arfm_ros.datasets.rows import Rows, read_rows
from arfm_ros.episodes.edit.recover import bag_sha256
from arfm_ros.episodes.read.topics import OWN, Topics
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.write.durable import partial_of

Returns = Callable[[EpisodeReader, Rows], Any]  # a table of the side-car, or None


@dataclass(slots=True)
class Done:
    """What became of the episodes."""

    made: int = 0
    there: int = 0  # in it already
    frames: int = 0
    refused: list[str] = field(default_factory=list)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:.2f}/s")


@contextmanager
def progress(what: str, count: int) -> Generator[Callable[[], None], None, None]:
    """Show a bar with rate and time left; what is given counts one."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task(what, total=count)
        yield lambda: bar.advance(task)


def to_lerobot(
    folders: Sequence[Path],
    root: Path,
    how: Resampling,
    topics: Topics = OWN,
    video: bool = True,
    returns: Returns | None = None,
) -> Done:
    """Add the episodes that are not in the dataset `root` yet; goes on after a kill."""
    done = Done()
    with DatasetWriter(root, how, video) as writer, progress("episodes", len(folders)) as step:
        for folder in folders:
            try:
                _add(writer, folder, how, topics, returns, done)
            except EpisodeError as error:
                done.refused.append(f"{folder.name}: {error}")
            step()
    return done


def _add(
    writer: DatasetWriter,
    folder: Path,
    how: Resampling,
    topics: Topics,
    returns: Returns | None,
    done: Done,
) -> None:
    reader = EpisodeReader(folder)
    sha256 = bag_sha256([file.path for file in reader.files])
    if sha256 in writer.sources:
        done.there += 1
        return
    if reader.damage:
        raise EpisodeError(f"{reader.damage[0]} (arfm episodes recover mends it)")
    rows = read_rows(reader, how, topics)
    source = {
        "episode": folder.name,
        "sha256": sha256,
        "labels": reader.labels(),
        "info": reader.info(),
        "instruction": rows.instruction,
        "authority": [list(pair) for pair in rows.authority],
        "tools": list(rows.tools),
    }
    writer.add(reader, rows, source, returns(reader, rows) if returns else None)
    done.made += 1
    done.frames += len(rows.stamp_ns) * max(len(rows.shots), 1)


def each(what: str, targets: Sequence[tuple[Path, Callable[[Path], object]]]) -> Done:
    """Make the episodes that are not there yet: (folder, what writes it)."""
    done = Done()
    with progress(what, len(targets)) as step:
        for target, make in targets:
            _make(target, make, done)
            step()
    return done


def _make(target: Path, make: Callable[[Path], object], done: Done) -> None:
    if target.exists():
        done.there += 1
        return
    shutil.rmtree(partial_of(target), ignore_errors=True)  # left by a kill
    try:
        make(target)
        done.made += 1
    except EpisodeError as error:
        done.refused.append(f"{target.name}: {error}")
