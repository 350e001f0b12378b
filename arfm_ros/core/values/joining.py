"""How a policy's chunks follow on from the previous one: a value of the specification."""

from __future__ import annotations

from dataclasses import dataclass

from arfm_ros.core.errors import SpecError

RTC_MODES = ("none", "guided", "prefix")
GUIDANCES = ("identity", "mixed", "exact")  # the first is the default
SCHEDULES = ("exp", "linear", "ones", "zeros")


@dataclass(frozen=True, slots=True)
class Rtc:
    """Real-time chunking the policy supports and the delays (control ticks) it tolerates."""

    mode: str = "none"
    delay_min: int = 0
    delay_max: int = 0
    guidance: str = GUIDANCES[0]  # of guided: the steps that take the exact derivative
    schedule: str = "exp"  # of guided: how the pull decays behind the frozen actions
    latency_input: bool = False  # of prefix: the network is told how many actions are frozen

    def __post_init__(self) -> None:
        for what, value, known in (
            ("guidance", self.guidance, GUIDANCES),
            ("schedule", self.schedule, SCHEDULES),
        ):
            if value not in known:
                raise SpecError(f"rtc {what} '{value}', needs one of {', '.join(known)}")
        if self.latency_input and self.mode != "prefix":
            raise SpecError(f"rtc latency_input is of mode prefix, the mode is '{self.mode}'")
