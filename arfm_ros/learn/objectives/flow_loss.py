"""Plain flow matching: the loss of each sample, unweighted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.data.dataset import WHOLE, Share
from arfm_ros.learn.model.network import EncodedContext, FlowPolicy

RETURN = 6  # ticks in which actions that strayed come back


@dataclass(frozen=True, slots=True)
class FlowConfig:
    """How noise and time are drawn."""

    draws: int = 4  # noise and time samples that share one encoded observation
    noise_bias: float = 1.5  # t = 1 - u^(1 / bias); 1 is uniform, more dwells near t = 0
    delay_max: int = 0  # ticks; up to so many first actions are given
    delay_share: float = 0.5  # of the draws that any are given in
    delay_bias: float = 1.0  # density of a delay d is about d^(bias - 1); 1 is uniform
    delay_noise: float = 0.0  # deviation of the last given action from the data, normalised
    delay_input: bool = False  # the network is also told how many are given

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise ConfigError(f"draws {self.draws}: needs 1 or more")
        if self.delay_max < 0:
            raise ConfigError(f"delay_max is {self.delay_max} ticks, needs 0 or more")
        if self.delay_input and not self.delay_max:
            raise ConfigError("delay_input tells of late chunks: say how late, delay_max above 0")
        if not (0 < self.delay_share <= 1 and self.delay_bias > 0 and self.delay_noise >= 0):
            raise ConfigError(
                f"delay_share {self.delay_share}, delay_bias {self.delay_bias} and delay_noise "
                f"{self.delay_noise}: need to be within 0..1, above 0, and 0 or more"
            )


def draw_times(batch: int, config: FlowConfig, rng: torch.Generator) -> Tensor:
    """Draw t [batch, draws], stratified over the draws of each observation.

    1 - t follows Beta(bias, 1), the distribution pi0 trains with (Black et al. 2024, appendix B):
    near t = 0 the noisy actions give nothing away, so there the network has to use the images.
    """
    u = torch.rand(batch, config.draws, generator=rng)
    u = (torch.arange(config.draws) + u) / config.draws
    return 1 - u.clamp(1e-4, 1).pow(1 / config.noise_bias)


def draw_frozen(
    count: int, horizon: int, config: FlowConfig, rng: torch.Generator
) -> Tensor | None:
    """Draw which actions [count, horizon] the robot is already executing; None without delay.

    A share of the draws freezes the first 1..delay_max, the others none: what a chunk that comes
    so many ticks late has to follow on from. Black et al.: Training-time action conditioning for
    efficient real-time chunking (2025).
    """
    if not config.delay_max:
        return None
    longest = min(config.delay_max, horizon - 1)
    u = torch.rand(count, generator=rng).pow(1 / config.delay_bias)
    delay = 1 + (u * longest).long().clamp(max=longest - 1)
    delay *= torch.rand(count, generator=rng) < config.delay_share
    return torch.arange(horizon) < delay[:, None]


def stray(frozen: Tensor, actions: int, std: float, rng: torch.Generator) -> Tensor:
    """Draw by how much chunks [count, H, A] stray from the data; `frozen` [count, H] is given.

    A robot that follows on from its own chunks adds error to error; in the data what was under way
    is always right, so that a network learns to go on with it and not to look. The last given
    action is off by N(0, std^2), those before it by less, from 0 where the arm was seen, and those
    after it are to come back within `RETURN` ticks.
    """
    count, horizon = frozen.shape
    delay = frozen.sum(1, keepdim=True).float()
    k = torch.arange(1, horizon + 1, dtype=torch.float32)
    share = torch.where(frozen, k / delay, (1 - (k - delay) / RETURN).clamp(min=0))
    share = share * (delay > 0)
    return std * share[:, :, None] * torch.randn(count, 1, actions, generator=rng)


def follow_on(
    action: Tensor, count: int, config: FlowConfig, rng: torch.Generator, share: Share
) -> tuple[Tensor, Tensor | None]:
    """Draw what is given of a share of `count` chunks; returns what they are then, and which."""
    frozen = draw_frozen(count, action.shape[1], config, rng)
    if frozen is None:
        return action, None
    if config.delay_noise:
        off = share.of(stray(frozen, action.shape[2], config.delay_noise, rng))
        action = action + off.to(action.device)
    return action, share.of(frozen).to(action.device)


def mean_of_free(squares: Tensor, frozen: Tensor | None) -> Tensor:
    """Mean over the actions [count, H] that are not frozen."""
    if frozen is None:
        return squares.mean(dim=1)
    free = (~frozen).to(squares)
    return (squares * free).sum(1) / free.sum(1)


def flow_loss(
    model: FlowPolicy,
    context: EncodedContext,
    actions: Tensor,
    config: FlowConfig,
    rng: torch.Generator,
    share: Share = WHOLE,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute l_i = mean over draws, H and A of (v(x_t, t, o) - u)^2.

    `actions` [B, H, A] are normalised; x_t = t action + (1 - t) noise, u = action - noise. The
    mean leaves out actions that are given (`draw_frozen`). What is random is drawn for the whole
    batch of which `actions` are a share. Returns the loss per sample [B] and values worth logging.
    """
    batch, draws = len(actions), config.draws
    whole = share.count * batch
    t = share.of(draw_times(whole, config, rng)).flatten().to(actions.device)
    action = actions.repeat_interleave(draws, dim=0)
    noise = torch.randn(whole * draws, *actions.shape[1:], generator=rng)
    noise = share.of(noise).to(actions.device)
    action, frozen = follow_on(action, whole * draws, config, rng, share)
    mix = t[:, None, None]
    x_t = mix * action + (1 - mix) * noise
    if frozen is not None:
        x_t = torch.where(frozen[:, :, None], action, x_t)
    with model.precision():
        v = model.velocity(x_t, t, context, frozen).float()
    squares = (v - (action - noise)).square().mean(dim=2)
    error = mean_of_free(squares, frozen).unflatten(0, (batch, draws))
    per_sample = error.mean(dim=1)
    info = {"loss": per_sample.detach().mean(), "loss_noisy": error.detach()[:, -1].mean()}
    return per_sample, info
