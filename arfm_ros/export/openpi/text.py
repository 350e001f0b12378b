"""PaliGemma's tokenizer, which openpi keeps outside of its checkpoints."""

from __future__ import annotations

from pathlib import Path

from arfm_ros.core.errors import ConfigError
from arfm_ros.engines.inputs import TOKENIZER

HUB = "google/paligemma-3b-pt-224"
BEGIN = "<bos>"


def read_tokenizer(folder: Path, named: str, rows: int) -> tuple[str, int]:
    """Return the content of tokenizer.json and the size of its vocabulary.

    It is the one that is `named`, else FOLDER's, else PaliGemma's of the hub's cache; `rows` is
    how many words the network knows. Raises `ConfigError` saying where to put it.
    """
    path = _find(folder, named)
    from tokenizers import Tokenizer

    try:
        content = path.read_text()
        tokenizer = Tokenizer.from_str(content)
    except Exception as error:  # noqa: BLE001  the library raises nothing more special
        raise ConfigError(f"cannot read the tokenizer in {path}: {error}") from error
    begin, size = tokenizer.token_to_id(BEGIN), tokenizer.get_vocab_size()
    framed = list(tokenizer.encode(BEGIN, add_special_tokens=False).ids)
    if begin is None or framed != [begin] or size > rows:
        raise ConfigError(
            f"{path} is not PaliGemma's tokenizer: it has {size} tokens, the network {rows}, and "
            f"{BEGIN} is {framed}"
        )
    return content, size


def _find(folder: Path, named: str) -> Path:
    place = Path(named) if named else folder
    for path in (place, place / TOKENIZER):
        if path.is_file():
            return path
    cached = _cached(named or HUB)
    if cached is not None:
        return cached
    raise ConfigError(
        f"{folder} needs the tokenizer of PaliGemma: save {TOKENIZER} of {HUB} there, or name "
        "it in the interface file, extra: {tokenizer: PATH}"
        + (f"; {named} is neither a file nor in the hub's cache" if named else "")
    )


def _cached(name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, TOKENIZER)
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None
