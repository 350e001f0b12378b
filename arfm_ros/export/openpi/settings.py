"""What no file of an openpi checkpoint says: `extra` of the interface file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from arfm_ros.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Settings:
    """What `read_settings` read; 0 and "" where nothing is said."""

    asset: str = ""  # whose statistics
    horizon: int = 0  # action_horizon of the training
    length: int = 0  # max_token_len of the training
    steps: int = 10  # of a chunk
    tokenizer: str = ""  # tokenizer.json, a folder with it, or a name in the hub's cache
    discrete_state_input: bool = True  # pi0.5: the state is part of the text
    adapt_to_pi: bool = True  # ALOHA: as its training has it by default


def read_settings(extra: Mapping[str, Any]) -> Settings:
    """Read `extra`. Raises `ConfigError` for what is unknown or of another type."""
    known = {one.name: type(one.default) for one in fields(Settings)}
    unknown = [name for name in extra if name not in known]
    if unknown:
        raise ConfigError(
            f"extra has {', '.join(map(str, unknown))}; an openpi checkpoint's may have "
            f"{', '.join(known)}"
        )
    for name, value in extra.items():
        if type(value) is not known[name] or (known[name] is int and value < 1):
            need = {int: "a number, 1 or more", str: "a text", bool: "true or false"}
            raise ConfigError(f"extra: {name} is {value}, needs {need[known[name]]}")
    return Settings(**extra)
