"""Small networks of torch that are no flow, as bundles: ACT, Diffusion Policy, bins in little."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from policy_rig import CAMERAS, HEIGHT, NAMES, WIDTH, write_policy
from torch import Tensor, nn

from arfm_ros.core.solvers.ddpm import added_noise
from arfm_ros.core.solvers.sampler import Sampler
from arfm_ros.core.values.history import History
from arfm_ros.core.values.normalize import Affine
from arfm_ros.core.values.spec import Axis, CameraInput, Language, PolicySpec
from arfm_ros.engines.inputs import Inputs
from arfm_ros.export.reference import save_reference
from arfm_ros.export.vla.model import write_bundle
from arfm_ros.export.vla.network import Opened, freeze
from arfm_ros.export.vla.reference import make_reference

torch.set_num_threads(1)
DT_NS = 50_000_000
HORIZON, ACTIONS, DIM = 16, 8, 32
LEVELS, BINS = 50, 32
BETAS = np.linspace(1e-3, 0.2, LEVELS, dtype=np.float32)
ALPHAS = np.cumprod(1 - BETAS)


class Memory(NamedTuple):
    """What the queries look at."""

    memory: Tensor  # [1, 4, DIM]


class Seen(NamedTuple):
    """The features of two observations, the older one first."""

    seen: Tensor  # [1, 2 DIM]


class Eye(nn.Module):
    """Pictures uint8 [..., H, W, 3] and states [..., S] to features [..., DIM]."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2d(3, 4, 5, stride=4)
        self.mix = nn.Linear(4 * len(CAMERAS) + ACTIONS, DIM)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Pool each picture and mix in the state."""
        *pictures, state = inputs
        seen = []
        for picture in pictures:
            planes = picture.flatten(0, -4).permute(0, 3, 1, 2).float() / 255
            seen.append(torch.relu(self.look(planes)).mean((2, 3)))
        whole = torch.cat([*seen, state.reshape(len(seen[0]), -1)], dim=-1)
        return torch.tanh(self.mix(whole)).reshape(*state.shape[:-1], DIM)


class Regressor(nn.Module):
    """Learned queries attend to what was seen and become the actions at once, as in ACT."""

    context: type[Any] = Memory

    def __init__(self) -> None:
        super().__init__()
        self.eye = Eye()
        self.queries = nn.Parameter(torch.randn(1, HORIZON, DIM))
        self.slots, self.head = nn.Linear(DIM, 4 * DIM), nn.Linear(DIM, ACTIONS)

    def forward(self, *inputs: Tensor) -> Memory:
        """Return what the queries look at."""
        return Memory(self.slots(self.eye(*inputs)).reshape(1, 4, DIM))

    def velocity(self, x: Tensor, t: Tensor, context: Memory) -> Tensor:
        """Return the actions [1, H, A]."""
        memory = context.memory
        attend = torch.softmax(self.queries @ memory.transpose(1, 2) / DIM**0.5, dim=-1)
        return self.head(torch.tanh(self.queries + attend @ memory))

    def library_chunk(self, inputs: tuple[Tensor, ...], noise: Tensor, steps: int) -> Tensor:
        """Return the actions [1, H, A] in one piece; there is nothing to sample."""
        return self.velocity(noise, torch.zeros(1), self(*inputs))


class Denoiser(nn.Module):
    """Predicts the noise in x from its level and two observations, as Diffusion Policy does."""

    context: type[Any] = Seen

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.eye = kind, Eye()
        self.level = nn.Linear(2, DIM)
        self.film = nn.Linear(3 * DIM, 2 * DIM)
        self.begin = nn.Conv1d(ACTIONS, DIM, 5, padding=2)
        self.end = nn.Conv1d(DIM, ACTIONS, 5, padding=2)

    def forward(self, *inputs: Tensor) -> Seen:
        """Return the features of both observations."""
        return Seen(self.eye(*inputs).flatten(1))

    def velocity(self, x: Tensor, t: Tensor, context: Seen) -> Tensor:
        """Return the noise [1, H, A] in x at level t."""
        level = self.level(torch.stack([torch.sin(t), torch.cos(t / 9)], dim=-1))
        scale, shift = self.film(torch.cat([context.seen, level], dim=-1))[..., None].chunk(
            2, dim=1
        )
        hidden = torch.nn.functional.mish((1 + scale) * self.begin(x.transpose(1, 2)) + shift)
        return self.end(hidden).transpose(1, 2) + x

    def library_chunk(self, inputs: tuple[Tensor, ...], noise: Tensor, steps: int) -> Tensor:
        """Sample in torch, by the papers' formulas and none of ours."""
        context, x, bar = self(*inputs), noise, torch.from_numpy(ALPHAS)
        draw, apart = added_noise(noise[0].numpy()), LEVELS // steps
        for level in range(apart * (steps - 1), -1, -apart):
            here = bar[level]
            there = bar[level - apart] if level >= apart else torch.tensor(1.0)
            epsilon = self.velocity(x, torch.tensor([float(level)]), context)
            clean = ((x - (1 - here).sqrt() * epsilon) / here.sqrt()).clamp(-1, 1)
            if self.kind == "ddim":
                x = there.sqrt() * clean + (1 - there).sqrt() * epsilon
                continue
            beta = 1 - here / there
            x = (there.sqrt() * beta * clean + (1 - beta).sqrt() * (1 - there) * x) / (1 - here)
            if level:
                z = draw.standard_normal(x.shape, dtype=np.float32)
                x = x + (beta * (1 - there) / (1 - here)).sqrt() * torch.from_numpy(z)
        return x


class Unmasker(nn.Module):
    """Says which bin each action is likeliest in, given those that are decided."""

    context: type[Any] = Memory

    def __init__(self) -> None:
        super().__init__()
        self.eye, self.words = Eye(), nn.Embedding(BINS + 1, DIM)
        self.places = nn.Parameter(torch.randn(1, HORIZON * ACTIONS, DIM))
        self.slots, self.head = nn.Linear(DIM, 4 * DIM), nn.Linear(DIM, BINS)

    def forward(self, *inputs: Tensor) -> Memory:
        """Return what the tokens look at."""
        return Memory(self.slots(self.eye(*inputs)).reshape(1, 4, DIM))

    def logits(self, ids: Tensor, context: Memory) -> Tensor:
        """Map tokens [1, H A], BINS is the mask, to logits of bins [1, H A, BINS]."""
        seen = torch.cat([context.memory, hidden := self.words(ids) + self.places], dim=1)
        attend = torch.softmax(hidden @ seen.transpose(1, 2) / DIM**0.5, dim=-1)
        told = 5 * context.memory.mean(1, keepdim=True)
        return 3 * self.head(torch.tanh(hidden + attend @ seen + told))

    def velocity(self, x: Tensor, t: Tensor, context: Memory) -> Tensor:
        """Return the likeliest bins' values and how likely they are [1, H, 2 A]."""
        values, flags = x[..., :ACTIONS], x[..., ACTIONS:]
        bins = torch.clamp(torch.round((values + 1) / 2 * BINS - 0.5), 0, BINS - 1).long()
        ids = torch.where(flags != 0, BINS, bins).reshape(1, -1)
        sure, best = torch.softmax(self.logits(ids, context), dim=-1).max(dim=-1)
        centres = (best + 0.5) / BINS * 2 - 1
        shape = (1, HORIZON, ACTIONS)
        return torch.cat([centres.reshape(shape), sure.reshape(shape)], dim=-1)

    @torch.no_grad()
    def library_chunk(self, inputs: tuple[Tensor, ...], noise: Tensor, steps: int) -> Tensor:
        """Unmask over token ids as MaskGIT's loop does, and say what is decided: everything."""
        context, ids = self(*inputs), torch.full((1, HORIZON * ACTIONS), BINS)
        for i in range(steps):
            sure, best = torch.softmax(self.logits(ids, context), dim=-1).max(dim=-1)
            masked = ids == BINS
            sure = sure.masked_fill(~masked, torch.inf)
            keep = int(ids.numel() * np.cos(np.pi / 2 * (i + 1) / steps) + 1e-9)
            again = sure.argsort(dim=-1)[:, :keep]
            ids = torch.where(masked, best, ids).scatter(1, again, BINS)
        values = ((ids + 0.5) / BINS * 2 - 1).reshape(1, HORIZON, ACTIONS)
        return torch.cat([values, torch.zeros_like(values)], dim=-1)


def spec(kind: str) -> PolicySpec:
    """Make the specification; a diffusion sees two observations and gives one action more."""
    rng = np.random.default_rng(0)
    axes = tuple(Axis(name, "1" if name == "gripper" else "rad") for name in NAMES)
    past = 0 if kind in {"regression", "masked"} else 1
    shape = (HORIZON - past, ACTIONS)
    return PolicySpec(
        name=kind,
        cameras=tuple(CameraInput(name, HEIGHT, WIDTH) for name in CAMERAS),
        state=axes,
        action=axes,
        horizon=shape[0],
        dt_ns=DT_NS,
        state_norm=_affine(rng, (ACTIONS,)),
        action_norm=_affine(rng, shape),
        relative=(False,) * ACTIONS,
        steps={"regression": 1, "ddim": 5, "ddpm": LEVELS, "masked": 8}[kind],
        language=Language("none"),
        instructions={"lift": "lift the cube"},
        past=past,
        flow_width=2 * ACTIONS if kind == "masked" else 0,
        sampler=Sampler(kind, ALPHAS, "epsilon", 1.0) if past else Sampler(kind),
        history=History(2, DT_NS) if past else History(),
    )


def _affine(rng: np.random.Generator, shape: tuple[int, ...]) -> Affine:
    offset, scale = 0.3 * rng.standard_normal(shape), rng.uniform(0.2, 0.6, shape)
    return Affine(offset.astype(np.float32), scale.astype(np.float32))


def write_decoder(folder: Path, kind: str, seed: int = 0) -> Path:
    """Export a network with random weights; `kind` is regression, masked, ddim or ddpm."""
    torch.manual_seed(seed)
    whole = {"regression": Regressor, "masked": Unmasker}
    network = whole[kind]() if kind in whole else Denoiser(kind)
    write_bundle(Opened(freeze(network), spec(kind), "", f"{kind} in little"), folder)
    return folder


def with_ddim(ddpm: Path, folder: Path, seed: int = 0) -> Path:
    """Write the bundle of the same network, and so the same graphs, with the other sampler."""
    shutil.copytree(ddpm, folder)
    write_policy(folder, spec("ddim"))
    torch.manual_seed(seed)
    reference = make_reference(freeze(Denoiser("ddim")), spec("ddim"), Inputs(spec("ddim")))
    save_reference(reference, folder / "reference.npz")
    return folder
