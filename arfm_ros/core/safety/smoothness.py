"""How smoothly an arm moved: measures of one movement, sampled at equal periods."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from arfm_ros.core.safety.limits import F64

SHAKING_HZ = 3.0
SPARC_CUTOFF_HZ, SPARC_LEVEL, SPARC_PADDING = 10.0, 0.05, 4  # of Balasubramanian et al.
SAMPLES_MIN = 8


@dataclass(frozen=True, slots=True)
class Smoothness:
    """Measures of one movement; None where it was too short or nothing moved."""

    shaking: float | None = None  # share of the joint velocities' power above 3 Hz
    jerk: float | None = None  # log dimensionless jerk of the tool's path: less is smoother
    sparc: float | None = None  # spectral arc length of the tool's speed: nearer 0 is smoother
    tracking_rad: float | None = None  # root mean square of command - measured, all joints

    def as_json(self) -> dict[str, float | None]:
        """Return the measures by name."""
        return asdict(self)


def smoothness_of(velocity: F64, tool: F64, error: F64, period_s: float) -> Smoothness:
    """Measure joint velocities [T, J] rad/s, tool positions [T, 3] m and errors [T, J] rad."""
    if len(velocity) < SAMPLES_MIN or not np.abs(velocity).max() > 1e-6:
        return Smoothness()
    return Smoothness(
        shaking=shaking(velocity, period_s),
        jerk=log_dimensionless_jerk(tool, period_s),
        sparc=spectral_arc_length(tool, period_s),
        tracking_rad=float(np.sqrt(np.mean(error**2))),
    )


def mean_of(those: list[Smoothness]) -> Smoothness:
    """Return the mean of each measure over the movements that have it."""
    rows = [one.as_json() for one in those]
    means: dict[str, float | None] = {}
    for name in Smoothness().as_json():
        values = [value for row in rows if (value := row[name]) is not None]
        means[name] = float(np.mean(values)) if values else None
    return Smoothness(**means)


def shaking(velocity: F64, period_s: float) -> float:
    """Return the share of the power of velocities [T, J], all joints together, above 3 Hz."""
    power = (np.abs(np.fft.rfft(velocity, axis=0)) ** 2).sum(axis=1)
    frequency = np.fft.rfftfreq(len(velocity), period_s)
    return float(power[frequency > SHAKING_HZ].sum() / max(float(power.sum()), 1e-12))


def log_dimensionless_jerk(path: F64, period_s: float) -> float:
    """Return ln(T^3 / v_max^2 * integral |jerk|^2 dt) of a path [T, 3].

    Balasubramanian, Melendez-Calderon, Burdet 2012, with the sign turned: less is smoother.
    """
    velocity = np.gradient(path, period_s, axis=0)
    jerk = np.gradient(np.gradient(velocity, period_s, axis=0), period_s, axis=0)
    duration_s = len(path) * period_s
    fastest = float(np.linalg.norm(velocity, axis=1).max())
    size = duration_s**3 / max(fastest, 1e-9) ** 2 * float((jerk**2).sum()) * period_s
    return float(np.log(max(size, 1e-12)))


def spectral_arc_length(path: F64, period_s: float) -> float:
    """Return the spectral arc length of the speed along a path [T, 3].

    Balasubramanian et al. 2015: arc length of the normalised spectrum up to 10 Hz, cut where it
    stays below 0.05; -1.6 or so for one smooth reach, more negative for many sub-movements.
    """
    speed = np.linalg.norm(np.gradient(path, period_s, axis=0), axis=1)
    size = int(2 ** (np.ceil(np.log2(len(speed))) + SPARC_PADDING))
    spectrum = np.abs(np.fft.rfft(speed, size))
    frequency = np.fft.rfftfreq(size, period_s)
    spectrum = spectrum / max(float(spectrum.max()), 1e-12)
    low = frequency <= SPARC_CUTOFF_HZ
    spectrum, frequency = spectrum[low], frequency[low]
    last = int(np.flatnonzero(spectrum >= SPARC_LEVEL)[-1]) + 1
    spectrum, frequency = spectrum[:last], frequency[:last]
    if last < 2:
        return 0.0
    wide = np.diff(frequency) / (frequency[-1] - frequency[0])
    return float(-np.sqrt(wide**2 + np.diff(spectrum) ** 2).sum())
