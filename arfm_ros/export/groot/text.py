"""GR00T's prompt: Qwen3-VL's chat template with its pictures, as one text for a tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.spec import Language
from arfm_ros.engines.inputs import TOKENIZER
from arfm_ros.export.lerobot.text import SAMPLE, require_alike

HELD = "theinstruction"  # stands for it while the template is filled in
WORDS = 64  # tokens of an instruction, at most


def open_processor(folder: Path, step: Mapping[str, Any]) -> tuple[Any, str]:
    """Open Qwen3-VL's processor: the one in `folder`, else the one that the `step` names.

    Returns it and its name or folder. Raises `ConfigError` where it cannot be had.
    """
    from lerobot.policies.groot.processor_groot import _build_n1_7_processor

    name = str(folder) if (folder / TOKENIZER).is_file() else str(step.get("model_name"))
    try:
        return _build_n1_7_processor(name), name
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot open the processor '{name}' of GR00T's Qwen3-VL: have it in the hub's cache, "
            f"or save it into {folder} (save_pretrained of the processor). {error}"
        ) from error


def read_prompt(processor: Any, sizes: Sequence[int], bare: bool) -> tuple[Language, str]:
    """Return how an instruction becomes tokens, and the content of tokenizer.json.

    `sizes` are the tokens of each picture, which come before the text. Raises `ConfigError` where
    the file alone does not read it as the library does.
    """
    tokenizer = processor.tokenizer
    template = _filled(processor, sizes, HELD).replace(HELD, "{instruction}")
    if template.count("{instruction}") != 1:
        raise ConfigError("the chat template of GR00T's processor does not hold the instruction")
    content = str(tokenizer.backend_tokenizer.to_str())
    text = template.replace("{instruction}", SAMPLE)
    require_alike(content, text, list(tokenizer(text)["input_ids"]))
    pad = tokenizer.pad_token_id
    frame = len(tokenizer(template.replace("{instruction}", ""))["input_ids"])
    return Language(
        "tokenizer",
        length=frame + WORDS,
        vocabulary=len(tokenizer),
        template=template,
        pad_id=int(pad if pad is not None else 0),
        bare=bare,
    ), content


def _filled(processor: Any, sizes: Sequence[int], words: str) -> str:
    """Fill in the template as the library's step does, a picture by as many tokens as it has."""
    pictures = [{"type": "image", "image": None} for _ in sizes]
    talk = [{"role": "user", "content": [*pictures, {"type": "text", "text": words}]}]
    text = processor.apply_chat_template(talk, tokenize=False, add_generation_prompt=False)
    token = str(processor.image_token)
    pieces = str(text).split(token)
    if len(pieces) != len(sizes) + 1:
        raise ConfigError(f"the chat template has {len(pieces) - 1} pictures for {len(sizes)}")
    ends = [*(token * size for size in sizes), ""]
    return "".join(piece + end for piece, end in zip(pieces, ends))
