"""Cells of a study: a row trained with a seed, measured; each is one JSON file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch

from arfm_ros.learn.loop.checkpoint import Checkpoint, machine
from arfm_ros.sim.drive.driver import DriverConfig
from arfm_ros.study import worlds
from arfm_ros.study.experiments import START, Row, Stage, Study, find_study
from arfm_ros.study.lab import Lab, Training, start_of, write_json
from arfm_ros.study.rollouts import TorchPolicy, run_batch
from arfm_ros.workers import worker_pool


@dataclass(frozen=True, slots=True)
class Cell:
    """A variant of a study, a row and a training seed."""

    study: str
    variant: str
    row: Row
    seed: int

    @property
    def name(self) -> str:
        """Name of its file."""
        words = (self.variant, self.row.name, str(self.seed))
        return "_".join(word.replace(" ", "-") for word in words if word)

    def file(self, lab: Lab) -> Path:
        """Return where its result is."""
        return lab.root / "cells" / self.study / f"{self.name}.json"

    def done(self, lab: Lab) -> bool:
        """Tell whether it was measured, on as many episodes as are wanted now or more."""
        file = self.file(lab)
        return file.exists() and _episodes(json.loads(file.read_text())) >= lab.sizes.episodes


def cells_of(study: Study, seeds: int, rows: Sequence[str] = ()) -> Iterator[Cell]:
    """Give the cells of a study seed by seed, so that a part of them already compares."""
    yield Cell(study.name, "", START, 0)
    kept = [row for row in study.rows if not rows or row.name in rows]
    for seed, variant, row in product(range(seeds), study.variants, kept):
        yield Cell(study.name, variant, row, seed)


def run_cells(
    cells: Sequence[Cell], lab: Lab, workers: int, command: str, say: Callable[[str], None]
) -> None:
    """Run what is missing; demonstrations, the common start and frames are made first."""
    missing = [cell for cell in cells if not cell.done(lab)]
    if not missing:
        return
    study = find_study(missing[0].study)
    stages = [study.start, *(stage for chain in study.variants.values() for stage in chain)]
    tasks = [task for one in stages for task in (*one.tasks, *one.normalised)]
    lab.record(tuple(dict.fromkeys(tasks)), study.start.qualities, workers)
    say("training the start")
    lab.train(start_of(study.start))
    for cell in missing:
        for training, _ in chain_of(cell):
            lab.cache(training)  # before two processes would read the same episodes
    jobs = [(cell, lab, command) for cell in missing]
    with worker_pool(workers) as pool:
        for number, line in enumerate(pool.as_done(run_cell, jobs), 1):
            say(f"{number}/{len(jobs)}  {line}")


def chain_of(cell: Cell) -> list[tuple[Training, Stage]]:
    """List the trainings of a cell, one after the other, the common start first."""
    study = find_study(cell.study)
    chain = [(start_of(study.start), study.start)]
    for stage in () if cell.row == START else study.variants[cell.variant]:
        chain.append((Training(stage, cell.row, cell.seed, chain[-1][0]), stage))
    return chain


def run_cell(job: tuple[Cell, Lab, str]) -> str:
    """Train, measure and write a cell (cell, lab, command); returns a line that says how it went.

    The trainings before it and its frames are found in the lab or made.
    """
    cell, lab, command = job
    torch.set_num_threads(1)
    study = find_study(cell.study)
    chain = chain_of(cell)
    results: list[dict[str, Any]] = []
    for training, stage in chain if cell.row == START else chain[1:]:
        results += [{"after": stage.tasks, **r} for r in _reached(training, stage, study, lab)]
    write_json(
        cell.file(lab),
        {
            **asdict(cell),
            "command": command,
            "machine": machine(),
            "sizes": asdict(lab.sizes),
            "first_seed": study.first_seed,
            "training": lab.log(chain[-1][0]),
            "results": results,
        },
    )
    rate = sum(sum(r["success"]) for r in results) / sum(len(r["success"]) for r in results)
    return f"{cell.name}: {100 * rate:.1f} %"


def _reached(training: Training, stage: Stage, study: Study, lab: Lab) -> list[dict[str, Any]]:
    """Train, then measure every task of the stage, with each noise."""
    checkpoint = lab.train(training)
    if study.world:
        seeds = range(study.first_seed, study.first_seed + lab.sizes.episodes)
        run, cache = lab.run(training), lab.cache(training)
        found = worlds.measure(run, cache, study.world, stage.measured, seeds)
        return [{"noise": 0.0, **one} for one in found]
    return [
        {"task": task, "noise": noise, **measure(checkpoint, study, task, noise, lab)}
        for noise in study.noise
        for task in stage.measured
    ]


def measure(
    checkpoint: Checkpoint, study: Study, task: str, noise: float, lab: Lab
) -> dict[str, list[Any]]:
    """Run the episodes of a task, in the order of their seeds.

    Returns `success`, 1 or 0, and `seconds` until it or, of a failure, until the limit.
    """
    seeds = range(study.first_seed, study.first_seed + lab.sizes.episodes)
    config = DriverConfig(action_noise=noise, guide=False, seams=False)
    jobs = [(task, seed) for seed in seeds]
    limit_s = study.limit_s or lab.sizes.limit_s
    results = run_batch(TorchPolicy(checkpoint), jobs, config, limit_s)
    return {
        "success": [int(result.success) for result in results],
        "seconds": [r.seconds if r.success else limit_s for r in results],
    }


def read_cells(cells: Sequence[Cell], lab: Lab) -> list[dict[str, Any]]:
    """Read the cells that are there, each with the episodes that all of them measured."""
    files = [cell.file(lab) for cell in cells]
    found = [json.loads(file.read_text()) for file in files if file.exists()]
    common = min(map(_episodes, found), default=0)
    for result in (result for cell in found for result in cell["results"]):
        for name in ("success", "seconds"):
            result[name] = result.get(name, [])[:common]
    return found


def _episodes(cell: dict[str, Any]) -> int:
    return min(len(result["success"]) for result in cell["results"])
