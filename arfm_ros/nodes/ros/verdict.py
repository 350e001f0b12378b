"""What the arbiter made of a chunk, as it is published on `arbiter/chunk_result`."""

from __future__ import annotations

from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from arfm_ros.nodes.ros.convert import ns_to_time, time_to_ns
from arfm_ros.nodes.ros.diagnostics import OK, WARN

STATUS = "arbiter/chunk"
NUMBERS = ("chunk_id", "begin_ns", "dt_ns", "ahead_ns")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Accepted, or refused for a reason; the observation's stamp says which chunk.

    An accepted one is played from `begin_ns` on, of the clock of the stamp, an action every
    `dt_ns`; 0: as the chunk says. Then a reason says why it ends early. Its path was taken over
    where it is `ahead_ns` after the answer: what is sent is smoothed, and so behind.
    """

    stamp_ns: int
    accepted: bool
    reason: str = ""
    chunk_id: int = 0
    begin_ns: int = 0
    dt_ns: int = 0
    ahead_ns: int = 0


def verdict_to_diagnostics(verdict: Verdict) -> DiagnosticArray:
    """Write a verdict; header.stamp is that of the chunk's observation."""
    numbers = {name: str(getattr(verdict, name)) for name in NUMBERS}
    values = {"accepted": str(verdict.accepted).lower(), **numbers}
    status = DiagnosticStatus(
        level=bytes([OK if verdict.accepted else WARN]),
        name=STATUS,
        message=verdict.reason,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
    return DiagnosticArray(header=Header(stamp=ns_to_time(verdict.stamp_ns)), status=[status])


def diagnostics_to_verdict(message: DiagnosticArray) -> Verdict | None:
    """Invert `verdict_to_diagnostics`; None for a message that holds no verdict."""
    status = next((one for one in message.status if one.name == STATUS), None)
    if status is None:
        return None
    pairs = {pair.key: pair.value for pair in status.values}
    accepted = pairs.get("accepted", "").lower()
    numbers = {name: pairs.get(name, "") for name in NUMBERS}
    if accepted not in {"true", "false"}:
        return None
    return Verdict(
        stamp_ns=time_to_ns(message.header.stamp),
        accepted=accepted == "true",
        reason=status.message,
        **{name: int(text) if text.isdecimal() else 0 for name, text in numbers.items()},
    )
