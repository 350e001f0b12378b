"""Accelerations where chunks join."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from arfm_ros.core.chunks.seams import QUANTILE, Seams, Spread, Tick, seams_of

DT = 0.01


def stream(offset: float) -> list[Tick | None]:
    """Two chunks of the same motion of 7 joints, the second one `offset` beside the first."""
    t = np.arange(200) * DT
    path = np.sin(2 * t)[:, None] * np.ones(7)
    path[100:] += offset
    return [Tick(k // 100, row, row) for k, row in enumerate(path)]


def test_chunks_that_follow_on_show_no_seam() -> None:
    seams = seams_of(stream(0.0), DT)
    assert seams.ratio == pytest.approx(1.0, abs=0.03)
    assert seams.inside.quantile(QUANTILE) == pytest.approx(4.0, rel=0.02)  # d2/dt2 sin(2 t)


def test_a_jump_shows_at_the_hand_over_and_not_inside() -> None:
    seams = seams_of(stream(0.01), DT)
    assert seams.handover.quantile(QUANTILE) == pytest.approx(0.01 / DT**2, rel=0.05)
    assert seams.inside == seams_of(stream(0.0), DT).inside
    assert seams.ratio is not None and seams.ratio > 20
    assert sum(n for _, n in seams.handover.bins) == 2 * 7


def test_what_no_chunk_commanded_does_not_count() -> None:
    ticks = stream(0.0)
    ticks[50] = None
    count = sum(n for _, n in seams_of(ticks, DT).stream.bins)
    assert count == (198 - 3) * 7
    assert seams_of([None] * 9, DT) == Seams() and Seams().ratio is None


def test_quantiles_are_those_of_numpy_within_a_bin() -> None:
    values = np.random.default_rng(0).lognormal(1.0, 2.0, 20_000)
    for q in (0.5, 0.99, 0.999):
        wanted = np.quantile(values, q, method="inverted_cdf")
        assert Spread.of(values).quantile(q) == pytest.approx(wanted, rel=0.0101)


def test_spreads_add_up_as_if_counted_at_once() -> None:
    values = np.random.default_rng(1).standard_normal(999)
    assert Spread.of(values[:300]) + Spread.of(values[300:]) == Spread.of(values)


def test_json_gives_the_seams_back() -> None:
    seams = seams_of(stream(0.01), DT)
    assert Seams.from_json(json.loads(json.dumps(asdict(seams)))) == seams
