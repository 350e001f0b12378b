"""What a contender takes of memory: each in a process of its own, which tells what it has."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from arfm_ros.workers import worker_pool

STATUS = Path("/proc/self/status")
KINDS = {"anonymous": "RssAnon", "resident": "VmRSS", "peak_resident": "VmHWM"}
Usage = dict[str, int]  # bytes
Mark = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Job:
    """What is opened in the process."""

    bundle: Path
    source: str  # lerobot:FOLDER; "": the bundle itself
    interface: Path | None
    threads: int


def growth(job: Job) -> dict[str, Usage]:
    """Return what a process has grown by, in bytes: packages read, opened, after its first chunk.

    Anonymous memory is its own; resident memory also counts the pages of files that it reads,
    which the machine takes back when it needs them. Raises what opening or the chunk raises.
    """
    with worker_pool(1) as workers:
        (found,) = workers.in_order(_measure, [job])
    return found


def usage(status: Path = STATUS) -> Usage:
    """Read what this process has, in bytes (Linux, proc_pid_status(5))."""
    text = status.read_text()
    found = {}
    for name, field in KINDS.items():
        match = re.search(rf"^{field}:\s*(\d+) kB$", text, re.MULTILINE)
        found[name] = 1024 * int(match.group(1)) if match else 0
    return found


def _measure(job: Job) -> dict[str, Usage]:
    before, marks = usage(), dict[str, Usage]()

    def mark(what: str) -> None:
        marks[what] = {name: value - before[name] for name, value in usage().items()}

    (_library if job.source else _bundle)(job, mark)
    return marks


def _bundle(job: Job, mark: Mark) -> None:
    from arfm_ros.bench.against.measure import observation_of, own_chunk
    from arfm_ros.engines import load_bundle

    mark("packages")
    chunk, _ = own_chunk(job.bundle, job.threads)
    mark("opened")
    observation = observation_of(load_bundle(job.bundle))
    chunk(observation)
    mark("first chunk")


def _library(job: Job, mark: Mark) -> None:
    from torch import set_num_threads

    from arfm_ros.bench.against.library import chunk_of, flow_of, open_library
    from arfm_ros.bench.against.measure import noise_of, observation_of
    from arfm_ros.engines import load_bundle
    from arfm_ros.export.lerobot.checkpoint import policy_class_of

    set_num_threads(job.threads)
    family, _ = flow_of(job.source)
    policy_class_of(family.name, family.where)
    mark("packages")
    bundle = load_bundle(job.bundle)
    library, _ = open_library(job.source, bundle.spec, job.interface)
    chunk = chunk_of(library, noise_of(bundle.spec), bundle.spec.steps)
    mark("opened")
    chunk(observation_of(bundle))
    mark("first chunk")
