"""A tokenizer, and the configuration of SmolVLM2-500M, made here: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = ("lift the red cube", "place it on the table")
IMAGE = {
    "fake_image_token": "<fake_token_around_image>",
    "global_image_token": "<global-img>",
    "image_token": "<image>",
    "end_of_utterance_token": "<end_of_utterance>",
}
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *IMAGE.values())
# of SmolVLM2-500M-Video-Instruct's config.json
LANGUAGE = {
    "hidden_size": 960,
    "intermediate_size": 2560,
    "num_hidden_layers": 32,
    "num_attention_heads": 15,
    "num_key_value_heads": 5,
    "head_dim": 64,
    "vocab_size": 49_280,
    "rope_theta": 100_000.0,
}
VISION = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 512,
}
SCALE, TINY_SCALE = 4, 2  # patches along a side that become one token
TINY_LANGUAGE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 320,
}
TINY_VISION = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 64,
}


def tokenizer_json() -> tuple[str, int]:
    """Train a small tokenizer; its content and the size of its vocabulary."""
    tokenizer = _tokenizer()
    return str(tokenizer.to_str()), int(tokenizer.get_vocab_size())


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(WORDS, trainer)
    return tokenizer


def write_vlm(folder: Path, tiny: bool) -> None:
    """Write the configuration and the processor that LeRobot's SmolVLA reads."""
    from transformers import (
        PreTrainedTokenizerFast,
        SmolVLMConfig,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    fast = PreTrainedTokenizerFast(
        tokenizer_object=_tokenizer(),
        bos_token="<|im_start|>",
        eos_token=IMAGE["end_of_utterance_token"],
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        extra_special_tokens=IMAGE,
    )
    processor = SmolVLMProcessor(SmolVLMImageProcessor(), fast, SmolVLMVideoProcessor())
    processor.save_pretrained(folder)
    language, vision = (TINY_LANGUAGE, TINY_VISION) if tiny else (LANGUAGE, VISION)
    SmolVLMConfig(
        text_config={"model_type": "llama", "rms_norm_eps": 1e-5, **language},
        vision_config={"patch_size": 16, **vision},
        scale_factor=TINY_SCALE if tiny else SCALE,
        image_token_id=SPECIAL.index("<image>"),
        pad_token_id=SPECIAL.index("<|im_end|>"),
    ).save_pretrained(folder)
