"""The objectives side by side: what each weighs, and what a training step makes of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import learn_rig
import numpy as np
import onnxruntime
import pytest
import torch
from learn_rig import SMALL, plan, sampler_of, silent, write_episode

from arfm_ros.core.errors import EpisodeError
from arfm_ros.export.graphs.onnx import example_inputs, export_graphs
from arfm_ros.learn.data.augment import AugmentConfig
from arfm_ros.learn.data.dataset import Sampler, Share
from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.loop.begin import start
from arfm_ros.learn.loop.checkpoint import build_policy, load_checkpoint
from arfm_ros.learn.loop.replicas import Part, Replicas
from arfm_ros.learn.loop.train import TrainConfig, Trainer
from arfm_ros.learn.model.network import FlowPolicy, to_float
from arfm_ros.learn.objectives.arfm import Arfm
from arfm_ros.learn.objectives.filtered_bc import FilteredBc
from arfm_ros.learn.objectives.flow_loss import flow_loss
from arfm_ros.learn.objectives.objective import OBJECTIVES, Objective, make_objective
from arfm_ros.learn.objectives.plain_fm import PlainFm
from arfm_ros.learn.objectives.return_conditioned import ReturnConditioned
from arfm_ros.learn.objectives.rwr import Rwr
from arfm_ros.learn.signals.rl_signal import SignalConfig, parse_reward

SUCCESS = SignalConfig(parse_reward("success"))
STILL = AugmentConfig(0, 0, 0, 0, 0)
data, frames = learn_rig.data, learn_rig.frames  # the fixtures


@pytest.fixture
def sampler(frames: Frames) -> Sampler:
    return replace(
        sampler_of(frames, STILL), signal=np.random.default_rng(0).normal(size=len(frames))
    )


def trainer(sampler: Sampler, objective: Objective, **options: object) -> Trainer:
    torch.manual_seed(0)
    shape = replace(SMALL, conditioned=objective.conditioned)
    given = {"steps": 100, "batch": 6, "threads": 1, "precision": "fp32", **options}
    return Trainer(FlowPolicy(shape), sampler, TrainConfig(objective=objective, **given))  # type: ignore


def weights(model: FlowPolicy) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_has_the_same_functions_in_the_same_order(name: str) -> None:
    functions = [k for k, v in vars(OBJECTIVES[name]).items() if callable(v) and k[0] != "_"]
    assert functions[:6] == ["rows", "over", "condition", "target", "weights", "loss"]
    assert make_objective(name).name == name


@pytest.mark.parametrize("name", OBJECTIVES)
def test_equal_returns_make_every_objective_the_mean_loss(name: str) -> None:
    losses = torch.rand(49, dtype=torch.float64)
    value, _ = make_objective(name).loss(losses, torch.full_like(losses, 0.3))
    assert value.item() == pytest.approx(losses.mean().item(), rel=1e-12)


def test_rwr_weighs_by_the_exponential_up_to_its_limit() -> None:
    signal = torch.tensor([-1.0, -0.1, 0.1, 1.0], dtype=torch.float64)
    found, info = Rwr(beta=2.0, weight_max=3.0).weights(torch.zeros(4), signal)
    z = signal / signal.std(correction=0)
    expected = [min(math.exp(2.0 * v), 3.0) / 4 for v in z.tolist()]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    assert info["clipped"] == 0.25
    assert Rwr(beta=1e6).weights(torch.zeros(4), signal)[0].max() == pytest.approx(25)


def test_filtered_bc_keeps_the_rows_of_successes(frames: Frames) -> None:
    rows = FilteredBc().rows(frames, np.arange(len(frames)), np.zeros(len(frames)))
    assert set(frames.episode[rows]) == {0, 1, 2}  # the last of four failed
    failed = replace(frames, success=np.zeros(4, np.int8))
    with pytest.raises(EpisodeError, match="none of the training episodes succeeded"):
        FilteredBc().rows(failed, np.arange(len(frames)), np.zeros(len(frames)))


@pytest.mark.parametrize("threads", [1, 2])
def test_arfm_takes_the_very_step_of_plain_flow_matching_when_returns_are_the_same(
    sampler: Sampler, threads: int
) -> None:
    constant = replace(sampler, signal=np.full(len(sampler.frames), 0.3))
    plain, ours = (trainer(constant, o, threads=threads) for o in (PlainFm(), Arfm()))
    for _ in range(2):
        plain.step()
        ours.step()
    assert torch.equal(weights(plain.model), weights(ours.model))


def test_arfm_on_successes_alone_trains_the_very_network_of_plain_flow_matching(
    tmp_path: Path,
) -> None:
    for n in range(3):
        write_episode(tmp_path / "data" / f"e{n}", n)
    said: list[str] = []
    trained = [
        start(
            plan(tmp_path / "data", tmp_path / o.name, objective=o, signal=SUCCESS, threads=2),
            say=said.append,
        )
        for o in (PlainFm(), Arfm())
    ]
    assert any("R* is 0: plain flow matching" in text for text in said)
    for name, weight in trained[0].model.items():
        assert torch.equal(trained[1].model[name], weight), name


def test_arfm_takes_another_step_when_returns_differ(sampler: Sampler) -> None:
    plain, ours = (trainer(sampler, o) for o in (PlainFm(), Arfm(alpha_min=1.0)))
    plain.step()
    info = ours.step()
    assert not torch.equal(weights(plain.model), weights(ours.model))
    assert {"alpha", "clipped", "ess", "sigma_r", "sigma_l"} <= set(info)
    assert 1 <= info["ess"] < 6


def test_the_gradient_of_the_replicas_is_that_of_the_whole_batch() -> None:
    torch.manual_seed(0)
    model, objective = FlowPolicy(SMALL), Arfm(alpha_min=1.0)
    states, signal = torch.randn(6, 8), torch.randn(6).double()

    def losses(network: FlowPolicy, given: torch.Tensor) -> torch.Tensor:
        return network.state(given).square().mean(dim=1)

    def forward(network: FlowPolicy, share: Share) -> Part:
        own = slice(3 * share.index, 3 * share.index + 3)
        other = network.state(states[own]).mean(dim=1)
        return Part(losses(network, states[own]), other, signal[own], torch.zeros(3), {})

    infos = Replicas(model, 2).gradients(forward, objective.loss)
    whole = FlowPolicy(SMALL)
    whole.load_state_dict(model.state_dict())
    each = losses(whole, states)
    weight, info = objective.weights(each.detach().double(), signal)
    other = whole.state(states).mean(dim=1)
    (weight.float() * (each + other)).sum().backward()
    torch.testing.assert_close(
        model.state.weight.grad, whole.state.weight.grad, atol=1e-6, rtol=1e-5
    )
    assert infos[0] == infos[1] and infos[0]["alpha"] == info["alpha"]


def test_a_conditioned_network_starts_as_the_one_without_and_learns_the_return(
    sampler: Sampler,
) -> None:
    ours = trainer(sampler, ReturnConditioned(), learning_rate=1e-2, steps=1000)
    batch = sampler.gather(np.arange(4))
    given = (batch.images, batch.state, batch.tokens)
    before = [ours.model.encode(*given, torch.full((4,), r))[0].summary for r in (-2.0, 2.0)]
    assert torch.equal(*before)
    for _ in range(3):
        ours.step()
    after = [ours.model.encode(*given, torch.full((4,), r))[0].summary for r in (-2.0, 2.0)]
    assert (after[0] - after[1]).abs().max() > 0


def test_a_conditioned_policy_asks_for_its_constant_return_at_run_time(
    data: Path, tmp_path: Path
) -> None:
    first = plan(data, tmp_path / "first")
    start(first, say=silent)
    objective = ReturnConditioned(quantile=1.0)
    tuned = replace(
        plan(data, tmp_path / "tuned", objective=objective, signal=SUCCESS), init=first.out
    )
    start(tuned, say=silent)
    checkpoint = load_checkpoint(tuned.out)
    model = build_policy(checkpoint)
    assert checkpoint.config.conditioned and model.returns is not None
    target = float(model.returns.target)
    assert target > 0
    inputs = (
        {name: torch.zeros(2, 3, 32, 32) for name in ("scene", "wrist")},
        torch.zeros(2, 8),
        torch.ones(2, 16, dtype=torch.int64),
    )
    constant = model.encode(*inputs)[0]
    asked = model.encode(*inputs, torch.full((2,), target))[0]
    torch.testing.assert_close(constant.summary, asked.summary)


def test_a_network_without_returns_takes_no_notice_of_them(sampler: Sampler) -> None:
    model, batch = FlowPolicy(SMALL), sampler.gather(np.arange(2))
    given = (batch.images, batch.state, batch.tokens)
    plain, asked = (model.encode(*given, r)[0].summary for r in (None, torch.ones(2)))
    assert torch.equal(plain, asked) and "returns.target" not in model.state_dict()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_trains_from_recorded_episodes(
    name: str, data: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    begun = make_objective(name).needs_reference
    if begun:
        start(plan(data, tmp_path / "begun", steps=1), say=silent)
    planned = plan(
        data,
        tmp_path / "run",
        steps=3,
        log_every_s=0.0,
        objective=make_objective(name),
        signal=SUCCESS,
        threads=2,
    )
    planned = replace(planned, init=tmp_path / "begun" if begun else None)
    checkpoint = start(planned, "cmd", said.append)
    assert checkpoint.provenance["options"]["objective"]["name"] == name
    rows = [json.loads(text) for text in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    if name == "arfm":
        assert {"alpha", "clipped", "ess", "sigma_r", "sigma_l"} <= set(rows[0])
        assert any("sigma_R" in text and "ess" in text for text in said)
    assert all(math.isfinite(v) for row in rows for v in row.values())


def test_a_resumed_arfm_run_ends_where_an_uninterrupted_one_does(
    sampler: Sampler,
) -> None:
    whole, half = (trainer(sampler, Arfm(alpha_min=0.5), threads=2) for _ in range(2))
    for _ in range(4):
        whole.step()
    for _ in range(2):
        half.step()
    rest = trainer(sampler, Arfm(alpha_min=0.5), threads=2)
    rest.restore(half.checkpoint({}, {}))
    for _ in range(2):
        rest.step()
    assert torch.equal(weights(whole.model), weights(rest.model))


def test_episodes_without_a_label_stop_a_run_that_needs_them(tmp_path: Path) -> None:
    for n in range(2):
        write_episode(tmp_path / "data" / f"e{n}", n, success=None)
    with pytest.raises(EpisodeError, match="recorder/label"):
        start(plan(tmp_path / "data", tmp_path / "run", objective=Arfm()), say=silent)


def test_per_sample_losses_of_equal_weight_sum_to_their_mean(sampler: Sampler) -> None:
    model, batch = FlowPolicy(SMALL), sampler.gather(np.arange(5))
    context, _ = model.encode(batch.images, batch.state, batch.tokens)
    rng = torch.Generator().manual_seed(0)
    losses, info = flow_loss(model, context, batch.actions, TrainConfig(steps=1).flow, rng)
    value, _ = PlainFm().loss(losses, batch.signal)
    assert float(value.detach()) == pytest.approx(float(info["loss"]), rel=1e-6)


def test_the_exported_graphs_fold_the_asked_return_in(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = FlowPolicy(replace(SMALL, conditioned=True)).eval()
    assert model.returns is not None
    torch.nn.init.normal_(model.returns.layers[2].weight)
    model.returns.target.fill_(1.5)
    export_graphs(model, tmp_path)
    session = onnxruntime.InferenceSession(str(tmp_path / "prefix.onnx"))
    names = [given.name for given in session.get_inputs()]
    assert names == ["image_scene", "image_wrist", "state", "tokens"]
    inputs = example_inputs(model)
    feed = {name: value.numpy() for name, value in zip(names, inputs)}
    summary = session.run(["summary"], feed)[0]
    floats = {name: to_float(image) for name, image in zip(("scene", "wrist"), inputs)}
    with torch.no_grad():
        asked, plain = (
            model.encode(floats, *inputs[2:], torch.full((1,), value))[0].summary.numpy()
            for value in (1.5, 0.0)
        )
    np.testing.assert_allclose(summary, asked, atol=1e-5)
    assert np.abs(asked - plain).max() > 0.1
