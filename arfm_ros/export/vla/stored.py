"""The weights of a network in one file, mapped into memory: the file is all the memory they take.

`weights.safetensors` is written tensor by tensor; then the network computes with the tensors in
it, and the graphs refer to them by where they lie.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from arfm_ros.core.errors import BundleError, ConfigError
from arfm_ros.export.graphs.weights import READABLE

KINDS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
UNUSED = "lm_head"  # would speak; a policy does not
ALIGNMENT = 64  # of the first number; the format allows no holes between tensors
PIECE = 2**24  # numbers that are converted at a time


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor lies in the file."""

    name: str
    offset: int  # in bytes
    length: int
    tensor: Tensor  # mapped


class Places:
    """Where the tensors of a file lie, found by the address of their first number."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = {place.tensor.data_ptr(): place for place in places}

    def of(self, value: Any) -> Place | None:
        """Find the place of a constant of a graph (`onnx_ir.Value`) that is such a tensor."""
        raw = getattr(getattr(value, "const_value", None), "raw", None)
        place = self._places.get(raw.data_ptr()) if isinstance(raw, Tensor) else None
        whole = place is not None and place.tensor.shape == raw.shape and raw.is_contiguous()
        return place if whole else None


class _Float32(nn.Module):
    """A weight of half precision as float32, for as long as a layer needs it."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight.float()


def compute_in_float32(module: nn.Module) -> None:
    """Have weights of half precision converted where they are used, and not kept."""
    for one in list(module.modules()):
        for leaf, weight in list(one._parameters.items()):  # noqa: SLF001
            low = weight is not None and weight.dtype in (torch.bfloat16, torch.float16)
            if low and not isinstance(one, parametrize.ParametrizationList):
                parametrize.register_parametrization(one, leaf, _Float32(), unsafe=True)


def store_weights(network: Any, path: Path, kind: str = "fp32") -> Places:
    """Write the parameters of `network` to `path` and let it compute with what lies there.

    `kind` is what matrices are stored in, fp32, bf16 or fp16: what has one dimension stays in
    float32, and all is computed in float32. Raises `ConfigError` for another kind, `BundleError`
    for a weight that it cannot hold.
    """
    if kind not in KINDS:
        raise ConfigError(f"--weights {kind}: give one of {', '.join(KINDS)}")
    weights = sorted(_weights(network, KINDS[kind]), key=lambda one: -one[2].itemsize)
    header = _header(weights)
    with path.open("wb") as file:
        file.write(header)
        for name, weight, low in weights:
            _write(file, name, weight, low)
    path.chmod(READABLE)
    places = _map(path, len(header), json.loads(header[8:]))
    _use(network, {place.name: place.tensor for place in places})
    compute_in_float32(network)
    return Places(places)


def _weights(network: Any, low: torch.dtype) -> Iterator[tuple[str, Tensor, torch.dtype]]:
    """Give the parameters but for those that would speak, and what each is stored in.

    The same one has one name only.
    """
    for name, weight in network.named_parameters():
        if UNUSED not in name:
            yield _plain(name), weight.detach(), low if weight.ndim > 1 else torch.float32


def _plain(name: str) -> str:
    return name.replace("parametrizations.", "").removesuffix(".original")


def _header(weights: Sequence[tuple[str, Tensor, torch.dtype]]) -> bytes:
    """Make what a safetensors file begins with, its length a multiple of the alignment."""
    entries: dict[str, Any] = {}
    end = 0
    for name, weight, kind in weights:
        begin, end = end, end + weight.numel() * kind.itemsize
        shape = list(weight.shape)
        entries[name] = {"dtype": NAMES[kind], "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(entries).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _write(file: Any, name: str, weight: Tensor, kind: torch.dtype) -> None:
    flat = weight.reshape(-1)
    for begin in range(0, len(flat), PIECE):
        piece = flat[begin : begin + PIECE]
        low = piece.to(kind)
        if kind == torch.float16 and not low.isfinite().all():
            largest = float(piece.abs().max())
            raise BundleError(f"weight {name} reaches {largest:.3g}, too much for fp16: use bf16")
        file.write(low.contiguous().view(torch.uint8).numpy().data)


def _map(path: Path, begin: int, header: dict[str, Any]) -> list[Place]:
    size = path.stat().st_size
    storage = torch.UntypedStorage.from_file(str(path), shared=False, nbytes=size)
    kinds = {text: kind for kind, text in NAMES.items()}
    places = []
    for name, entry in header.items():
        first, last = (begin + offset for offset in entry["data_offsets"])
        kind, shape = kinds[entry["dtype"]], entry["shape"]
        tensor = torch.empty(0, dtype=kind).set_(storage, first // kind.itemsize, shape)  # type: ignore[call-overload]
        places.append(Place(name, first, last - first, tensor))
    return places


def _use(network: Any, tensors: dict[str, Tensor]) -> None:
    """Put mapped tensors in the place of the parameters that were written."""
    new = {
        id(weight): nn.Parameter(tensors[_plain(name)], requires_grad=False)
        for name, weight in network.named_parameters()
        if _plain(name) in tensors
    }
    for module in network.modules():
        for leaf, weight in module._parameters.items():  # noqa: SLF001
            if id(weight) in new:
                module._parameters[leaf] = new[id(weight)]  # noqa: SLF001
