"""What has to be done, and how fast a machine does it: floors that no runtime can go below."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run of a graph, or of several."""

    flops: int
    weight_bytes: int
    io_bytes: int  # inputs and outputs
    # bytes that lie there, however often a loop reads them
    working_set: int = field(default=0, compare=False)

    @property
    def bytes(self) -> int:
        """All bytes that have to move."""
        return self.weight_bytes + self.io_bytes

    def __add__(self, other: Cost) -> Cost:
        """Do both."""
        return Cost(
            self.flops + other.flops,
            self.weight_bytes + other.weight_bytes,
            self.io_bytes + other.io_bytes,
        )

    def times(self, count: int) -> Cost:
        """Do it `count` times."""
        return Cost(count * self.flops, count * self.weight_bytes, count * self.io_bytes)


@dataclass(frozen=True, slots=True)
class Roof:
    """Of a machine with a number of threads, at a working set's size; or of a GPU."""

    flops_per_s: float
    bytes_per_s: float

    def floor_ms(self, cost: Cost) -> float:
        """Give the time below which nothing with this cost can finish."""
        return 1e3 * max(cost.flops / self.flops_per_s, cost.bytes / self.bytes_per_s)
