"""Pictures that are as old as a slow prefix makes them, beside a state of now: `fast_slow`."""

from __future__ import annotations

from dataclasses import replace

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.data import Observation
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.sim.drive.senses import Senses

MS = 1_000_000
TICK_MS = 10  # of the driver


class LateSight:
    """A context is begun every `context_ms`, when the one before is finished; 0: at once.

    A chunk sees the pictures of the newest finished one, which are one to two `context_ms` old.
    """

    def __init__(self, senses: Senses, spec: PolicySpec, context_ms: int) -> None:
        if context_ms < 0 or context_ms % TICK_MS:
            raise ConfigError(f"--context-ms is {context_ms}, needs a multiple of {TICK_MS} ms")
        if context_ms and spec.history.count > 1:
            raise ConfigError(
                f"--context-ms: '{spec.name}' sees a history, needs a policy without"
            )
        self._senses, self._context_ns = senses, context_ms * MS
        self.forget()

    def forget(self) -> None:
        """Begin an episode."""
        self._finished: Observation | None = None
        self._begun: Observation | None = None

    def look(self, now_ns: int, instruction: str) -> None:
        """Begin the next context if it is time; to be called at every tick."""
        if self._context_ns and now_ns % self._context_ns == 0:
            self._finished, self._begun = self._begun, self._senses.observe(instruction)

    @property
    def ready(self) -> bool:
        """Tell whether a chunk can be made."""
        return not self._context_ns or self._finished is not None

    def observe(self, now_ns: int, instruction: str) -> Observation:
        """Return what a chunk of now is made of."""
        if not self._context_ns or self._finished is None:
            return self._senses.observe(instruction)
        return replace(self._finished, state=self._senses.state(), stamp_ns=now_ns)
