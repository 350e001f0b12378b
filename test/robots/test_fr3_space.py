"""Where the arm may be: work space, keep-out boxes, its own arm."""

import fr3_rig
import numpy as np
import pytest
from arbiter_rig import DT_NS, HOME, LIMITS, Rig

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.space import ANYWHERE, cut
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.robots.fr3.space import fr3_space
from arfm_ros.sim.arms.solver import Fr3Solver, pointing_down

TABLE = (0.2, -0.5, -1.0, 0.9, 0.5, 0.0)


def down(depth_m):
    """Joint positions [8] with the tool `depth_m` below the table's top."""
    joints = Fr3Solver().start(np.array([0.5, 0.0, -depth_m]), pointing_down(0.0))
    return np.append(joints, 1.0)


def test_the_depth_is_that_of_the_tool_in_the_table():
    space = fr3_space((), TABLE, -1.0)
    for depth_m in (0.01, 0.03):
        assert space.depth(down(depth_m)) == pytest.approx(depth_m, abs=2e-3)
    assert space.depth(down(-0.03)) < 0.0 and space.depth(HOME) < 0.0
    assert "tool enters keep-out box 1 by" in space.describe(down(0.03))
    both = space.depth(np.stack([HOME, down(0.01)]))
    np.testing.assert_allclose(both, [space.depth(HOME), space.depth(down(0.01))])


def test_outside_the_workspace_is_named():
    space = fr3_space((0.2, -0.3, 0.0, 0.6, 0.3, 0.4), (), -1.0)
    assert space.depth(down(-0.1)) < 0.0
    assert "workspace" in space.describe(HOME) and space.depth(HOME) > 0.0


def test_a_hand_that_folds_back_onto_the_arm_is_named():
    space = fr3_space((), (), 0.01)
    folded = np.array([0.0, 0.0, 0.0, -3.0, 0.0, 0.6, 0.8, 1.0])
    assert space.depth(HOME) < -0.1
    assert space.depth(folded) > space.depth(HOME)


def test_a_chunk_is_played_up_to_the_box_and_no_further():
    rig = Rig(space=fr3_space((), TABLE, -1.0))
    rig.measured = down(-0.05)
    rig.engage().tick(5)
    path = np.linspace(rig.measured, down(0.04), 17)[1:]
    chunk = ActionChunk(path.astype(np.float32), rig.now, DT_NS, LIMITS.names)
    assert rig.arbiter.on_chunk(chunk, rig.now) == ""
    assert "keep-out box 1" in rig.arbiter.cut_short
    heights = [fr3_rig.forward(rig.tick().command[:7])[0][2] for _ in range(150)]
    assert -1e-3 < min(heights) < 0.02


def test_from_inside_only_what_goes_no_deeper_stays():
    space, here = fr3_space((), TABLE, -1.0), down(0.02)
    out = np.stack([down(0.015), down(0.005), down(-0.02)])
    kept, reason = cut(space, out, here)
    assert reason == "" and len(kept) == 3
    kept, reason = cut(space, np.stack([down(0.03)]), here)
    assert len(kept) == 0 and "keep-out" in reason
    assert cut(ANYWHERE, out, here)[0] is out


@pytest.mark.parametrize("numbers", [(1.0,) * 5, (0.9, 0.5, 0.0, 0.2, -0.5, -1.0), (np.nan,) * 6])
def test_what_is_no_box_is_refused(numbers):
    with pytest.raises(ConfigError, match="keep_out"):
        fr3_space((), numbers, -1.0)
