"""A policy of LeRobot that learns: all of it, its action expert, or a LoRA beside its weights."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from arfm_ros.core.errors import ConfigError
from arfm_ros.export.lerobot.checkpoint import policy_class_of, read_config
from arfm_ros.export.lerobot.layouts import find_folder, read_state
from arfm_ros.export.lerobot.processors import read_json
from arfm_ros.export.lerobot.raw import Library, sample_flow
from arfm_ros.export.lerobot.weights import check_weights, named_as
from arfm_ros.export.vla.interface import Interface

WHOLE, EXPERT, LORA = PARTS = ("whole", "expert", "lora")
# type of config.json -> class of the policy, and how its action expert's parameters begin
CLASSES: Mapping[str, tuple[str, str]] = {
    "pi0": ("lerobot.policies.pi0.modeling_pi0", "PI0Policy"),
    "pi05": ("lerobot.policies.pi05.modeling_pi05", "PI05Policy"),
    "smolvla": ("lerobot.policies.smolvla.modeling_smolvla", "SmolVLAPolicy"),
    "act": ("lerobot.policies.act.modeling_act", "ACTPolicy"),
    "diffusion": ("lerobot.policies.diffusion.modeling_diffusion", "DiffusionPolicy"),
}
SEES = ("paligemma_with_expert.paligemma.", "vlm_with_expert.vlm.", "backbone.", "rgb_encoder.")
# matrices of attention and feed-forward layers, as PEFT matches the ends of names
ADAPTED = r".*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
BY_HAND = ("config.json", "policy_preprocessor.json", "policy_postprocessor.json")


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA of PEFT (Hu et al. 2021)."""

    rank: int = 16
    alpha: float = 32.0


class TunedPolicy:
    """The library's policy with its processors; losses come for each sample."""

    def __init__(self, folder: Path, robot: Interface, part: str, adapter: Adapter) -> None:
        """Open the checkpoint in `folder`. Raises `ConfigError` for what cannot be fine-tuned."""
        if part not in PARTS:
            raise ConfigError(f"--tune {part}: give one of {', '.join(PARTS)}")
        self.folder, self.part = find_folder(folder), part
        kind = str(read_json(self.folder / "config.json").get("type"))
        if kind not in CLASSES:
            raise ConfigError(f"{folder} is of type {kind}; fine-tuned are {', '.join(CLASSES)}")
        policy_class, self.made_by = policy_class_of(kind, CLASSES[kind])
        self.config = read_config(self.folder)
        if getattr(self.config, "n_obs_steps", 1) != 1:
            raise ConfigError(
                f"{folder} looks at {self.config.n_obs_steps} observations: fine-tuned are "
                "policies that look at one (n_obs_steps)"
            )
        self.policy: Any = policy_class(self.config)
        self._load()
        self.library = Library(self.policy, self.folder, _features(robot), sample_flow)
        self.before, self.after = self.library.processors()
        self._takes_reduction = "reduction" in inspect.signature(self.policy.forward).parameters
        self._choose(adapter)

    @property
    def horizon(self) -> int:
        """Actions of a chunk."""
        config = self.config
        return int(getattr(config, "chunk_size", None) or config.horizon)

    def _load(self) -> None:
        state, path = read_state(self.folder)
        state = named_as(self.policy, state)
        check_weights(self.policy, state, path)
        self.policy.load_state_dict(state, strict=False)
        self.policy.float()

    def _choose(self, adapter: Adapter) -> None:
        """Mark what learns."""
        if self.part == LORA:
            self._adapt(adapter)
            return
        for name, parameter in self.policy.named_parameters():
            sees = any(part in name for part in SEES)
            parameter.requires_grad_(self.part == WHOLE or not sees)
        if not self.learned:
            raise ConfigError(f"--tune {self.part}: nothing of {self.folder} would learn")

    def _adapt(self, adapter: Adapter) -> None:
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError as error:
            raise ConfigError(f"--tune lora needs peft: {error}; run ./arfm train") from error
        self.policy.requires_grad_(False)
        config = LoraConfig(r=adapter.rank, lora_alpha=adapter.alpha, target_modules=ADAPTED)
        try:
            inject_adapter_in_model(config, self.policy)
        except ValueError as error:
            raise ConfigError(f"--tune lora: {self.folder} has no such layers: {error}") from error

    @property
    def learned(self) -> list[nn.Parameter]:
        """What an optimiser changes."""
        return [one for one in self.policy.parameters() if one.requires_grad]

    def losses(self, batch: Mapping[str, Any], seed: int) -> Tensor:
        """Compute the losses [B] of a batch as the library's processors made it.

        The noise, the times and dropout are a function of `seed`. A class that gives only a mean
        is asked sample by sample.
        """
        size = len(batch["action"])
        if self._takes_reduction:
            torch.manual_seed(seed)
            losses: Tensor = self.policy.forward(batch, reduction="none")[0]
            return losses
        found = []
        for i in range(size):
            torch.manual_seed(seed + i)
            found.append(self.policy.forward(_row(batch, i, size))[0].reshape(1))
        return torch.cat(found)

    def save(self, folder: Path) -> None:
        """Write the policy as the library does; a LoRA is added to the weights it lies beside.

        Configuration and processors are the checkpoint's own files, for nothing of them changes.
        """
        folder.mkdir(parents=True, exist_ok=True)
        whole = self.policy if self.part != LORA else _merged(self.policy)
        for one in self.folder.glob("policy_*"):
            shutil.copy(one, folder / one.name)
        for one in (*self.folder.glob("tokenizer*"), *self.folder.glob("special_tokens*")):
            if one.is_file():
                shutil.copy(one, folder / one.name)
        whole.save_pretrained(folder)
        shutil.copy(self.folder / "config.json", folder / "config.json")
        told = {"fine_tuned_from": self.folder.name, "part": self.part}
        (folder / "arfm.json").write_text(json.dumps(told, indent=1) + "\n")


def _features(robot: Interface) -> dict[str, str]:
    start = "observation.images."
    return {f"{start}{k.removeprefix(start)}": v for k, v in robot.cameras.items()}


def _row(batch: Mapping[str, Any], i: int, size: int) -> dict[str, Any]:
    """Cut one sample out of a batch."""

    def cut(value: Any) -> Any:
        counted = isinstance(value, (Tensor, list)) and len(value) == size
        return value[i : i + 1] if counted else value

    return {name: cut(value) for name, value in batch.items()}


def _merged(policy: Any) -> Any:
    """Copy a policy with its LoRA layers turned into plain ones."""
    from copy import deepcopy

    from peft.tuners.lora import LoraLayer

    whole = deepcopy(policy)
    for name, layer in list(whole.named_modules()):
        if isinstance(layer, LoraLayer):
            layer.merge()
            where, _, leaf = name.rpartition(".")
            setattr(whole.get_submodule(where), leaf, layer.get_base_layer())
    return whole
