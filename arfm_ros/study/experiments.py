"""The experiments as data: what is trained from what, in which order, and what is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.objectives.arfm import PAPER
from arfm_ros.learn.signals.rl_signal import Reward

TASKS = ("reach", "lift", "push", "place")
QUALITIES = ("good", "poor")  # of the demonstrations, equal shares: `sim/quality.py`
POOL = 40  # demonstrations of a task and a quality, where there are two
REPLAYED = 20  # demonstrations kept of a task that a stage only replays
REPORTED, VALIDATION = 1_000_000, 2_000_000  # first seeds of the measured episodes
PLAIN = "fm"
IN_BATCH = {"normaliser": "task"}  # a softmax a task within the batch, as the tables have ARFM
RAW = {"z_score": False}  # what differs from `lab.SIGNAL`


@dataclass(frozen=True, slots=True)
class Row:
    """One objective with its knobs, under the name that tables give it."""

    name: str
    objective: str
    knobs: Mapping[str, float | str] = field(default_factory=dict)
    signal: Mapping[str, Any] = field(default_factory=dict)  # what differs from `lab.SIGNAL`
    batch: int = 0  # observations a step; 0: as the sizes have it
    drawn: bool = False  # observations are drawn by their weight, each then counting the same


START = Row("start", PLAIN)  # what all rows begin with, measured as it is


@dataclass(frozen=True, slots=True)
class Stage:
    """One training: the tasks it learns, demonstrations of each (0: all), tasks measured then.

    Of tasks it learned before it sees a few demonstrations again: experience replay.
    """

    tasks: tuple[str, ...]
    demonstrations: int = 0
    measured: tuple[str, ...] = ()
    normalised: tuple[str, ...] = ()  # tasks a start is normalised for, where it learns fewer
    replayed: tuple[str, ...] = ()
    qualities: tuple[str, ...] = QUALITIES


@dataclass(frozen=True, slots=True)
class Study:
    """All rows post-train from one checkpoint, which plain flow matching made of `start`."""

    name: str
    title: str
    start: Stage
    variants: Mapping[str, tuple[Stage, ...]]  # label -> the stages after the start
    rows: tuple[Row, ...]
    noise: tuple[float, ...] = (0.0,)  # on executed actions, see `sim/noise.py`
    pixels: bool = False  # the policy sees camera images, not the objects' poses
    first_seed: int = REPORTED
    against: tuple[str, ...] = (PLAIN, "RWR")  # rows that every other one is compared with
    timed: bool = False  # how long an episode takes counts too, a failure as long as the limit
    limit_s: float = 0.0  # of a measured episode; 0: as the sizes have it
    world: str = ""  # another environment of `arfm eval --env`; '': the simulated table


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is trained and measured; the same for every cell of an output folder."""

    start_steps: int = 3000
    steps: int = 1500
    episodes: int = 100  # of each task and noise
    batch: int = 128
    draws: int = 2
    start_rate: float = 2e-3
    rate: float = 1e-3
    limit_s: float = 10.0  # of a measured episode


ROWS = (
    Row(PLAIN, "fm"),
    Row("filtered BC", "filtered_bc"),
    Row("RWR", "rwr", {"beta": 10.0}),
    Row("return-conditioned", "return"),
    Row("ARFM", "arfm", IN_BATCH),
)
FILTER = "filtered BC"
TIME, ADVANTAGE = {"source": "time_to_success"}, {"source": "advantage"}
NEAR = {"source": "near_advantage:see=state"}
SCALES = (0.1, 1.0, 10.0)  # of a reward
BATCHES = (32, 512)  # beside the one of the sizes
BY_TIME = Row("ARFM, time", "arfm", IN_BATCH, TIME)
BY_NEAR = Row("ARFM, near advantage", "arfm", IN_BATCH, NEAR)
SIGNAL_ROWS = (  # every demonstration succeeds: filtered BC is plain flow matching
    Row(FILTER, "filtered_bc"),
    BY_TIME,
    Row("ARFM, time, drawn", "arfm", {}, TIME, drawn=True),
    Row("ARFM, advantage", "arfm", IN_BATCH, ADVANTAGE),
    BY_NEAR,
    Row("ARFM, near advantage, drawn", "arfm", {}, NEAR, drawn=True),
    Row("ARFM, advantage, a quarter", "arfm", IN_BATCH | {"ess_min": 0.25}, ADVANTAGE),
    Row("filtered by advantage", "filtered_signal", {}, ADVANTAGE),
    Row("advantage-conditioned", "advantage", {}, ADVANTAGE),
)


def _at_batches(*rows: Row) -> tuple[Row, ...]:
    """Repeat rows at other batches: does one setting hold?"""
    return tuple(
        replace(row, name=f"{row.name}, batch {batch}", batch=batch)
        for row in rows
        for batch in BATCHES
    )


def _scaled(factor: float) -> dict[str, Any]:
    """Multiply the success by a factor that no z-score takes out again."""
    return RAW | {"reward": Reward(success=factor, takeover=0.0)}


_DRAWN = Row("ARFM, drawn", "arfm", drawn=True)
_OF_ALL = Row("ARFM, of all data", "arfm", {"normaliser": "data"})
_SCALE_ROWS = (
    *_at_batches(ROWS[-1], ROWS[2]),
    _DRAWN,
    _OF_ALL,
    *_at_batches(_DRAWN, _OF_ALL),
    *(Row(f"ARFM, raw x{factor}", "arfm", IN_BATCH, _scaled(factor)) for factor in SCALES),
    *(
        Row(f"RWR, raw x{factor}", "rwr", {"beta": 10.0, "z_score": 0.0}, _scaled(factor))
        for factor in SCALES
    ),
)
_ALL = Stage(TASKS, measured=TASKS)
_MT10_TASKS = tuple(
    f"{name}-v3"
    for name in (
        "reach", "push", "pick-place", "door-open", "drawer-open", "drawer-close",
        "button-press-topdown", "peg-insert-side", "window-open", "window-close",
    )
)  # fmt: skip
_MT10 = Stage(_MT10_TASKS, measured=_MT10_TASKS, qualities=("mixed",))
_ONE_SOFTMAX = {"normaliser": "batch"}
_LAMBDAS = (5e-4, 5e-3, 0.04, 0.2, 2.0, 20.0)
_REPLAY_ROWS = (*ROWS, Row("ARFM, one softmax", "arfm", _ONE_SOFTMAX))
_SWEEP = (
    *(Row(f"ARFM lambda {lam}", "arfm", PAPER | {"lam": lam}) for lam in _LAMBDAS),
    *(
        Row(f"ARFM batch lambda {lam}", "arfm", _ONE_SOFTMAX | {"lam": lam})
        for lam in (0.04, 0.2, 2.0)
    ),
    *(
        Row(f"ARFM raw alpha {top}", "arfm", _ONE_SOFTMAX | {"alpha_max": top}, RAW)
        for top in (5.0, 10.0)
    ),
    *(Row(f"ARFM by task lambda {lam}", "arfm", IN_BATCH | {"lam": lam}) for lam in (0.2, 2.0)),
    *(Row(f"RWR beta {beta}", "rwr", {"beta": beta}) for beta in (1.0, 3.0, 10.0)),
)


def _no_filter(quality: str, title: str, best: Row) -> Study:
    """Make a study of demonstrations that all succeed: success alone tells nothing.

    RWR has the signal of the best row; both, and rows drawn by weight, at other batches as well.
    """
    drawn = replace(best, name=f"{best.name}, drawn", drawn=True)  # one of `SIGNAL_ROWS`
    rwr = Row(best.name.replace("ARFM", "RWR"), "rwr", {"beta": 10.0}, best.signal)
    rows = (*SIGNAL_ROWS, rwr, *_at_batches(best, drawn, rwr))
    stage = Stage(("lift", "place"), measured=("lift", "place"), qualities=(quality,))
    chain, options = {"": (stage,)}, {"against": (FILTER,), "timed": True, "limit_s": 20.0}
    return Study(quality, title, stage, chain, rows, **options)  # type: ignore[arg-type]


STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        Study("mixed", "Mixed-quality data", _ALL, {"": (_ALL,)}, (*ROWS, *_SCALE_ROWS)),
        _no_filter("paces", "All succeed, half of them slowly", BY_TIME),
        _no_filter("segments", "All succeed, each with bad stretches", BY_NEAR),
        _no_filter("stitch", "All succeed, each slow in one of two parts", BY_NEAR),
        _no_filter("halves", "All succeed, each clumsy in one of two parts", BY_NEAR),
        Study(
            "mt10",
            "Meta-World MT10, mixed-quality data",
            _MT10,
            {"": (_MT10,)},
            (*ROWS, _DRAWN, _OF_ALL),
            against=(PLAIN, "RWR", FILTER),
            world="metaworld",
        ),
        Study("pixels", "Mixed-quality data, from pixels", _ALL, {"": (_ALL,)}, ROWS, pixels=True),
        Study("noise", "Action noise", _ALL, {"": (_ALL,)}, ROWS, noise=(0.1, 0.2, 0.3)),
        Study(
            "few",
            "Few demonstrations of a new task",
            Stage(("reach", "lift", "push"), measured=("place",), normalised=TASKS),
            {f"{n} demonstrations": (Stage(("place",), n, ("place",)),) for n in (30, 20, 10)},
            ROWS,
        ),
        Study(
            "continual",
            "One task after the other",
            Stage(TASKS, measured=TASKS[1:]),
            {
                "": tuple(
                    Stage((TASKS[n],), measured=TASKS[1 : n + 1], replayed=TASKS[1:n])
                    for n in range(1, len(TASKS))
                )
            },
            _REPLAY_ROWS,
        ),
        Study(
            "sweep",
            "Knobs, on starts that no other study measures",
            _ALL,
            {"": (_ALL,)},
            (Row(PLAIN, "fm"), Row("filtered BC", "filtered_bc"), *_SWEEP),
            first_seed=VALIDATION,
        ),
    )
}


def find_study(name: str) -> Study:
    """Return the study called `name`. Raises `ConfigError` listing the known ones."""
    if name not in STUDIES:
        raise ConfigError(f"study '{name}', needs one of {', '.join(STUDIES)}")
    return STUDIES[name]
