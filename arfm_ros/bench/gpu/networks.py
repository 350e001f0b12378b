"""Networks of the size of pi0 and of SmolVLA in bf16: eager, and as CUDA graphs."""

from __future__ import annotations

from functools import partial
from typing import Any

from arfm_ros.bench.amounts import Cost, Roof
from arfm_ros.bench.gpu.parts import STEPS, TINY_STEPS, Report, Setting
from arfm_ros.bench.gpu.shapes import NETWORKS, Shapes, tiny
from arfm_ros.bench.gpu.timing import summary, times_ms, torch_device
from arfm_ros.bench.gpus import bf16_floors_ms, halved

SECONDS, TINY_SECONDS = 6.0, 0.1


def measure(setting: Setting, report: Report, network: str) -> None:
    """Time a chunk of 10 steps in bf16 with random weights, beside its floor."""
    import torch

    from arfm_ros.bench.gpu.plain import PlainVla

    device, wait = torch_device(setting.device)
    shapes = tiny(NETWORKS[network]) if setting.tiny else NETWORKS[network]
    steps = TINY_STEPS if setting.tiny else STEPS
    report(
        what="plain torch module in the library's shapes, not the library's class",
        steps=steps,
        **floors(shapes, steps, setting),
    )
    torch.set_default_dtype(torch.bfloat16)  # never twice there, as float32 first
    with torch.device(device):
        model = PlainVla(shapes).eval().requires_grad_(False)
    torch.set_default_dtype(torch.float32)
    report(weights=sum(one.numel() for one in model.parameters()))
    example = model.example(steps)
    seconds = TINY_SECONDS if setting.tiny else SECONDS
    with torch.no_grad():
        work = partial(model.chunk, *example)
        chunk = work()
        report(finite=bool(chunk.isfinite().all()))
        report(eager=summary(times_ms(work, wait, seconds)))
        cache = model.prefix(*example[0])
        one_step = partial(_step, model, example, cache)
        report(eager_prefix=summary(times_ms(partial(model.prefix, *example[0]), wait, seconds)))
        report(eager_step=summary(times_ms(one_step, wait, seconds / 2)))
        if device.type != "cuda":
            report(cuda_graph="not run: CUDA graphs need a GPU")
            return
        _replayed(work, chunk, wait, report)


def _step(model: Any, example: Any, cache: Any) -> None:
    (_, _, state), noise, times = example
    model.step(noise.to(state.dtype), times[:1].to(state.dtype), state, cache)


def _replayed(work: Any, chunk: Any, wait: Any, report: Report) -> None:
    """Capture prefix and all steps as one graph; its result must be the eager one's."""
    from arfm_ros.export.torch_engine import capture

    # `capture` wants a tuple of outputs
    replay = capture(lambda: (work(),))
    (found,) = replay()
    wait()
    apart = float((found - chunk).abs().max() / chunk.abs().max().clamp(min=1.0))
    report(cuda_graph_differs=apart, cuda_graph=summary(times_ms(replay, wait, SECONDS)))


def floors(shapes: Shapes, steps: int, setting: Setting) -> dict[str, Any]:
    """Compute the floor of a chunk in bf16, in ms: by data sheets, and by what was measured here.

    Each graph takes the longer of its operations and its bytes (arfm_ros/bench/gpus.py).
    """
    graphs: dict[str, tuple[Cost, int]] = {
        "prefix": (shapes.prefix_cost(), 1),
        "step": (shapes.step_cost(), steps),
    }
    found: dict[str, Any] = {
        "flops": {name: cost.flops for name, (cost, _) in graphs.items()},
        "bf16_weight_bytes": {name: halved(c).weight_bytes for name, (c, _) in graphs.items()},
        "floors_by_data_sheets_ms": bf16_floors_ms(graphs),
    }
    told = setting.floors
    if "bf16_flops_per_s" in told and "bytes_per_s" in told:
        roof = Roof(told["bf16_flops_per_s"], told["bytes_per_s"])
        found["floor_measured_ms"] = sum(
            runs * roof.floor_ms(halved(cost)) for cost, runs in graphs.values()
        )
    return found
