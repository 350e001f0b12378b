"""A policy's weights, gradients and moments cut over processes: PyTorch's FSDP2.

LeRobot's flows run two transformers side by side and call the layers of a block one by one, never
the block, so that a block is sharded in the parts that run together: queries, keys and values; the
attention's output; the feed-forward layers. Each part is whole in memory only while it computes.
What is rounded by autocast in one process, the matrices of these parts, travels rounded; norms,
embeddings and all else stay with the root in float32, which is whole for the length of a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.loop.group import Group

INTO, OUT_OF = ("q_proj", "k_proj", "v_proj"), ("o_proj", "out_proj")
FLOAT32 = 4


class Sharding(NamedTuple):
    """How a policy was cut."""

    blocks: int  # 0: only the root is cut
    whole_bytes: int  # of what is whole at once during a step: the root and two parts of a block


def parts_of(policy: nn.Module) -> list[list[list[nn.Module]]]:
    """List the transformer blocks of a policy, each as its parts that run together."""
    lists = [one for one in policy.modules() if isinstance(one, nn.ModuleList)]
    blocks = [block for one in lists for block in one]
    return [parts for block in blocks if (parts := _parts(block))]


def _parts(block: nn.Module) -> list[list[nn.Module]]:
    attention, mlp = getattr(block, "self_attn", None), getattr(block, "mlp", None)
    if mlp is None or not all(hasattr(attention, name) for name in INTO):
        return []
    groups = [[getattr(attention, name) for name in INTO]]
    groups += [[getattr(attention, name)] for name in OUT_OF if hasattr(attention, name)]
    groups.append([one for one in mlp.children() if any(True for _ in one.parameters())])
    return [group for group in groups if group]


def shard(policy: nn.Module, group: Group, device: torch.device, precision: str) -> Sharding:
    """Cut `policy` over the processes of `group`, in place; weights become float32.

    Raises `ConfigError` where PyTorch is too old.
    """
    try:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
    except ImportError as error:
        raise ConfigError(
            f"several processes need fully_shard of PyTorch 2.6 or newer, this is "
            f"{torch.__version__}: run one process, or update the environment"
        ) from error
    mesh = init_device_mesh(device.type, (group.size,))
    low = torch.bfloat16 if precision == "bf16" else None
    rounded = MixedPrecisionPolicy(low, torch.float32, cast_forward_inputs=False)
    blocks, sizes = parts_of(policy), [0, 0]
    for parts in blocks:
        for part in parts:
            sizes.append(_in_float32(part) * (2 if low else FLOAT32))
            fully_shard(part, mesh=mesh, mp_policy=rounded)
            for module in part:
                module.register_forward_pre_hook(_gather, prepend=True)
    root = _in_float32([policy]) * FLOAT32
    fully_shard(policy, mesh=mesh)
    return Sharding(len(blocks), root + sum(sorted(sizes)[-2:]))


def _gather(module: Any, _: Any) -> None:
    """Put a part together before it computes.

    A layer that runs twice before the backward pass, as for two cameras, is cut again after the
    first of its backward passes. Where the second recomputes it, PyTorch before 2.11 does not put
    it together. What is whole already stays as it is.
    """
    module.unshard()


def _in_float32(modules: Sequence[nn.Module]) -> int:
    """Make what is not cut yet of `modules` float32; returns how many numbers that is."""
    count = 0
    for parameter in dict.fromkeys(one for module in modules for one in module.parameters()):
        if not is_cut(parameter):
            parameter.data = parameter.data.float()
            count += parameter.numel()
    return count


def is_cut(tensor: Tensor) -> bool:
    """Tell whether this process holds a part of a tensor only."""
    return hasattr(tensor, "full_tensor")


def own(tensor: Tensor) -> Tensor:
    """Return the part of a tensor that this process holds."""
    local: Tensor = tensor.to_local() if is_cut(tensor) else tensor  # type: ignore[attr-defined]
    return local


def whole(tensor: Tensor, keep: bool) -> Tensor:
    """Put a tensor together on the processor; all processes ask, those that `keep` get it."""
    value = tensor.detach()
    value = value.full_tensor() if is_cut(value) else value  # type: ignore[attr-defined]
    if not keep:
        return torch.empty(0)
    padded = value.untyped_storage().nbytes() > value.nbytes  # parts of unequal size were joined
    return value.cpu().clone() if padded else value.cpu()


def cut_as(value: Tensor, like: Tensor) -> Tensor:
    """Cut a whole tensor as `like` is; every process has it."""
    if not is_cut(like) or value.shape != like.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    mesh: Any = like.device_mesh  # type: ignore[attr-defined]
    # each process takes its part of its own copy: nothing has to be sent
    return distribute_tensor(  # type: ignore[no-any-return]
        value.to(own(like).device),
        mesh,
        like.placements,  # type: ignore[attr-defined]
        src_data_rank=None,
    )
