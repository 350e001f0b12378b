"""A small random pi0 of transformers, saved as transformers saves it."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PI0Config, PI0ForConditionalGeneration

NAMES = (*(f"fr3_joint{i}" for i in range(1, 8)), "gripper")
WORDS = ("lift the red cube", "push the blue cube to the left", "place it on the table")
LAYER = {"model_type": "gemma", "num_hidden_layers": 2, "num_attention_heads": 4}
LAYER |= {"num_key_value_heads": 1, "head_dim": 8}

PIXELS = 28


def small_config(vocabulary: int, image_token: int) -> PI0Config:
    vision = {"model_type": "siglip_vision_model", "hidden_size": 24, "intermediate_size": 32}
    vision |= {"patch_size": 14, "image_size": PIXELS, "num_hidden_layers": 1}
    vision |= {"num_attention_heads": 2, "vision_use_head": False}
    text = LAYER | {"hidden_size": 32, "intermediate_size": 48, "vocab_size": vocabulary}
    vlm = {"model_type": "paligemma", "text_config": text, "vision_config": vision}
    vlm |= {"projection_dim": 32, "image_token_id": image_token}
    expert = LAYER | {"hidden_size": 16, "intermediate_size": 32}
    sizes = {"chunk_size": 10, "max_state_dim": 12, "max_action_dim": 12}
    return PI0Config(vlm_config=vlm, dit_config=expert, num_inference_steps=4, **sizes)


def write_tokenizer(folder: Path) -> int:
    """Train a small tokenizer, save it as Hugging Face does, return its size."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Replace("▁", " ")
    special = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{i:02X}>" for i in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=special)
    tokenizer.train_from_iterator(WORDS, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>"
    )
    fast.save_pretrained(folder)
    return int(tokenizer.get_vocab_size())


def save_checkpoint(folder: Path) -> Path:
    """Write weights, tokenizer and what is known of the processor to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    size = write_tokenizer(folder)
    PI0ForConditionalGeneration(small_config(size + 1, size)).save_pretrained(folder)
    rng = np.random.default_rng(0)
    numbers = {f"{what}_mean": rng.normal(size=8).tolist() for what in ("state", "actions")}
    numbers |= {f"{what}_std": rng.uniform(0.2, 1, 8).tolist() for what in ("state", "actions")}
    processor = make_processor(folder, numbers)
    if processor is None:
        (folder / "processor_config.json").write_text(json.dumps(numbers))
    else:
        processor.save_pretrained(folder)
    return folder


def make_processor(folder: Path, numbers: dict[str, Any]) -> Any:
    """Make the library's processor with statistics; None where torchvision is not there."""
    if find_spec("torchvision") is None:
        return None
    from transformers import AutoTokenizer, PI0Processor
    from transformers.models.pi0.image_processing_pi0 import PI0ImageProcessor

    size = {"height": PIXELS, "width": PIXELS}
    images = PI0ImageProcessor(size={f"max_{k}": v for k, v in size.items()}, pad_size=size)
    images.image_seq_length = (PIXELS // 14) ** 2
    sizes = {"max_state_dim": 12, "chunk_size": 10}
    return PI0Processor(images, AutoTokenizer.from_pretrained(folder), **numbers, **sizes)


def write_interface(path: Path) -> Path:
    """Write an interface file: two cameras, offsets of the joints."""
    path.write_text(
        "cameras: {base_0_rgb: scene, left_wrist_0_rgb: wrist}\n"
        f"state: [{', '.join(NAMES)}]\nactions: [{', '.join(NAMES)}]\n"
        f"relative: [{', '.join(NAMES[:7])}]\ndt_s: 0.05\ninstruction: lift the red cube\n"
    )
    return path
