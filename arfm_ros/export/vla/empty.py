"""Modules made without memory for their weights, which a checkpoint's file then lends them."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

META = torch.device("meta")


@contextmanager
def without_weights() -> Generator[None, None, None]:
    """Give every parameter that is registered meanwhile a shape only; buffers are computed.

    What draws first values does nothing on these, so that a network of billions is made in
    seconds. Moving such a module to a device moves its buffers alone.
    """
    register, move = nn.Module.register_parameter, nn.Module.to

    def register_shape(self: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        register(self, name, parameter)
        if parameter is not None and parameter.device != META:
            bare = nn.Parameter(parameter.to(META), requires_grad=parameter.requires_grad)
            self._parameters[name] = bare

    def move_buffers(self: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        device, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)  # noqa: SLF001

        def one(tensor: Tensor) -> Tensor:
            kind = dtype if tensor.is_floating_point() else None
            return tensor.to(META if tensor.device == META else device, kind)

        return self._apply(one)

    nn.Module.register_parameter, nn.Module.to = register_shape, move_buffers  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        nn.Module.register_parameter, nn.Module.to = register, move  # type: ignore[method-assign]


def lend(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Make the tensors of `state` the module's parameters, without a copy; buffers are copied.

    A parameter that has several names takes the first of them that is there. What `state` lacks
    is 0 and takes no memory: the caller has checked that nothing uses it.
    """
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    for alike in names.values():
        found = next((state[name] for name in alike if name in state), None)
        if found is None:
            shape = module.get_parameter(alike[0]).shape
            found = torch.zeros(1).expand(shape)
        lent = nn.Parameter(found, requires_grad=False)
        for name in alike:
            where, _, leaf = name.rpartition(".")
            module.get_submodule(where)._parameters[leaf] = lent  # noqa: SLF001
    for name, buffer in module.named_buffers():
        if name in state:
            buffer.copy_(state[name])
