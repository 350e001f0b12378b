"""Diffusion Policy as LeRobot has it (Chi et al. 2023), split into what the graphs compute.

The encoder of images and states is the prefix, the U-Net the step. All actions from the
observation on are given, also those beyond `n_action_steps`, which LeRobot would not execute:
the robot only comes to them when the next chunk is late.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from arfm_ros.core.solvers.ddpm import added_noise
from arfm_ros.core.solvers.sampler import Sampler
from arfm_ros.core.values.history import History
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.export.family import register
from arfm_ros.export.lerobot.decoders import LeRobotDecoder
from arfm_ros.export.lerobot.inputs import Pictures, Statistics, make_spec
from arfm_ros.export.lerobot.processors import STATE
from arfm_ros.export.vla.interface import Interface


class DiffusionContext(NamedTuple):
    """What the encoder leaves."""

    condition: Tensor  # [1, G]


class LeRobotDiffusion(nn.Module):
    """The network, in the two parts; images as the camera's bytes, batch 1."""

    context: type[Any] = DiffusionContext

    def __init__(self, policy: Any, known: Statistics) -> None:
        super().__init__()
        self.core, features = policy.diffusion, policy.config.image_features
        self.pictures = nn.ModuleList(Pictures(known.pictures[name]) for name in features)

    def forward(self, *inputs: Tensor) -> DiffusionContext:
        """Map an image per camera and the state, each of the last observations, to a context."""
        return DiffusionContext(self.core._prepare_global_conditioning(self._batch(inputs)))  # noqa: SLF001

    def velocity(self, x: Tensor, t: Tensor, context: DiffusionContext) -> Tensor:
        """Map x [1, H, A] at level t [1] of the noise to what the U-Net predicts."""
        return self.core.unet(x, t, global_cond=context.condition)

    @torch.no_grad()
    def library_chunk(self, inputs: tuple[Tensor, ...], noise: Tensor, steps: int) -> Tensor:
        """Compute the last x [1, H, A] by the library's own sampler; its additions are ours."""
        core = self.core
        core.num_inference_steps = steps
        condition = core._prepare_global_conditioning(self._batch(inputs))  # noqa: SLF001
        with added(noise[0].numpy()):
            return core.conditional_sample(1, condition, noise=noise)

    def _batch(self, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        from lerobot.utils.constants import OBS_IMAGES

        *images, state = inputs
        seen = [picture(image) for picture, image in zip(self.pictures, images)]
        count = self.core.config.n_obs_steps
        whole = torch.stack(seen, dim=-4)
        return {
            OBS_IMAGES: whole.reshape(1, count, *whole.shape[-4:]),
            STATE: state.reshape(1, count, -1),
        }


@contextmanager
def added(noise: np.ndarray) -> Generator[None, None, None]:
    """Let the library's DDPM add the noise that `core.ddpm` adds to the chunk of `noise`."""
    from diffusers.schedulers import scheduling_ddpm

    draw, before = added_noise(noise), scheduling_ddpm.randn_tensor

    def drawn(shape: tuple[int, ...], **_: Any) -> Tensor:
        return torch.from_numpy(draw.standard_normal(tuple(shape), dtype=np.float32))

    scheduling_ddpm.randn_tensor = drawn
    try:
        yield
    finally:
        scheduling_ddpm.randn_tensor = before


def describe(policy: Any, known: Statistics, robot: Interface, name: str) -> PolicySpec:
    """Make the specification; the schedule of noise is the one of the training."""
    config, core = policy.config, policy.diffusion
    past = config.n_obs_steps - 1
    spec = make_spec(config, known, robot, name, config.horizon - past)
    sampler = Sampler(
        config.noise_scheduler_type.lower(),
        core.noise_scheduler.alphas_cumprod.numpy().astype(np.float32),
        config.prediction_type,
        config.clip_sample_range if config.clip_sample else 0.0,
    )
    history = History(config.n_obs_steps, spec.dt_ns) if past else History()
    return replace(
        spec, steps=core.num_inference_steps, sampler=sampler, past=past, history=history
    )


register(
    LeRobotDecoder(
        "diffusion",
        ("lerobot.policies.diffusion.modeling_diffusion", "DiffusionPolicy"),
        LeRobotDiffusion,
        describe,
    )
)
