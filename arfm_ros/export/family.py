"""The families of policies whose checkpoints are exported: every module of `families`."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from arfm_ros.core.errors import ConfigError
from arfm_ros.export import families
from arfm_ros.export.lerobot.layouts import find_folder
from arfm_ros.export.lerobot.processors import read_json
from arfm_ros.export.memory import require_memory
from arfm_ros.export.openpi import files as openpi
from arfm_ros.export.refused import why_refused
from arfm_ros.export.vla.interface import Interface
from arfm_ros.export.vla.network import Opened

CONFIG = "config.json"


class PolicyFamily(Protocol):
    """Checkpoints of one kind, of one library."""

    library: str  # what stands before the colon of a source
    name: str

    def takes(self, config: Mapping[str, Any]) -> bool:
        """Tell whether a checkpoint with this config.json is one."""

    def open(self, folder: Path, robot: Interface, name: str) -> Opened:
        """Open the checkpoint in `folder` as policy `name` for `robot`.

        Raises `ConfigError` saying what is missing in `folder`, on this machine, or does not fit.
        """


_FAMILIES: dict[tuple[str, str], PolicyFamily] = {}


def register(family: PolicyFamily) -> None:
    """Add a family; each module does so for its own when it is imported."""
    key = (family.library, family.name)
    if key in _FAMILIES:
        raise ConfigError(f"family {family.name} of {family.library} is there twice: rename one")
    _FAMILIES[key] = family


def families_of(library: str) -> tuple[PolicyFamily, ...]:
    """Return the families of a library, by name."""
    _discover()
    return tuple(f for (where, _), f in sorted(_FAMILIES.items()) if where == library)


def open_checkpoint(library: str, folder: Path, robot: Interface, name: str) -> Opened:
    """Open a checkpoint of `library`.

    Raises `ConfigError` listing the families there are, or where the memory is too small.
    """
    folder, config = _read(library, folder)
    known = families_of(library)
    for family in known:
        if family.takes(config):
            require_memory(folder)
            return family.open(folder, robot, name)
    kind = config.get("type", config.get("model_type"))
    refused = why_refused(library, str(kind))
    if refused:
        raise ConfigError(f"{folder}: {refused}")
    names = ", ".join(family.name for family in known)
    raise ConfigError(f"{folder} has policy type '{kind}', known are: {names}")


def _read(library: str, named: Path) -> tuple[Path, dict[str, Any]]:
    """Find the folder of a checkpoint and read what says of which family it is."""
    if library == "openpi":
        folder = openpi.find_folder(named)
        return folder, openpi.read_config(folder)
    folder = find_folder(named)
    return folder, read_json(folder / CONFIG)


@cache
def _discover() -> None:
    for module in pkgutil.iter_modules(families.__path__):
        import_module(f"{families.__name__}.{module.name}")
