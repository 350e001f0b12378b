"""What `arfm bench gpu` measures, part by part, and what each part may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

DEVICES = ("cuda", "cpu")  # cpu: tiny sizes, so that the run itself is tried
MOST_S = 480.0  # of all parts together
SWAPS, EPISODES, STEPS = 100, 20, 10
TINY_SWAPS, TINY_EPISODES, TINY_STEPS = 3, 1, 2


@dataclass(frozen=True, slots=True)
class Part:
    """A process of its own: module.function of this folder, called with its arguments."""

    name: str
    module: str
    limit_s: float
    arguments: Mapping[str, Any] = field(default_factory=dict)


# Together more than all may take: a part whose package is missing ends at once
PARTS = (
    Part("machine", "floors.describe", 30),
    Part("floors", "floors.measure", 40),
    *(
        Part(f"fr3_tabletop, {name}", "tabletop.measure", limit_s, arguments)
        for name, limit_s, arguments in (
            ("torch fp32", 50, {"engine": "torch", "precision": ""}),
            ("onnxruntime fp32", 40, {"engine": "onnx", "precision": ""}),
            ("onnxruntime fp16", 40, {"engine": "onnx", "precision": "fp16"}),
            ("TensorRT fp16", 80, {"engine": "tensorrt", "precision": "fp16"}),
            ("TensorRT int8", 60, {"engine": "tensorrt", "precision": "int8"}),
            ("TensorRT fp8", 60, {"engine": "tensorrt", "precision": "fp8"}),
            ("TensorRT nvfp4", 60, {"engine": "tensorrt", "precision": "nvfp4"}),
        )
    ),
    *(
        Part(f"{name}, plain torch", "networks.measure", limit_s, {"network": name})
        for name, limit_s in (("pi0", 70), ("smolvla", 50))
    ),
    Part("hot swaps", "swaps.measure", 40),
    Part("success", "success.measure", 200),
    *(
        Part(f"{name}, LeRobot's class", "library.measure", limit_s, {"network": name})
        for name, limit_s in (("smolvla", 180), ("pi0", 240))
    ),
)


@dataclass(frozen=True, slots=True)
class Setting:
    """What every part is told; as JSON on its way into a process."""

    device: str
    bundle: str  # folder of fr3_tabletop
    floors: Mapping[str, Any] = field(default_factory=dict)  # what that part found, of later ones

    @property
    def tiny(self) -> bool:
        """Tell whether only the run itself is tried."""
        return self.device == "cpu"

    def as_json(self) -> dict[str, Any]:
        """Give it as a table."""
        return asdict(self) | {"bundle": str(Path(self.bundle).resolve())}


class Report(Protocol):
    """Keeps what a part has found so far: also what it found before it was ended."""

    def __call__(self, **found: Any) -> None:
        """Add results, which JSON can hold."""


class Skipped(Exception):
    """A part that cannot run here, with the reason."""
