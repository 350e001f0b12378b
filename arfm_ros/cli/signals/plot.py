"""A picture of signals over one episode."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.signals.source import Told, seconds

INK, QUIET, HUMAN = "#1f5fa8", "#7b8494", "#f2c14e"


def draw(frames: Frames, told: Mapping[str, Told], episode: str, out: Path) -> Path:
    """Draw each signal in a panel of its own, with the range of all episodes behind it.

    Raises `ConfigError` for an episode that is not there.
    """
    from matplotlib.figure import Figure

    number = _number(frames, episode)
    rows = np.flatnonzero(frames.episode == number)
    time_s = seconds(frames)[rows]
    figure = Figure(figsize=(10, 1.0 + 1.5 * len(told)), layout="constrained")
    panels = figure.subplots(len(told), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, one) in zip(panels, told.items()):
        known = one.values[np.isfinite(one.values)]
        if len(known):
            low, high = np.quantile(known, (0.05, 0.95))
            axes.axhspan(low, high, color=QUIET, alpha=0.12, lw=0)
        axes.plot(time_s, one.values[rows], color=INK)
        human = frames.human[rows]
        axes.fill_between(time_s, 0, 1, where=human, transform=axes.get_xaxis_transform(),
                          color=HUMAN, alpha=0.3, lw=0)  # fmt: skip
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
        axes.grid(alpha=0.3)
    panels[-1].set_xlabel("s")
    where = Path(frames.folders[number]).name if frames.folders else str(number)
    panels[0].set_title(f"{where}; behind: 5 to 95 % of all observations; yellow: a human drives")
    figure.savefig(out, dpi=110)
    return out


def _number(frames: Frames, episode: str) -> int:
    names = [Path(folder).name for folder in frames.folders]
    if not episode:
        return 0
    if episode not in names:
        raise ConfigError(f"--episode {episode}: there are {', '.join(names[:5])} ...")
    return names.index(episode)
