"""Multi-task DiT as LeRobot has it (TRI LBM team 2025), split into what the graphs compute.

CLIP's features of pictures and text and the states are the prefix, the transformer with adaptive
norms the step: of a flow, or of a diffusion. All actions from the observation on are given, also
those beyond `n_action_steps`, which LeRobot would not execute.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.solvers.sampler import Sampler
from arfm_ros.core.values.history import History
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.export.families.lerobot_diffusion import added
from arfm_ros.export.family import register
from arfm_ros.export.lerobot.checkpoint import (
    LIBRARY,
    feature_sizes,
    open_policy,
    policy_class_of,
    read_config,
)
from arfm_ros.export.lerobot.inputs import (
    Pictures,
    Statistics,
    camera_of,
    check_inputs,
    make_spec,
    read_statistics,
)
from arfm_ros.export.lerobot.processors import ACTION, BEFORE, STATE, read_steps
from arfm_ros.export.lerobot.raw import Library, drawn
from arfm_ros.export.lerobot.steps import NORMALIZER, TOKENIZER, Order
from arfm_ros.export.lerobot.text import read_language
from arfm_ros.export.vla.interface import Interface
from arfm_ros.export.vla.network import Opened, freeze

ORDER = Order((TOKENIZER, NORMALIZER))
STEPS = "num_inference_steps"  # of a diffusion


class DitContext(NamedTuple):
    """What the encoders leave."""

    condition: Tensor  # [1, G]


class LeRobotMultiTaskDit(nn.Module):
    """The network, in the two parts; images as the camera's bytes, batch 1."""

    context: type[Any] = DitContext

    def __init__(self, policy: Any, known: Statistics) -> None:
        super().__init__()
        self.core, self.config = policy, policy.config
        features = policy.config.image_features
        self.pictures = nn.ModuleList(Pictures(known.pictures[name]) for name in features)

    def forward(self, *inputs: Tensor) -> DitContext:
        """Map images and states of the last observations, tokens, mask [1, L] to a context."""
        from lerobot.utils.constants import (
            OBS_IMAGES,
            OBS_LANGUAGE_ATTENTION_MASK,
            OBS_LANGUAGE_TOKENS,
        )

        *images, state, tokens, mask = inputs
        seen = [picture(image) for picture, image in zip(self.pictures, images)]
        whole, count = torch.stack(seen, dim=-4), self.config.n_obs_steps
        batch = {
            OBS_IMAGES: whole.reshape(1, count, *whole.shape[-4:]),
            STATE: state.reshape(1, count, -1),
            OBS_LANGUAGE_TOKENS: tokens,
            OBS_LANGUAGE_ATTENTION_MASK: mask.long(),
        }
        return DitContext(self.core.observation_encoder.encode(batch))

    def velocity(self, x: Tensor, t: Tensor, context: DitContext) -> Tensor:
        """Map x [1, H, A] at t [1] to v, or at level t of the noise to the prediction."""
        with plain_attention():
            return self.core.noise_predictor(x, t, conditioning_vec=context.condition)

    @torch.no_grad()
    def library_chunk(self, inputs: tuple[Tensor, ...], noise: Tensor, steps: int) -> Tensor:
        """Compute the last x [1, H, A] by the library's own objective; its draws are ours."""
        condition = self(*inputs).condition
        policy = self.core
        with counted(policy, steps), drawn(noise), added(noise[0].numpy()):
            return policy.objective.conditional_sample(policy.noise_predictor, 1, condition)


@contextmanager
def plain_attention() -> Generator[None, None, None]:
    """Compute attention in plain operators: the fused one's derivative cannot be exported."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def counted(policy: Any, steps: int) -> Generator[None, None, None]:
    """Let the library take so many steps, and give all actions from the observation on."""
    config, objective = policy.config, policy.objective
    where = (config, "num_integration_steps") if config.is_flow_matching else (objective, STEPS)
    changes = [(*where, steps), (config, "n_action_steps", config.horizon)]
    before = [(one, name, getattr(one, name)) for one, name, _ in changes]
    for one, name, value in changes:
        setattr(one, name, value)
    try:
        yield
    finally:
        for one, name, value in before:
            setattr(one, name, value)


def sample_dit(policy: Any, prepared: list[dict[str, Any]], noise: Tensor, count: int) -> Tensor:
    """Let the library predict a chunk from the observations, by its own queues."""
    from lerobot.policies.utils import populate_queues

    policy.reset()
    batch: dict[str, Any] = {}
    for one in prepared:
        seen = {key: value for key, value in one.items() if key != ACTION}  # which it has not
        batch = policy._prepare_batch(seen)  # noqa: SLF001
        policy._queues = populate_queues(policy._queues, batch)  # noqa: SLF001
    with counted(policy, count), drawn(noise), added(noise[0].numpy()):
        return policy.predict_action_chunk(batch)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class LeRobotDit:
    """Multi-task DiT of LeRobot."""

    name: str = "multi_task_dit"
    library: str = LIBRARY

    def takes(self, config: Mapping[str, Any]) -> bool:
        """Tell whether a checkpoint with this config.json is one."""
        return config.get("type") == self.name

    def open(self, folder: Path, robot: Interface, name: str) -> Opened:
        """Open a checkpoint folder as policy `name` for `robot`."""
        where = ("lerobot.policies.multi_task_dit.modeling_multi_task_dit", "MultiTaskDiTPolicy")
        policy_class, made_by = policy_class_of(self.name, where)
        config = read_config(folder)
        feature_sizes(config, robot)  # refuses another robot
        if config.is_flow_matching and config.integration_method != "euler":
            raise ConfigError(
                f"{folder}: integration_method = {config.integration_method} is not exported: "
                "set it to euler in config.json"
            )
        policy = open_policy(folder, config, policy_class)
        check_inputs(policy.config)
        known = read_statistics(folder, policy.config, ORDER)
        step = read_steps(folder / BEFORE)[TOKENIZER].get("config", {})
        language, tokenizer = read_language(folder, step, "{instruction}")
        network: Any = LeRobotMultiTaskDit(policy, known)
        spec = replace(describe(policy, known, robot, name), language=language)
        cameras = {feature: camera_of(feature, robot) for feature in config.image_features}
        library = Library(policy, folder, cameras, sample_dit)
        return Opened(freeze(network), spec, tokenizer, made_by, library)


def describe(policy: Any, known: Statistics, robot: Interface, name: str) -> PolicySpec:
    """Make the specification; a diffusion's schedule of noise is the one of the training."""
    config, objective = policy.config, policy.objective
    past = config.n_obs_steps - 1
    spec = make_spec(config, known, robot, name, config.horizon - past)
    history = History(config.n_obs_steps, spec.dt_ns) if past else History()
    spec = replace(spec, past=past, history=history)
    if config.is_flow_matching:
        return replace(spec, steps=config.num_integration_steps)
    alphas = objective.noise_scheduler.alphas_cumprod.numpy().astype(np.float32)
    clip = config.clip_sample_range if config.clip_sample else 0.0
    kind = config.noise_scheduler_type.lower()
    sampler = Sampler(kind, alphas, config.prediction_type, clip)
    return replace(spec, steps=objective.num_inference_steps, sampler=sampler)


register(LeRobotDit())
