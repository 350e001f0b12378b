"""The trained prefix: a network that follows on from the actions already under way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from learn_rig import DT_NS, SMALL, plan, silent, trained

from arfm_ros.core.chunks.rtc import Guidance, hard_mask, left_over
from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.engines import EnginePolicy, load_policy
from arfm_ros.engines.gate.replay import LIMITS, load_reference, replay
from arfm_ros.export.bundle import export_bundle
from arfm_ros.export.reference import prefix_velocity
from arfm_ros.export.running import Running
from arfm_ros.learn.loop.begin import start
from arfm_ros.learn.loop.checkpoint import build_policy, load_checkpoint
from arfm_ros.learn.model.network import EncodedContext, FlowPolicy
from arfm_ros.learn.objectives.flow_loss import RETURN, FlowConfig, draw_frozen, flow_loss, stray

DELAY_MAX = 6


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("prefix"), flow=FlowConfig(delay_max=DELAY_MAX))[0]


@pytest.fixture(scope="module")
def bundle(run: Path) -> Path:
    return run.parent / "bundle"


@pytest.fixture(scope="module")
def policy(bundle: Path) -> EnginePolicy:
    return load_policy(bundle, threads=1)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(policy: EnginePolicy, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(policy.spec.action_shape).astype(np.float32)


@pytest.mark.parametrize(("share", "bias"), [(0.5, 1.0), (0.8, 2.0)])
def test_as_many_first_actions_are_frozen_as_often_as_asked(share: float, bias: float) -> None:
    config, count = FlowConfig(delay_max=10, delay_share=share, delay_bias=bias), 40_000
    frozen = draw_frozen(count, 16, config, generator(0))
    assert frozen is not None
    counts = frozen.sum(1)
    assert torch.equal(frozen, torch.arange(16) < counts[:, None])  # always the first ones
    drawn = torch.bincount(counts, minlength=17).numpy() / count
    edges = (np.arange(11) / 10) ** bias
    wanted = np.concatenate([[1 - share], share * np.diff(edges), np.zeros(6)])
    assert np.abs(drawn - wanted).max() < 4 * np.sqrt(0.25 / count)


def test_one_action_at_least_stays_free() -> None:
    assert draw_frozen(4, 16, FlowConfig(), generator(0)) is None
    everything = draw_frozen(100, 4, FlowConfig(delay_max=99), generator(0))
    assert everything is not None and int(everything.sum(1).max()) == 3


def test_given_actions_stray_and_those_after_them_come_back() -> None:
    frozen = torch.arange(16) < torch.tensor([0, 1, 4, 10])[:, None].repeat_interleave(5000, 0)
    off = stray(frozen, 8, 0.3, generator(0)).unflatten(0, (4, 5000))
    assert (off[0] == 0).all()  # nothing is given
    for group, delay in zip(off[1:], (1, 4, 10)):
        spread = group.std(dim=(0, 2))
        assert int(spread.argmax()) == delay - 1
        assert spread[delay - 1].item() == pytest.approx(0.3, rel=0.02)
        assert spread[0].item() == pytest.approx(0.3 / delay, rel=0.02)  # seen just before
        assert (spread[delay - 1 + RETURN :] == 0).all()


def test_a_network_that_goes_on_where_it_strayed_pays_for_it() -> None:
    """What follows on from given actions is the data's path, whatever these were."""
    model = FlowPolicy(SMALL).eval()
    images = {n: torch.zeros(1, 3, h, w) for n, h, w in SMALL.cameras}
    context, _ = model.encode(images, torch.zeros(1, SMALL.state), torch.ones(1, 16).long())
    actions = torch.zeros(1, SMALL.horizon, SMALL.actions)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    net = model.velocity_net
    net.register_forward_pre_hook(lambda _, given: seen.append((given[0], given[4])))
    knobs = {"draws": 64, "delay_max": 3, "delay_share": 1.0}
    for noise in (0.0, 0.5):
        flow_loss(model, context, actions, FlowConfig(**knobs, delay_noise=noise), generator(0))
    (x, frozen), (strayed, again) = seen
    assert torch.equal(frozen, again) and (x[frozen] == 0).all()
    assert 0.1 < strayed[frozen].std() < 0.5


def test_frozen_actions_are_an_input_and_no_target() -> None:
    model = FlowPolicy(SMALL).eval()
    torch.nn.init.normal_(model.velocity_net.actions_out.weight)
    rng = np.random.default_rng(0)
    images = {n: torch.zeros(1, 3, h, w) for n, h, w in SMALL.cameras}
    with torch.no_grad():
        context, _ = model.encode(images, torch.zeros(1, SMALL.state), torch.ones(1, 16).long())
    actions = torch.tensor(rng.normal(size=(1, SMALL.horizon, SMALL.actions)), dtype=torch.float)
    frozen = torch.arange(SMALL.horizon)[None] < 4
    t = torch.tensor([0.3])
    other = actions.clone()
    other[:, :4] += 1.0
    v, w = (model.velocity(x, t, context, frozen) for x in (actions, other))
    assert (v - w)[:, 4:].abs().max() > 1e-3  # what is frozen decides the rest
    late = model.velocity(actions, t, context, torch.zeros_like(frozen))
    assert (v - late)[:, 4:].abs().max() > 1e-4  # and the network knows that it is frozen
    config = FlowConfig(draws=1, delay_max=SMALL.horizon - 1)
    captured: list[torch.Tensor] = []
    model.velocity_net.register_forward_hook(
        lambda _, __, out: captured.append(out.retain_grad() or out)
    )
    for seed in range(20):
        flow_loss(model, context, actions, config, generator(seed))[0].sum().backward()
        drawn = draw_frozen_of(seed, config)
        gradient = captured[-1].grad
        assert gradient is not None and (gradient[drawn] == 0).all()
        assert (gradient[~drawn] != 0).any()


def draw_frozen_of(seed: int, config: FlowConfig) -> torch.Tensor:
    """Draw what `flow_loss` draws with a generator of this seed."""
    rng = generator(seed)
    torch.rand(1, config.draws, generator=rng)
    torch.randn(1, SMALL.horizon, SMALL.actions, generator=rng)
    frozen = draw_frozen(1, SMALL.horizon, config, rng)
    assert frozen is not None
    return frozen


def test_without_delay_the_loss_is_the_plain_one() -> None:
    model = FlowPolicy(SMALL).eval()
    images = {n: torch.zeros(2, 3, h, w) for n, h, w in SMALL.cameras}
    context, _ = model.encode(images, torch.zeros(2, SMALL.state), torch.ones(2, 16).long())
    actions = torch.randn(2, SMALL.horizon, SMALL.actions, generator=generator(1))
    rng = generator(3)
    loss, _ = flow_loss(model, context, actions, FlowConfig(draws=1), rng)
    rng = generator(3)
    u = torch.rand(2, 1, generator=rng)
    t = (1 - u.clamp(1e-4, 1).pow(1 / 1.5)).flatten()
    e = torch.randn(actions.shape, generator=rng)
    x_t = t[:, None, None] * actions + (1 - t[:, None, None]) * e
    wanted = (model.velocity(x_t, t, context) - (actions - e)).square().mean(dim=(1, 2))
    torch.testing.assert_close(loss, wanted)


def test_the_bundle_knows_its_mode_and_passes_its_check(
    bundle: Path, policy: EnginePolicy
) -> None:
    assert policy.spec.rtc.mode == "prefix" and policy.spec.rtc.delay_max == DELAY_MAX
    parity = replay(policy, load_reference(bundle))
    assert parity.passed and 0 < parity.max_guided_error <= LIMITS["fp32"].step
    kept = json.loads((bundle / "parity.json").read_text())
    assert kept["freeze_error"]["prefix"] < 1e-5 < kept["freeze_error"]["none"]
    assert "with the trained prefix" in (bundle / "README.md").read_text()


def test_the_exported_step_equals_torch(run: Path, policy: EnginePolicy) -> None:
    context = policy.encode(policy.spec.example(1))
    tensors = EncodedContext(**{n: torch.from_numpy(v) for n, v in context.tensors.items()})
    given, x = Guidance(noise(policy, 1), hard_mask(16, 4)), noise(policy, 2)
    model = build_policy(load_checkpoint(run))
    for t in (0.0, 0.5, 0.9):
        got = policy.guided_velocity(context, given)(x, t)
        wanted = prefix_velocity(model, tensors, given, x, t)
        np.testing.assert_allclose(got, wanted, atol=2e-5)
        plain = policy.velocity(context)(x, t)
        assert np.abs(got - plain)[4:].max() > 1e-4


def test_a_chunk_begins_exactly_with_what_is_under_way(policy: EnginePolicy) -> None:
    spec = policy.spec
    context = policy.encode(replace(spec.example(0), stamp_ns=3 * DT_NS))
    made = []
    for seed in (1, 2):
        actions = spec.unnormalise_actions(noise(policy, seed), context.state)
        previous = ActionChunk(actions, 0, DT_NS, spec.action_names)
        chunk = policy.sample(context, noise(policy, 0), left_over(previous, 3 * DT_NS, delay=4))
        np.testing.assert_allclose(chunk.actions[:4], actions[3:7], atol=1e-5)
        assert chunk.info.guided and chunk.info.prefix_length == 4
        made.append(chunk.actions)
    assert np.abs(made[0] - made[1])[4:].max() > 1e-4


def test_further_training_keeps_how_delays_were_learned(run: Path, tmp_path: Path) -> None:
    task = replace(plan(run.parent / "data", tmp_path / "next"), init=run)
    strays = replace(task.train, flow=FlowConfig(delay_noise=0.3))
    saved = start(replace(task, train=strays), say=silent)
    assert saved.spec.rtc.mode == "prefix" and saved.spec.rtc.delay_max == DELAY_MAX
    after = start(replace(task, init=task.out, out=tmp_path / "after"), say=silent)
    flow = after.provenance["options"]["flow"]
    assert flow["delay_max"] == DELAY_MAX and flow["delay_noise"] == 0.3


@pytest.mark.slow
def test_a_trained_prefix_can_also_be_guided_or_left_alone(run: Path, tmp_path: Path) -> None:
    for mode in ("guided", "none"):
        export_bundle(run, tmp_path / mode, "rig", threads=1, running=Running(mode), say=silent)
        assert load_policy(tmp_path / mode, threads=1).spec.rtc.mode == mode


def test_a_negative_delay_is_refused() -> None:
    with pytest.raises(ConfigError, match="delay_max is -1 ticks, needs 0 or more"):
        FlowConfig(delay_max=-1)
    with pytest.raises(ConfigError, match=r"delay_share 1\.5,.* within 0\.\.1"):
        FlowConfig(delay_share=1.5)
