"""How an exported policy runs, in place of what its checkpoint says."""

from __future__ import annotations

from dataclasses import dataclass, replace

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.spec import PolicySpec, Rtc


@dataclass(frozen=True, slots=True)
class Running:
    """How chunks follow on from each other, and how they are integrated.

    `rtc` is "guided" (chunks can follow the previous one), "prefix" (the network was trained to
    follow) or "none"; by default "prefix" where it was, else "guided", of a distilled one "none".
    `steps` counts evaluations of the network, `solver` names what makes a chunk of them; by
    default as the checkpoint says.
    """

    rtc: str | None = None
    steps: int | None = None
    solver: str = ""

    def of(self, spec: PolicySpec) -> PolicySpec:
        """Return the specification that says so; `ConfigError` for what the network cannot."""
        sampler = replace(spec.sampler, solver=self.solver) if self.solver else spec.sampler
        return replace(
            spec, steps=self.steps or spec.steps, sampler=sampler, rtc=_rtc(self.rtc, spec)
        )


AS_TRAINED = Running()


def _rtc(mode: str | None, spec: PolicySpec) -> Rtc:
    trained = spec.rtc
    otherwise = "none" if spec.sampler.only_steps else "guided"
    mode = mode or (trained.mode if trained.mode != "none" else otherwise)
    if mode == "prefix" and trained.mode != "prefix":
        raise ConfigError("rtc mode 'prefix' needs a policy trained with --delay-max")
    if mode == "prefix":
        return trained
    # beyond three quarters of the chunk nothing would be left to decide
    return Rtc(mode, 0, 3 * spec.horizon // 4) if mode == "guided" else Rtc()
