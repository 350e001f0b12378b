"""Studies: what is a cell, that cells resume, and the figures that tables are made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from arfm_ros.cli.__main__ import main
from arfm_ros.core.errors import ConfigError
from arfm_ros.sim.record.batch import Batch
from arfm_ros.study import lab as labs
from arfm_ros.study import worlds
from arfm_ros.study.bootstrap import difference, hierarchical
from arfm_ros.study.cells import Cell, cells_of, chain_of, read_cells, run_cell
from arfm_ros.study.experiments import (
    FILTER,
    POOL,
    QUALITIES,
    REPLAYED,
    ROWS,
    START,
    STUDIES,
    Sizes,
    Stage,
    Study,
    find_study,
)
from arfm_ros.study.lab import Lab, Training
from arfm_ros.study.report import forgetting, reached, report

SIZES = Sizes(start_steps=3, steps=2, episodes=2, batch=8, draws=1, limit_s=0.3)
REACH = Stage(("reach",), 0, ("reach",))
TINY = Study("tiny", "Tiny", REACH, {"": (REACH,)}, (ROWS[0], ROWS[4]))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Run all cells of a study of one task, with the fewest demonstrations."""
    made = Lab(tmp_path_factory.mktemp("lab"), SIZES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STUDIES, "tiny", TINY)
        patch.setattr(labs, "POOL", 1)
        made.open()
        made.record(("reach",), QUALITIES, 1)
        for cell in cells_of(TINY, 1):
            run_cell((cell, made, "./arfm study tiny"))
    return made


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Training:
    """Give a training of the tiny study that the lab holds."""
    monkeypatch.setitem(STUDIES, "tiny", TINY)
    monkeypatch.setattr(labs, "POOL", 1)
    return chain_of(Cell("tiny", "", ROWS[0], 0))[-1][0]


def test_every_row_of_a_study_begins_with_the_same_weights() -> None:
    for study in STUDIES.values():
        cells = [cell for cell in cells_of(study, 2) if cell.row != START]
        begins = {chain_of(cell)[0][0].key for cell in cells}
        assert len(begins) == 1
        assert len({chain_of(cell)[-1][0].key for cell in cells}) == len(cells)


def test_a_start_is_normalised_for_every_task_that_follows() -> None:
    for study in STUDIES.values():
        later = {task for chain in study.variants.values() for one in chain for task in one.tasks}
        assert later <= {*study.start.tasks, *study.start.normalised}


def test_the_noise_study_trains_nothing_of_its_own() -> None:
    mixed, noise = (list(cells_of(STUDIES[name], 2)) for name in ("mixed", "noise"))
    assert noise and {chain_of(b)[-1][0].key for b in noise} <= {
        chain_of(a)[-1][0].key for a in mixed
    }


def test_knobs_are_chosen_on_starts_that_are_not_reported() -> None:
    first = {study.first_seed for study in STUDIES.values() if study.name != "sweep"}
    assert first == {1_000_000} and STUDIES["sweep"].first_seed == 2_000_000


def test_fewer_demonstrations_are_drawn_by_the_seed_and_are_of_both_qualities() -> None:
    lab = Lab(Path("lab"), SIZES)
    a, again, b = (lab.episodes(Stage(("place",), 10), seed) for seed in (1, 1, 2))
    assert a == again != b and len(a) == 10
    assert sum("good" in folder.name for folder in a) == 5


def test_a_task_that_was_learned_before_is_replayed_from_the_same_few_demonstrations() -> None:
    lab = Lab(Path("lab"), SIZES)
    _, push, place = STUDIES["continual"].variants[""]
    seen = [{folder.name for folder in lab.episodes(stage, 1)} for stage in (push, place)]
    lift = [{name for name in names if "_lift_" in name} for names in seen]
    assert lift[0] == lift[1] and len(lift[0]) == REPLAYED
    assert sum("_push_" in name for name in seen[0]) == len(QUALITIES) * POOL
    assert sum("_push_" in name for name in seen[1]) == REPLAYED


def test_a_cell_keeps_every_episode_and_what_was_trained(lab: Lab) -> None:
    start, plain, arfm = read_cells(list(cells_of(TINY, 1)), lab)
    assert [len(c["results"][0]["success"]) for c in (start, plain, arfm)] == [2, 2, 2]
    assert (
        arfm["row"]["knobs"] == {"normaliser": "task"} and arfm["command"] == "./arfm study tiny"
    )
    assert len(list((lab.root / "runs").iterdir())) == 3  # the start is shared


def test_a_training_that_is_done_is_opened_and_one_that_was_stopped_goes_on(
    lab: Lab, training: Training
) -> None:
    file = lab.root / "runs" / training.key / "checkpoint.pt"
    before = file.stat().st_mtime_ns
    assert lab.train(training).step == 2 and file.stat().st_mtime_ns == before
    assert replace(lab, sizes=replace(SIZES, steps=3)).train(training).step == 3


def test_another_environment_is_measured_by_its_own_command(lab: Lab, training: Training) -> None:
    run, cache = lab.run(training), lab.cache(training)
    (found,) = worlds.measure(run, cache, "tabletop", ("reach",), range(7, 9))
    assert found["task"] == "reach" and len(found["success"]) == len(found["seconds"]) == 2
    batch = Batch(("reach",), 1, 0, lab.root / "elsewhere", "demo_{task}_mixed")
    with pytest.raises(ConfigError, match="demos --env tabletop failed: .*has no expert"):
        worlds.record(batch, "tabletop", "mixed", 1)


def test_rows_of_other_batches_and_drawn_ones_are_trainings_of_their_own() -> None:
    study = STUDIES["mixed"]
    keys = {row.name: chain_of(Cell("mixed", "", row, 0))[-1][0].key for row in study.rows}
    assert len({*keys.values()}) == len(study.rows)
    assert {row.batch for row in study.rows} == {0, 32, 512}


def test_a_folder_of_other_sizes_is_refused(lab: Lab) -> None:
    with pytest.raises(ConfigError, match="batch 8, not 9"):
        Lab(lab.root, replace(SIZES, batch=9)).open()


def test_a_folder_of_policies_that_see_otherwise_is_refused(lab: Lab) -> None:
    with pytest.raises(ConfigError, match="eyes None, not fr3_tabletop"):
        replace(lab, eyes=Path("models/fr3_tabletop")).open()


def test_more_episodes_are_measured_where_the_trainings_are(lab: Lab) -> None:
    cell = next(cells_of(TINY, 1))
    more, fewer = (Lab(lab.root, replace(SIZES, episodes=n)) for n in (3, 1))
    more.open()
    assert cell.done(fewer) and cell.done(lab) and not cell.done(more)


def test_the_report_of_real_cells_has_a_table_and_a_plot(lab: Lab, tmp_path: Path) -> None:
    text = report(TINY, read_cells(list(cells_of(TINY, 1)), lab), tmp_path)
    assert "| ARFM | 1 | 0.0 | 0.0 [0.0, 0.0] | +0.0 [+0.0, +0.0] |" in text
    assert (tmp_path / "tiny.png").stat().st_size > 1000
    with pytest.raises(ConfigError, match="no cell of study 'tiny' is done"):
        report(TINY, [], tmp_path)


def test_the_interval_covers_the_spread_of_seeds_and_of_episodes() -> None:
    rng = np.random.default_rng(0)
    alike = np.repeat((rng.random((1, 2, 50)) < 0.5).astype(float), 3, axis=0)
    apart = alike.copy()
    apart[0], apart[1] = 0.0, 1.0
    narrow, wide = hierarchical(alike), hierarchical(apart)
    assert narrow.low < narrow.mean < narrow.high
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    spread = np.sqrt(narrow.mean * (1 - narrow.mean) / 100)  # of 100 different episodes
    assert narrow.high - narrow.low == pytest.approx(2 * 1.96 * spread, rel=0.15)


def test_pairs_make_the_difference_of_equals_exact() -> None:
    a = (np.random.default_rng(1).random((2, 1, 30)) < 0.5).astype(float)
    same = difference(a, a)
    assert (same.mean, same.low, same.high) == (0.0, 0.0, 0.0)


def test_less_time_is_told_beside_the_filter_with_pairs(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    base = rng.uniform(4.0, 12.0, (3, 2, 40))
    cells = [
        {
            "row": {"name": name},
            "variant": "",
            "seed": seed,
            "results": [
                {"after": ["lift", "place"], "task": task, "noise": 0.0, "success": [1] * 40}
                | {"seconds": (share * base[seed, n]).tolist()}
                for n, task in enumerate(("lift", "place"))
            ],
        }
        for name, share in ((FILTER, 1.0), ("ARFM, time", 0.75))
        for seed in range(3)
    ]
    text = report(STUDIES["paces"], cells, tmp_path)
    assert "-25.0 [-25.0, -25.0] %" in text
    assert f"| {FILTER} | {base.mean():.2f} [" in text


def _continual(row: str, *rates: tuple[str, str, int]) -> dict:
    results = [
        {"after": after.split(), "task": task, "noise": 0.0, "success": [good]}
        for after, task, good in rates
    ]
    return {"row": {"name": row}, "variant": "", "seed": 0, "results": results}


def test_what_a_task_lost_later_is_its_negative_backward_transfer(tmp_path: Path) -> None:
    cells = [
        _continual(
            "fm",
            ("lift", "lift", 1),
            ("push", "lift", 1), ("push", "push", 1),
            ("place", "lift", 0), ("place", "push", 0), ("place", "place", 1),
        ),
    ]  # fmt: skip
    # lift: (0 + 1) / 2, push: 1 / 1, place: no later stage
    assert "| fm | 1 | 75.0 [75.0, 75.0] |" in report(STUDIES["continual"], cells, tmp_path)
    assert forgetting(cells, "fm")[0].tolist() == [[0.5], [1.0]]
    assert reached(cells, "fm", "", 0.0)[0].tolist() == [[0.0], [0.0], [1.0]]


def test_a_sequence_of_which_only_the_start_is_measured_has_a_report(tmp_path: Path) -> None:
    tasks = ("lift", "push", "place")
    cells = [_continual("start", *(("reach lift push place", task, 1) for task in tasks))]
    assert "| start | 1 | 100.0 |" in report(STUDIES["continual"], cells, tmp_path)


def test_an_unknown_study_or_row_is_answered_with_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        ConfigError,
        match="mixed, paces, segments, stitch, halves, mt10, pixels, noise, few, continual, sweep",
    ):
        find_study("all")
    assert main(["study", "mixed", "--out", str(tmp_path), "--row", "DPO"]) == 1
    assert "--row, --against DPO mixed: need fm, filtered BC" in capsys.readouterr().err
    assert main(["study", "mixed", "--out", str(tmp_path), "--against", "DPO"]) == 1
    assert "--row, --against DPO mixed: need fm, filtered BC" in capsys.readouterr().err
