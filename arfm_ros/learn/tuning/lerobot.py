"""A policy of LeRobot that learns."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from arfm_ros.core.errors import ConfigError
from arfm_ros.export.lerobot.checkpoint import policy_class_of, read_config
from arfm_ros.export.lerobot.layouts import find_folder, read_state
from arfm_ros.export.lerobot.processors import read_json
from arfm_ros.export.lerobot.raw import Library, sample_flow
from arfm_ros.export.lerobot.weights import check_weights, named_as
from arfm_ros.export.vla.empty import lend, without_weights
from arfm_ros.export.vla.interface import Interface
from arfm_ros.export.vla.stored import UNUSED
from arfm_ros.learn.tuning.activations import recompute_flow
from arfm_ros.learn.tuning.batches import Raw
from arfm_ros.learn.tuning.policy import Adapter, TunedPolicy

# type of config.json -> class of the policy, and how its action expert's parameters begin
CLASSES: Mapping[str, tuple[str, str]] = {
    "pi0": ("lerobot.policies.pi0.modeling_pi0", "PI0Policy"),
    "pi05": ("lerobot.policies.pi05.modeling_pi05", "PI05Policy"),
    "smolvla": ("lerobot.policies.smolvla.modeling_smolvla", "SmolVLAPolicy"),
    "act": ("lerobot.policies.act.modeling_act", "ACTPolicy"),
    "diffusion": ("lerobot.policies.diffusion.modeling_diffusion", "DiffusionPolicy"),
}
SEES = ("paligemma_with_expert.paligemma.", "vlm_with_expert.vlm.", "backbone.", "rgb_encoder.")
RUNS = ("act", "diffusion")  # classes that run the network when they are made
DRAWS = ("sample_noise", "sample_time")
STATE, ACTION, PADDED = "observation.state", "action", "action_is_pad"


class LeRobotPolicy(TunedPolicy):
    """The library's policy with its processors; losses come for each sample."""

    sees = SEES

    def __init__(self, folder: Path, robot: Interface, part: str, adapter: Adapter) -> None:
        """Open the checkpoint in `folder`. Raises `ConfigError` for what cannot be fine-tuned."""
        super().__init__(part)
        self.folder = find_folder(folder)
        kind = str(read_json(self.folder / "config.json").get("type"))
        if kind not in CLASSES:
            raise ConfigError(f"{folder} is of type {kind}; fine-tuned are {', '.join(CLASSES)}")
        policy_class, self.made_by = policy_class_of(kind, CLASSES[kind])
        config = read_config(self.folder)
        if getattr(config, "n_obs_steps", 1) != 1:
            raise ConfigError(
                f"{folder} looks at {config.n_obs_steps} observations: fine-tuned are "
                "policies that look at one (n_obs_steps)"
            )
        self.horizon = int(getattr(config, "chunk_size", None) or config.horizon)
        with nullcontext() if kind in RUNS else without_weights():
            self.policy = policy_class(config)
        self._load()
        self.cameras = _features(robot)
        self._process, _ = Library(
            self.policy, self.folder, self.cameras, sample_flow
        ).processors()
        self._takes_reduction = "reduction" in inspect.signature(self.policy.forward).parameters
        if self._takes_reduction and not all(hasattr(self.policy.model, n) for n in DRAWS):
            raise ConfigError(
                f"{self.made_by} draws its noise in another way than 0.4.4, 0.5 and 0.6, which "
                "are known here: take one of these versions"
            )
        self.choose(adapter)

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

    def before(self, raw: Raw) -> dict[str, Any]:
        """Prepare a batch by the processors that lie with the checkpoint."""
        pictures = {
            feature: torch.from_numpy(one).permute(0, 3, 1, 2).float() / 255.0
            for feature, one in raw.pictures.items()
        }
        padded = torch.zeros(raw.action.shape[:2], dtype=torch.bool)
        told = {STATE: raw.state, ACTION: raw.action, PADDED: padded, "task": raw.tasks}
        return dict(self._process({**pictures, **told}))

    def losses(self, batch: Mapping[str, Any], seed: int, begin: int = 0, of: int = 0) -> Tensor:
        """Compute the losses [b]; a class that gives only a mean is asked sample by sample."""
        size = len(batch[ACTION])
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

    def write(self, state: dict[str, Tensor], folder: Path) -> None:
        """Write weights as LeRobot does, and the checkpoint's own files beside them."""
        from safetensors.torch import save_model

        for pattern in ("policy_*", "tokenizer*", "special_tokens*", "config.json"):
            for one in self.folder.glob(pattern):
                if one.is_file():
                    shutil.copy(one, folder / one.name)
        save_model(_State(state), str(folder / "model.safetensors"))  # type: ignore[arg-type]

    def recompute(self) -> None:
        """Have pi0 and pi0.5 do what they offer; SmolVLA's layers are wrapped one by one."""
        recompute_flow(self.policy.model)


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
