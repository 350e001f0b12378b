"""The policy that an objective compares with: the one that training began with."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.model.network import FlowPolicy

NAME = "reference.pt"


def open_reference(
    run: Path,
    make: Callable[[], FlowPolicy],
    began_with: Mapping[str, Any] | None,
    resumes: bool,
) -> FlowPolicy:
    """Make it of the weights that are begun with, and keep these in `run` for a resumed run.

    Raises `ConfigError` where training begins with no policy.
    """
    path, model = run / NAME, make()
    if resumes:
        if not path.is_file():
            raise ConfigError(f"{path} is missing: the run cannot go on without it")
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        return model
    if began_with is None:
        raise ConfigError("this objective compares with what is begun with: give --init")
    model.load_state_dict(dict(began_with))
    run.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    torch.save(model.state_dict(), new)
    os.replace(new, path)
    return model
