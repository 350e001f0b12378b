"""A policy of another library that learns: all of it, its expert, or a LoRA beside its weights."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from arfm_ros.core.errors import ConfigError
from arfm_ros.export.graphs.weights import let_others_read
from arfm_ros.export.vla.stored import UNUSED
from arfm_ros.learn.loop.group import Group
from arfm_ros.learn.tuning.batches import Raw
from arfm_ros.learn.tuning.shards import Sharding, shard, whole

WHOLE, EXPERT, LORA = PARTS = ("whole", "expert", "lora")
# matrices of attention and feed-forward layers, as PEFT matches the ends of names
ADAPTED = r".*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
TOLD = "arfm.json"


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA of PEFT (Hu et al. 2021)."""

    rank: int = 16
    alpha: float = 32.0
    seed: int = 0  # of what its first matrices begin with


class TunedPolicy(ABC):
    """A library's policy with its processors; losses come for each sample.

    A class for each library opens the checkpoint: it sets these, then calls `choose`.
    """

    folder: Path  # of the checkpoint
    made_by: str  # "pi0 of LeRobot 0.6.1"
    policy: Any  # the network, a `torch.nn.Module`
    cameras: Mapping[str, str]  # the library's name of a picture -> the robot's camera
    horizon: int  # actions of a chunk
    sees: tuple[str, ...]  # how the names of parameters begin that see and read

    def __init__(self, part: str) -> None:
        if part not in PARTS:
            raise ConfigError(f"--tune {part}: give one of {', '.join(PARTS)}")
        self.part = part

    @abstractmethod
    def before(self, raw: Raw) -> dict[str, Any]:
        """Prepare a batch of `Batches.raw` as the library does."""

    @abstractmethod
    def losses(self, batch: Mapping[str, Any], seed: int, begin: int = 0, of: int = 0) -> Tensor:
        """Compute the losses [b] of a batch that `before` prepared.

        Noise and times are a function of `seed` and of a sample's place, whatever the samples are
        cut into: they are `begin`.. of a batch of `of` (0: they are the batch).
        """

    @abstractmethod
    def write(self, state: dict[str, Tensor], folder: Path) -> None:
        """Write weights, configuration and processors to `folder` as the library does."""

    @abstractmethod
    def recompute(self) -> None:
        """Keep less for the backward pass. Raises `ConfigError` for a policy that cannot."""

    def settle(self, device: torch.device, group: Group, precision: str) -> Sharding | None:
        """Take the weights out of their file, in float32: all of them, or a part by FSDP2."""
        with torch.no_grad():
            if group.size > 1:
                return shard(self.policy, group, device, precision)
            for one in self.policy.parameters():
                one.data = one.data.to(device, torch.float32, copy=True).contiguous()
            self.policy.float().to(device)
        return None

    def choose(self, adapter: Adapter) -> None:
        """Mark what learns. Raises `ConfigError` where that is nothing."""
        if self.part == LORA:
            self._adapt(adapter)
            return
        for name, parameter in self.policy.named_parameters():
            sees = any(part in name for part in self.sees)
            learns = UNUSED not in name and (self.part == WHOLE or not sees)
            parameter.requires_grad_(learns)
        if not self.learned:
            raise ConfigError(f"--tune {self.part}: nothing of {self.folder} would learn")

    def _adapt(self, adapter: Adapter) -> None:
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError as error:
            raise ConfigError(f"--tune lora needs peft: {error}; run ./arfm train") from error
        self.policy.requires_grad_(False)
        torch.manual_seed(adapter.seed)
        config = LoraConfig(r=adapter.rank, lora_alpha=adapter.alpha, target_modules=ADAPTED)
        try:
            inject_adapter_in_model(config, self.policy)
        except ValueError as error:
            raise ConfigError(f"--tune lora: {self.folder} has no such layers: {error}") from error

    @property
    def learned(self) -> list[nn.Parameter]:
        """What an optimiser changes."""
        return [one for one in self.policy.parameters() if one.requires_grad]

    def save(self, folder: Path, leads: bool = True) -> None:
        """Write the policy as the library does; a LoRA is added to the weights it lies beside.

        Configuration and processors are the checkpoint's, for nothing of them changes. All
        processes put the weights together, the one that `leads` writes them.
        """
        state = _whole_state(self.policy, leads)
        if not leads:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self.write(state, folder)
        told = {"fine_tuned_from": self.folder.name, "part": self.part}
        (folder / TOLD).write_text(json.dumps(told, indent=1) + "\n")
        let_others_read(folder)


def _whole_state(policy: Any, keep: bool) -> dict[str, Tensor]:
    """Put the weights together by the library's names, LoRA layers turned into plain ones.

    Weights with several names are one tensor here too.
    """
    once: dict[int, Tensor] = {}
    state = {}
    for name, value in policy.state_dict(keep_vars=True).items():
        if id(value) not in once:
            once[id(value)] = whole(value, keep)
        state[name] = once[id(value)]
    return _merged(policy, state) if keep else {}


def _merged(policy: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add each LoRA to the matrix beside it: W + s B A (Hu et al. 2021)."""
    try:
        from peft.tuners.lora import LoraLayer
    except ImportError:
        return state
    for name, layer in policy.named_modules():
        if not isinstance(layer, LoraLayer):
            continue
        for key, scale in layer.scaling.items():
            down = state.pop(f"{name}.lora_A.{key}.weight")
            up = state.pop(f"{name}.lora_B.{key}.weight")
            base = state[f"{name}.base_layer.weight"]
            state[f"{name}.base_layer.weight"] = base + scale * (up @ down)
        for leaf in ("weight", "bias"):
            if f"{name}.base_layer.{leaf}" in state:
                state[f"{name}.{leaf}"] = state.pop(f"{name}.base_layer.{leaf}")
    return state
