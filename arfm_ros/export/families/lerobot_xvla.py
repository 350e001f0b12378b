"""X-VLA as LeRobot has it (Zheng et al. 2025), split into what the bundle's graphs compute.

Florence-2 reads the first camera and the text, the others come beside it; a transformer with the
robot's soft prompts predicts the actions. Its time runs from 1 (noise) to 0 (action), here it is
turned round; the velocity is that towards the prediction, and `renoise` its sampler.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.solvers.sampler import RENOISE, Sampler
from arfm_ros.core.values.normalize import Affine
from arfm_ros.core.values.spec import CameraInput, PolicySpec
from arfm_ros.export.family import register
from arfm_ros.export.lerobot.checkpoint import (
    IMAGES,
    LIBRARY,
    cameras_of,
    feature_sizes,
    open_policy,
    policy_class_of,
    read_config,
)
from arfm_ros.export.lerobot.processors import BEFORE, Processors, read_processors, read_steps
from arfm_ros.export.lerobot.raw import Library, drawn
from arfm_ros.export.lerobot.steps import NORMALIZER, TOKENIZER, Order
from arfm_ros.export.lerobot.text import read_language
from arfm_ros.export.lerobot.versions import florence_encoder, florence_seen, imagenet_stats
from arfm_ros.export.vla.interface import Interface
from arfm_ros.export.vla.network import Opened, freeze

DOMAIN = "xvla_add_domain_id"
ORDER = Order((TOKENIZER, "xvla_image_to_float", "xvla_imagenet_normalize", DOMAIN, NORMALIZER))
HALF = 0.5  # of a sigmoid at 0


class XVlaContext(NamedTuple):
    """What the prefix leaves: all tokens but the actions', and the state."""

    memory: Tensor  # [1, L, d]: vision and language, other cameras, soft prompts
    position: Tensor  # [1, S], padded; the grippers' are 0 where the action space says so


class LeRobotXVla(nn.Module):
    """The network, in the two parts; images as the camera's bytes, batch 1."""

    context: type[Any] = XVlaContext

    def __init__(self, policy: Any, domain: int, masked: bool) -> None:
        super().__init__()
        stats = imagenet_stats()
        self.core, self.config, self.masked = policy.model, policy.config, masked
        mean, std = (torch.tensor(stats[k]).reshape(3, 1, 1) for k in ("mean", "std"))
        proprio, x, gripper = self._action_space()
        kept = {"mean": mean, "std": std, "domain": torch.tensor([domain])}
        for name, value in (kept | {"told": proprio, "taken": x, "gripper": gripper}).items():
            self.register_buffer(name, value, persistent=False)
        for block in self.core.transformer.blocks:
            block.attn.fused_attn = False  # the fused one's derivative cannot be exported

    def _action_space(self) -> tuple[Tensor, Tensor, Tensor]:
        """Ask the action space which numbers the network sees, and which are logits at its end.

        Raises `ConfigError` for one that does more than that.
        """
        space, width = self.core.action_space, self.core.dim_action
        one, p = torch.ones(1, 1, width), torch.ones(1, self.core.dim_proprio)
        told, taken = (part.clone() for part in space.preprocess(p, one))
        zero = space.postprocess(torch.zeros(1, 1, width))
        logits = F.pad(zero == HALF, (0, width - zero.shape[-1]))
        same = [set(part.unique().tolist()) <= {0.0, 1.0} for part in (told, taken)]
        if not all(same) or told.shape != p.shape or taken.shape != one.shape:
            name = self.config.action_mode
            raise ConfigError(f"X-VLA's action_mode {name} changes sizes: it is not exported")
        return told, taken, logits

    def forward(self, *inputs: Tensor) -> XVlaContext:
        """Map an image per camera, state [1, S], tokens, mask [1, L] to a context."""
        *pictures, state, tokens, _ = inputs
        vlm, head = self.core.vlm, self.core.transformer
        images = torch.cat(self._pixels(list(pictures)))
        seen = florence_seen(vlm, images)  # [cameras, N, d]
        absent = self.config.num_image_views - len(seen)
        text = torch.cat([seen[:1], vlm.get_input_embeddings()(tokens)], dim=1)
        ones = torch.ones(text.shape[:2], dtype=torch.long)
        read = florence_encoder(vlm)(attention_mask=ones, inputs_embeds=text)[0]
        others = F.pad(seen[1:], (0, 0, 0, 0, 0, absent)).reshape(1, -1, seen.shape[-1])
        parts = [(head.vlm_proj, read), (head.aux_visual_proj, others)]
        more = (self.domain,) if head.use_hetero_proj else ()
        whole = torch.cat([project(part, *more) for project, part in parts], dim=1)
        begin = self.config.chunk_size
        whole = whole + head.pos_emb[:, begin : begin + whole.shape[1]]
        if head.len_soft_prompts > 0:
            prompts = head.soft_prompt_hub(self.domain).reshape(1, head.len_soft_prompts, -1)
            whole = torch.cat([whole, prompts], dim=1)
        return XVlaContext(whole, self._state(state) * self.told)

    def velocity(self, x: Tensor, t: Tensor, context: XVlaContext) -> Tensor:
        """Map x [1, H, D] at t [1] to v [1, H, D] = (actions - x) / (1 - t)."""
        from lerobot.policies.xvla.soft_transformer import timestep_embedding

        head, count = self.core.transformer, x.shape[1]
        time = timestep_embedding(1 - t, head.dim_time)[:, None].expand(-1, count, -1)
        state = context.position[:, None].expand(-1, count, -1)
        hidden = head.action_encoder(torch.cat([x * self.taken, state, time], -1), self.domain)
        hidden = torch.cat([hidden + head.pos_emb[:, :count], context.memory], dim=1)
        for block in head.blocks:
            hidden = block(hidden)
        actions = head.action_decoder(head.norm(hidden[:, :count]), self.domain)
        actions = torch.where(self.gripper, torch.sigmoid(actions), actions)
        return (actions - x) / (1 - t)[:, None, None]

    @torch.no_grad()
    def library_chunk(self, inputs: tuple[Tensor, ...], noise: Tensor, steps: int) -> Tensor:
        """Compute the actions [1, H, D] by the library's own `generate_actions`."""
        *pictures, state, tokens, _ = inputs
        images = torch.stack(self._pixels(list(pictures)), dim=1)
        absent = self.config.num_image_views - images.shape[1]
        seen = torch.tensor([[True] * images.shape[1] + [False] * absent])
        images = F.pad(images, (0, 0, 0, 0, 0, 0, 0, absent))
        with drawn(noise), untrimmed(self.core.action_space) as whole:
            found = self.core.generate_actions(
                tokens, images, seen, self.domain, self._state(state), steps
            )
        return torch.cat([found, whole[-1][..., found.shape[-1] :]], dim=-1)

    def _state(self, state: Tensor) -> Tensor:
        width = self.core.dim_proprio
        return F.pad(state, (0, width - state.shape[1])) if width else state[:, :0]

    def _pixels(self, pictures: list[Tensor]) -> list[Tensor]:
        """Normalise each image; around a padded one the library's are 0."""
        images, insides = pictures, [None] * len(pictures)
        if self.masked:
            images, insides = pictures[0::2], pictures[1::2]
        made = []
        for image, inside in zip(images, insides):
            pixels = (image.permute(0, 3, 1, 2).float() / 255.0 - self.mean) / self.std
            made.append(pixels if inside is None else torch.where(inside[:, None], pixels, 0.0))
        return made


@contextmanager
def untrimmed(space: Any) -> Generator[list[Tensor], None, None]:
    """Keep what the network gave before the action space leaves out its last numbers."""
    seen: list[Tensor] = []
    hook, before = seen.append, space.postprocess
    space.postprocess = lambda actions: (hook(actions.clone()), before(actions))[1]
    try:
        yield seen
    finally:
        del space.postprocess


def sample_xvla(policy: Any, prepared: list[dict[str, Any]], noise: Tensor, count: int) -> Tensor:
    """Let the library predict a chunk in `count` steps from this noise."""
    before, policy.config.num_denoising_steps = policy.config.num_denoising_steps, count
    try:
        with drawn(noise):
            return policy.predict_action_chunk(prepared[-1])  # type: ignore[no-any-return]
    finally:
        policy.config.num_denoising_steps = before


@dataclass(frozen=True, slots=True)
class LeRobotXVlaFlow:
    """X-VLA of LeRobot."""

    name: str = "xvla"
    library: str = LIBRARY

    def takes(self, config: Mapping[str, Any]) -> bool:
        """Tell whether a checkpoint with this config.json is one."""
        return config.get("type") == self.name

    def open(self, folder: Path, robot: Interface, name: str) -> Opened:
        """Open a checkpoint folder as policy `name` for `robot`."""
        where = ("lerobot.policies.xvla.modeling_xvla", "XVLAPolicy")
        policy_class, made_by = policy_class_of(self.name, where)
        config = read_config(folder)
        sizes = feature_sizes(config, robot)
        processors = read_processors(folder, *sizes, ORDER)
        domain = _domain(folder, config, processors)
        language, tokenizer = read_language(folder, processors.tokenizer, "{instruction}")
        policy = open_policy(folder, config, policy_class)
        masked = config.resize_imgs_with_padding is not None
        network = LeRobotXVla(policy, domain, masked)
        real = policy.model.action_space.postprocess(torch.zeros(1, 1, policy.model.dim_action))
        if real.shape[-1] != sizes[1]:
            raise ConfigError(
                f"X-VLA's action_mode {config.action_mode} gives {real.shape[-1]} actions, the "
                f"checkpoint's features and the interface file {sizes[1]}"
            )
        spec = describe(policy, processors, robot, name)
        features = {f"{IMAGES}{k.removeprefix(IMAGES)}": v for k, v in robot.cameras.items()}
        library = Library(policy, folder, features, sample_xvla)
        spec = replace(spec, language=language)
        return Opened(freeze(network), spec, tokenizer, made_by, library)


def _domain(folder: Path, config: Any, processors: Processors) -> int:
    """Return which robot's weights are taken. Raises `ConfigError` for what is not exported."""
    padding = processors.tokenizer.get("padding", "max_length")
    if padding != "max_length":
        raise ConfigError(
            f"{folder}: {TOKENIZER} has padding = {padding}; X-VLA reads the padding, exported is "
            "max_length"
        )
    if config.domain_feature_key is not None:
        raise ConfigError(
            f"{folder}: domain_feature_key = {config.domain_feature_key} is not exported: set it "
            f"to null, and domain_id of the step {DOMAIN}"
        )
    domain = int(read_steps(folder / BEFORE)[DOMAIN].get("config", {}).get("domain_id", 0))
    if not 0 <= domain < config.num_domains:
        raise ConfigError(f"{folder}: domain_id is {domain}, needs 0 to {config.num_domains - 1}")
    return domain


def describe(policy: Any, processors: Processors, robot: Interface, name: str) -> PolicySpec:
    """Make the specification; the first camera of the checkpoint is read with the text."""
    config, action = policy.config, processors.action
    keys = {camera: key for key, camera in robot.cameras.items()}
    cameras = []
    for camera in cameras_of(config, robot):
        shape = config.image_features[f"{IMAGES}{keys[camera].removeprefix(IMAGES)}"].shape
        size = config.resize_imgs_with_padding
        if size is None:
            cameras.append(CameraInput(camera, *shape[1:]))
        else:
            cameras.append(CameraInput(camera, *size, "linear", "start", True, True))
    spec = robot.spec(name, config.chunk_size, tuple(cameras))
    rows = (spec.horizon, 1)
    return replace(
        spec,
        state_norm=processors.state,
        action_norm=Affine(np.tile(action.offset, rows), np.tile(action.scale, rows)),
        steps=config.num_denoising_steps,
        flow_width=policy.model.dim_action,
        sampler=Sampler(solver=RENOISE),
    )


register(LeRobotXVlaFlow())
