"""A policy of LeRobot that learns: all of it, its action expert, or a LoRA beside its weights."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
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
from arfm_ros.export.vla.empty import lend, without_weights
from arfm_ros.export.vla.interface import Interface
from arfm_ros.export.vla.stored import UNUSED
from arfm_ros.learn.lerobot.shards import Sharding, shard, whole
from arfm_ros.learn.loop.group import Group

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
RUNS = ("act", "diffusion")  # classes that run the network when they are made
DRAWS = ("sample_noise", "sample_time")


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA of PEFT (Hu et al. 2021)."""

    rank: int = 16
    alpha: float = 32.0
    seed: int = 0  # of what its first matrices begin with


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
        with nullcontext() if kind in RUNS else without_weights():
            self.policy: Any = policy_class(self.config)
        self._load()
        self.library = Library(self.policy, self.folder, _features(robot), sample_flow)
        self.before, self.after = self.library.processors()
        self._takes_reduction = "reduction" in inspect.signature(self.policy.forward).parameters
        if self._takes_reduction and not all(hasattr(self.policy.model, n) for n in DRAWS):
            raise ConfigError(
                f"{self.made_by} draws its noise in another way than 0.4.4, 0.5 and 0.6, which "
                "are known here: take one of these versions"
            )
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
        lend(self.policy, state)  # until `settle`
        self._leave_out(state)

    def _leave_out(self, state: Mapping[str, Tensor]) -> None:
        """Take away what would speak, where no file has it: neither trained nor saved."""
        named = [*self.policy.named_parameters(remove_duplicate=False)]
        there = {id(value) for name, value in named if name in state}
        for name, value in named:
            if UNUSED in name and id(value) not in there:
                where, _, leaf = name.rpartition(".")
                self.policy.get_submodule(where).register_parameter(leaf, None)

    def settle(self, device: torch.device, group: Group, precision: str) -> Sharding | None:
        """Take the weights out of their file, in float32: all of them, or a part by FSDP2."""
        with torch.no_grad():
            if group.size > 1:
                return shard(self.policy, group, device, precision)
            for one in self.policy.parameters():
                one.data = one.data.to(device, torch.float32, copy=True).contiguous()
            self.policy.float().to(device)
        return None

    def _choose(self, adapter: Adapter) -> None:
        """Mark what learns."""
        if self.part == LORA:
            self._adapt(adapter)
            return
        for name, parameter in self.policy.named_parameters():
            sees = any(part in name for part in SEES)
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

    def losses(self, batch: Mapping[str, Any], seed: int, begin: int = 0, of: int = 0) -> Tensor:
        """Compute the losses [b] of a batch as the library's processors made it.

        Noise and times are a function of `seed` and of a sample's place, whatever the samples are
        cut into: they are `begin`.. of a batch of `of` (0: they are the batch). A class that gives
        only a mean is asked sample by sample.
        """
        size = len(batch["action"])
        if self._takes_reduction:
            torch.manual_seed(seed)
            with _cut_out(self.policy.model, begin, size, of or size):
                losses: Tensor = self.policy(batch, reduction="none")[0]
            return losses
        found = []
        with _without_posterior(self.policy):
            for i in range(size):
                torch.manual_seed(seed + begin + i)
                found.append(self.policy(_row(batch, i, size))[0].reshape(1))
        return torch.cat(found)

    def save(self, folder: Path, leads: bool = True) -> None:
        """Write the policy as the library does; a LoRA is added to the weights it lies beside.

        Configuration and processors are the checkpoint's own files, for nothing of them changes.
        All processes put the weights together, the one that `leads` writes them.
        """
        state = _whole_state(self.policy, leads)
        if not leads:
            return
        from safetensors.torch import save_model

        folder.mkdir(parents=True, exist_ok=True)
        for pattern in ("policy_*", "tokenizer*", "special_tokens*", "config.json"):
            for one in self.folder.glob(pattern):
                if one.is_file():
                    shutil.copy(one, folder / one.name)
        save_model(_State(state), str(folder / "model.safetensors"))  # type: ignore[arg-type]
        told = {"fine_tuned_from": self.folder.name, "part": self.part}
        (folder / "arfm.json").write_text(json.dumps(told, indent=1) + "\n")


class _State:
    """Weights by name, as `save_model` asks a module for them."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self._state = state

    def state_dict(self) -> dict[str, Tensor]:
        return self._state


@contextmanager
def _without_posterior(policy: Any) -> Generator[None, None, None]:
    """Leave out what ACT's loss asks of its posterior, of which there is none in evaluation.

    LeRobot 0.6 does so itself, 0.4 and 0.5 fail.
    """
    config = policy.config
    asked = getattr(config, "use_vae", False) and not policy.training
    if asked:
        config.use_vae = False
    try:
        yield
    finally:
        if asked:
            config.use_vae = True


@contextmanager
def _cut_out(model: Any, begin: int, size: int, of: int) -> Generator[None, None, None]:
    """Have a flow draw noise and times for `of` samples and take those from `begin` on."""
    noise, time = model.sample_noise, model.sample_time

    def cut(drawn: Tensor) -> Tensor:
        return drawn[begin : begin + size]

    model.sample_noise = lambda shape, device: cut(noise((of, *shape[1:]), device))
    model.sample_time = lambda _, device: cut(time(of, device))
    try:
        yield
    finally:
        del model.sample_noise, model.sample_time


def _features(robot: Interface) -> dict[str, str]:
    start = "observation.images."
    return {f"{start}{k.removeprefix(start)}": v for k, v in robot.cameras.items()}


def _row(batch: Mapping[str, Any], i: int, size: int) -> dict[str, Any]:
    """Cut one sample out of a batch."""

    def cut(value: Any) -> Any:
        counted = isinstance(value, (Tensor, list)) and len(value) == size
        return value[i : i + 1] if counted else value

    return {name: cut(value) for name, value in batch.items()}


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
