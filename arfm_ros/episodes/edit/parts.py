"""Cut an episode into several, or make one of several. What was there stays as it is."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.edit.copying import copy, offered_qos, readable
from arfm_ros.episodes.edit.recover import bag_sha256
from arfm_ros.episodes.edit.relabel import later_labels
from arfm_ros.episodes.labels import DISCARDED_KEY, LABEL_TOPIC
from arfm_ros.episodes.labels import merge as merged
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.scan import Record
from arfm_ros.episodes.write import manifest
from arfm_ros.episodes.write.content import Making
from arfm_ros.episodes.write.info import INFO_TOPIC
from arfm_ros.episodes.write.writer import EpisodeWriter

SAID = (LABEL_TOPIC, INFO_TOPIC)  # by people and the recorder, not by a sensor


def split(source: Path, at_s: Sequence[float], out: Path | None = None) -> list[Path]:
    """Cut at instants, in seconds from the first message; give one folder a part.

    They lie in `out` (default: beside the source), named after it with `_1`, `_2` and so on. Each
    begins with the newest message of every latched topic. A label stays in the part in which it
    was given, so that of the end (success) belongs to the last one. Raises `EpisodeError` for
    instants outside of the episode, and for parts that exist.
    """
    reader = _whole(source)
    begin_ns, end_ns = _span(reader)
    cuts = [begin_ns + round(1e9 * s) for s in sorted(set(at_s))]
    if not cuts or not begin_ns < cuts[0] <= cuts[-1] <= end_ns:
        took_s = (end_ns - begin_ns) / 1e9
        raise EpisodeError(
            f"{source} lasts {took_s:.2f} s: cut it at instants between 0 and that (--at)"
        )
    home = out or source.parent
    names = [home / f"{source.name}_{n}" for n in range(1, len(cuts) + 2)]
    _free(names)
    later = merged(later_labels(source))
    for name, span in zip(names, pairwise([begin_ns, *cuts, end_ns + 1])):
        about = {"part_of": source.name, "part_s": [(t - begin_ns) / 1e9 for t in span]}
        last = span[1] > end_ns
        label = {key: v for key, v in later.items() if last or key == DISCARDED_KEY}
        _write(name, [reader], _part(reader, span), about, label)
    return names


def merge(sources: Sequence[Path], target: Path) -> Path:
    """Make one episode of several, in the order of their times; labels of the last one count.

    They follow each other, or have no topic in common (two recorders at one robot). Raises
    `EpisodeError` for others, and where `target` exists.
    """
    readers = sorted((_whole(source) for source in sources), key=lambda one: _span(one)[0])
    if len(readers) < 2:
        raise EpisodeError("merge needs at least two episodes")
    for one, two in pairwise(readers):
        shared = (one.topics.keys() & two.topics.keys()) - set(SAID)
        if _span(two)[0] <= _span(one)[1] and shared:
            raise EpisodeError(
                f"{one.folder} and {two.folder} were recorded at the same time and both have "
                f"{', '.join(sorted(shared))}: leave one of the two out"
            )
    _free([target])
    about = {"merged_of": [reader.folder.name for reader in readers]}
    return _write(target, readers, _in_turn(readers), about, readers[-1].label())


def _write(
    folder: Path,
    readers: Sequence[EpisodeReader],
    records: Iterable[Record],
    about: Mapping[str, object],
    label: Mapping[str, object],
) -> Path:
    files = [file for reader in readers for file in reader.files]
    known = manifest.load(readers[0].folder)
    info = {**({} if known is None else known.info), **readers[0].info(), **about}
    sha256 = bag_sha256([file.path for file in files])
    writer = EpisodeWriter(folder, offered_qos(files), Making(source_sha256=sha256, info=info))
    rest = iter(records)
    first = next(rest)
    writer.tell(info, first.log_time_ns)
    end_ns = copy(writer, chain([first], rest))
    if label:
        writer.label(label, end_ns)
    return writer.close()


def _part(reader: EpisodeReader, span: tuple[int, int]) -> Iterator[Record]:
    """Give the records in a span, after the newest that latched topics had before it."""
    latched = {topic for topic, qos in offered_qos(reader.files).items() if qos.latched}
    latched -= set(SAID)
    before: dict[str, Record] = {}
    for record in reader.records(latched):
        if record.log_time_ns < span[0]:
            before[record.topic] = record
    for record in before.values():
        yield replace(record, log_time_ns=span[0])
    for record in reader.records(readable(reader)):
        if span[0] <= record.log_time_ns < span[1]:
            yield record


def _in_turn(readers: Sequence[EpisodeReader]) -> Iterator[Record]:
    """Give the records of all by time, numbered on where another episode begins.

    Between two of them nothing was lost, whatever the publisher counted meanwhile.
    """
    streams = [_numbered(n, reader) for n, reader in enumerate(readers)]
    last: dict[str, tuple[int, int, int]] = {}  # episode, its own number, the number given
    for n, record in heapq.merge(*streams, key=lambda pair: pair[1].log_time_ns):
        if not record.sequence:
            yield record
            continue
        episode, own, given = last.get(record.topic, (n, 0, 0))
        step = record.sequence - own if episode == n and record.sequence > own else 1
        last[record.topic] = (n, record.sequence, given + step)
        yield replace(record, sequence=given + step)


def _numbered(n: int, reader: EpisodeReader) -> Iterator[tuple[int, Record]]:
    for record in reader.records(readable(reader)):
        yield n, record


def _whole(source: Path) -> EpisodeReader:
    reader = EpisodeReader(source)
    if reader.damage:
        raise EpisodeError(f"{source} is damaged ({reader.damage[0]}): arfm episodes recover it")
    return reader


def _span(reader: EpisodeReader) -> tuple[int, int]:
    times = [record.log_time_ns for record in reader.records()]
    if not times:
        raise EpisodeError(f"{reader.folder} holds no message")
    return min(times), max(times)


def _free(folders: Sequence[Path]) -> None:
    taken = [str(folder) for folder in folders if folder.exists()]
    if taken:
        raise EpisodeError(f"{', '.join(taken)} exists already and is not overwritten")
