"""Faults that only show beside other episodes of the same task and robot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from arfm_ros.episodes.examine.finding import Finding, Traits

OTHERS_MIN = 4  # episodes of the same kind to compare with
OFFSET = 0.15  # rad or m, and more than SPREADS times what the others differ
SPREADS = 8.0
COLOUR = 12.0  # of 255: how much nearer to the others with red and blue exchanged


def compare(episodes: Sequence[Traits]) -> dict[Path, list[Finding]]:
    """Compare each episode with all others of its kind; nothing where these are too few."""
    found: dict[Path, list[Finding]] = {}
    for one in episodes:
        others = [other for other in episodes if other.kind == one.kind and other is not one]
        if len(others) >= OTHERS_MIN:
            found[one.folder] = [*_offsets(one, others), *_colours(one, others)]
    return found


def _offsets(one: Traits, others: Sequence[Traits]) -> list[Finding]:
    found = []
    for name, value in one.begin.items():
        known = np.array([other.begin[name] for other in others if name in other.begin])
        if len(known) < OTHERS_MIN:
            continue
        middle = float(np.median(known))
        spread = float(np.median(np.abs(known - middle)))
        if abs(value - middle) > max(OFFSET, SPREADS * spread):
            text = f"{name} starts at {value:.2f}, in {len(known)} others at {middle:.2f}"
            fix = "the same home pose? else the encoder: an offset in the topic map (--topics)"
            found.append(Finding(text, fix))
    return found


def _colours(one: Traits, others: Sequence[Traits]) -> list[Finding]:
    found = []
    for name, mean in one.colour.items():
        known = np.array([other.colour[name] for other in others if name in other.colour])
        if len(known) < OTHERS_MIN:
            continue
        usual = np.median(known, axis=0)
        as_is = float(np.abs(np.array(mean) - usual).sum())
        swapped = float(np.abs(np.array(mean[::-1]) - usual).sum())
        if as_is > swapped + COLOUR:
            text = f"{name}: red and blue seem to be exchanged, compared with {len(known)} others"
            found.append(Finding(text, "the camera's encoding says rgb8 where it is bgr8"))
    return found
