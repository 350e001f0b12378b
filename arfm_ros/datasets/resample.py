"""From a series with a rate of its own to the instants of a dataset's rows: always said how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.episodes.read.axes import AxisSeries

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
LAST, NEAREST, INTERPOLATED = "last", "nearest", "interpolated"
METHODS = (LAST, NEAREST, INTERPOLATED)
STATE, IMAGES, ACTION = "observation.state", "observation.images", "action"
CLOCKS = ("frames", "even")


@dataclass(frozen=True, slots=True)
class Resampling:
    """How each field comes to the rows.

    Rows are the frames of the first camera (`frames`; those that follow by less than half a period
    are left out), or one every 1 / fps seconds (`even`). An action is that of the end of its row's
    period.
    """

    fps: int = 20
    clock: str = "frames"
    state: str = LAST
    images: str = LAST
    action: str = INTERPOLATED

    def __post_init__(self) -> None:
        if self.fps < 1:
            raise ConfigError(f"fps is {self.fps}, needs a whole number above 0")
        if self.clock not in CLOCKS:
            raise ConfigError(f"clock is '{self.clock}', needs one of {', '.join(CLOCKS)}")
        for name, value, known in (
            (STATE, self.state, METHODS),
            (IMAGES, self.images, (LAST, NEAREST)),
            (ACTION, self.action, METHODS),
        ):
            if value not in known:
                raise ConfigError(
                    f"resampling of {name} is '{value}', needs one of {', '.join(known)}"
                )

    @property
    def period_ns(self) -> int:
        """Time between two rows."""
        return round(1e9 / self.fps)

    def described(self) -> dict[str, str]:
        """Say it as a dataset does."""
        return {"rows": self.clock, STATE: self.state, IMAGES: self.images, ACTION: self.action}


@dataclass(frozen=True, slots=True)
class Given:
    """FIELD=METHOD words of a command line."""

    words: Sequence[str] = field(default_factory=tuple)

    def methods(self) -> Mapping[str, str]:
        """Return the arguments of `Resampling`; raises `ConfigError` for another field."""
        fields = {STATE: "state", IMAGES: "images", ACTION: "action"}
        found = {}
        for word in self.words:
            name, _, method = word.partition("=")
            if name not in fields or not method:
                known = ", ".join(f"{one}=METHOD" for one in fields)
                raise ConfigError(f"--resample {word}: needs one of {known}")
            found[fields[name]] = method
        return found


def picked(stamp_ns: I64, at_ns: I64, method: str) -> I64:
    """Choose of sorted stamps [N] the last at or before, or the nearest to, each instant [T].

    Instants before the first stamp get the first.
    """
    last = np.searchsorted(stamp_ns, at_ns, side="right") - 1
    if method == LAST:
        return np.asarray(last.clip(min=0))
    before, after = last.clip(min=0), (last + 1).clip(max=len(stamp_ns) - 1)
    later = stamp_ns[after] - at_ns < at_ns - stamp_ns[before]
    return np.where(later | (last < 0), after if len(stamp_ns) > 1 else 0, before)


def resampled(series: AxisSeries, at_ns: I64, method: str) -> F64:
    """Give the values [T] of an axis at instants [T]; ends are held."""
    if method == INTERPOLATED:
        begin = series.stamp_ns[0]  # differences are small: exact as floats
        return np.asarray(np.interp(at_ns - begin, series.stamp_ns - begin, series.value))
    if method == LAST and series.linear:
        return series.at(at_ns)
    return series.value[picked(series.stamp_ns, at_ns, method)]


def rows_of(clock_ns: I64, begin_ns: int, how: Resampling) -> I64:
    """Give the instants of the rows, from `begin_ns` on, of a clock's stamps [N]."""
    kept = clock_ns[clock_ns >= begin_ns]
    if not len(kept):
        return np.empty(0, np.int64)
    if how.clock == "even":
        return np.arange(begin_ns, clock_ns[-1] + 1, how.period_ns, dtype=np.int64)
    rows: list[int] = []
    for stamp in kept.tolist():
        if not rows or 2 * (stamp - rows[-1]) >= how.period_ns:
            rows.append(stamp)
    return np.array(rows, np.int64)
