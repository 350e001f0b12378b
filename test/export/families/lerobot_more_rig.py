"""Small random checkpoints of LeRobot's X-VLA and multi-task DiT, saved as LeRobot saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
from lerobot.policies.factory import (
    get_policy_class,
    make_policy_config,
    make_pre_post_processors,
)
from lerobot_rig import CAMERAS, NAMES, WORDS
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

GRIPPERS = (9, 19)
SIDE = 64  # of X-VLA's pictures


def write_words(folder: Path, begin: str, end: str, length: int) -> int:
    """Train a tokenizer that frames a text; return its size."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [begin, "<pad>", end]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator(WORDS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}", special_tokens=[(begin, 0), (end, 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=begin,
        eos_token=end,
        pad_token="<pad>",
        unk_token=end,
        model_max_length=length,
    ).save_pretrained(folder)
    return int(tokenizer.get_vocab_size())


def statistics(actions: int) -> dict[str, dict[str, torch.Tensor]]:
    """Make the numbers of a data set."""
    rng, made = np.random.default_rng(0), {}
    shapes = {"observation.state": (8,), "action": (actions,)}
    shapes |= {f"observation.images.{name}": (3, 1, 1) for name in CAMERAS}
    for key, shape in shapes.items():
        low, high = rng.uniform(-1, 0, shape), rng.uniform(0.5, 2, shape)
        numbers = {"mean": 0.3 * low, "std": high, "min": low, "max": high}
        made[key] = {k: torch.tensor(v, dtype=torch.float32) for k, v in numbers.items()}
    return made


def features(actions: int, cameras: tuple[str, ...], side: int) -> dict[str, Any]:
    """Make the features of a configuration."""
    inputs = {
        f"observation.images.{name}": PolicyFeature(FeatureType.VISUAL, (3, side, side))
        for name in cameras
    }
    inputs["observation.state"] = PolicyFeature(FeatureType.STATE, (8,))
    action = {"action": PolicyFeature(FeatureType.ACTION, (actions,))}
    return {"input_features": inputs, "output_features": action, "device": "cpu"}


def save(kind: str, folder: Path, config: Any, actions: int) -> Path:
    """Write the policy of a configuration with random weights, and its processors."""
    torch.manual_seed(0)
    policy = get_policy_class(kind)(config).eval()
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            left_as_found = name.endswith("image_projection")  # by LeRobot 0.5's Florence
            if left_as_found or not parameter.any():  # gates begin as if they were not there
                parameter.normal_(std=0.1)
    before, after = make_pre_post_processors(config, dataset_stats=statistics(actions))
    for part in (policy, before, after):
        part.save_pretrained(folder / "checkpoint")
    return folder / "checkpoint"


def save_xvla(folder: Path, domain: int = 2, **options: Any) -> Path:
    """Write a small X-VLA; the third camera of the checkpoint is not on the robot."""
    import json

    vocabulary = write_words(folder / "tokenizer", "<s>", "</s>", 24)
    florence = {
        "vision_config": {
            "embed_dim": [8, 16], "dim_embed": [8, 16], "depths": [1, 1],
            "num_heads": [2, 2], "num_groups": [2, 2],
            "patch_size": [7, 3], "patch_stride": [4, 2], "patch_padding": [3, 1],
            "patch_prenorm": [False, True], "window_size": 4, "projection_dim": 24,
            "max_temporal_embeddings": 10, "max_position_embeddings": 20,
        },
        "text_config": {
            "model_type": "bart", "d_model": 24, "vocab_size": vocabulary, "encoder_layers": 2,
            "decoder_layers": 1, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
            "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 128,
            "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
        },
        "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
        "projection_dim": 24,  # where LeRobot 0.5 looks for it, and for dim_embed
    }  # fmt: skip
    actions = options.pop("actions", 20)
    given = {"chunk_size": 10, "n_action_steps": 10, "hidden_size": 32, "depth": 2}
    given |= {"num_heads": 4, "num_domains": 4, "len_soft_prompts": 3, "max_len_seq": 320}
    given |= {"max_state_dim": 20, "tokenizer_max_length": 24, "num_denoising_steps": 5}
    cameras = (*CAMERAS, "right_wrist_0_rgb")
    config = make_policy_config(
        "xvla",
        florence_config=florence,
        tokenizer_name=str(folder / "tokenizer"),
        normalization_mapping={
            "VISUAL": NormalizationMode.IDENTITY,
            "STATE": NormalizationMode.MEAN_STD,
            "ACTION": NormalizationMode.MEAN_STD,
        },
        **{**given, **options},
        **features(actions, cameras, SIDE),
    )
    made = save("xvla", folder, config, actions)
    path = made / "policy_preprocessor.json"
    raw = json.loads(path.read_text())
    step = next(s for s in raw["steps"] if s["registry_name"] == "xvla_add_domain_id")
    step["config"]["domain_id"] = domain
    path.write_text(json.dumps(raw))
    return made


def save_dit(folder: Path, **options: Any) -> Path:
    """Write a small multi-task DiT, whose CLIP is read from a folder of that name."""
    clip = folder / "clip"
    vocabulary = write_words(clip, "<|startoftext|>", "<|endoftext|>", 24)
    small = {"hidden_size": 24, "intermediate_size": 32, "num_attention_heads": 4}
    small |= {"num_hidden_layers": 1, "projection_dim": 16}
    vision = {**small, "image_size": 32, "patch_size": 16}
    ends = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    text = {**small, **ends, "vocab_size": vocabulary, "max_position_embeddings": 24}
    torch.manual_seed(1)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision)).save_pretrained(clip)
    given = {"horizon": 12, "n_action_steps": 6, "hidden_dim": 32, "num_layers": 2}
    given |= {"num_heads": 4, "timestep_embed_dim": 16, "image_crop_shape": (32, 32)}
    given |= {"vision_encoder_name": str(clip), "text_encoder_name": str(clip)}
    given |= {"tokenizer_max_length": 24, "num_integration_steps": 8, "num_train_timesteps": 20}
    config = make_policy_config(
        "multi_task_dit", **{**given, **options}, **features(8, CAMERAS, 40)
    )
    return save("multi_task_dit", folder, config, 8)


def library_commands(policy: Any, checkpoint: Path, seen: Any, noise: Any, patch: Any) -> Any:
    """Let a policy of LeRobot act on raw inputs, from this noise, by its saved processors."""
    before, after = make_pre_post_processors(policy.config, pretrained_path=str(checkpoint))
    batch: dict[str, Any] = {
        f"observation.images.{key}": torch.tensor(seen.images[name]).permute(2, 0, 1) / 255.0
        for key, name in zip(CAMERAS, ("scene", "wrist"))
    }
    batch |= {"observation.state": torch.tensor(seen.state), "task": seen.instruction}
    prepared = before(batch)
    patch.setattr(torch, "randn", lambda *_, **__: torch.tensor(noise)[None])
    found = policy.predict_action_chunk(prepared)
    patch.undo()
    return after(found)[0].numpy()


def write_interface(path: Path, actions: int = 8) -> Path:
    """Write an interface file: the robot has the cameras scene and wrist."""
    pairs = ", ".join(f"{key}: {name}" for key, name in zip(CAMERAS, ("scene", "wrist")))
    names = NAMES if actions == len(NAMES) else tuple(f"a{i}" for i in range(actions))
    path.write_text(
        f"cameras: {{{pairs}}}\nstate: [{', '.join(NAMES)}]\nactions: [{', '.join(names)}]\n"
        f"dt_s: 0.05\ninstruction: {WORDS[0]}\n"
    )
    return path
