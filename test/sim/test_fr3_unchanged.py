"""The FR3's demonstrations stay what the shipped policy was trained on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from arfm_ros.episodes.windows import read_episode
from arfm_ros.sim.record.demos import Demonstrator, DemoOptions

NAMES = (*(f"fr3_joint{i}" for i in range(1, 8)), "gripper")
STEP_NS = 50_000_000
# Of commands and states, in units of 1e-8: other machines round the last bits otherwise
HASHES = {
    ("reach", 0.0): "cd854e7443950178",
    ("lift", 0.0): "33b9ea54804a9593",
    ("push", 0.0): "fc24d552d40be32b",
    ("place", 0.0): "d753820b4dc66545",
    ("lift", 1.0): "1a639bfe012531d0",
}


@pytest.mark.parametrize(("task", "disturbed"), HASHES)
def test_a_demonstration_of_the_fr3_is_the_one_it_always_was(
    tmp_path: Path, task: str, disturbed: float
) -> None:
    options = DemoOptions(cameras=(), limit_s=2.5, wide=disturbed, thrown=disturbed)
    Demonstrator(options).record(task, 11, tmp_path / "one")
    arrays = read_episode(tmp_path / "one", {}, NAMES, NAMES, STEP_NS)
    digest = hashlib.sha256()
    for values in (arrays.commands, arrays.state):
        assert len(values) > 15
        digest.update(np.round(np.asarray(values, np.float64) * 1e8).astype(np.int64).tobytes())
    assert digest.hexdigest()[:16] == HASHES[task, disturbed]
