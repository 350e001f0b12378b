"""Inject many faults into running stacks and report."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from arfm_ros.bringup import Setup
from arfm_ros.faults.judging.expected import Kind
from arfm_ros.faults.judging.judge import Row
from arfm_ros.faults.judging.record import Reader
from arfm_ros.faults.operating import Operator
from arfm_ros.faults.stack import Broken, Stack
from arfm_ros.faults.trial import Scene
from arfm_ros.up.shared_memory import remove_orphans
from arfm_ros.up.stack.run import own_domain

Tell = Callable[[Row], None]
TRIES = 2


def draw(kinds: Sequence[Kind], count: int, seed: int) -> list[tuple[Kind, int]]:
    """Return `count` (kind, seed) in an order of chance: each kind as often as any other."""
    rng = Random(seed)
    drawn: list[Kind] = []
    while len(drawn) < count:
        drawn += rng.sample(kinds, len(kinds))
    trials = [(kind, rng.randrange(2**31)) for kind in drawn[:count]]
    return sorted(trials, key=lambda trial: trial[0].variant)


def run(trials: Sequence[tuple[Kind, int]], tell: Tell) -> list[Row]:
    """Run the trials, each variant on a stack of its own; `tell` gets each row at once."""
    rows: list[Row] = []
    with own_domain(Setup(sim=True)), tempfile.TemporaryDirectory() as folder:
        for variant in dict.fromkeys(kind.variant for kind, _ in trials):
            own = [trial for trial in trials if trial[0].variant == variant]
            for row in _variant(variant, own, Path(folder)):
                tell(row)
                rows.append(row)
    return rows


def _variant(
    variant: str, trials: Iterable[tuple[Kind, int]], folder: Path
) -> Generator[Row, None, None]:
    waiting = list(trials)
    while waiting:  # what breaks the stack altogether costs a fresh one
        with _scene(variant, folder) as scene:
            yield from _until_broken(scene, waiting)


def _until_broken(scene: Scene, waiting: list[tuple[Kind, int]]) -> Generator[Row, None, None]:
    while waiting:
        kind, seed = waiting.pop(0)
        try:
            yield scene.run(kind, seed)
        except Broken as error:
            died = "".join(f"; {text}" for text in scene.stack.last_words())
            yield Row(kind.name, seed, violations=[f"the stack broke: {error}{died}"])
            return


@contextmanager
def _scene(variant: str, folder: Path) -> Generator[Scene, None, None]:
    remove_orphans()
    begin_s = time.monotonic()
    stack = Stack(folder / f"{variant}_{begin_s:.0f}", variant)
    operator = Operator(heartbeat=variant == "heartbeat")
    try:
        if not operator.wait(stack.record.exists, 30.0):
            raise Broken("the witness does not start")
        yield Scene(stack, operator, Reader(stack.record))
    finally:
        operator.close()
        stack.close()


def outcome(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """Return what `--json` writes."""
    return {
        "injected": len(rows),
        "violations": sum(len(row.violations) for row in rows),
        "seed": seed,
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "rows": [row.as_dict() for row in rows],
    }
