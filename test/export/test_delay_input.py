"""A network that is told how late its chunks come: what it learns, its graphs, its bundle."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from learn_rig import plan, silent, trained

from arfm_ros.core.chunks.chunking import Chunking
from arfm_ros.core.chunks.rtc import guidance, left_over
from arfm_ros.core.errors import ConfigError, SpecError
from arfm_ros.core.values.spec import PolicySpec, Rtc
from arfm_ros.engines import EnginePolicy, load_bundle, load_policy
from arfm_ros.engines.gate.replay import load_reference, replay
from arfm_ros.export.bundle import export_bundle
from arfm_ros.export.running import Running
from arfm_ros.learn.loop.begin import start
from arfm_ros.learn.loop.checkpoint import build_policy, load_checkpoint
from arfm_ros.learn.objectives.flow_loss import FlowConfig

TOLD = FlowConfig(delay_max=6, delay_input=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("told"), flow=TOLD)[0]


@pytest.fixture(scope="module")
def bundle(run: Path) -> Path:
    return run.parent / "bundle"


def opened(folder: Path) -> EnginePolicy:
    policy = load_policy(folder, threads=1)
    assert isinstance(policy, EnginePolicy)
    return policy


def test_the_bundle_says_so_and_all_its_graphs_pass_the_gate(bundle: Path) -> None:
    raw = json.loads((bundle / "policy.json").read_text())
    assert raw["spec"]["rtc"]["latency_input"] is True
    policy = opened(bundle)
    assert policy.spec.rtc == Rtc("prefix", 0, 6, latency_input=True)
    assert policy.runtime.whole == "chunk, chunk_rtc"
    parity = replay(policy, load_reference(bundle))
    assert parity.passed and 0 < parity.max_guided_error


def test_a_spec_without_it_is_written_as_before(bundle: Path) -> None:
    spec = replace(load_bundle(bundle).spec, rtc=Rtc("prefix", 0, 6))
    assert "latency_input" not in spec.to_json()
    assert PolicySpec.from_json(spec.to_json()) == spec
    with pytest.raises(SpecError, match="latency_input is of mode prefix, the mode is 'guided'"):
        Rtc("guided", 0, 6, latency_input=True)


def test_the_input_learns_counts_and_is_0_without_delay(run: Path) -> None:
    model = build_policy(load_checkpoint(run))
    delay = model.velocity_net.delay
    assert delay is not None
    frozen = torch.arange(model.config.horizon) < torch.tensor([0, 2, 5])[:, None]
    with torch.no_grad():
        added = delay(frozen)
    assert (added[0] == 0).all()
    assert added[1].abs().max() > 0 and (added[1] - added[2]).abs().max() > 0


def test_the_runtime_feeds_the_delay_that_it_counts(bundle: Path, run: Path) -> None:
    """The count of `Chunking` reaches the network as its frozen actions, by every graph."""
    policy, model = opened(bundle), build_policy(load_checkpoint(run))
    spec, seen = policy.spec, load_reference(bundle).observation(0)
    context = policy.encode(seen)
    noise = np.random.default_rng(0).standard_normal(spec.flow_shape).astype(np.float32)
    first = policy.sample(context, noise)
    chunking = Chunking(spec.rtc)
    chunking.took_over(first, seen.instruction, first.stamp_ns)
    for late in (2, 4):  # the first does not count
        other = replace(first, stamp_ns=first.stamp_ns + 1)
        chunking.took_over(other, seen.instruction, other.stamp_ns + late * spec.dt_ns)
        assert chunking.delay == late
        bound = chunking.prefix(other.stamp_ns, seen.instruction)
        assert bound is not None
        bound = replace(left_over(first, first.stamp_ns, chunking.delay), info=bound.info)
        given = guidance(bound, spec, context.state)
        assert given.weights.sum() == late
        found = policy.guided_velocity(context, given)(noise, 0.3)
        wanted = _velocity(model, context.tensors, noise, given)
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        delay, model.velocity_net.delay = model.velocity_net.delay, None
        untold = _velocity(model, context.tensors, noise, given)
        model.velocity_net.delay = delay
        assert np.abs(found - untold)[late:].max() > 1e-4


def _velocity(model, tensors, noise, given) -> np.ndarray:  # type: ignore[no-untyped-def]
    from arfm_ros.export.graphs.rtc import follow_on
    from arfm_ros.learn.model.network import EncodedContext

    context = EncodedContext(*(torch.tensor(tensors[name]) for name in EncodedContext._fields))
    x, previous = torch.tensor(noise)[None], torch.tensor(given.previous)[None]
    weights = torch.tensor(given.weights)[None]
    with torch.no_grad():
        v = follow_on(model, context, (x, torch.tensor([0.3])), (previous, weights))
    return v[0].numpy()


def test_guided_in_place_of_it_needs_no_such_input(run: Path, tmp_path: Path) -> None:
    export_bundle(run, tmp_path / "b", "rig", threads=1, running=Running("guided"), say=silent)
    assert not load_bundle(tmp_path / "b").spec.rtc.latency_input


def test_training_goes_on_with_it_and_can_begin_without(
    run: Path, tmp_path: Path, bundle: Path
) -> None:
    data = run.parent / "data"
    more = plan(data, tmp_path / "more", steps=2)
    start(replace(more, init=bundle), say=silent)
    kept = load_checkpoint(tmp_path / "more")
    assert kept.config.delay_input and kept.spec.rtc.latency_input
    plain = plan(data, tmp_path / "plain", steps=2, flow=FlowConfig(delay_max=6))
    start(plain, say=silent)
    assert not load_checkpoint(tmp_path / "plain").config.delay_input
    told = plan(data, tmp_path / "told", steps=2, flow=TOLD)
    start(replace(told, init=tmp_path / "plain"), say=silent)
    assert load_checkpoint(tmp_path / "told").spec.rtc.latency_input


def test_it_needs_delays() -> None:
    with pytest.raises(ConfigError, match="delay_input tells of late chunks"):
        FlowConfig(delay_input=True)
