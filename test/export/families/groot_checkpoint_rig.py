"""A small random GR00T N1.7, saved as LeRobot saves it: its base, its Qwen3-VL, a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.policies.factory import make_policy_config, make_pre_post_processors
from lerobot_more_rig import features, statistics
from lerobot_rig import CAMERAS, WORDS
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

PATCH, MERGE = 4, 2
TAG = "my_arm"
# as Qwen3-VL's: pictures first, then the text; here with a system's words before
TEMPLATE = (
    "{{- '<|im_start|>system\\nyou move a robot<|im_end|>\\n' }}"
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}"
    "{%- for part in message.content %}{%- if part.type == 'image' %}"
    "{{- '<|vision_start|><|image_pad|><|vision_end|>' }}{%- else %}{{- part.text }}{%- endif %}"
    "{%- endfor %}{{- '<|im_end|>\\n' }}{%- endfor %}"
)
SPECIAL = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
}


def write_qwen(folder: Path) -> None:
    """Write the configuration and the processor of a small Qwen3-VL."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *SPECIAL.values()]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator(WORDS, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=TEMPLATE,
        extra_special_tokens=SPECIAL,
    )
    sizes: dict[str, Any] = {"patch_size": PATCH, "merge_size": MERGE, "temporal_patch_size": 2}
    sizes |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    look = Qwen2VLImageProcessor(size={"shortest_edge": 64, "longest_edge": 64 * 64}, **sizes)
    watch = Qwen3VLVideoProcessor(**sizes)
    Qwen3VLProcessor(look, fast, watch, chat_template=TEMPLATE).save_pretrained(folder)
    at = special.index
    Qwen3VLConfig(
        image_token_id=at("<|image_pad|>"),
        video_token_id=at("<|video_pad|>"),
        vision_start_token_id=at("<|vision_start|>"),
        vision_end_token_id=at("<|vision_end|>"),
        tie_word_embeddings=True,
        text_config={
            "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
            "vocab_size": tokenizer.get_vocab_size(), "rope_theta": 5000.0,
            "rope_scaling": {
                "mrope_interleaved": True, "mrope_section": [4, 2, 2], "rope_type": "default",
            },
        },
        vision_config={
            "depth": 3, "hidden_size": 24, "intermediate_size": 32, "num_heads": 2,
            "patch_size": PATCH, "spatial_merge_size": MERGE, "temporal_patch_size": 2,
            "num_position_embeddings": 36, "out_hidden_size": 32,
            "deepstack_visual_indexes": [0, 1],
        },
    ).save_pretrained(folder)  # fmt: skip


def write_base(folder: Path, qwen: Path, **options: Any) -> None:
    """Write a base model, as NVIDIA's are: weights and config.json without a policy's type."""
    from lerobot.policies.groot.groot_n1_7 import GR00TN17, GR00TN17Config

    transformer = {"num_layers": 4, "num_attention_heads": 4, "attention_head_dim": 8}
    transformer |= {"norm_type": "ada_norm", "output_dim": 24, "final_dropout": True}
    transformer |= {"interleave_self_attention": True, "positional_embeddings": None}
    reading = {"num_layers": 1, "num_attention_heads": 4, "attention_head_dim": 8}
    given: dict[str, Any] = {
        "model_name": str(qwen), "select_layer": 3, "backbone_embedding_dim": 32,
        "hidden_size": 24, "input_embedding_dim": 32, "max_num_embodiments": 12,
        "action_horizon": 10, "max_state_dim": 12, "max_action_dim": 12, "max_seq_len": 32,
        "diffusion_model_cfg": transformer, "model_dtype": "float32",
        "vl_self_attention_cfg": {**reading, "positional_embeddings": None},
    }  # fmt: skip
    torch.manual_seed(0)
    config = GR00TN17Config(**{**given, **options})
    model = GR00TN17(config, load_backbone_weights=False).float()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1 or not parameter.any():  # as they begin, little comes through
                parameter.normal_(std=0.1)
    model.save_pretrained(folder)


ROWS = 8  # of the ten that the network has, with sidecars


def write_sidecars(folder: Path) -> None:
    """Write what lies with NVIDIA's own bases: groups, some relative, with statistics of rows."""
    rng = np.random.default_rng(3)

    def numbers(*shape: int) -> dict[str, Any]:
        low, high = rng.uniform(-1, 0, shape), rng.uniform(0.5, 2, shape)
        found = {"min": low - 0.1, "max": high + 0.1, "q01": low, "q99": high}
        found |= {"mean": (low + high) / 2, "std": high - low}
        return {name: value.tolist() for name, value in found.items()}

    groups = {"arm": 7, "hand": 1}
    statistics = {kind: {g: numbers(n) for g, n in groups.items()} for kind in ("state", "action")}
    statistics["relative_action"] = {"arm": numbers(ROWS, 7)}
    one = {"type": "NON_EEF", "format": "DEFAULT", "state_key": None}
    arm = {"rep": "RELATIVE", **one}, {"rep": "ABSOLUTE", **one}
    looks = {"delta_indices": [-1, 0], "modality_keys": [CAMERAS[1], CAMERAS[0]]}
    acts = {"delta_indices": list(range(ROWS)), "modality_keys": list(groups)}
    config = {
        "video": looks,
        "state": {"delta_indices": [0], "modality_keys": list(groups)},
        "action": acts | {"action_configs": list(arm)},
    }
    settings = {
        "modality_configs": {TAG: config}, "use_percentiles": True, "use_relative_action": True,
        "image_target_size": [32, 32], "image_crop_size": [28, 28], "clip_outliers": True,
        "formalize_language": False, "max_action_horizon": 10, "use_albumentations": True,
    }  # fmt: skip
    for name, value in {
        "processor_config.json": {"processor_kwargs": settings},
        "statistics.json": {TAG: statistics},
        "embodiment_id.json": {TAG: 4},
    }.items():
        (folder / name).write_text(json.dumps(value))


def save_groot(
    folder: Path,
    base: dict[str, Any] | None = None,
    side: tuple[int, int] = (48, 64),
    see: dict[str, Any] | None = None,
    sidecars: bool = False,
    **options: Any,
) -> Path:
    """Write a checkpoint; `see` are settings of the step that encodes pictures.

    With `sidecars` the processors are those of its base, else they have a data set's statistics.
    """
    from lerobot.policies.groot.modeling_groot import GrootPolicy

    qwen, made = folder / "qwen", folder / "checkpoint"
    write_qwen(qwen)
    write_base(folder / "base", qwen, **(base or {}))
    if sidecars:
        write_sidecars(folder / "base")
    given: dict[str, Any] = {"chunk_size": 10, "n_action_steps": 10, "use_bf16": False}
    given |= {"max_state_dim": 12, "max_action_dim": 12, "base_model_path": str(folder / "base")}
    seen = features(8, CAMERAS if sidecars else (*CAMERAS, "right_wrist_0_rgb"), 8)
    for key, one in seen["input_features"].items():
        if "images" in key:
            one.shape = (3, *side)
    config = make_policy_config("groot", **{**given, **options}, **seen)
    policy = GrootPolicy(config).eval()
    known = statistics(8)
    known["observation.state"]["max"][3] = known["observation.state"]["min"][3]  # never moved
    before, after = make_pre_post_processors(config, dataset_stats=known)
    for part in (policy, before, after):
        part.save_pretrained(made)
    small = {"image_target_size": [32, 32], "image_crop_size": [28, 28]}
    change = {"model_name": str(qwen), **({} if sidecars else small), **(see or {})}
    change_step(made, "groot_n1_7_vlm_encode_v1", change)
    return made


def change_step(checkpoint: Path, name: str, settings: dict[str, Any]) -> None:
    """Change settings of a step of a saved checkpoint."""
    for path in (checkpoint / f"policy_{kind}processor.json" for kind in ("pre", "post")):
        raw = json.loads(path.read_text())
        for step in raw["steps"]:
            if step.get("registry_name") == name:
                step["config"] |= settings
        path.write_text(json.dumps(raw))
