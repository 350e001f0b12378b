"""pi0 as Hugging Face transformers has it, split into what the bundle's graphs compute.

Black et al. 2024. Its time runs from 1 (noise) to 0 (action) and its velocity is noise - action;
here both are turned round, once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.normalize import Affine
from arfm_ros.core.values.spec import CameraInput, Language, PolicySpec
from arfm_ros.export.vla.interface import Interface
from arfm_ros.export.vla.network import PiContext

STATISTICS = ("state_mean", "state_std", "actions_mean", "actions_std")
PROCESSOR = ("processor_config.json", "preprocessor_config.json")
BICUBIC = 3  # what Pillow calls it
FILTERS = {2: "bilinear", BICUBIC: "bicubic"}
TOKENS = 48  # of an instruction, as pi0 was trained
MISSING = ".venv/bin/python -m pip install -e '.[vla]'"


class Pi0(nn.Module):
    """The network, in the two parts; images as the camera's bytes, batch 1."""

    context: type[Any] = PiContext

    def __init__(self, model: Any, image: Mapping[str, Any], cameras: int) -> None:
        super().__init__()
        self.model, self.cameras = model, cameras
        mean, std = (torch.tensor(image[f"image_{name}"]) for name in ("mean", "std"))
        self.register_buffer("mean", mean[:, None, None], persistent=False)
        self.register_buffer("std", std[:, None, None], persistent=False)

    def pixels(self, images: Tensor, inside: Tensor) -> Tensor:
        """Map uint8 [N, H, W, 3] to float [N, 3, H, W]; 0 outside of the picture [N, H, W]."""
        scaled = (images.permute(0, 3, 1, 2).float() / 255.0 - self.mean) / self.std
        return torch.where(inside[:, None], scaled, 0.0)

    def forward(self, *inputs: Tensor) -> PiContext:
        """Map (image, inside) per camera, state [1, S], tokens, mask [1, L] to a context."""
        *pictures, state, tokens, mask = inputs
        pixels = self.pixels(torch.cat(pictures[0::2]), torch.cat(pictures[1::2]))
        vlm = self.model.model.vlm
        features = vlm.get_image_features(pixels).pooler_output.flatten(0, 1)[None]
        text = vlm.get_input_embeddings()(tokens)
        whole = torch.cat([features.to(text.dtype), text], dim=1)
        seen = torch.ones(1, features.shape[1], dtype=torch.int64)
        attend = torch.cat([seen, mask.long()], dim=1)
        cache = vlm(
            inputs_embeds=whole,
            attention_mask=attend,
            position_ids=attend.cumsum(-1) - 1,
            token_type_ids=torch.zeros_like(whole)[:, :, 0],
            use_cache=True,
        ).cache
        keys = torch.stack([layer.keys for layer in cache.layers])
        values = torch.stack([layer.values for layer in cache.layers])
        room = self.model.config.max_state_dim - state.shape[1]
        return PiContext(keys, values, attend, F.pad(state, (0, room)))

    def velocity(self, x: Tensor, t: Tensor, context: PiContext) -> Tensor:
        """Map x [1, H, D] at t [1] to v [1, H, D]."""
        from transformers import DynamicCache

        cache = DynamicCache()
        for layer in range(len(context.keys)):
            cache.update(context.keys[layer], context.values[layer], layer)
        output = self.model(
            state=context.position,
            noise=x,
            timestep=1 - t,
            attention_mask=context.attend,
            cache=cache,
        )
        return -output.logits

    @torch.no_grad()
    def library_chunk(self, inputs: tuple[Tensor, ...], noise: Tensor, steps: int) -> Tensor:
        """Compute x_1 [1, H, D] by the library's own `sample_actions`."""
        *pictures, state, tokens, mask = inputs
        config = self.model.config
        pixels = self.pixels(torch.cat(pictures[0::2]), torch.cat(pictures[1::2]))[None]
        ids = image_ids(config, self.cameras)
        return self.model.sample_actions(
            state=F.pad(state, (0, config.max_state_dim - state.shape[1])),
            input_ids=torch.cat([ids, tokens], dim=1),
            pixel_values=pixels,
            noise=noise,
            attention_mask=torch.cat([torch.ones_like(ids), mask.long()], dim=1),
            pixel_attention_mask=torch.ones(1, self.cameras, dtype=torch.bool),
            num_steps=steps,
        )


def read_tokenizer(path: Path) -> str:
    """Read tokenizer.json. Raises `ConfigError` where there is none."""
    if not path.is_file():
        raise ConfigError(f"{path} is missing: save the fast tokenizer there (save_pretrained)")
    return path.read_text()


def read_pi0(folder: Path, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Open a `PI0ForConditionalGeneration` in float32, with its processor's settings.

    `options` are those of `from_pretrained`. Raises `ConfigError` saying what is missing in
    `folder` or on this machine.
    """
    try:
        from transformers import PI0ForConditionalGeneration
    except ImportError as error:
        raise ConfigError(f"pi0 of transformers needs transformers: {MISSING}") from error
    settings = read_settings(folder)
    model = PI0ForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, **options
    )
    return model, settings


def made_by() -> str:
    """Say whose network it is; transformers is there."""
    import transformers

    return f"pi0 of transformers {transformers.__version__}"


def image_ids(config: Any, cameras: int) -> Tensor:
    """Make the tokens [1, N] whose place in a text the pictures of so many cameras take."""
    vision = config.vlm_config.vision_config
    count = cameras * (vision.image_size // vision.patch_size) ** 2
    return torch.full((1, count), config.vlm_config.image_token_id)


def make_spec(config: Any, settings: dict[str, Any], robot: Interface, name: str) -> PolicySpec:
    """Make the specification; statistics are the checkpoint's, mean and standard deviation."""
    image = settings["image_processor"]
    size = config.vlm_config.vision_config.image_size
    kind = FILTERS[image["resample"]]
    cameras = tuple(
        CameraInput(camera, size, size, kind, "end", masked=True)
        for camera in robot.cameras.values()
    )
    spec = robot.spec(name, config.chunk_size, cameras)
    for what, names in (("state", spec.state_names), ("actions", spec.action_names)):
        if len(settings[f"{what}_mean"]) != len(names):
            raise ConfigError(
                f"the checkpoint has {len(settings[f'{what}_mean'])} {what}, the interface file "
                f"{len(names)}: {', '.join(names)}"
            )
    vocabulary = config.vlm_config.text_config.vocab_size
    template = settings["bos_token"] + "{instruction}\n"
    action = _affine(settings, "actions")
    rows = (spec.horizon, 1)
    return replace(
        spec,
        state_norm=_affine(settings, "state"),
        action_norm=Affine(np.tile(action.offset, rows), np.tile(action.scale, rows)),
        steps=config.num_inference_steps,
        language=Language("tokenizer", TOKENS, vocabulary, template),
        flow_width=config.max_action_dim,
    )


def _affine(settings: dict[str, Any], what: str) -> Affine:
    mean, std = (np.asarray(settings[f"{what}_{k}"], np.float32) for k in ("mean", "std"))
    return Affine(mean, std + np.float32(1e-8))


def read_settings(folder: Path) -> dict[str, Any]:
    """Read what `PI0Processor` saved: statistics, image sizes, the token that begins a text."""
    raw: dict[str, Any] = {}
    for name in PROCESSOR[::-1]:
        if (folder / name).is_file():
            raw |= _read(folder / name)
    missing = [name for name in STATISTICS if raw.get(name) is None]
    if missing:
        raise ConfigError(
            f"{folder} has no {', '.join(missing)} in {PROCESSOR[0]}: save the processor with the "
            "statistics of the dataset the checkpoint was trained on"
        )
    given = raw.get("image_processor") or raw
    half = [0.5, 0.5, 0.5]
    image = {"image_mean": half, "image_std": half, "resample": BICUBIC}
    image |= {"size": {"max_height": 224, "max_width": 224}} | dict(given)
    if image["resample"] not in FILTERS:
        raise ConfigError(f"{folder}: resample {image['resample']}, needs one of {list(FILTERS)}")
    bos = _read(folder / "tokenizer_config.json").get("bos_token", "<bos>")
    text = bos["content"] if isinstance(bos, dict) else bos
    return raw | {"image_processor": image, "bos_token": text}


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
