"""A training in several processes, and one that is interrupted: the same run in the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import learn_rig
import numpy as np
import pytest
import torch
from learn_rig import plan, sampler_of, silent

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.data.augment import AugmentConfig
from arfm_ros.learn.data.dataset import Share
from arfm_ros.learn.data.frames import Frames, load_frames
from arfm_ros.learn.loop.begin import start
from arfm_ros.learn.loop.checkpoint import NAME, load_checkpoint
from arfm_ros.learn.objectives.arfm import Arfm

data, frames = learn_rig.data, learn_rig.frames  # the fixtures
CHILD = """
import sys
from dataclasses import replace
from pathlib import Path
from learn_rig import plan
from arfm_ros.learn.objectives.arfm import Arfm
from arfm_ros.learn.loop.begin import start
data, out, steps = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
options = {"steps": steps, "objective": Arfm(alpha_min=1.0), "save_every_s": 0.0}
start(replace(plan(data, out, **options), resume="resume" in sys.argv))
"""


def child(*words: object) -> list[str]:
    """Give the command of a process that trains as `CHILD` says."""
    return [str(word) for word in words]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "child.py"
    path.write_text(CHILD)
    return path


def environment() -> dict[str, str]:
    places = [str(Path(learn_rig.__file__).parent), str(Path(__file__).parents[2])]
    path = os.pathsep.join([*places, os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}


def test_the_shares_of_a_step_are_its_batch_however_many_they_are(frames: Frames) -> None:
    sampler = sampler_of(frames, AugmentConfig())
    whole = sampler.batch(3, 8)
    for count in (2, 4):
        parts = [sampler.batch(3, 8, Share(i, count)) for i in range(count)]
        assert torch.equal(torch.cat([p.state for p in parts]), whole.state)
        images = torch.cat([p.images["wrist"] for p in parts])
        assert torch.equal(images, whole.images["wrist"])
    with pytest.raises(ConfigError, match="--batch 8 does not cut into 3"):
        sampler.batch(3, 8, Share(0, 3))


def test_two_processes_of_torchrun_take_the_steps_of_one(
    data: Path, tmp_path: Path, script: Path
) -> None:
    objective = Arfm(alpha_min=1.0)
    alone = start(plan(data, tmp_path / "alone", steps=4, objective=objective), say=silent)
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = child(sys.executable, "-m", *launch, script, data, tmp_path / "pair", 4)
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("done after 4 steps") == 1  # the first process speaks
    pair = load_checkpoint(tmp_path / "pair")
    assert pair.step == alone.step == 4
    for name, weight in alone.model.items():
        torch.testing.assert_close(pair.model[name], weight, atol=2e-4, rtol=1e-3)


def test_a_run_killed_at_any_moment_resumes_to_the_same_end(
    data: Path, tmp_path: Path, script: Path
) -> None:
    out, steps = tmp_path / "killed", 30
    whole = start(
        plan(data, tmp_path / "whole", steps=steps, objective=Arfm(alpha_min=1.0)), say=silent
    )
    command = child(sys.executable, script, data, out, steps)
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
    while not (out / NAME).exists() and process.poll() is None:  # it saves after every step
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    assert 0 < load_checkpoint(out).step < steps
    with (out / (NAME + ".new")).open("wb") as half:  # as one killed while it writes
        half.write(b"half")
    with (out / "log.jsonl").open("a") as log:
        log.write('{"step": 9999}\n{"ste')
    done = subprocess.run([*command, "resume"], env=environment(), timeout=240, check=False)
    assert done.returncode == 0
    resumed = load_checkpoint(out)
    assert resumed.step == steps and not (out / (NAME + ".new")).exists()
    for name, weight in whole.average.items():
        torch.testing.assert_close(resumed.average[name], weight, atol=0, rtol=0)
    rows = [json.loads(text) for text in (out / "log.jsonl").read_text().splitlines()]
    assert max(row["step"] for row in rows) == steps


def test_a_resumed_run_with_other_options_names_what_differs(data: Path, tmp_path: Path) -> None:
    first = plan(data, tmp_path, steps=2, objective=Arfm())
    start(first, say=silent)
    other = plan(data, tmp_path, steps=4, objective=Arfm(lam=0.1), seed=3)
    with pytest.raises(ConfigError, match="seed 3, the run has 0.*objective.lam 0.1"):
        start(replace(other, resume=True), say=silent)
    longer = replace(first, train=replace(first.train, steps=4), resume=True)
    assert start(longer, say=silent).step == 4


def test_fp16_scales_its_gradients_and_keeps_the_scale(data: Path, tmp_path: Path) -> None:
    saved = start(plan(data, tmp_path, steps=3, precision="fp16"), say=silent)
    assert saved.scaler["scale"] > 0
    assert all(torch.isfinite(weight).all() for weight in saved.average.values())


def test_a_gpu_that_is_not_there_is_named(data: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ConfigError, match="0 GPUs: use --device cpu"):
        start(plan(data, tmp_path, device="cuda"), say=silent)


@pytest.mark.parametrize("name", ["scene.u8", "frames.npz", "frames.json"])
def test_a_damaged_frame_cache_is_read_anew(data: Path, tmp_path: Path, name: str) -> None:
    first = load_frames([data], tmp_path, learn_rig.CONFIG)
    pixels = np.array(first.images["scene"])
    file = tmp_path / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    again = load_frames([data], tmp_path, learn_rig.CONFIG)
    assert np.array_equal(again.images["scene"], pixels)
