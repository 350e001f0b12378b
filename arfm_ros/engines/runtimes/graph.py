"""What an engine has to be: graphs that run, and what they run on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import EngineError
from arfm_ros.engines.inputs import Inputs

ENGINES = ("onnx", "openvino", "tensorrt", "tensorrt_rtx", "torch")
Array = NDArray[np.generic]
Run = Callable[[Mapping[str, Array]], dict[str, Array]]  # inputs by name -> outputs by name


class Graph(Protocol):
    """A network on a runtime; inputs and outputs are float32 whatever it computes in."""

    def bind(self, fixed: Mapping[str, Array]) -> Run:
        """Bring the inputs that stay the same to the device, once; the rest come at each run."""
        ...


def check_input(name: str, value: Array, shape: tuple[int, ...] | None) -> None:
    """Raise `EngineError` for a value that is not of `shape`; None: there is no such input."""
    if value.shape != shape:
        wanted = "no such input" if shape is None else f"{shape}"
        raise EngineError(f"input {name} is {value.shape}, the network has {wanted}")


@dataclass(frozen=True, slots=True, eq=False)
class Graphs:
    """The graphs of a bundle."""

    prefix: Graph
    step: Graph
    guided: Graph | None = None
    chunk: Graph | None = None  # all steps of a chunk in one
    chunk_rtc: Graph | None = None  # and of one that follows on by the trained prefix
    view: Graph | None = None  # of one picture; the prefix then takes what it gives
    inputs: Inputs | None = None  # of policies whose text needs files of the bundle
    apart: bool = False  # the prefix may run in one thread while the others run in another

    @property
    def whole(self) -> str:
        """Name the graphs that run all steps of a chunk at once."""
        have = {"chunk": self.chunk, "chunk_rtc": self.chunk_rtc}
        return ", ".join(name for name, graph in have.items() if graph is not None)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a policy runs on: enough to tell whether a check still holds."""

    engine: str  # one of ENGINES
    version: str  # of the runtime
    device: str  # onnxruntime's provider, the GPU's name, or cpu
    precision: str = "fp32"
    gpu: str = ""  # its name, where `device` is a provider
    driver: str = ""  # of the GPU
    build: str = ""  # folder in the bundle's engines/ that holds what was built
    files: str = ""  # hash of the files in it
    whole: str = ""  # graphs that run all steps of a chunk at once
    passed_over: tuple[str, ...] = ()  # what was preferred and why it does not run

    def as_dict(self) -> dict[str, str]:
        """Return what decides the result, as JSON has it."""
        decisive = asdict(self)
        del decisive["passed_over"]
        return decisive

    def describe(self) -> str:
        """Name it in one line."""
        driver = f" {self.gpu}" * bool(self.gpu) + f", driver {self.driver}" * bool(self.driver)
        passed_over = f" ({'; '.join(self.passed_over)})" if self.passed_over else ""
        on = f"{self.device}{driver}{passed_over}"
        return f"{self.engine} {self.version} {self.precision} on {on}"
