"""The table and the plot of a study, from the cells that are done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.study.bootstrap import Estimate, difference, hierarchical, relative
from arfm_ros.study.experiments import START, Study

Cells = Sequence[Mapping[str, Any]]
F64 = NDArray[np.float64]


def report(study: Study, cells: Cells, folder: Path) -> str:
    """Write `<study>.md` and `<study>.png` into `folder`; returns the table."""
    lines = [f"### {study.title} (`{study.name}`)", ""]
    bars: dict[str, dict[str, Estimate]] = {}
    for variant in study.variants:
        for noise in study.noise:
            label = " ".join(
                w for w in (variant, f"noise {noise}" if len(study.noise) > 1 else "") if w
            )
            table, bars[label] = _table(study, cells, variant, noise)
            lines += [*([f"{label}:", ""] if label else []), *table, ""]
            if study.timed:
                lines += [*_time_table(study, cells, variant, noise), ""]
    if study.name == "continual":
        table, lost = _forgetting_table(study, cells)
        lines += [*table, ""]
        bars |= {"NBT (less is better)": lost} if lost else {}
    text = "\n".join(lines)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{study.name}.md").write_text(text)
    _plot(study, bars, folder / f"{study.name}.png")
    return text


def reached(
    cells: Cells, row: str, variant: str, noise: float, what: str = "success"
) -> dict[int, F64]:
    """Collect what a row reached after its last stage: training seed -> [tasks, episodes]."""
    found = {}
    for cell in cells:
        if (cell["row"]["name"], cell["variant"]) == (row, variant):
            last = cell["results"][-1]["after"]
            rows = [r[what] for r in cell["results"] if (r["after"], r["noise"]) == (last, noise)]
            found[cell["seed"]] = np.array(rows, np.float64)
    return found


def _table(
    study: Study, cells: Cells, variant: str, noise: float
) -> tuple[list[str], dict[str, Estimate]]:
    tasks = next(iter(study.variants.values()))[-1].measured
    rows = [row.name for row in study.rows]
    others = {name: reached(cells, name, variant, noise) for name in study.against if name in rows}
    head = ("row", "seeds", *tasks, "mean", *(f"minus {other}" for other in others))
    lines = [_line(head), _line(["---"] * len(head))]
    means: dict[str, Estimate] = {}
    for name in (START.name, *rows):
        own = reached(cells, name, "" if name == START.name else variant, noise)
        if not own or next(iter(own.values())).shape[0] != len(tasks):
            continue
        values = np.stack(list(own.values()))
        means[name] = hierarchical(values)
        each = [f"{100 * rate:.1f}" for rate in values.mean(axis=(0, 2))]
        against = [
            "" if name in {START.name, other} else _against(own, theirs)
            for other, theirs in others.items()
        ]
        lines.append(_line((name, str(len(own)), *each, _percent(means[name]), *against)))
    if not means:
        raise ConfigError(f"no cell of study '{study.name}' is done: run it without --report")
    return lines, means


def _time_table(study: Study, cells: Cells, variant: str, noise: float) -> list[str]:
    """Show seconds until success, a failure as long as the limit, and by how much they differ."""
    rows = [row.name for row in study.rows]
    got = {name: reached(cells, name, variant, noise, "seconds") for name in rows}
    others = [name for name in study.against if got.get(name)]
    head = ("row", "seconds", *(f"beside {other}" for other in others))
    lines = [_line(head), _line(["---"] * len(head))]
    for name in (name for name in rows if got[name]):
        mean = hierarchical(np.stack(list(got[name].values())))
        beside = []
        for other in others:
            both = sorted(got[name].keys() & got[other].keys())
            pair = [np.stack([got[row][seed] for seed in both]) for row in (name, other)]
            beside.append("" if name == other else f"{_percent(relative(*pair), '+')} %")
        lines.append(_line((name, f"{mean.mean:.2f} [{mean.low:.2f}, {mean.high:.2f}]", *beside)))
    return lines


def _against(own: Mapping[int, F64], other: Mapping[int, F64]) -> str:
    """Show the difference over the training seeds that both have."""
    both = sorted(own.keys() & other.keys())
    if not both:
        return ""
    a, b = (np.stack([one[seed] for seed in both]) for one in (own, other))
    return _percent(difference(a, b), "+")


def forgetting(cells: Cells, row: str) -> dict[int, F64]:
    """Collect what each task lost after its own stage: training seed -> [tasks, episodes].

    The mean over all is negative backward transfer as LIBERO defines it (Liu et al. 2023): the
    mean over tasks k of the mean over later stages j of c_kk - c_jk, c_jk the success on task k
    after stage j. A task is measured from its own stage on; the last one has no later stage.
    """
    found = {}
    for cell in cells:
        if cell["row"]["name"] == row:
            over: dict[str, list[F64]] = {}  # task -> its episodes, stage by stage
            for result in cell["results"]:
                over.setdefault(result["task"], []).append(np.array(result["success"], np.float64))
            lost = [own - np.mean(later, axis=0) for own, *later in over.values() if later]
            found[cell["seed"]] = np.stack(lost)
    return found


def _forgetting_table(study: Study, cells: Cells) -> tuple[list[str], dict[str, Estimate]]:
    lost = {row.name: forgetting(cells, row.name) for row in study.rows}
    lost = {name: values for name, values in lost.items() if values}
    others = [name for name in study.against if name in lost]
    head = ("row", "seeds", "NBT", *(f"minus {other}" for other in others))
    lines = [_line(head), _line(["---"] * len(head))]
    means = {name: hierarchical(np.stack(list(own.values()))) for name, own in lost.items()}
    for name, own in lost.items():
        against = ["" if name == other else _against(own, lost[other]) for other in others]
        lines.append(_line((name, str(len(own)), _percent(means[name]), *against)))
    return lines, means


def _percent(value: Estimate, sign: str = "") -> str:
    low, high = (f"{100 * v:{sign}.1f}" for v in (value.low, value.high))
    return f"{100 * value.mean:{sign}.1f} [{low}, {high}]"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plot(study: Study, bars: Mapping[str, Mapping[str, Estimate]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 + 2.4 * len(bars), 3.4), layout="constrained")
    axes = figure.subplots(1, len(bars), sharey=True, squeeze=False)[0]
    for axis, (label, means) in zip(axes, bars.items()):
        low, mean, high = 100 * np.array([(e.low, e.mean, e.high) for e in means.values()]).T
        errors = np.maximum([mean - low, high - mean], 0)
        axis.bar(list(means), mean, yerr=errors, capsize=3, color="tab:blue")
        axis.tick_params(axis="x", rotation=60)
        axis.set_title(label or study.title, fontsize=9)
        axis.grid(axis="y", alpha=0.3)
    axes[0].set_ylabel("success, % (95 % interval)")
    figure.savefig(path, dpi=110)
