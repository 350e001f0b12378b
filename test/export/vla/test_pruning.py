"""Fewer tokens of a picture: exact against the library pruned in the same way, and its price.

Run by `./arfm test --vla`, in the environment that has LeRobot.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="LeRobot is in .venv-vla: ./arfm test --vla")

import torch  # noqa: E402
from lerobot_rig import NEWER, save_checkpoint, write_interface  # noqa: E402

from arfm_ros.cli.__main__ import main  # noqa: E402
from arfm_ros.engines import load_policy  # noqa: E402
from arfm_ros.engines.gate.replay import LIMITS, load_reference, replay  # noqa: E402
from arfm_ros.export.vla.pruning import TokenShare, chosen, kept  # noqa: E402

pytestmark = pytest.mark.vla
torch.set_num_threads(1)  # small tensors: more threads only wait for each other
LIMIT = LIMITS["fp32"].step


@pytest.fixture(scope="module", params=[pytest.param("pi0", marks=NEWER), "smolvla"])
def bundles(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[dict[str, Path]]:
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        source = f"lerobot:{save_checkpoint(request.param, folder, patch)}"
        words = ["--interface", str(write_interface(folder / "robot.yaml")), "--out"]
        half = ["--keep-tokens", "0.5"]
        assert main(["export", source, *words, str(folder / "whole")]) == 0
        assert main(["export", source, *half, *words, str(folder / "half")]) == 0
        assert main(["export", source, *half, "--views", *words, str(folder / "split")]) == 0
        yield {name: folder / name for name in ("whole", "half", "split")}


def test_what_repeats_a_pivot_is_left_out_and_the_order_stays() -> None:
    x, y, z = torch.eye(3)
    tokens = torch.stack([y + 0.1 * x, 9 * x, 2 * x, 3 * x, z, -x])[None]
    assert [chosen(tokens, count).tolist() for count in (3, 1)] == [[1, 4, 5], [1]]
    assert chosen(tokens, 6).tolist() == [*range(6)]
    assert [kept(64, share) for share in (1.0, 0.5, 0.25, 0.001)] == [64, 32, 16, 1]
    share = TokenShare()
    assert share(tokens) is tokens
    share.share = 0.5
    assert torch.equal(share(tokens)[0, :, :3], tokens[0, [1, 4, 5]])
    with share.all():
        assert share(tokens) is tokens


@pytest.mark.parametrize("marks", [(0, 0), (2, 1)])
def test_what_stays_keeps_its_place(marks: tuple[int, int]) -> None:
    """Of two pictures of six tokens three stay each: the second, fifth, sixth; and others."""
    x, y, z = torch.eye(3)
    first = torch.stack([y + 0.1 * x, 9 * x, 2 * x, 3 * x, z, -x])[None]
    second = first[:, [1, 4, 5, 0, 2, 3]]
    share = TokenShare()
    share.share = 0.5
    views, places = share.split([share(first), share(second)], marks)
    assert torch.equal(views[1], second[:, [0, 1, 2]])
    taken = places.then(torch.ones(1, 2), torch.zeros(1, 1))
    begin, size = marks[0], 6 + sum(marks)
    inside = ([1, 4, 5], [0, 1, 2])
    ends = ([*range(begin)], [*range(size - marks[1], size)])
    wanted = [
        k * size + at
        for k, picture in enumerate(inside)
        for at in (*ends[0], *(begin + one for one in picture), *ends[1])
    ]
    wanted += [2 * size, 2 * size + 1]
    assert (taken.cumsum(1) - 1)[0, taken[0] > 0].tolist() == wanted
    assert taken[0, -1] == 0 and int(taken.sum()) == 2 * size + 2


@pytest.mark.parametrize("name", ["half", "split"])
def test_the_graphs_are_those_of_the_library_pruned_in_the_same_way(
    bundles: dict[str, Path], name: str
) -> None:
    policy = load_policy(bundles[name], threads=1)
    parity = replay(policy, load_reference(bundles[name]))
    assert parity.passed and 0 < parity.max_step_error <= LIMIT
    assert parity.max_chunk_error <= LIMIT
    whole = load_policy(bundles["whole"], threads=1)
    seen = whole.spec.example(0)
    tokens = [np.shape(p.encode(seen).tensors["attend"])[1] for p in (policy, whole)]
    assert tokens[0] == tokens[1] - 2 * 2  # of 4 of each of two cameras


def test_what_it_changes_is_written_down_and_stays_there(bundles: dict[str, Path]) -> None:
    for name in ("half", "split"):
        folder = bundles[name]
        record = json.loads((folder / "parity.json").read_text())["keep_tokens"]
        assert record["share"] == 0.5
        assert LIMIT < record["mean_chunk_change"] < record["max_chunk_change"] < 2.0
        # the chunks of both references have the same observations and noise
        half, whole = load_reference(folder), load_reference(bundles["whole"])
        gaps = [
            np.abs(a - b).max() / max(np.abs(b).max(), 1.0)
            for a, b in zip(half.trace[:, -1], whole.trace[:, -1])
        ]
        assert record["max_chunk_change"] == pytest.approx(max(gaps), rel=1e-3)
        assert main(["check", str(folder)]) == 0
        assert json.loads((folder / "parity.json").read_text())["keep_tokens"] == record
    assert "keep_tokens" not in json.loads((bundles["whole"] / "parity.json").read_text())


@pytest.mark.parametrize("share", ["0", "1.5"])
def test_no_share_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], share: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        source = f"lerobot:{save_checkpoint('smolvla', tmp_path, patch)}"
        robot = str(write_interface(tmp_path / "robot.yaml"))
        words = ["--interface", robot, "--keep-tokens", share, "--out", str(tmp_path / "b")]
        assert main(["export", source, *words]) == 1
    assert f"--keep-tokens is {share}, needs a share above 0" in capsys.readouterr().err
