"""Libraries of the extra `datasets`, imported when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from arfm_ros.core.errors import ConfigError


def library(name: str) -> Any:
    """Import pyarrow, av or h5py; raises `ConfigError` saying how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"datasets need the package '{name.partition('.')[0]}': "
            "pip install 'arfm_ros[datasets]'"
        ) from error
