"""A policy that learns to do in a few steps what it did in many."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from learn_rig import plan, silent, write_episodes
from torch import Tensor

from arfm_ros.cli.__main__ import main
from arfm_ros.core.errors import ConfigError, EngineError
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines import load_policy
from arfm_ros.engines.bundle import load_bundle
from arfm_ros.learn.loop.begin import Plan, start
from arfm_ros.learn.loop.checkpoint import Checkpoint, build_policy, load_checkpoint
from arfm_ros.learn.model.network import EncodedContext, FlowPolicy
from arfm_ros.learn.objectives.distilled import teacher_steps
from arfm_ros.learn.objectives.flow_loss import FlowConfig
from arfm_ros.learn.objectives.rwr import Rwr

STEPS = 2


class Taught(NamedTuple):
    """A policy that knows of late chunks, and its student of `STEPS` steps."""

    data: Path
    teacher: Path
    student: Path

    def plan(self, out: Path, init: Path | None = None, **options: object) -> Plan:
        """Plan another student, or one of the policy in `init`."""
        options = {"learning_rate": 3e-3, "average": 0.9, **options}
        return replace(plan(self.data, out, **options), init=init or self.teacher)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Taught:
    """Train both, once a file of tests."""
    root = tmp_path_factory.mktemp("distilled")
    found = Taught(write_episodes(root / "data"), *(root / n for n in ("teacher", "student")))
    wanted = {"steps": 60, "flow": FlowConfig(delay_max=4), "learning_rate": 3e-3}
    start(plan(found.data, found.teacher, **wanted), say=silent)
    start(found.plan(found.student, steps=120, distil=STEPS, threads=2), say=silent)
    return found


def test_only_the_velocity_learns(taught: Taught) -> None:
    before, after = load_checkpoint(taught.teacher), load_checkpoint(taught.student)
    changed = {n for n, v in after.average.items() if not torch.equal(v, before.average[n])}
    assert changed and all(name.startswith("velocity_net.") for name in changed)
    assert after.spec.steps == after.spec.sampler.only_steps == STEPS
    assert after.spec.rtc == before.spec.rtc and "val_loss" not in after.validation


def euler(model: FlowPolicy, seen: EncodedContext, x: Tensor, steps: int, given: int) -> Tensor:
    """Lead x [B, H, A] to the end in `steps` steps; the first `given` actions of each stay."""
    held = (torch.arange(x.shape[1]) < given).expand(x.shape[:2])
    for i in range(steps):
        t = torch.full((len(x),), i / steps)
        v = model.velocity(x, t, seen, held if given else None)
        x = torch.where(held[:, :, None], x, x + v / steps)
    return x


@pytest.mark.parametrize("late", [0, 3])
@torch.no_grad()
def test_a_few_steps_come_out_where_many_did(late: int, taught: Taught) -> None:
    runs = load_checkpoint(taught.teacher), load_checkpoint(taught.student)
    teacher, student = (build_policy(run) for run in runs)
    config, spec = runs[0].config, runs[0].spec
    draw = torch.Generator().manual_seed(0)
    pictures = {n: torch.rand(16, 3, h, w, generator=draw) * 2 - 1 for n, h, w in config.cameras}
    state = torch.randn(16, config.state, generator=draw)
    words = torch.ones(16, config.tokens, dtype=torch.long)
    contexts = [model.encode(pictures, state, words)[0] for model in (teacher, student)]
    assert all(torch.equal(one, other) for one, other in zip(*contexts))
    x = torch.randn(16, spec.horizon, config.actions, generator=draw)
    own = euler(student, contexts[1], x, STEPS, late)
    wanted, coarse = (euler(teacher, contexts[0], x, count, late) for count in (12, STEPS))
    assert torch.equal(own[:, :late], wanted[:, :late])
    assert (own - wanted).square().mean() < 0.5 * (coarse - wanted).square().mean()


def test_a_stopped_student_goes_on_with_its_teacher(taught: Taught, tmp_path: Path) -> None:
    def train(steps: int, resume: bool) -> Checkpoint:
        made = taught.plan(tmp_path / "run", steps=steps, distil=1)
        return start(replace(made, resume=resume), say=silent)

    first, then = train(2, False), train(4, True)
    assert (first.step, then.step) == (2, 4) and first.spec == then.spec
    assert then.spec.steps == 1
    changed = {n for n, v in then.model.items() if not torch.equal(v, first.model[n])}
    assert changed and all(name.startswith("velocity_net.") for name in changed)


@pytest.mark.parametrize(("steps", "walked"), [(1, 12), (2, 12), (5, 15), (12, 12), (20, 20)])
def test_the_teacher_walks_in_whole_parts(steps: int, walked: int) -> None:
    assert teacher_steps(steps) == walked


@pytest.mark.slow
def test_another_count_of_steps_is_refused(taught: Taught, tmp_path: Path) -> None:
    few = tmp_path / "few"
    assert main(["export", str(taught.student), "--out", str(few)]) == 0
    policy = load_policy(few, threads=1)
    noise = np.zeros(policy.spec.flow_shape, np.float32)
    with pytest.raises(EngineError, match="10 steps of a policy that was distilled to 2"):
        policy.sample(policy.encode(policy.spec.example(0)), noise, steps=10)
    out = ["--out", str(tmp_path / "other")]
    for words in (["--steps", "10"], ["--steps", "fewest"]):
        assert main(["export", str(few), *out, *words]) == 1
    for words in (["--steps", "10"], ["--rtc", "guided"], ["--solver", "heun"]):
        assert main(["export", str(taught.student), *out, *words]) == 1
    assert not (tmp_path / "other").exists()
    assert main(["check", str(few)]) == 0
    again = PolicySpec.from_json(load_bundle(few).spec.to_json())
    assert again.sampler.only_steps == STEPS


def test_what_cannot_be_distilled_is_refused(
    taught: Taught, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", str(tmp_path), "--out", str(tmp_path / "o"), "--steps", "1"]
    assert main([*words, "--distil", "1"]) == 1
    assert "--distil without --init" in capsys.readouterr().err
    for options, message in (
        ({"distil": 1, "objective": Rwr()}, "--distil with --objective rwr"),
        ({"distil": -1}, "needs a count of steps"),
    ):
        with pytest.raises(ConfigError, match=message):
            taught.plan(tmp_path / "o", **options)
    for options in ({}, {"distil": 1}):
        with pytest.raises(ConfigError, match="learns nothing more"):
            start(taught.plan(tmp_path / "o", init=taught.student, **options), say=silent)
