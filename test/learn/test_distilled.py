"""A policy that learns to do in a few steps what it did in many."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from learn_rig import plan, silent, write_episodes

from arfm_ros.cli.__main__ import main
from arfm_ros.core.errors import ConfigError, EngineError
from arfm_ros.core.values.data import F32, Context
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
    few: Path  # the student's bundle

    def plan(self, out: Path, init: Path | None = None, **options: object) -> Plan:
        """Plan another student, or one of the policy in `init`."""
        options = {"learning_rate": 3e-3, "average": 0.9, **options}
        return replace(plan(self.data, out, **options), init=init or self.teacher)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Taught:
    """Train both and export the student, once a file of tests."""
    root = tmp_path_factory.mktemp("distilled")
    found = Taught(
        write_episodes(root / "data"), *(root / n for n in ("teacher", "student", "few"))
    )
    wanted = {"steps": 60, "flow": FlowConfig(delay_max=4), "learning_rate": 3e-3}
    start(plan(found.data, found.teacher, **wanted), say=silent)
    start(found.plan(found.student, steps=150, distil=STEPS, threads=2), say=silent)
    assert main(["export", str(found.student), "--out", str(found.few)]) == 0
    return found


def test_only_the_velocity_learns(taught: Taught) -> None:
    before, after = load_checkpoint(taught.teacher), load_checkpoint(taught.student)
    changed = {n for n, v in after.average.items() if not torch.equal(v, before.average[n])}
    assert changed and all(name.startswith("velocity_net.") for name in changed)
    assert after.spec.steps == after.spec.sampler.only_steps == STEPS
    assert after.spec.rtc == before.spec.rtc and "val_loss" not in after.validation


def euler(model: FlowPolicy, context: Context, x: F32, steps: int, given: int) -> F32:
    """Lead x [H, A] to the end in `steps` steps; its first `given` rows stay."""
    held = torch.arange(len(x)) < given
    names = ("keys", "values", "summary")
    seen = EncodedContext(*(torch.from_numpy(context.tensors[name]) for name in names))
    now = torch.from_numpy(x)
    with torch.no_grad():
        for i in range(steps):
            t = torch.tensor([i / steps])
            v = model.velocity(now[None], t, seen, held[None] if given else None)[0]
            now = torch.where(held[:, None], now, now + v / steps)
    return now.numpy()


@pytest.mark.parametrize("late", [0, 3])
def test_a_few_steps_come_out_where_many_did(late: int, taught: Taught) -> None:
    student, teacher = load_policy(taught.few, threads=1), load_checkpoint(taught.teacher)
    network, spec = build_policy(teacher), student.spec
    rng, off = np.random.default_rng(0), []
    for seed in range(8):
        seen = spec.example(seed)
        context = student.encode(seen)
        noise = rng.standard_normal(spec.flow_shape).astype(np.float32)
        before, begin = None, noise.copy()
        if late:
            chunk = student.sample(context, noise[::-1].copy())
            before = replace(chunk, info=replace(chunk.info, prefix_length=late))
            begin[:late] = spec.normalise_actions(chunk.actions, seen.state)[:late]
        own = spec.normalise_actions(student.sample(context, noise, before).actions, seen.state)
        wanted, coarse = (euler(network, context, begin, n, late) for n in (12, STEPS))
        off.append([np.square(one - wanted).mean() for one in (own, coarse)])
        np.testing.assert_allclose(own[:late], wanted[:late], atol=1e-4)
    own_off, coarse_off = np.mean(off, axis=0)
    assert own_off < 0.5 * coarse_off


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


def test_another_count_of_steps_is_refused(taught: Taught, tmp_path: Path) -> None:
    policy = load_policy(taught.few, threads=1)
    noise = np.zeros(policy.spec.flow_shape, np.float32)
    with pytest.raises(EngineError, match="10 steps of a policy that was distilled to 2"):
        policy.sample(policy.encode(policy.spec.example(0)), noise, steps=10)
    out = ["--out", str(tmp_path / "other")]
    for words in (["--steps", "10"], ["--steps", "fewest"]):
        assert main(["export", str(taught.few), *out, *words]) == 1
    for words in (["--steps", "10"], ["--rtc", "guided"], ["--solver", "heun"]):
        assert main(["export", str(taught.student), *out, *words]) == 1
    assert not (tmp_path / "other").exists()
    assert main(["check", str(taught.few)]) == 0
    again = PolicySpec.from_json(load_bundle(taught.few).spec.to_json())
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
            start(taught.plan(tmp_path / "o", init=taught.few, **options), say=silent)
