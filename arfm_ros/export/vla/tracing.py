"""The graphs of a network whose weights lie in a file: each refers to them there by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines.bundle import PREFIX, STEP, STEP_RTC, VIEW
from arfm_ros.engines.views import FEATURES, GIVES, PICTURE, TAKES
from arfm_ros.export.graphs.gather import gather_first
from arfm_ros.export.graphs.onnx import finish, take_names, to_program
from arfm_ros.export.graphs.rtc import APART, GUIDED_INPUTS, guided_inputs, trace_guided_step
from arfm_ros.export.graphs.weights import SMALL
from arfm_ros.export.vla.network import ByView, SplitNetwork
from arfm_ros.export.vla.reference import input_names
from arfm_ros.export.vla.stored import Places


class _Step(nn.Module):
    def __init__(self, model: SplitNetwork) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, t: Tensor, *context: Tensor) -> Tensor:
        return self.model.velocity(x, t, self.model.context(*context))


class _Answer(_Step):
    """The step of a regression, which takes neither x nor t."""

    def forward(self, *context: Tensor) -> Tensor:
        return super().forward(torch.zeros(1), torch.zeros(1), *context)


class _View(nn.Module):
    def __init__(self, model: ByView) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        return self.model.view(image)


class _Joined(_View):
    """What is left of the prefix when the pictures are encoded."""

    def forward(self, *inputs: Tensor) -> Any:  # type: ignore[override]
        return self.model.joined(*inputs)


class Tracer:
    """Writes graphs of `network` into `folder`, beside the file `store` that holds `places`."""

    def __init__(self, network: SplitNetwork, spec: PolicySpec, store: Path, places: Places):
        self.network, self.spec, self.store, self.places = network, spec, store, places
        self.fields = list(network.context._fields)

    def prefix(self, first: tuple[Tensor, ...]) -> Any:
        """Write the prefix, traced at the inputs `first`; returns the context that they give."""
        with torch.no_grad():
            context = self.network(*first)
        self._write(self.network, first, (input_names(self.spec), self.fields), PREFIX)
        return context

    def prefix_by_view(self, first: tuple[Tensor, ...]) -> Any:
        """Write the graph of one picture, and the prefix that takes what it gives."""
        network, names = self.network, input_names(self.spec)
        assert isinstance(network, ByView)
        count = len(self.spec.cameras)
        with torch.no_grad():
            views = [network.view(image) for image in first[:count]]
            context = network.joined(*views, *first[count:])
        self._write(_View(network), first[:1], ([PICTURE], [FEATURES]), VIEW)
        taken = [f"{GIVES}{name.removeprefix(TAKES)}" for name in names[:count]]
        joined = ([*taken, *names[count:]], self.fields)
        self._write(_Joined(network), (*views, *first[count:]), joined, PREFIX)
        return context

    def step(self, context: Any) -> None:
        """Write the step, or the answer of a regression."""
        if self.spec.sampler.kind == "regression":
            names = (self.fields, ["actions"])
            self._write(_Answer(self.network), tuple(context), names, STEP)
            return
        point = (torch.zeros((1, *self.spec.flow_shape)), torch.zeros(1))
        names = (["x", "t", *self.fields], ["v"])
        self._write(_Step(self.network), (*point, *context), names, STEP)

    def guided_step(self, context: Any) -> None:
        """Write the step that is drawn towards the previous chunk."""
        inputs = guided_inputs((1, *self.spec.flow_shape), context)
        traced = trace_guided_step(self.network, type(context), inputs)
        names = [*GUIDED_INPUTS, *self.fields]
        apart = ([APART + name for name in names], [APART + "v"])
        self._write(traced, inputs, apart, STEP_RTC, [*names, "v"])

    def _write(
        self,
        module: Any,
        inputs: tuple[Tensor, ...],
        names: tuple[list[str], list[str]],
        file: str,
        taken: list[str] | None = None,
    ) -> None:
        program = to_program(module, inputs, *names, self.places.of)
        graph = refer(program, self.places, self.store)
        gather_first(graph)
        if taken is not None:
            take_names(graph.graph, taken)
        finish(graph, self.store.with_name(file))


def refer(program: Any, places: Places, store: Path) -> onnx.ModelProto:
    """Make the graph of an `ONNXProgram`; what lies in the file `store` is referred to there."""
    import onnx_ir

    for name, value in program.model.graph.initializers.items():
        place = places.of(value)
        if place is not None and place.length >= SMALL:
            value.const_value = onnx_ir.ExternalTensor(
                location=store.name,
                offset=place.offset,
                length=place.length,
                dtype=value.const_value.dtype,
                shape=value.const_value.shape,
                name=name,
                base_dir=store.parent,
            )
    graph: onnx.ModelProto = onnx_ir.serde.serialize_model(program.model)
    return graph
