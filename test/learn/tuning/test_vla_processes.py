"""Fine-tuning in several processes of torchrun, and runs that are stopped: the same in the end.

Run by `./arfm test --vla --slow`.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lerobot", reason="LeRobot is in .venv-vla: ./arfm test --vla")

import test_vla_decoders as decoders  # noqa: E402
import torch  # noqa: E402
from learn_rig import write_episodes  # noqa: E402
from tuned_rig import Given, environment  # noqa: E402
from tuning_rig import CHILD, KINDS, make_given, opened  # noqa: E402

pytestmark = [pytest.mark.vla, pytest.mark.slow]


@pytest.fixture(scope="module", params=KINDS)
def given(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Given]:
    yield from make_given(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def smolvla(tmp_path_factory: Any) -> Iterator[Given]:
    yield from make_given("smolvla", tmp_path_factory.mktemp("smolvla"))


def the_same_steps(given: Given, one: str, two: str) -> None:
    """Compare losses, alpha and effective samples of each step, then all weights."""
    before, after = given.steps(one), given.steps(two)
    assert [row["step"] for row in before] == [row["step"] for row in after]
    assert before[0]["ess"] < 7.9  # weights are not all alike
    for a, b in zip(before, after):
        for name in ("loss", "alpha", "ess", "sigma_l", "sigma_r"):
            assert b[name] == pytest.approx(a[name], rel=1e-5), name
    found, wanted = given.weights(two), given.weights(one)
    assert found.keys() == wanted.keys()
    for name, weight in wanted.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-3, atol=1e-4, msg=name)


def test_two_processes_draw_the_same_rows_by_their_weight(smolvla: Given) -> None:
    more = ("--steps", "2", "--tune", "expert", "--drawn")
    smolvla.train("drawn1", *more)
    smolvla.train("drawn2", *more, "--piece", "2", processes=2)
    one, two = (smolvla.steps(name) for name in ("drawn1", "drawn2"))
    assert [row["step"] for row in one] == [row["step"] for row in two] == [1, 2]
    for a, b in zip(one, two):
        assert "alpha" not in a and b["loss"] == pytest.approx(a["loss"], rel=1e-5)


@pytest.mark.parametrize("part", ["whole", "expert", "lora"])
def test_two_processes_take_the_steps_of_one(given: Given, part: str) -> None:
    """Losses, weights of the batch and all parameters; LeRobot reads the folder and samples."""
    more = ("--steps", "3", "--tune", part, "--rank", "2")
    given.train(f"{part}1", *more)
    cut = ("--piece", "2", "--checkpointing")
    said = given.train(f"{part}2", *more, *cut, processes=2)
    assert said.count("done after 3 steps") == said.count("transformer blocks are cut over 2") == 1
    the_same_steps(given, f"{part}1", f"{part}2")
    policy = opened(given, f"{part}2").eval()
    one = given.tuner(given.folder / f"{part}1", part=part)
    batch = one.policy.before(one.batches.raw(one.batches.drawn(0, 2)))
    noise = torch.randn(2, 10, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        chunk = policy.predict_action_chunk(batch, noise=noise)
        was = one.policy.policy.eval().predict_action_chunk(batch, noise=noise)
    assert chunk.shape == was.shape == (2, 10, 8) and bool(torch.isfinite(chunk).all())
    assert not torch.allclose(chunk, was)  # it has learned


def test_bf16_travels_rounded_and_comes_out_as_in_one_process(smolvla: Given) -> None:
    more = ("--steps", "2", "--precision", "bf16")
    smolvla.train("low1", *more)
    smolvla.train("low2", *more, processes=2)
    for a, b in zip(smolvla.steps("low1"), smolvla.steps("low2")):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-2)
        assert b["alpha"] == pytest.approx(a["alpha"], rel=5e-2)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda one: one.name)
def test_a_run_that_ends_early_goes_on_to_the_same_end(
    smolvla: Given, processes: int, how: signal.Signals
) -> None:
    steps = ("--steps", "25", "--learning-rate", "1e-4")
    whole, out = f"whole{processes}", f"{how.name}{processes}"
    if not (smolvla.folder / whole).exists():
        smolvla.train(whole, *steps, processes=processes)
    command = smolvla.command(out, *steps, "--save-every", "1", processes=processes)
    with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL) as running:
        while not smolvla.last(out).exists() and running.poll() is None:
            time.sleep(0.01)
        running.send_signal(how)
        running.wait(timeout=120)
    for _ in range(200):  # processes of a launcher that was killed notice it
        if processes == 1 or how == signal.SIGTERM:
            break
        time.sleep(0.05)
    done = len(list((smolvla.folder / out / "checkpoints").glob("0*")))
    assert 0 < done < 25
    said = smolvla.train(out, *steps, "--resume", processes=processes)
    assert "going on after step" in said
    assert len(smolvla.steps(out)) == 25
    the_same_steps(smolvla, whole, out)


def test_a_policy_without_known_blocks_is_cut_as_one(tmp_path: Path) -> None:
    decoders.write_checkpoint(tmp_path / "checkpoint", "act", decoders.ACT)
    decoders.write_interface(tmp_path / "robot.yaml")
    write_episodes(tmp_path / "episodes")
    (tmp_path / "child.py").write_text(CHILD)
    act = Given("lerobot", "act", tmp_path)
    more = ("--steps", "2", "--batch", "4")
    act.train("one", *more)
    said = act.train("two", *more, processes=2)
    assert "no transformer blocks are known of act" in said
    for a, b in zip(act.steps("one"), act.steps("two")):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-5)
        assert b["alpha"] == pytest.approx(a["alpha"], rel=1e-5)


def test_a_batch_that_does_not_cut_is_refused_once(smolvla: Given) -> None:
    done = smolvla.run("odd", "--steps", "2", "--batch", "5", processes=2)
    assert done.returncode != 0
    assert done.stderr.count("--batch 5 does not cut into 2 equal shares") == 1
