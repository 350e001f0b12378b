"""What a training step costs: ARFM beside plain flow matching, and how long it waits for data."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from arfm_ros.core.statistics import median_interval
from arfm_ros.learn.arfm import Arfm
from arfm_ros.learn.checkpoint import machine
from arfm_ros.learn.plain_fm import PlainFm
from arfm_ros.learn.session import Plan, prepare
from arfm_ros.learn.train import Trainer

WARM_UP, FEWEST = 3, 5  # pairs
RATIO_TARGET, BUSY_TARGET = 1.02, 0.90


@dataclass(frozen=True, slots=True)
class StepCosts:
    """Times of paired steps of the same network on the same batches."""

    pairs: int
    plain_ms: float  # median
    arfm_ms: float
    ratio: float  # ARFM over plain, median of the pairs
    interval: tuple[float, float]  # of the ratio, 95 %
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
    """Take steps of both objectives in turn for `seconds`, each pair on the same batch.

    Who goes first alternates. Steps before every kernel and cache is warm are not counted; five
    pairs are, however long they take.
    """
    trainers = []
    for objective in (PlainFm(), Arfm()):
        train = replace(plan.train, objective=objective, steps=1_000_000, minutes=0.0)
        trainers.append(prepare(replace(plan, train=train), "", say)[0])
    times: list[tuple[float, float]] = []
    waited_s = 0.0
    for _ in range(WARM_UP):
        _pair(trainers, 0)
    end = time.monotonic() + seconds
    while len(times) < FEWEST or time.monotonic() < end:
        pair, waited = _pair(trainers, len(times) % 2)
        times.append(pair)
        waited_s += waited
    return _costs(trainers[0], np.array(times), waited_s)


def _pair(trainers: list[Trainer], first: int) -> tuple[tuple[float, float], float]:
    """Take a step of each, `first` before the other; returns their times and the time waited."""
    took, waited = [0.0, 0.0], 0.0
    for index in (first, 1 - first):
        began = time.perf_counter()
        info = trainers[index].step()
        if trainers[index].device.type == "cuda":
            torch.cuda.synchronize()
        took[index] = time.perf_counter() - began
        waited += info["waiting"] * took[index]
    return (took[0], took[1]), waited


def _costs(trainer: Trainer, times: np.ndarray[Any, Any], waited_s: float) -> StepCosts:
    ratios = times[:, 1] / times[:, 0]
    plain_s, arfm_s = np.median(times, axis=0)
    batch = min(trainer.config.batch, len(trainer.sampler.rows))
    return StepCosts(
        pairs=len(times),
        plain_ms=round(1e3 * float(plain_s), 2),
        arfm_ms=round(1e3 * float(arfm_s), 2),
        ratio=float(np.median(ratios)),
        interval=median_interval(ratios),
        waiting=waited_s / float(times.sum()),
        samples_s=batch / float(plain_s),
        batch=batch,
        threads=len(trainer.replicas.models),
        device=str(trainer.device),
        precision=trainer.precision,
        observations=len(trainer.sampler.rows),
        weights=sum(p.numel() for p in trainer.model.parameters()),
        machine=machine(),
    )
