"""Laws of the network and of its loss."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from learn_rig import SIZE, SMALL

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.solvers.flow import integrate
from arfm_ros.learn.model.encoder import SpatialSoftmax
from arfm_ros.learn.model.network import EncodedContext, FlowPolicy, ModelConfig, sample, to_float
from arfm_ros.learn.objectives.flow_loss import FlowConfig, draw_times, flow_loss

BATCH = 3


@pytest.fixture
def model() -> FlowPolicy:
    torch.manual_seed(0)
    network = FlowPolicy(SMALL)
    with torch.no_grad():  # leave the zero initialisation, so that inputs matter
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return network.eval()


def inputs(seed: int = 0, batch: int = BATCH) -> tuple[dict[str, torch.Tensor], ...]:
    rng = torch.Generator().manual_seed(seed)
    images = {
        name: to_float(torch.randint(0, 256, (batch, SIZE, SIZE, 3), generator=rng).byte())
        for name in ("scene", "wrist")
    }
    state = torch.randn(batch, 8, generator=rng)
    return images, state, torch.randint(1, 500, (batch, 16), generator=rng)  # type: ignore


def encode(model: FlowPolicy, *given: object) -> EncodedContext:
    return model.encode(*given)[0]  # type: ignore


def actions(seed: int = 1, batch: int = BATCH) -> torch.Tensor:
    return torch.randn(batch, 16, 8, generator=torch.Generator().manual_seed(seed))


def test_the_default_network_fits_the_bundle() -> None:
    weights = sum(p.numel() for p in FlowPolicy(ModelConfig()).parameters())
    assert weights <= 2_200_000


def test_an_untrained_network_has_no_velocity() -> None:
    network = FlowPolicy(SMALL)
    v = network.velocity(actions(), torch.rand(BATCH), encode(network, *inputs()))
    assert v.abs().max() == 0


@torch.no_grad()
def test_each_sample_is_computed_on_its_own(model: FlowPolicy) -> None:
    images, state, tokens = inputs()
    x, t = actions(), torch.rand(BATCH)
    together = model.velocity(x, t, encode(model, images, state, tokens))
    one = {name: image[1:2] for name, image in images.items()}
    alone = model.velocity(x[1:2], t[1:2], encode(model, one, state[1:2], tokens[1:2]))
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_draws_that_share_an_observation_equal_separate_ones(model: FlowPolicy) -> None:
    context = encode(model, *inputs())
    x, t = actions(batch=2 * BATCH), torch.rand(2 * BATCH)
    shared = model.velocity(x, t, context)
    repeated = EncodedContext(*(part.repeat_interleave(2, dim=0) for part in context))
    torch.testing.assert_close(shared, model.velocity(x, t, repeated), atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("changed", ["scene", "wrist", "state", "instruction", "time"])
def test_every_input_moves_the_velocity(model: FlowPolicy, changed: str) -> None:
    images, state, tokens = inputs()
    other_images, other_state, other_tokens = inputs(seed=7)
    if changed in images:
        other = ({**images, changed: other_images[changed]}, state, tokens)
    else:
        other = (
            images,
            other_state if changed == "state" else state,
            other_tokens if changed == "instruction" else tokens,
        )
    t = torch.full((BATCH,), 0.3)
    before = model.velocity(actions(), t, encode(model, images, state, tokens))
    late = t + 0.4 if changed == "time" else t
    after = model.velocity(actions(), late, encode(model, *other))
    assert (after - before).abs().max() > 1e-4


@torch.no_grad()
def test_padding_after_the_instruction_changes_nothing() -> None:
    model = FlowPolicy(SMALL)
    images, state, tokens = inputs()
    short = torch.where(torch.arange(16) < 3, tokens, 0)
    longer = torch.cat([short, torch.zeros(BATCH, 5, dtype=torch.int64)], dim=1)
    a, b = encode(model, images, state, short), encode(model, images, state, longer)
    torch.testing.assert_close(a.summary, b.summary)


def test_a_keypoint_finds_a_bright_spot_to_a_hundredth_of_the_image() -> None:
    points = SpatialSoftmax(1, 1, 24, 32)
    torch.nn.init.constant_(points.heat.weight, 30.0)
    torch.nn.init.zeros_(points.heat.bias)
    heat = torch.zeros(1, 1, 24, 32)
    heat[0, 0, 6, 20] = 1.0
    x, y, peak = points(heat)[0].tolist()
    assert x == pytest.approx(2 * 20 / 31 - 1, abs=0.01)
    assert y == pytest.approx(2 * 6 / 23 - 1, abs=0.01)
    assert peak > 0.99


@torch.no_grad()
def test_sampling_equals_the_integration_of_the_core(model: FlowPolicy) -> None:
    images, state, tokens = inputs(batch=1)
    context, noise = encode(model, images, state, tokens), actions(batch=1)
    ours = sample(model, context, noise, steps=10)
    core = integrate(
        lambda x, t: model.velocity(torch.from_numpy(x[None]), torch.tensor([t]), context)[
            0
        ].numpy(),
        noise[0].numpy(),
        10,
    )
    torch.testing.assert_close(ours[0], torch.from_numpy(core.sample), atol=1e-4, rtol=1e-4)


def test_the_loss_of_no_velocity_is_that_of_action_minus_noise() -> None:
    network = FlowPolicy(SMALL)
    config, target = FlowConfig(draws=256), torch.zeros(BATCH, 16, 8)
    context = encode(network, *inputs())
    loss, _ = flow_loss(network, context, target, config, torch.Generator().manual_seed(0))
    assert loss.shape == (BATCH,)
    torch.testing.assert_close(loss, torch.ones(BATCH), atol=0.03, rtol=0)  # E |0 - noise|^2


def test_the_field_that_leads_from_noise_to_the_action_has_no_loss() -> None:
    chunks = actions()

    class Straight:  # x_t = t a + (1 - t) n, so that u = a - n = (a - x_t) / (1 - t)
        precision = nullcontext

        def velocity(self, x: torch.Tensor, t: torch.Tensor, *_: object) -> torch.Tensor:
            draws = len(x) // len(chunks)
            return (chunks.repeat_interleave(draws, dim=0) - x) / (1 - t)[:, None, None]

    rng = torch.Generator().manual_seed(0)
    losses, _ = flow_loss(Straight(), None, chunks, FlowConfig(noise_bias=8.0), rng)  # type: ignore
    assert losses.shape == (BATCH,) and losses.max() < 1e-6


def test_the_loss_is_the_same_for_the_same_seed(model: FlowPolicy) -> None:
    context = encode(model, *inputs())
    losses = [
        flow_loss(model, context, actions(), FlowConfig(), torch.Generator().manual_seed(4))[0]
        for _ in range(2)
    ]
    torch.testing.assert_close(*losses, atol=0, rtol=0)


def test_times_are_stratified_and_dwell_near_the_noise() -> None:
    rng = torch.Generator().manual_seed(0)
    biased = draw_times(4000, FlowConfig(draws=4, noise_bias=1.5), rng)
    uniform = draw_times(4000, FlowConfig(draws=4, noise_bias=1.0), rng)
    assert biased.min() >= 0 and biased.max() <= 1
    assert float(uniform.mean()) == pytest.approx(0.5, abs=0.005)
    assert float(biased.mean()) == pytest.approx(0.4, abs=0.005)  # 1 - a / (a + 1)
    assert (biased[:, 0] >= biased[:, 1]).all() and (biased[:, 2] >= biased[:, 3]).all()


def test_gradients_reach_every_weight() -> None:
    network = FlowPolicy(SMALL)
    torch.nn.init.normal_(network.velocity_net.actions_out.weight)
    for name, weight in network.named_parameters():
        if "film" in name:
            torch.nn.init.normal_(weight)
    context, keyframe = network.encode(*inputs())  # type: ignore
    loss, _ = flow_loss(network, context, actions(), FlowConfig(), torch.Generator())
    (loss.mean() + keyframe.square().mean()).backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_camera_sizes_that_do_not_divide_into_cells_are_refused() -> None:
    with pytest.raises(ConfigError, match="multiples of 32"):
        replace(SMALL, cameras=(("scene", 96, 100),))
