"""Distillation: a chunk in fewer steps than the policy that is begun with takes.

A teacher goes from noise to a chunk in many Euler steps. Of K parts of its way, part k leads from
x at time k / K to x' at (k + 1) / K. The student learns the mean velocity over it, K (x' - x), at
x: what one Euler step of 1 / K needs. K = 1 is the distillation of Liu et al., InstaFlow (2024),
without its reflow; more are one round of Salimans and Ho's progressive one (2022). Only the
velocity network learns: the prefix stays as it is, to the last bit, and is computed once for both.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.spec import PolicySpec, Rtc
from arfm_ros.learn.data.dataset import WHOLE, Share
from arfm_ros.learn.model.network import EncodedContext, FlowPolicy
from arfm_ros.learn.objectives.flow_loss import FlowConfig, follow_on, mean_of_free

WALK = 12  # steps of the teacher, at least


class Drawing(NamedTuple):
    """How noise and late chunks are drawn for a share of a batch."""

    config: FlowConfig
    rng: torch.Generator
    share: Share = WHOLE


def teacher_steps(steps: int) -> int:
    """Count the teacher's steps: `WALK` or more, a multiple of the student's `steps`."""
    return steps * -(-WALK // steps)


def check_distilled(steps: int, objective: str) -> None:
    """Raise `ConfigError` for options that do not go with `--distil`."""
    if steps < 0:
        raise ConfigError(f"--distil {steps}: needs a count of steps, 1 or more")
    if steps and objective != "fm":
        raise ConfigError(
            f"--distil with --objective {objective}: it learns what the policy of --init does, "
            "whatever the episodes are worth"
        )


def distilled_spec(spec: PolicySpec, steps: int, guidance: float = 1.0) -> PolicySpec:
    """Say what a student of the policy with `spec` is; 0 steps: no student, what it was.

    Raises `ConfigError` for a policy that is a student itself or guided by its condition.
    """
    sampler = spec.sampler
    if sampler.only_steps:
        raise ConfigError(
            f"{spec.name} was distilled to {sampler.only_steps} steps and learns nothing more: "
            "begin with the policy that it was made of"
        )
    if steps and guidance != 1.0:
        raise ConfigError(f"--distil: {spec.name} is guided by its condition ({guidance:g})")
    if not steps:
        return spec
    sampler = replace(sampler, solver="euler", only_steps=steps)
    rtc = spec.rtc if spec.rtc.mode == "prefix" else Rtc()
    return replace(spec, steps=steps, sampler=sampler, rtc=rtc)


@torch.no_grad()
def walk(
    teacher: FlowPolicy, context: EncodedContext, x: Tensor, frozen: Tensor | None, steps: int
) -> list[Tensor]:
    """Lead x [B K, H, A] through the teacher's way; returns it at the bounds of `steps` parts.

    Rows that `frozen` [B K, H] marks stay.
    """
    count, found = teacher_steps(steps), [x]
    for i in range(count):
        t = torch.full((len(x),), i / count, device=x.device)
        with teacher.precision():
            v = teacher.velocity(x, t, context, frozen).float()
        moved = x + v / count
        x = moved if frozen is None else torch.where(frozen[:, :, None], x, moved)
        if (i + 1) % (count // steps) == 0:
            found.append(x)
    return found


def distilled_loss(
    model: FlowPolicy,
    teacher: FlowPolicy,
    context: EncodedContext,
    actions: Tensor,
    steps: int,
    drawing: Drawing,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute l_i = mean over draws, H and A of (v(x, k / K) - K (x' - x))^2, K = `steps`.

    `actions` [B, H, A] are normalised; only those that are given to a late chunk are looked at.
    Returns the loss per sample [B] and values worth logging.
    """
    config, rng, share = drawing
    batch, draws = len(actions), config.draws
    whole = share.count * batch * draws
    noise = share.of(torch.randn(whole, *actions.shape[1:], generator=rng)).to(actions.device)
    part = share.of(torch.randint(steps, (whole,), generator=rng)).to(actions.device)
    action = actions.repeat_interleave(draws, dim=0)
    action, frozen = follow_on(action, whole, config, rng, share)
    x = noise if frozen is None else torch.where(frozen[:, :, None], action, noise)
    bounds = torch.stack(walk(teacher, context, x, frozen, steps))
    at = torch.arange(len(part), device=part.device)
    x, end = bounds[part, at], bounds[part + 1, at]
    with model.precision():
        v = model.velocity(x, part / steps, context, frozen).float()
    squares = (v - steps * (end - x)).square().mean(dim=2)
    per_sample = mean_of_free(squares, frozen).unflatten(0, (batch, draws)).mean(dim=1)
    return per_sample, {"loss": per_sample.detach().mean()}
