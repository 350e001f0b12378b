"""Many simulated episodes of one network at a time: one batched forward pass for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import islice

import numpy as np
import torch

from arfm_ros.core.values.data import F32, ActionChunk, Observation
from arfm_ros.core.values.spec import PolicySpec, Rtc
from arfm_ros.core.values.text import tokenize
from arfm_ros.engines.resample import fit_image
from arfm_ros.evaluate.rollout import RolloutResult, Rollouts
from arfm_ros.learn.loop.checkpoint import Checkpoint, build_policy
from arfm_ros.learn.model.network import sample, to_float
from arfm_ros.sim.drive.driver import TICK_MS, DriverConfig

LANES = 64
SEEING_LANES = 16  # each has an OpenGL context of its own


class TorchPolicy:
    """A network on torch: many observations at a time, one chunk after the other.

    It computes what the exported bundle does; a test holds the two against each other.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        # one chunk after the other: guidance needs the exported graph
        self.spec: PolicySpec = replace(checkpoint.spec, rtc=Rtc())
        self._model = build_policy(checkpoint)

    @torch.inference_mode()
    def chunks(
        self, observations: Sequence[Observation], noise: F32, steps: int | None = None
    ) -> list[ActionChunk]:
        """Make the chunks of B observations from noise [B, H, A]."""
        spec, language = self.spec, self.spec.language
        state = np.stack([observation.state for observation in observations])
        size = (language.length, language.vocabulary)
        words = np.stack([tokenize(o.instruction, *size) for o in observations])
        position = torch.from_numpy(spec.state_norm.normalise(state))
        images = {
            camera.name: to_float(
                torch.from_numpy(
                    np.stack([fit_image(o.images[camera.name], camera) for o in observations])
                )
            )
            for camera in spec.cameras
        }
        context, _ = self._model.encode(images, position, torch.from_numpy(words))
        x = sample(self._model, context, torch.from_numpy(noise), steps or spec.steps).numpy()
        return [
            ActionChunk(
                spec.unnormalise_actions(one, o.state), o.stamp_ns, spec.dt_ns, spec.action_names
            )
            for one, o in zip(x, observations)
        ]


def run_batch(
    policy: TorchPolicy, jobs: Sequence[tuple[str, int]], config: DriverConfig, limit_s: float
) -> list[RolloutResult]:
    """Run the episodes of (task, seed) in lanes side by side; results in the order of `jobs`.

    Each lane has a world of its own. A new episode begins with the others' next observation, so
    that all lanes need their chunks at the same time. `limit_s` of simulated time ends an episode
    if the task's own limit does not.
    """
    lanes = min(SEEING_LANES if policy.spec.cameras else LANES, len(jobs))
    with ExitStack() as stack:
        spares = [
            stack.enter_context(closing(Rollouts(None, policy.spec, config))) for _ in range(lanes)
        ]
        results = _run_lanes(policy, jobs, config, limit_s, spares)
    return [results[index] for index in range(len(jobs))]


def _run_lanes(
    policy: TorchPolicy,
    jobs: Sequence[tuple[str, int]],
    config: DriverConfig,
    limit_s: float,
    spares: list[Rollouts],
) -> dict[int, RolloutResult]:
    waiting = iter(enumerate(jobs))
    running: dict[int, Rollouts] = {}
    results: dict[int, RolloutResult] = {}
    while len(results) < len(jobs):
        for index, job in islice(waiting, len(spares)):
            running[index] = spares.pop()
            running[index].begin(*job, limit_s)
        for index, result in _advance(policy, running, config).items():
            results[index] = result
            spares.append(running.pop(index))
    return results


def _advance(
    policy: TorchPolicy, running: Mapping[int, Rollouts], config: DriverConfig
) -> dict[int, RolloutResult]:
    """Give every lane its chunk, then let all act until the next; returns those that ended."""
    drivers = [lane.driver for lane in running.values()]
    noise = np.stack([driver.noise() for driver in drivers])
    made = policy.chunks([driver.observe() for driver in drivers], noise, config.steps)
    for driver, chunk in zip(drivers, made):
        driver.take(chunk)
    ended: dict[int, RolloutResult] = {}
    for index, lane in running.items():
        for _ in range(config.period_ms // TICK_MS):
            result = lane.tick()
            if result is not None:
                ended[index] = result
                break
    return ended
