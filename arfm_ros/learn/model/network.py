"""The policy network: cameras, state and instruction -> context -> velocity of the chunk."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.model.encoder import CameraEncoder
from arfm_ros.learn.model.velocity import DelayEmbedding, VelocityNet

CELL = 32  # pixels of a side of the image cell that becomes one token


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Sizes of the network; the defaults run two cameras on two CPU cores in milliseconds."""

    cameras: tuple[tuple[str, int, int], ...] = (("scene", 96, 128), ("wrist", 96, 128))
    objects: tuple[str, ...] = ()  # numbers of objects behind the joints in the state
    state: int = 8  # joints and gripper, then `objects`
    actions: int = 8
    horizon: int = 16
    tokens: int = 16
    vocabulary: int = 512
    dim: int = 128
    blocks: int = 4
    heads: int = 4
    width: int = 32  # channels of the encoder at a quarter of the resolution, a multiple of 8
    keypoints: int = 48  # per camera
    conditioned: bool = False  # on the return R*, see return_conditioned.py
    guidance: float = 1.0  # of a conditioned one at run time, see advantage_conditioned.py
    delay_input: bool = False  # the velocity is told how many first actions are frozen

    def __post_init__(self) -> None:
        sizes = {(height, width) for _, height, width in self.cameras}
        if self.state <= len(self.objects):
            raise ConfigError(
                f"state has {self.state} values, needs {len(self.objects)} of objects and some "
                "of the robot"
            )
        if len(sizes) > 1 or any(side % CELL for size in sizes for side in size):
            raise ConfigError(
                f"camera sizes {sorted(sizes)}: one size for all, sides multiples of {CELL}"
            )

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> ModelConfig:
        """Read what `to_json` made."""
        cameras = tuple((name, height, width) for name, height, width in raw["cameras"])
        objects = tuple(raw.get("objects", ()))
        return cls(**{**raw, "cameras": cameras, "objects": objects})

    def to_json(self) -> dict[str, Any]:
        """Return the sizes as values that JSON has."""
        return asdict(self)

    @property
    def cells(self) -> int:
        """Image cells a camera, each of which becomes a token."""
        if not self.cameras:
            return 0
        _, height, width = self.cameras[0]
        return (height // CELL) * (width // CELL)


class EncodedContext(NamedTuple):
    """What the encoder hands to the velocity network; names are the ONNX tensor names."""

    keys: Tensor  # [B, blocks, heads, N, dim / heads]
    values: Tensor  # same
    summary: Tensor  # [B, dim]


class ReturnEmbedding(nn.Module):
    """What the asked-for return adds to the summary; nothing before it is trained."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.register_buffer("target", torch.zeros(1))
        nn.init.zeros_(self.layers[2].weight)
        nn.init.zeros_(self.layers[2].bias)

    def forward(self, returns: Tensor | None) -> Tensor:
        """Map returns [B], or the constant target, to [B or 1, dim]."""
        value = self.target if returns is None else returns
        return self.layers(value[:, None])


class FlowPolicy(nn.Module):
    """Context encoder and velocity network with one set of weights."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        # the trainer sets an autocast; coordinates and what is made of them stay float32
        self.precision: Callable[[], AbstractContextManager[None]] = nullcontext
        self.looking: Callable[[], AbstractContextManager[None]] = nullcontext
        self.guiding = False  # goes further than its condition: for evaluation, never in a loss
        dim, cameras = config.dim, config.cameras
        self.words = nn.Embedding(config.vocabulary, dim, padding_idx=0)
        self.text = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.cameras = nn.ModuleDict({
            name: CameraEncoder((h, w), config.width, config.keypoints, dim)
            for name, h, w in cameras
        })
        self.features = nn.ModuleDict({
            name: nn.Linear(2 * config.width, dim) for name, _, _ in cameras
        })
        self.feature_position = nn.Parameter(torch.randn(len(cameras), config.cells, dim) * 0.02)
        self.state = nn.Linear(config.state, dim)
        joined = 2 * dim + 3 * config.keypoints * len(cameras)
        self.fuse = nn.Sequential(
            nn.Linear(joined, 3 * dim), nn.SiLU(), nn.Linear(3 * dim, 3 * dim), nn.SiLU()
        )
        self.fuse_tokens = nn.Linear(3 * dim, 4 * dim)
        self.summary = nn.Linear(3 * dim, dim)
        self.keyframe = nn.Linear(3 * dim, config.actions)  # auxiliary head; see train.py
        self.token_norm = nn.LayerNorm(dim)
        self.key_value = nn.Linear(dim, 2 * config.blocks * dim)
        self.velocity_net = VelocityNet(
            config.horizon, config.actions, dim, config.blocks, config.heads
        )
        if config.delay_input:
            self.velocity_net.delay = DelayEmbedding(dim)
        self.returns = ReturnEmbedding(dim) if config.conditioned else None

    def freeze_vision(self) -> None:
        """Keep the camera encoders as they are: no gradient, and none of the work for one."""
        self.cameras.requires_grad_(False)
        self.looking = torch.no_grad

    def freeze_prefix(self) -> None:
        """Keep all but the velocity network as it is."""
        self.requires_grad_(False)
        self.velocity_net.requires_grad_(True)
        self.looking = torch.no_grad

    def encode(
        self,
        images: dict[str, Tensor],
        state: Tensor,
        tokens: Tensor,
        returns: Tensor | None = None,
    ) -> tuple[EncodedContext, Tensor]:
        """Encode images [B, 3, H, W] in -1..1, normalised state [B, S] and token ids [B, L].

        `returns` [B] is what a conditioned network is asked for, by default its own constant;
        the others have no use for it. The second result is the auxiliary prediction [B, A] of the
        next keyframe.
        """
        count = (tokens > 0).sum(1, keepdim=True).clamp(min=1)
        text = self.text(self.words(tokens).sum(1) / count)
        position = self.state(state)
        points, grid = [], []
        for i, (name, _, _) in enumerate(self.config.cameras):
            camera = self.cameras[name]
            with self.looking():
                with self.precision():
                    fine, coarse = camera(images[name], text)
                points.append(camera.keypoints(fine, coarse))
            cells = F.avg_pool2d(coarse.float(), 4).flatten(2).transpose(1, 2)
            grid.append(self.features[name](cells) + self.feature_position[i])
        fused = self.fuse(torch.cat([text, position, *points], dim=1))
        own = self.fuse_tokens(fused).unflatten(-1, (4, self.config.dim))
        context = torch.cat([own, position[:, None], text[:, None], *grid], dim=1)
        summary = self.summary(fused)
        if self.returns is not None:
            summary = summary + self.returns(returns)
        return self._cache(context, summary), self.keyframe(fused)

    def _cache(self, context: Tensor, summary: Tensor) -> EncodedContext:
        c = self.config
        stacked = self.key_value(self.token_norm(context))
        shaped = stacked.unflatten(-1, (2, c.blocks, c.heads, c.dim // c.heads))
        keys, values = shaped.permute(2, 0, 3, 4, 1, 5).unbind(0)
        return EncodedContext(keys, values, summary)

    def velocity(
        self, x: Tensor, t: Tensor, context: EncodedContext, frozen: Tensor | None = None
    ) -> Tensor:
        """Map x_t [B K, H, A] at times t [B K] to the velocity [B K, H, A].

        K noise draws share an observation; the draws of one observation are neighbours. `frozen`
        [B K, H] marks actions of x_t that are the chunk's already; their velocity means nothing.
        """
        cache = (context.keys, context.values)
        v: Tensor = self.velocity_net(x, t, context.summary, cache, frozen)
        if self.returns is None or not self.guiding or self.config.guidance == 1.0:
            return v
        # what the asked-for return added to the summary is a constant: without it, and with none
        nothing = self.returns(torch.zeros_like(self.returns.target))
        unasked = context.summary - self.returns(None) + nothing
        free = self.velocity_net(x, t, unasked, cache, frozen)
        return free + self.config.guidance * (v - free)


def to_float(image: Tensor) -> Tensor:
    """Turn uint8 [B, H, W, 3] into float32 [B, 3, H, W] in -1..1."""
    return image.permute(0, 3, 1, 2).float() * (2.0 / 255.0) - 1.0


def sample(model: FlowPolicy, context: EncodedContext, noise: Tensor, steps: int) -> Tensor:
    """Integrate noise [B, H, A] to normalised chunks by Euler steps (torch's `core.flow`)."""
    x = noise
    for i in range(steps):
        t = torch.full((len(x),), i / steps, device=x.device)
        x = x + model.velocity(x, t, context) / steps
    return x
