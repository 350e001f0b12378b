"""Small random checkpoints of LeRobot's own classes, saved as LeRobot saves them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.factory import make_pre_post_processors
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

NAMES = (*(f"fr3_joint{i}" for i in range(1, 8)), "gripper")
WORDS = ("lift the red cube", "push the blue cube to the left", "place it on the table")
CAMERAS = ("base_0_rgb", "left_wrist_0_rgb")
SIZES = {"chunk_size": 10, "n_action_steps": 10, "max_state_dim": 12, "max_action_dim": 12}
NEWER = pytest.mark.skipif(
    find_spec("lerobot.policies.pi_gemma") is None,
    reason="pi0 and pi0.5 need LeRobot 0.5, which needs Python 3.12",
)
CLASSES = {
    "pi0": ("PI0Config", "PI0Policy"),
    "pi05": ("PI05Config", "PI05Policy"),
    "smolvla": ("SmolVLAConfig", "SmolVLAPolicy"),
}


def save_checkpoint(kind: str, folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Write a checkpoint of policy type `kind`; `patch` holds while it is to be opened again."""
    torch.manual_seed(0)
    config = _smolvla_config(folder) if kind == "smolvla" else _pi_config(kind, folder, patch)
    policy = getattr(_module(kind, "modeling"), CLASSES[kind][1])(config)
    with torch.no_grad():
        for parameter in policy.parameters():
            if not parameter.any():  # norms and gates begin as if they were not there
                parameter.normal_(std=0.1)
    rng = np.random.default_rng(0)
    before, after = make_pre_post_processors(config, dataset_stats=_statistics(rng))
    for part in (policy, before, after):
        part.save_pretrained(folder / "checkpoint")
    return folder / "checkpoint"


def write_interface(path: Path, cameras: tuple[str, ...] = CAMERAS) -> Path:
    """Write an interface file: the robot has the cameras scene and wrist."""
    pairs = ", ".join(f"{key}: {name}" for key, name in zip(cameras, ("scene", "wrist")))
    path.write_text(
        f"cameras: {{{pairs}}}\nstate: [{', '.join(NAMES)}]\nactions: [{', '.join(NAMES)}]\n"
        f"dt_s: 0.05\ninstruction: {WORDS[0]}\n"
    )
    return path


def _module(kind: str, what: str) -> Any:
    return importlib.import_module(f"lerobot.policies.{kind}.{what}_{kind}")


def _statistics(rng: np.random.Generator) -> dict[str, dict[str, torch.Tensor]]:
    def numbers(low: float, high: float) -> torch.Tensor:
        return torch.tensor(rng.uniform(low, high, 8), dtype=torch.float32)

    return {
        feature: {
            "mean": numbers(-1, 1),
            "std": numbers(0.2, 1),
            "q01": numbers(-2, -1),
            "q99": numbers(1, 2),
        }
        for feature in ("observation.state", "action")
    }


def _features(size: int) -> dict[str, Any]:
    keys = (*CAMERAS, "right_wrist_0_rgb")  # the last one is not on the robot
    images = {
        f"observation.images.{key}": PolicyFeature(FeatureType.VISUAL, (3, size, size))
        for key in keys
    }
    state = {"observation.state": PolicyFeature(FeatureType.STATE, (8,))}
    action = {"action": PolicyFeature(FeatureType.ACTION, (8,))}
    return {"input_features": images | state, "output_features": action, "device": "cpu"}


def _pi_config(kind: str, folder: Path, patch: pytest.MonkeyPatch) -> Any:
    shrink(kind, folder, write_tokenizer(folder / "tokenizer"), patch)
    config_class = getattr(_module(kind, "configuration"), CLASSES[kind][0])
    return config_class(
        image_resolution=(28, 28), num_inference_steps=4, dtype="float32", **SIZES, **_features(28)
    )


def shrink(kind: str, folder: Path, vocabulary: int, patch: pytest.MonkeyPatch) -> None:
    """Shrink what the library fixes by name, and give it a tokenizer that it would download.

    The tokenizer, of `vocabulary` words, is below the `folder` of `save_checkpoint`.
    """
    modeling, processor = _module(kind, "modeling"), _module(kind, "processor")

    def sizes(variant: str) -> Any:
        width = {"gemma_2b": 32, "gemma_300m": 16}[variant]
        # 8 heads: the library takes that for granted in training
        return modeling.GemmaConfig(width, 2, 48, num_heads=8, num_kv_heads=1, head_dim=8)

    def small(config: Any) -> None:
        text = getattr(config, "text_config", config)
        text.vocab_size = vocabulary
        if text is not config:
            vision = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1}
            for name, value in (vision | {"num_attention_heads": 2, "projection_dim": 32}).items():
                setattr(config.vision_config, name, value)
            config.projection_dim = 32

    for name in ("PaliGemmaForConditionalGenerationWithPiGemma", "PiGemmaForCausalLM"):
        patch.setattr(modeling, name, _shrunk(getattr(modeling, name), small))
    patch.setattr(modeling, "get_gemma_config", sizes)
    step = processor.TokenizerProcessorStep

    def local(tokenizer_name: str, **settings: Any) -> Any:
        return step(tokenizer_name=str(folder / "tokenizer"), **settings)

    patch.setattr(processor, "TokenizerProcessorStep", local)


def _shrunk(network: Any, small: Callable[[Any], None]) -> Callable[[Any], Any]:
    def make(config: Any) -> Any:
        small(config)
        return network(config)

    return make


def _smolvla_config(folder: Path) -> Any:
    write_vlm(folder / "vlm")
    return _module("smolvla", "configuration").SmolVLAConfig(
        vlm_model_name=str(folder / "vlm"),
        num_vlm_layers=4,
        resize_imgs_with_padding=(64, 64),
        num_steps=4,
        empty_cameras=0,
        **SIZES,
        **_features(64),
    )


def write_tokenizer(folder: Path) -> int:
    """Train a tokenizer that begins a text as PaliGemma's does; return its size."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Replace("▁", " ")
    special = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{i:02X}>" for i in range(256))]
    tokenizer.train_from_iterator(
        WORDS, trainers.BpeTrainer(vocab_size=330, special_tokens=special)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", special.index("<bos>"))]
    )
    names = {f"{name}_token": f"<{name}>" for name in ("bos", "eos", "pad", "unk")}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    return int(tokenizer.get_vocab_size())


def write_vlm(folder: Path) -> None:
    """Write the configuration and the processor of a small SmolVLM."""
    from transformers import (
        SmolVLMConfig,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    more = {
        "fake_image_token": "<fake_token_around_image>",
        "global_image_token": "<global-img>",
        "image_token": "<image>",
        "end_of_utterance_token": "<end_of_utterance>",
    }
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *more.values()]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(WORDS, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        extra_special_tokens=more,
    )
    processor = SmolVLMProcessor(SmolVLMImageProcessor(), fast, SmolVLMVideoProcessor())
    processor.save_pretrained(folder)
    layers = {"num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 64, "patch_size": 16}
    text = {"num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2}
    text |= {"vocab_size": tokenizer.get_vocab_size(), "head_dim": 8, "rms_norm_eps": 1e-5}
    SmolVLMConfig(
        vision_config={"hidden_size": 24, "intermediate_size": 32, **layers},
        text_config={"model_type": "llama", "hidden_size": 32, "intermediate_size": 48, **text},
        scale_factor=2,
        image_token_id=special.index("<image>"),
        pad_token_id=special.index("<|im_end|>"),
    ).save_pretrained(folder)
