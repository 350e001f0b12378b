"""Roofs of GPUs from their makers' data sheets: for floors on machines that nobody measured."""

from __future__ import annotations

from collections.abc import Mapping

from arfm_ros.bench.amounts import Cost, Roof

# bf16 operations per second, dense, summed in float32, and bytes per second of the memory. The
# sheets of the two Jetsons give sparse FP4 and INT8: half for dense, half for twice the bits.
GPUS: Mapping[str, Roof] = {
    "H200": Roof(989e12, 4.8e12),
    "RTX 4090": Roof(165e12, 1.008e12),
    "Jetson AGX Thor": Roof(258e12, 273e9),
    "Jetson AGX Orin": Roof(43e12, 204.8e9),
}


def bf16_floors_ms(graphs: Mapping[str, tuple[Cost, int]]) -> dict[str, float]:
    """Give each GPU's floor for a chunk of (cost in float32, runs) graphs, weights in bf16."""
    return {
        gpu: sum(runs * roof.floor_ms(halved(cost)) for cost, runs in graphs.values())
        for gpu, roof in GPUS.items()
    }


def halved(cost: Cost) -> Cost:
    """Store float32 weights in 16 bits; inputs and outputs stay as they are."""
    return Cost(cost.flops, cost.weight_bytes // 2, cost.io_bytes)
