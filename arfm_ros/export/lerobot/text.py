"""The tokenizer of a LeRobot checkpoint, as one file and a template."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.spec import Language
from arfm_ros.engines.inputs import TOKENIZER

SAMPLE = "lift the red cube"


def read_language(folder: Path, step: Mapping[str, Any], template: str) -> tuple[Language, str]:
    """Return how text becomes tokens, and the content of tokenizer.json.

    The tokenizer is the one in `folder`, else the one that the checkpoint's `step` names. Raises
    `ConfigError` where it cannot be had, or does not read text as the library does.
    """
    name = str(folder) if (folder / TOKENIZER).is_file() else str(step.get("tokenizer_name"))
    tokenizer = _open(folder, name)
    begin, end = _frame(tokenizer)
    content = str(tokenizer.backend_tokenizer.to_str())
    whole = f"{begin}{template}{end}"
    require_alike(content, f"{begin}{SAMPLE}{end}", list(tokenizer(SAMPLE)["input_ids"]))
    pad = tokenizer.pad_token_id
    if pad is None or step.get("padding_side", "right") != "right":
        raise ConfigError(f"the tokenizer {name} pads text on the left, or has no token for it")
    return Language(
        "tokenizer",
        length=int(step.get("max_length", 48)),
        vocabulary=len(tokenizer),
        template=whole,
        pad_id=int(pad),
    ), content


def _open(folder: Path, name: str) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot open the tokenizer '{name}': save it into {folder} (save_pretrained of the "
            f"tokenizer). {error}"
        ) from error
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise ConfigError(f"the tokenizer '{name}' has no {TOKENIZER}: save the fast one")
    return tokenizer


def _frame(tokenizer: Any) -> tuple[str, str]:
    """Give the special tokens before and after a text, as text."""
    bare = tokenizer(SAMPLE, add_special_tokens=False)["input_ids"]
    whole = tokenizer(SAMPLE)["input_ids"]
    at = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
    parts = (whole[:at], whole[at + len(bare) :])
    begin, end = ("".join(tokenizer.convert_ids_to_tokens(part)) for part in parts)
    return begin, end


def require_alike(content: str, framed: str, wanted: list[int]) -> None:
    """Raise `ConfigError` unless tokenizer.json alone gives the library's tokens of a text."""
    from tokenizers import Tokenizer

    alone = Tokenizer.from_str(content)
    alone.no_truncation()
    alone.no_padding()
    found = list(alone.encode(framed, add_special_tokens=False).ids)
    if found != wanted:
        raise ConfigError(
            f"{TOKENIZER} alone reads '{framed}' as {found}, the library as {wanted}"
        )
