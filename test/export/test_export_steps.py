"""A bundle with another count of steps, and how few are enough."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from arfm_ros.bringup import find_bundle
from arfm_ros.cli.__main__ import main
from arfm_ros.core.values.statistics import compare
from arfm_ros.engines import load_bundle
from arfm_ros.evaluate.fewest import COUNTS, Tried, fewest_steps
from arfm_ros.evaluate.sweep import OWN, Plan
from arfm_ros.learn.model.from_bundle import bundle_checkpoint
from arfm_ros.sim.drive.driver import DriverConfig

SHIPPED = find_bundle("")


def test_the_graphs_stay_and_the_specification_says_the_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "four"
    assert main(["export", str(SHIPPED), "--steps", "4", "--out", str(out)]) == 0
    before, after = load_bundle(SHIPPED), load_bundle(out)
    assert after.spec.steps == 4 != before.spec.steps
    assert after.provenance["flow_steps"]["before"] == before.spec.steps
    assert bundle_checkpoint(out).step == bundle_checkpoint(SHIPPED).step  # training goes on
    assert before.sha256 != after.sha256  # another policy: results of one are not the other's
    for name in ("prefix.onnx", "step.onnx", "weights.safetensors"):
        assert (out / name).read_bytes() == (SHIPPED / name).read_bytes()
    assert main(["check", str(out)]) == 0  # the gate passes by itself
    assert "4 flow steps by default" in (out / "README.md").read_text()
    assert "Not measured yet" in (out / "README.md").read_text()
    assert not list(tmp_path.glob(".*"))
    capsys.readouterr()


def test_what_cannot_be_said_of_a_bundle_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*words: str) -> str:
        assert main(["export", str(SHIPPED), *words]) == 1
        return capsys.readouterr().err

    assert "or --steps and --out" in refused("--steps", "4")
    assert "or --steps and --out" in refused("--steps", "4", "--solver", "ab2")
    assert "a run needs a count" in refused("--steps", "few", "--out", str(tmp_path / "x"))
    full = tmp_path / "full"
    full.mkdir()
    (full / "note").write_text("mine")
    assert "no bundle" in refused("--steps", "4", "--out", str(full))
    assert (full / "note").read_text() == "mine"


def test_a_count_is_kept_while_no_task_loses_more_than_a_point() -> None:
    good = [True] * 196 + [False] * 4
    one_less, three_less = [True] * 194 + [False] * 6, [True] * 193 + [False] * 7
    assert Tried(5, {"lift": compare(good, one_less), "push": compare(good, good)}).kept
    row = Tried(5, {"lift": compare(good, good), "push": compare(good, three_less)})
    assert not row.kept
    told = json.loads(json.dumps(row.as_json()))
    assert told["tasks"]["push"]["success"] == pytest.approx(0.965) and not told["kept"]


@pytest.mark.slow
def test_counts_go_down_on_the_same_starts_until_one_is_too_few(tmp_path: Path) -> None:
    plan = Plan(
        bundles=(SHIPPED,),
        tasks=("reach",),
        modes=(OWN,),
        delays_ms=(50,),
        seeds=range(40, 43),
        config=DriverConfig(),
        out=tmp_path,
    )
    said: list[str] = []
    count, tried = fewest_steps(plan, said.append)
    assert (
        [row.count for row in tried]
        == list(COUNTS[: len(tried)])
        == sorted((row.count for row in tried), reverse=True)
    )
    assert all(row.kept for row in tried[:-1]) and len(said) == len(tried)
    assert count == min([10, *(row.count for row in tried if row.kept)])
    assert len(list(tmp_path.glob("reach_*.jsonl"))) == len(tried) + 1
