"""Evaluations side by side, and what is kept of them."""

import json
from pathlib import Path

import pytest

from arfm_ros.bringup import find_bundle
from arfm_ros.cli.__main__ import main
from arfm_ros.core.errors import ConfigError
from arfm_ros.evaluate.results import Results
from arfm_ros.evaluate.rollout import RolloutResult
from arfm_ros.evaluate.sweep import Cell, Outcomes, Plan, Steps, cells, pairs, report, run_sweep
from arfm_ros.evaluate.sweep_plot import draw
from arfm_ros.sim.drive.driver import DriverConfig

A, B = Path("a"), Path("b")


def results(pattern: str, task: str = "lift") -> list[RolloutResult]:
    """Make an episode for each letter: s for success."""
    return [RolloutResult(task, i, "", c == "s", 1.0, 9, 0.5) for i, c in enumerate(pattern)]


def plan(**changes: object) -> Plan:
    whole = {
        "bundles": (A,),
        "tasks": ("lift",),
        "modes": ("bundle",),
        "delays_ms": (50,),
        "seeds": range(4),
        "config": DriverConfig(),
    }
    return Plan(**(whole | changes))  # type: ignore[arg-type]


def outcomes(given: Plan, *patterns: str) -> Outcomes:
    return dict(zip(cells(given), map(results, patterns), strict=True))


def test_one_cell_reports_the_keys_that_scripts_read() -> None:
    one = plan()
    found = report(one, outcomes(one, "ssf"))
    assert {"success_rate", "n", "interval", "episodes"} <= found.keys()
    assert found["n"] == 3 and found["task"] == "lift" and found["delay_ms"] == 50


def test_several_tasks_are_listed_by_name() -> None:
    two = plan(tasks=("lift", "reach"))
    assert report(two, outcomes(two, "s", "f"))["tasks"]["reach"]["success_rate"] == 0.0


def test_another_bundle_is_compared_start_by_start() -> None:
    duel = plan(bundles=(A, B))
    found = report(duel, outcomes(duel, "sfff", "ssss"))
    assert found["bundle"] == "a" and found["against"]["bundle"] == "b"
    assert found["against"]["success_rate"] == 1.0
    assert (found["comparison"]["only_a"], found["comparison"]["only_b"]) == (0, 3)


def test_a_sweep_compares_modes_and_bundles_at_each_delay() -> None:
    wide = plan(bundles=(A, B), modes=("none", "bundle"), delays_ms=(0, 100))
    found = outcomes(wide, *["ssss"] * 8)
    named = [((p.a.bundle, p.a.mode), (p.b.bundle, p.b.mode)) for p in pairs(found)]
    assert named[:4] == [
        ((A, "none"), (B, "none")),
        ((A, "none"), (A, "bundle")),
        ((A, "bundle"), (B, "bundle")),
        ((B, "none"), (B, "bundle")),
    ]
    assert all(p.a.delay_ms == p.b.delay_ms for p in pairs(found))
    whole = json.loads(json.dumps(report(wide, found)))
    assert len(whole["cells"]) == 8 and len(whole["comparisons"]) == 8
    assert whole["comparisons"][0]["b"]["bundle"] == "b"


def test_counts_of_steps_are_compared_with_the_first_and_named() -> None:
    few = plan(bundles=(A, B), steps=(None, Steps(5), Steps(2, "ab2")))
    found = outcomes(few, *["sfsf", "ssss"] * 3)
    named = [((p.a.bundle, p.a.steps), (p.b.bundle, p.b.steps)) for p in pairs(found)]
    assert named == [
        ((A, None), (B, None)),
        ((A, None), (A, Steps(5))),
        ((A, Steps(5)), (B, Steps(5))),
        ((B, None), (B, Steps(5))),
        ((A, None), (A, Steps(2, "ab2"))),
        ((A, Steps(2, "ab2")), (B, Steps(2, "ab2"))),
        ((B, None), (B, Steps(2, "ab2"))),
    ]
    whole = report(few, found)
    assert [row["steps"] for row in whole["cells"]] == [None, None, 5, 5, 2, 2]
    assert [row.get("solver") for row in whole["cells"]] == [None] * 4 + ["ab2"] * 2


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    wide = plan(tasks=("lift", "reach"), modes=("none", "bundle"), delays_ms=(0, 100))
    path = draw(outcomes(wide, *["ssff"] * 8), tmp_path / "sweep.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_what_is_kept_is_read_again_without_the_line_that_was_cut_off(tmp_path: Path) -> None:
    cell = {"task": "lift", "config": {"steps": 3}}
    made = results("sfs")
    assert list(Results(tmp_path, cell).keep(made)) == made
    kept = Results(tmp_path, cell)
    assert kept.read() == dict(enumerate(made))
    kept.path.write_text(kept.path.read_text()[:-9])
    assert Results(tmp_path, cell).read() == {0: made[0], 1: made[1]}
    assert list(Results(tmp_path, cell).keep(made[2:])) == made[2:]
    assert Results(tmp_path, cell).read() == dict(enumerate(made))


def test_another_configuration_has_a_file_of_its_own(tmp_path: Path) -> None:
    one = Results(tmp_path, {"task": "lift", "config": {"steps": 3}})
    two = Results(tmp_path, {"task": "lift", "config": {"steps": 4}})
    list(one.keep(results("s")))
    assert one.path != two.path and two.read() == {}


def test_a_finished_sweep_runs_nothing_again(tmp_path: Path) -> None:
    bundle = find_bundle("")
    short = plan(bundles=(bundle,), tasks=("reach",), seeds=range(7, 8), workers=1, out=tmp_path)
    first = run_sweep(short)
    (kept,) = tmp_path.glob("reach_*.jsonl")
    before = kept.read_text()
    assert run_sweep(short) == first
    assert kept.read_text() == before
    (episode,) = first[Cell(bundle, "reach", "bundle", 50)]
    assert episode.seed == 7 and episode.seams.ratio is not None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"modes": ("guided",)}, "guided"),
        ({"steps": (Steps(3), Steps(0))}, "--steps 0 steps: needs at least 1"),
        ({"steps": (Steps(3, "rk45"),)}, "of one of euler, ab2, midpoint, heun"),
        ({"modes": ("quick",)}, "no mode 'quick', give one of bundle, none"),
        ({"seeds": range(0)}, "--episodes 0"),
        ({"config": DriverConfig(action_noise=-1.0)}, "--action-noise is -1"),
        ({"tasks": ("juggle",)}, "juggle"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_episode(
    changes: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        run_sweep(plan(bundles=(find_bundle(""),), **changes))


def test_a_file_that_cannot_be_written_is_refused_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = str(find_bundle(""))
    assert main(["eval", bundle, "--json", str(tmp_path / "no" / "a.json")]) == 1
    assert "there is no folder" in capsys.readouterr().err
    assert main(["eval", bundle, "--plot", str(tmp_path / "a.txt")]) == 1
    assert "needs a name in .png" in capsys.readouterr().err
