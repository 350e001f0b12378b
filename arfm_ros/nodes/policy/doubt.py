"""A policy that is unsure asks: two samples of one observation that differ too much."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from arfm_ros.core.errors import SpecError
from arfm_ros.core.values.data import F32
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.words.questions import Asking, Question

NS = 1_000_000_000
GO_ON, STOP = "go on", "stop"
QUIET_NS = 5 * NS  # after "go on" nothing is asked for so long
SLACK_S = 2.0  # the default's answer may come so late, then it is asked again


def spread(one: F32, other: F32, spec: PolicySpec) -> float:
    """Return the largest difference of two chunks [H, A], each axis by its range (else by 1)."""
    ranges = np.array([axis.high - axis.low for axis in spec.action])
    ranges = np.where(np.isfinite(ranges) & (ranges > 0.0), ranges, 1.0)
    return float(np.abs((one - other) / ranges).max())


class Doubts:
    """Ask once, wait for the answer; of the worker's thread, `answered` of another."""

    def __init__(self, ask: Callable[[str], None], default: str, timeout_s: float) -> None:
        self._ask, self._default, self._timeout_s = ask, default, timeout_s
        self._asking, self._count = Asking(), 0
        self._quiet_ns = 0

    def waits(self, found: float, limit: float) -> bool:
        """Tell whether a chunk whose samples differ by `found` has to wait; ask if so."""
        now_ns = time.monotonic_ns()
        self._asking.expire(now_ns)
        if self._asking.question is not None:
            return True
        if found <= limit or now_ns < self._quiet_ns:
            return False
        self._count += 1
        text = f"unsure: two samples differ by {found:.2f} of the range; go on?"
        name = f"policy-{time.time_ns()}-{self._count}"
        question = Question(name, text, (GO_ON, STOP), self._default, self._timeout_s)
        waits = Question(name, text, (GO_ON, STOP), self._default, self._timeout_s + SLACK_S)
        self._asking.ask(waits, now_ns)
        self._ask(question.message())
        return True

    def answered(self, text: str) -> None:
        """Take a message of `policy/answer`."""
        try:
            answer = self._asking.answer(text)
        except SpecError:
            return  # another one's
        if answer == GO_ON:
            self._quiet_ns = time.monotonic_ns() + QUIET_NS
