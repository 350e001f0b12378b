"""What the running robot says about itself: its own description counts, and stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from arfm_ros.core.errors import ArfmError
from arfm_ros.core.safety.limits import Limits


class OwnDescription:
    """Take the first description; name what it changes, and a second one that differs.

    `adopt(text)` makes the limits of it and puts them in force, or raises `ArfmError`.
    """

    def __init__(self, limits: Limits, adopt: Callable[[str], Limits]) -> None:
        self._limits, self._adopt = limits, adopt
        self._text = ""
        self.note = ""  # what differs from the configuration, or why it cannot be used
        self.changed = ""  # a reason to stop

    def hear(self, message: Any) -> None:
        """Take a description as it is published on `robot_description`."""
        text = message.data
        if not text.strip() or text == self._text:
            return
        if self._text:
            self.changed = (
                "robot_description changed while the arbiter runs: what the arm is, is not known "
                "any more; restart the arbiter"
            )
            return
        self._text = text
        try:
            new = self._adopt(text)
        except ArfmError as error:
            self.note = f"robot_description cannot be used, the configured one counts: {error}"
        else:
            self.note = _difference(self._limits, new)


def _difference(old: Limits, new: Limits) -> str:
    apart = np.zeros(old.size, np.bool_)
    for name in ("low", "high", "velocity"):
        apart |= ~np.isclose(getattr(old, name), getattr(new, name), rtol=0.0, atol=1e-6)
    if not apart.any():
        return ""
    worst = int(np.argmax(apart))
    return (
        f"robot_description has other limits for {old.named(apart)}, which count: "
        f"{old.names[worst]} {new.low[worst]:.3f}..{new.high[worst]:.3f} at "
        f"{new.velocity[worst]:.2f}/s, configured {old.low[worst]:.3f}..{old.high[worst]:.3f} at "
        f"{old.velocity[worst]:.2f}/s"
    )
