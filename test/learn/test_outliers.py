"""Targets that nobody should imitate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import learn_rig
import numpy as np
from learn_rig import CONFIG, plan

from arfm_ros.learn.data.dataset import fit_spec
from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.data.outliers import within
from arfm_ros.learn.loop.begin import start

data, frames = learn_rig.data, learn_rig.frames  # fixtures


def test_an_observation_with_one_absurd_action_is_left_out(frames: Frames) -> None:
    rows = np.arange(len(frames))
    spec = fit_spec(frames, CONFIG, rows)
    chunk = frames.chunk.copy()
    chunk[3, -1, 2] += 30 * float(spec.action_norm.scale[-1, 2])
    stuck = replace(frames, chunk=chunk)

    assert within(stuck, rows, spec, 20.0).tolist() == [row for row in rows if row != 3]
    assert within(stuck, rows, spec, 0.0).tolist() == rows.tolist()


def test_a_run_says_how_many_it_left_out(data: Path, tmp_path: Path) -> None:
    said: list[str] = []

    start(plan(data, tmp_path, steps=1, outlier=1.5), say=said.append)

    assert any("left out" in line and "--outlier" in line for line in said)
