"""What a network of another library has to show to become a bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from arfm_ros.core.values.data import F32, Observation
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.export.vla.pruning import TokenShare
from arfm_ros.export.vla.stored import compute_in_float32


class PiContext(NamedTuple):
    """What pi0's prefix leaves: keys and values of all layers, places of tokens, the state."""

    keys: Tensor  # [layers, 1, heads, L, d]
    values: Tensor  # [layers, 1, heads, L, d]
    attend: Tensor  # [1, L], 0: it does not count; more than 1: others before it were left out
    position: Tensor  # [1, S], normalised and padded


@runtime_checkable
class ByView(Protocol):
    """A network whose pictures are encoded one by one, and joined after that."""

    tokens: TokenShare  # how many of a picture's tokens count, in the library's sampler too

    def view(self, image: Tensor) -> Tensor:
        """Map a camera's picture [1, H, W, 3] to its tokens [1, N, D]."""
        ...

    def joined(self, *inputs: Tensor) -> Any:
        """Do what the whole prefix does, from each camera's tokens in place of its picture."""
        ...


STATE_IN_STEP: dict[type[Any], str] = {PiContext: "position"}  # context -> its field


class SplitNetwork(Protocol):
    """A module in the two parts of a bundle, and the library's own sampler; batch 1, float32.

    A flow's time runs from 0 (noise) to 1 (action), whatever it does in the library; a diffusion's
    is the level of noise in its schedule.
    """

    context: type[Any]  # NamedTuple of the tensors that the prefix leaves

    def __call__(self, *inputs: Tensor) -> Any:
        """Map the inputs of the prefix graph to a context."""
        ...

    def velocity(self, x: Tensor, t: Tensor, context: Any) -> Tensor:
        """Map x [1, H, D] at t [1] to v [1, H, D], or to what else the spec's sampler wants.

        A regression looks at neither and gives the actions.
        """
        ...

    def library_chunk(self, inputs: tuple[Tensor, ...], noise: Tensor, steps: int) -> Tensor:
        """Compute x_1 [1, H, D] by the library's own sampler."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Give every parameter."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A checkpoint of another library, opened."""

    network: SplitNetwork
    spec: PolicySpec  # without real-time chunking
    tokenizer: str  # content of tokenizer.json; "" without language
    made_by: str  # "pi0 of transformers 5.24.0"
    # the library's own commands [H, A], from raw pictures and states, noise and a count of steps
    commands: Callable[[Observation, F32, int], F32] | None = None


def freeze(module: nn.Module) -> nn.Module:
    """Make `module` compute in float32, for inference only; weights stay as they are stored."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    for one in module.modules():
        for name, buffer in one._buffers.items():  # noqa: SLF001
            if buffer is not None and buffer.is_floating_point():
                one._buffers[name] = buffer.float()  # noqa: SLF001
    compute_in_float32(module)
    return module.eval()
