"""Read a device's YAML: every mistake is one clear error that names the key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from arfm_ros.core.errors import ConfigError, SpecError
from arfm_ros.core.values import strict
from arfm_ros.installed import share


def configs() -> tuple[str, ...]:
    """List the maps that are shipped in config/teleop."""
    return tuple(sorted(path.stem for path in share("config", "teleop").glob("*.yaml")))


def load_config(name: str, device: str) -> dict[str, Any]:
    """Read a map by name or path; it has to be for `device`. Raises `ConfigError`."""
    path = share("config", "teleop", f"{name}.yaml") if name in configs() else Path(name)
    if not path.is_file():
        raise ConfigError(f"config is '{name}', needs a YAML, or one of: {', '.join(configs())}")
    try:
        given = strict.table(yaml.safe_load(path.read_text()), path.name)
    except (yaml.YAMLError, UnicodeDecodeError, SpecError) as error:
        raise ConfigError(f"{path.name} cannot be read: {error}") from error
    found = given.pop("device", "")
    if found != device:
        raise ConfigError(f"{path.name} is for device '{found}', this one is '{device}'")
    return given


def known(given: Mapping[str, Any], keys: tuple[str, ...], where: str) -> None:
    """Raise `ConfigError` for a key that nobody reads."""
    unknown = [str(key) for key in given if key not in keys]
    if unknown:
        raise ConfigError(f"{where} has {', '.join(unknown)}; it may have {', '.join(keys)}")


def one_number(given: Mapping[str, Any], key: str, default: float, where: str) -> float:
    """Return a number of a map."""
    try:
        return strict.number(given.get(key, default), f"{where}: {key}", (-1e6, 1e6))
    except SpecError as error:
        raise ConfigError(str(error)) from error


def one_map(given: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    """Return a map within a map; an empty one where it is missing."""
    try:
        return strict.table(given.get(key, {}), f"{where}: {key}")
    except SpecError as error:
        raise ConfigError(str(error)) from error
