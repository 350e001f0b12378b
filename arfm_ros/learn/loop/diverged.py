"""A training that diverged ends, and is not saved over what was whole before."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor

from arfm_ros.core.errors import ConfigError

OVERFLOWS = 10  # steps in a row: in fp16 a loss may overflow, and the scaler leaves its step out


class Watch:
    """Looks at the loss of each step."""

    def __init__(self, learning_rate: float, precision: str = "fp32") -> None:
        self._rate, self._odd = learning_rate, 0
        self._most = OVERFLOWS if precision == "fp16" else 1

    def took(self, step: int, loss: float) -> None:
        """Raise `ConfigError` where the loss is not finite, in fp16 for ten steps in a row."""
        self._odd = 0 if math.isfinite(loss) else self._odd + 1
        if self._odd >= self._most:
            raise ConfigError(f"diverged: the loss of step {step} is {loss}; {self._advice()}")

    def check(self, step: int, weights: Iterable[Tensor]) -> None:
        """Raise `ConfigError` where a weight is not finite; of a sharded one its own part."""
        for weight in weights:
            part = weight.to_local() if hasattr(weight, "to_local") else weight
            if not bool(part.isfinite().all()):
                raise ConfigError(f"diverged: weights of step {step} are nan; {self._advice()}")

    def _advice(self) -> str:
        return f"lower --learning-rate (now {self._rate:g}); what was saved before is whole"
