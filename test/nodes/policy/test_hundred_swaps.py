"""A policy that is changed a hundred times while it drives leaves nothing behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from policy_rig import ROOT, Robot, start_node
from test_swap import ask_for, hashes

from arfm_ros.engines import load_bundle
from arfm_ros.engines.bundle import bundle_sha256
from arfm_ros.nodes.ros.convert import trajectory_to_chunk

SWAPS, WARM, SWAP_S = 100, 20, 200.0
MIB = 2**20
LOOSE = (
    "max_age_s:=5.0",
    "limit_tolerance:=0.5",
    "camera_sizes:=['scene=48x32','wrist=48x32']",
)  # the rig's pose is not the FR3's
SHIPPED = ROOT / "models" / "fr3_tabletop"


def renamed(folder: Path) -> Path:
    """Copy the shipped bundle under another name, which is another bundle of the same weights."""
    shutil.copytree(SHIPPED, folder)
    raw = json.loads((folder / "policy.json").read_text())
    raw["spec"]["name"] = folder.name
    (folder / "policy.json").write_text(json.dumps(raw))
    parity = json.loads((folder / "parity.json").read_text())
    parity["bundle_sha256"] = bundle_sha256(raw)
    (folder / "parity.json").write_text(json.dumps(parity))
    return folder


def resident(process: int) -> int:
    """Read the bytes of a process that are in memory."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return 4096 * pages


@pytest.mark.slow
def test_memory_is_flat_over_a_hundred_swaps(ros_domain: int, tmp_path: Path) -> None:
    """A network that stayed would be 8 MiB of weights, and as much again of the runtime's."""
    bundles = [renamed(tmp_path / name) for name in ("first", "second")]
    wanted = [load_bundle(bundle).sha256 for bundle in bundles]
    process, robot = start_node(bundles[0], *LOOSE), Robot(ros_domain)
    try:
        robot.instruct("lift the red cube")
        robot.hears_more_chunks(2)
        seen = []
        for swap in range(1, SWAPS + 1):
            which = swap % 2
            ask_for(robot, bundles[which])
            robot.until(lambda which=which: hashes(robot)[-1] == wanted[which], SWAP_S)
            seen.append(resident(process.pid) / MIB)
        assert all(np.isfinite(trajectory_to_chunk(one).actions).all() for one in robot.chunks)
    finally:
        process.kill()
        process.communicate()
        robot.close()
    print(" ".join(f"{one:.0f}" for one in seen[::5]))
    late = np.polyfit(np.arange(WARM, SWAPS), seen[WARM:], 1)[0]
    assert late * (SWAPS - WARM) < 8.0, seen
