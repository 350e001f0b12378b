"""What a training step costs: ARFM beside plain flow matching, and how long it waits for data."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from arfm_ros.core.values.statistics import median_interval
from arfm_ros.learn.loop.begin import Plan, prepare
from arfm_ros.learn.loop.checkpoint import machine
from arfm_ros.learn.loop.train import Trainer
from arfm_ros.learn.objectives.arfm import Arfm
from arfm_ros.learn.objectives.objective import Objective
from arfm_ros.learn.objectives.plain_fm import PlainFm

F64 = NDArray[np.float64]
WARM_UP, FEWEST = 3, 5  # pairs
RATIO_TARGET, BUSY_TARGET = 1.02, 0.90


@dataclass(frozen=True, slots=True)
class StepCosts:
    """Times of paired steps of the same network on batches of the same data."""

    pairs: int
    plain_ms: float  # median
    arfm_ms: float
    ratio: float  # ARFM over plain, median of the pairs
    interval: tuple[float, float]  # of the ratio, 95 %
    processor_ratio: float  # the same of processor time, which a busy machine changes little
    processor_interval: tuple[float, float]
    waiting: float  # share of the steps' time until their data was there
    samples_s: float  # of plain flow matching, at the median
    batch: int
    threads: int
    device: str
    precision: str
    observations: int
    weights: int
    machine: dict[str, Any]

    @property
    def met(self) -> bool:
        """Whether ARFM costs little enough and the data comes fast enough."""
        return self.ratio <= RATIO_TARGET and 1 - self.waiting >= BUSY_TARGET

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def measure_steps(plan: Plan, seconds: float, say: Callable[[str], None] = print) -> StepCosts:
    """Take steps of both objectives in turn for `seconds`; which goes first alternates.

    Steps before every kernel and cache is warm are not counted; five
    pairs are, however long they take.
    """
    train = replace(plan.train, objective=Arfm(), steps=1_000_000, minutes=0.0)
    trainer, _ = prepare(replace(plan, train=train), "", say)
    both = PlainFm(), trainer.objective  # which knows all the data, as in a training
    for _ in range(WARM_UP):
        _pair(trainer, both, 0)
    end, pairs = time.monotonic() + seconds, list[F64]()
    while len(pairs) < FEWEST or time.monotonic() < end:
        pairs.append(_pair(trainer, both, len(pairs) % 2))
    return _costs(trainer, np.stack(pairs))


def _pair(trainer: Trainer, both: tuple[Objective, Objective], first: int) -> F64:
    """Take a step of each objective, `first` before the other.

    One network takes both: the memory of two would differ, and with it their times.
    Returns [2, 3]: of plain flow matching and of ARFM the time, the processor time and the time
    without data, in seconds.
    """
    rows = np.zeros((2, 3))
    for index in (first, 1 - first):
        trainer.objective = both[index]
        began, used = time.perf_counter(), time.process_time()
        info = trainer.step()
        if trainer.device.type == "cuda":
            torch.cuda.synchronize()
        took_s = time.perf_counter() - began
        rows[index] = took_s, time.process_time() - used, info["waiting"] * took_s
    return rows


def _costs(trainer: Trainer, pairs: F64) -> StepCosts:
    ratios, processor = (pairs[:, 1, i] / pairs[:, 0, i] for i in (0, 1))
    plain_s, arfm_s = np.median(pairs[:, :, 0], axis=0)
    batch = min(trainer.config.batch, len(trainer.sampler.rows))
    return StepCosts(
        pairs=len(pairs),
        plain_ms=round(1e3 * float(plain_s), 2),
        arfm_ms=round(1e3 * float(arfm_s), 2),
        ratio=float(np.median(ratios)),
        interval=median_interval(ratios),
        processor_ratio=float(np.median(processor)),
        processor_interval=median_interval(processor),
        waiting=float(pairs[:, :, 2].sum() / pairs[:, :, 0].sum()),
        samples_s=batch / float(plain_s),
        batch=batch,
        threads=len(trainer.replicas.models),
        device=str(trainer.device),
        precision=trainer.precision,
        observations=len(trainer.sampler.rows),
        weights=sum(p.numel() for p in trainer.model.parameters()),
        machine=machine(),
    )
