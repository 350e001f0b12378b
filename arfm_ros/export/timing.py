"""Speed of a bundle against the same network in eager torch, measured in one run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch

from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines.gate.replay import Reference
from arfm_ros.engines.policy import EnginePolicy
from arfm_ros.learn.model.network import FlowPolicy, sample, to_float

REPEATS = 40
BLOCK, COLD = 10, 3  # calls in a row that count, and those before them that do not
LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Median milliseconds for one chunk (prefix and all steps), batch 1."""

    threads: int
    steps: int
    torch_ms: float
    torch_one_thread_ms: float  # small tensors may gain nothing from a second thread
    onnxruntime_ms: float
    onnxruntime_prefix_ms: float
    onnxruntime_step_ms: float
    ratio: float  # torch / onnxruntime, both on `threads` threads
    ratio_to_fastest_torch: float
    load_average: float  # of the machine before; above its cores the figures mean little

    def as_json(self) -> dict[str, float]:
        """Return plain numbers, rounded to microseconds."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


def measure(
    model: FlowPolicy,
    policy: EnginePolicy,
    reference: Reference,
    threads: int = 2,
    repeats: int = REPEATS,
) -> Timing:
    """Time both on the first reference observation, in turns, so that both meet the same load.

    `policy` has to be opened with the same number of `threads`.
    """
    load = os.getloadavg()[0]
    eager = torch_chunk(model, policy.spec, reference)
    observation, noise = reference.observation(0), reference.noise[0]
    rows: list[list[float]] = [[], [], [], []]

    def both() -> None:
        context = policy.encode(observation)
        policy.sample(context, noise)
        rows[3].append(1e-6 * context.encode_ns)

    finish = time.monotonic() + LIMIT_S
    while len(rows[0]) < repeats and (not rows[0] or time.monotonic() < finish):
        # in blocks, because threads of one runtime keep spinning into the other's first calls
        torch.set_num_threads(threads)
        rows[0] += _milliseconds(eager)
        torch.set_num_threads(1)
        rows[1] += _milliseconds(eager)
        rows[2] += _milliseconds(both)
    p50 = [float(np.median(row)) for row in rows]
    step_ms = (p50[2] - p50[3]) / policy.spec.steps
    fastest = min(p50[0], p50[1])
    return Timing(
        threads, policy.spec.steps, *p50, step_ms, p50[0] / p50[2], fastest / p50[2], load
    )


def torch_chunk(
    model: FlowPolicy, spec: PolicySpec, reference: Reference
) -> Callable[[], np.ndarray]:
    """Return a function that computes the first reference chunk in eager torch."""
    from arfm_ros.core.values.text import tokenize

    language = spec.language
    words = tokenize(reference.instructions[0], language.length, language.vocabulary)
    tokens = torch.from_numpy(words[None])
    pixels = {n: torch.from_numpy(x[:1]) for n, x in reference.images.items()}

    def chunk() -> np.ndarray:
        with torch.inference_mode():
            state = torch.from_numpy(spec.state_norm.normalise(reference.state[:1]))
            images = {name: to_float(image) for name, image in pixels.items()}
            context, _ = model.encode(images, state, tokens)
            x = sample(model, context, torch.from_numpy(reference.noise[:1]), spec.steps)
        return spec.unnormalise_actions(x[0].numpy(), reference.state[0])

    return chunk


def _milliseconds(work: Callable[[], object]) -> list[float]:
    """Time a block of calls after some that do not count."""
    for _ in range(COLD):
        work()
    taken = []
    for _ in range(BLOCK):
        begin = time.perf_counter()
        work()
        taken.append(1e3 * (time.perf_counter() - begin))
    return taken
