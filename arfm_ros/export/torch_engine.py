"""The engine `torch`: a bundle's network in torch, on a GPU as CUDA graphs.

For machines with a GPU and no TensorRT. A CUDA graph replays all kernels of a step by one call,
so that the host's time for each small kernel is paid once, at the capture. Opened by name from
`engines.load`, which never imports torch itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from arfm_ros.core.errors import BundleError, ConfigError, EngineError
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines.bundle import Bundle
from arfm_ros.engines.runtimes.cuda import Device
from arfm_ros.engines.runtimes.graph import Array, Graphs, Run, Runtime, check_input
from arfm_ros.engines.runtimes.residents import Residents
from arfm_ros.export.graphs.onnx import PrefixGraph, StepGraph, example_inputs
from arfm_ros.export.graphs.rtc import (
    GUIDED_INPUTS,
    PREFIX_INPUTS,
    PrefixStepGraph,
    trace_guided_step,
)
from arfm_ros.learn.loop.checkpoint import build_policy
from arfm_ros.learn.model.from_bundle import bundle_checkpoint
from arfm_ros.learn.model.network import EncodedContext, FlowPolicy

DEVICES = ("cuda", "cpu")
WARM_UP = 3  # runs before the capture: libraries choose their kernels and take their memory
Work = Callable[[], tuple[Tensor, ...]]  # from the input buffers to the outputs
Example = Mapping[str, Tensor]


def open_torch(
    bundle: Bundle, precision: str, devices: Sequence[str], threads: int
) -> tuple[Graphs, Runtime]:
    """Rebuild the network of `bundle` on the first of `devices` that is there.

    `threads` are those of torch in this process, on the CPU. Raises `EngineError` where no device
    is there or the bundle does not hold its network.
    """
    if precision not in {"", "fp32"}:
        raise BundleError(f"the engine torch computes in fp32, not in {precision}")
    device, passed_over = choose_device(devices)
    _prepare(device, threads)
    try:
        model = build_policy(bundle_checkpoint(bundle.path)).to(device).requires_grad_(False)
        residents = Residents[Tensor]()
        graphs = {
            name: TorchGraph(*parts, residents)
            for name, parts in modules(model, bundle.spec, device).items()
        }
    except ConfigError as error:
        raise EngineError(
            f"the engine torch cannot rebuild this network: {error}; use the engine onnx"
        ) from error
    except RuntimeError as error:  # torch's only one: no memory, a capture that fails
        raise EngineError(f"torch cannot open this network on {device}: {error}") from error
    runtime = replace(_runtime(device), passed_over=passed_over)
    return Graphs(graphs["prefix"], graphs["step"], graphs.get("step_rtc")), runtime


def _runtime(device: torch.device) -> Runtime:
    version = str(torch.__version__)
    if device.type == "cpu":
        return Runtime("torch", version, "cpu")
    gpu = Device().gpu
    return Runtime("torch", version, gpu.name, driver=gpu.driver)


def _prepare(device: torch.device, threads: int) -> None:
    if device.type == "cpu":
        torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False  # float32 means float32


def choose_device(devices: Sequence[str]) -> tuple[torch.device, tuple[str, ...]]:
    """Take the first of `devices` that is there; also tell what was passed over and why."""
    unknown = [name for name in devices if name not in DEVICES]
    if unknown or not devices:
        raise BundleError(
            f"the engine torch has no provider '{', '.join(unknown)}'; known: {', '.join(DEVICES)}"
        )
    if devices[0] == "cpu":
        return torch.device("cpu"), ()
    if torch.cuda.is_available():
        return torch.device("cuda", 0), ()
    missing = f"torch {torch.__version__} finds no GPU with CUDA"
    if "cpu" in devices:
        return torch.device("cpu"), (missing,)
    raise EngineError(
        f"{missing}: use the engine onnx, or say that torch may run on the cpu (--providers cpu)"
    )


def modules(
    model: FlowPolicy, spec: PolicySpec, device: torch.device
) -> dict[str, tuple[nn.Module, Example, tuple[str, ...]]]:
    """Give each graph of a bundle as a module with example inputs and the names of its outputs.

    What `export` writes as ONNX, under the same names of inputs.
    """
    names = [f"image_{name}" for name, _, _ in model.config.cameras] + ["state", "tokens"]
    seen = {name: one.to(device) for name, one in zip(names, example_inputs(model))}
    prefix = PrefixGraph(model).eval()
    with torch.no_grad():
        context = dict(zip(EncodedContext._fields, prefix(*seen.values())))
    shape = (1, *spec.flow_shape)
    sizes = {"x": shape, "t": (1,), "previous": shape, "weights": shape[:2], "clip": (1,)}
    zeros = {name: torch.zeros(size, device=device) for name, size in sizes.items()}
    plain = {name: zeros[name] for name in ("x", "t")} | context
    found: dict[str, tuple[nn.Module, Example, tuple[str, ...]]] = {
        "prefix": (prefix, seen, tuple(context)),
        "step": (StepGraph(model).eval(), plain, ("v",)),
    }
    if spec.rtc.mode == "prefix":
        given = {name: zeros[name] for name in PREFIX_INPUTS} | context
        found["step_rtc"] = (PrefixStepGraph(model).eval(), given, ("v",))
    elif spec.rtc.mode == "guided":
        given = {name: zeros[name] for name in GUIDED_INPUTS} | context
        traced = trace_guided_step(model, EncodedContext, tuple(given.values()))
        found["step_rtc"] = (traced, given, ("v",))
    return found


class TorchGraph:
    """A module with one buffer on the device for each input; on a GPU it is replayed.

    There outputs stay on the device beside their copies on the host (`residents`).
    """

    def __init__(
        self,
        module: nn.Module,
        example: Example,
        outputs: Sequence[str],
        residents: Residents[Tensor],
    ) -> None:
        self._residents = residents
        self._inputs = {name: tensor.clone() for name, tensor in example.items()}
        self._outputs = tuple(outputs)
        work = partial(_run, module, tuple(self._inputs.values()))
        on_gpu = any(tensor.is_cuda for tensor in self._inputs.values())
        self._work: Work = capture(work) if on_gpu else work
        self._bound: object = None  # whose fixed inputs are in the buffers

    def bind(self, fixed: Mapping[str, Array]) -> Run:
        """Copy `fixed` into the buffers at the first run, and again after another's."""
        owner = object()

        def run(feed: Mapping[str, Array]) -> dict[str, Array]:
            try:
                if self._bound is not owner:
                    self._bound = None
                    self._fill(fixed)
                    self._bound = owner
                self._fill(feed)
                found = [self._brought(one) for one in self._work()]
            except RuntimeError as error:  # torch's only one, out of memory included
                raise EngineError(f"torch failed: {error}") from error
            return dict(zip(self._outputs, found))

        return run

    def _brought(self, output: Tensor) -> Array:
        if not output.is_cuda:
            return np.array(output.numpy())
        return self._residents.keep(output.cpu().numpy(), output.clone())

    def _fill(self, values: Mapping[str, Array]) -> None:
        for name, value in values.items():
            buffer = self._inputs.get(name)
            check_input(name, value, None if buffer is None else tuple(buffer.shape))
            there = self._residents.find(value)
            if there is None:
                there = torch.from_numpy(np.ascontiguousarray(value))
            buffer.copy_(there)


def _run(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    with torch.no_grad():
        result = module(*inputs)
    return result if isinstance(result, tuple) else (result,)


def capture(work: Work) -> Work:
    """Record the kernels of `work` as a CUDA graph, which replays them on the same buffers.

    After torch's documentation, "CUDA Graphs": warm up on a side stream, then capture.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # other threads may use the GPU meanwhile: a bundle is loaded while another one drives
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        outputs = work()

    def replay() -> tuple[Tensor, ...]:
        graph.replay()
        return outputs

    return replay
