"""GR00T N1.7 of LeRobot: the checkpoint, opened and described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.solvers.sampler import Sampler
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.export.family import register
from arfm_ros.export.groot.network import LeRobotGroot, Prompt, State, sample
from arfm_ros.export.groot.pictures import Fitted, read_geometry
from arfm_ros.export.groot.statistics import (
    FLAT,
    GROUPS,
    Actions,
    read_flat,
    read_groups,
    read_state,
    rows_of,
)
from arfm_ros.export.groot.text import open_processor, read_prompt
from arfm_ros.export.lerobot.checkpoint import (
    IMAGES,
    LIBRARY,
    cameras_of,
    feature_sizes,
    open_policy,
    policy_class_of,
    read_config,
    relative_of,
)
from arfm_ros.export.lerobot.layouts import find_folder
from arfm_ros.export.lerobot.processors import AFTER, Processors, read_pipelines, read_steps
from arfm_ros.export.lerobot.raw import Library
from arfm_ros.export.lerobot.steps import RELATIVE, Order
from arfm_ros.export.lerobot.versions import ABSOLUTE_STEP, RELATIVE_STEPS
from arfm_ros.export.vla.interface import Interface
from arfm_ros.export.vla.network import Opened, freeze

PACK, ENCODE = "groot_n1_7_pack_inputs_v1", "groot_n1_7_vlm_encode_v1"
BY_ROBOT = ("state_encoder", "action_encoder", "action_decoder")  # weights of every embodiment
ALIASES = {"wrist_image": "image2"}  # as the library finds cameras
LIBERO = (
    "the gripper's transform for LIBERO is not exported: set action_decode_transform to 'none' in "
    "config.json; the gripper is then 0 closed and 1 open, the space gripper_binary"
)


@dataclass(frozen=True, slots=True)
class LeRobotGrootFlow:
    """GR00T N1.7 of LeRobot 0.6."""

    name: str = "groot"
    library: str = LIBRARY

    def takes(self, config: Mapping[str, Any]) -> bool:
        """Tell whether a checkpoint with this config.json is one."""
        return config.get("type") == self.name

    def open(self, folder: Path, robot: Interface, name: str) -> Opened:
        """Open a checkpoint folder as policy `name` for `robot`."""
        where = ("lerobot.policies.groot.modeling_groot", "GrootPolicy")
        _require_n1_7()
        policy_class, made_by = policy_class_of(self.name, where)
        config = read_config(folder)
        if config.action_decode_transform is not None:
            raise ConfigError(f"{folder}: {LIBERO}")
        config.use_bf16, config.use_flash_attention = False, False
        sizes = feature_sizes(config, robot)
        steps = _Steps.read(folder, config)
        processor, processor_name = open_processor(folder, steps.encode)
        policy = open_policy(folder, config, _with_base(policy_class, folder, config))
        core = policy._groot_model  # noqa: SLF001
        whole_vectors(core)
        keep_robot(core, steps.robot(config))
        cameras = _ordered(cameras_of(config, robot), robot, steps.pack)
        eyes = read_geometry(steps.encode, processor.image_processor)
        shapes = [_shape(config, camera, robot) for camera in cameras]
        fitted = [Fitted(eyes.stages(shape)) for shape in shapes]
        frames = int(steps.pack.get("video_horizon") or 1)
        counts = [one.size[0] * one.size[1] // eyes.factor**2 for one in fitted] * frames
        bare = bool(steps.pack.get("formalize_language", True))
        language, tokenizer = read_prompt(processor, counts, bare)
        state_norm, moves, clipped = read_state(folder, steps.before[PACK], sizes[0])
        prompt = _prompt(processor, language, robot.instruction, frames)
        network: Any = LeRobotGroot(core, fitted, prompt, State(moves, clipped))
        spec = robot.spec(
            name,
            _horizon(policy, core, steps),
            tuple(eyes.camera(camera, shape) for camera, shape in zip(cameras, shapes)),
        )
        spec = replace(spec, language=language, state_norm=state_norm)
        spec = _with_actions(spec, core, steps.actions(folder, spec.horizon, robot), steps)
        known = {f"{IMAGES}{k.removeprefix(IMAGES)}": v for k, v in robot.cameras.items()}
        library = Library(policy, folder, known, _sample, {ENCODE: {"model_name": processor_name}})
        return Opened(freeze(network), spec, tokenizer, made_by, library)


@dataclass(frozen=True, slots=True)
class _Steps:
    """The steps before and after the policy."""

    before: Mapping[str, Any]
    after: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path, config: Any) -> _Steps:
        last = (
            GROUPS if (folder / AFTER).is_file() and GROUPS in read_steps(folder / AFTER) else FLAT
        )
        order = Order((RELATIVE, PACK, ENCODE), (last, ABSOLUTE_STEP), PACK, last)
        own = (*config.input_features, *config.output_features)
        return cls(*read_pipelines(folder, order, own))

    @property
    def pack(self) -> Mapping[str, Any]:
        return self.before[PACK].get("config", {})  # type: ignore[no-any-return]

    @property
    def encode(self) -> Mapping[str, Any]:
        return self.before[ENCODE].get("config", {})  # type: ignore[no-any-return]

    def robot(self, config: Any) -> int:
        """Return which robot's weights are taken."""
        tag = self.pack.get("embodiment_tag", config.embodiment_tag)
        return int((self.pack.get("embodiment_mapping") or {}).get(tag, 0))

    def actions(self, folder: Path, horizon: int, robot: Interface) -> Actions:
        if GROUPS in self.after:
            return read_groups(folder, self.after[GROUPS], horizon, robot)
        return read_flat(folder, self.after[FLAT], horizon, len(robot.actions))

    def processors(self, spec: PolicySpec) -> Processors:
        relative = next((self.before[name] for name in RELATIVE_STEPS if name in self.before), {})
        return Processors(spec.state_norm, spec.action_norm, {}, relative.get("config", {}))


def _require_n1_7() -> None:
    """Raise `ConfigError` for a LeRobot whose GR00T is another one, or cannot be imported."""
    if find_spec("lerobot") is None:
        return  # which is said for every family
    try:
        found = find_spec("lerobot.policies.groot.groot_n1_7")
    except ImportError:
        found = None
    if found is None:
        raise ConfigError(
            "GR00T is exported as LeRobot 0.6 has it (N1.7), which needs Python 3.13"
        )


def _with_base(policy_class: Any, folder: Path, config: Any) -> Any:
    """Make a class of the policy that reads its base's config.json, but not the base's weights."""
    from lerobot.policies.groot.groot_n1_7 import GR00TN17, GR00TN17Config

    try:
        base = find_folder(Path(str(config.base_model_path)))
    except ConfigError as error:
        raise ConfigError(
            f"{folder}: base_model_path, whose config.json says how large the network is: {error}"
        ) from error
    settings = GR00TN17Config.from_pretrained(str(base), local_files_only=True)
    settings.use_flash_attention, settings.load_bf16 = False, False
    steps = config.num_inference_timesteps
    settings.num_inference_timesteps = steps or settings.num_inference_timesteps
    if settings.state_history_length != 1:
        raise ConfigError(f"{base}: state_history_length is not 1, which is not exported")

    def create(self: Any) -> Any:
        return GR00TN17(settings, {"local_files_only": True}, load_backbone_weights=False)

    return type("Groot", (policy_class,), {"_create_groot_model": create})


def keep_robot(core: Any, robot: int) -> None:
    """Keep the weights of one robot: those of all the others are never used."""
    for part in BY_ROBOT:
        for module in getattr(core.action_head, part).modules():
            count = getattr(module, "num_categories", None)
            if count is None:
                continue
            if not 0 <= robot < count:
                raise ConfigError(f"embodiment {robot}, the network has 0 to {count - 1}")
            for name in ("W", "b"):
                _cut(module, name, robot)
    backbone, head = core.backbone, core.action_head

    def prepared(inputs: Mapping[str, Any]) -> tuple[Any, Any]:
        """Do without devices and types; the one robot that is left has number 0."""
        one = {**inputs, "embodiment_id": torch.zeros(1, dtype=torch.long)}
        return backbone.prepare_input(one), head.prepare_input(one)

    core.prepare_input = prepared


def whole_vectors(core: nn.Module) -> None:
    """Keep biases and norms in float32: the library computes in the type of a module's first."""
    for module in list(core.modules()):
        for name in list(getattr(module, "parametrizations", ())):
            value = getattr(module, name)
            if value.ndim == 1:
                parametrize.remove_parametrizations(module, name, leave_parametrized=False)
                module._parameters[name] = nn.Parameter(value, requires_grad=False)  # noqa: SLF001


def _cut(module: nn.Module, name: str, robot: int) -> None:
    """Keep row `robot` of a weight, wherever it is stored in half precision or not."""
    stored = getattr(module, "parametrizations", {})
    where, leaf = (stored[name], "original") if name in stored else (module, name)
    row = where.get_parameter(leaf).detach()[robot : robot + 1]
    where._parameters[leaf] = nn.Parameter(row, requires_grad=False)  # noqa: SLF001


def _ordered(cameras: list[str], robot: Interface, pack: Mapping[str, Any]) -> list[str]:
    """Order the robot's cameras as the library does.

    Raises `ConfigError` for one that the checkpoint does not look at.
    """
    names = {camera: key.removeprefix(IMAGES) for key, camera in robot.cameras.items()}
    wanted = list(pack.get("video_modality_keys") or [])
    keys = [next((k for k in (w, ALIASES.get(w)) if k in names.values()), None) for w in wanted]
    found = [key for key in keys if key is not None]
    order = found or sorted(names[camera] for camera in cameras)
    unseen = [camera for camera in cameras if names[camera] not in order]
    if unseen:
        raise ConfigError(
            f"the checkpoint does not look at {', '.join(unseen)}: leave it out of cameras; it "
            f"looks at {', '.join(wanted)}"
        )
    given = {key: camera for camera, key in names.items()}
    return [given[key] for key in order]


def _shape(config: Any, camera: str, robot: Interface) -> tuple[int, int]:
    """Return height and width of the pictures that a camera had in training."""
    key = next(key for key, value in robot.cameras.items() if value == camera)
    shape = config.image_features[f"{IMAGES}{key.removeprefix(IMAGES)}"].shape
    return int(shape[1]), int(shape[2])


def _prompt(processor: Any, language: Any, words: str, frames: int) -> Prompt:
    ids = processor.tokenizer(language.template.replace("{instruction}", words))["input_ids"]
    tokens = torch.full((1, language.length), language.pad_id)
    tokens[0, : len(ids)] = torch.tensor(ids)
    see = processor.image_processor
    return Prompt(tokens, int(processor.image_token_id), frames, see.image_mean, see.image_std)


def _horizon(policy: Any, core: Any, steps: _Steps) -> int:
    """Return how many rows of the network's are actions."""
    rows = torch.zeros(1, core.action_head.action_horizon, 1)
    most = int(policy._resolve_prediction_horizon(rows))  # noqa: SLF001
    return min(most, rows_of(steps.after) or most)


def _with_actions(spec: PolicySpec, core: Any, actions: Actions, steps: _Steps) -> PolicySpec:
    spec = replace(spec, action_norm=actions.norm)
    generic = relative_of(steps.processors(spec), spec)
    return replace(
        spec,
        relative=actions.relative if any(actions.relative) else generic,
        steps=core.action_head.num_inference_timesteps,
        flow_width=core.action_head.action_dim,
        spare=core.action_head.action_horizon - spec.horizon,
        sampler=Sampler(clip=actions.clip),
    )


def _sample(policy: Any, prepared: list[dict[str, Any]], noise: Tensor, count: int) -> Tensor:
    """Let the library predict a chunk in `count` steps from this noise, as it trims it."""
    core = policy._groot_model  # noqa: SLF001
    inputs = policy._filter_groot_inputs(prepared[-1], include_action=False)  # noqa: SLF001
    found = sample(core, inputs, noise, count)
    rows = policy._resolve_prediction_horizon(found)  # noqa: SLF001
    return found[:, :rows, : policy.config.output_features["action"].shape[0]]


register(LeRobotGrootFlow())
