"""openpi's parameters in LeRobot's port of its network: every one accounted for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from arfm_ros.core.errors import ConfigError
from arfm_ros.export.openpi import orbax
from arfm_ros.export.openpi.files import WEIGHTS, shapes_of
from arfm_ros.export.vla.empty import lend
from arfm_ros.export.vla.stored import compute_in_float32

BOTH = "paligemma_with_expert."
# the table of words is tied to the head that would speak; `save_model` keeps one of both names
TABLE = f"{BOTH}paligemma.model.language_model.embed_tokens.weight"
HEAD = f"{BOTH}paligemma.lm_head.weight"
SPEAKS = (HEAD, f"{BOTH}gemma_expert.lm_head.weight")  # a policy does not
COMPILED = "_orig_mod."  # what torch.compile puts before the names
SHOWN = 4


def load(core: nn.Module, folder: Path) -> None:
    """Let `core` compute with the weights of `folder`; those of safetensors stay in their file.

    Raises `ConfigError` naming what is missing, unknown, or of another shape.
    """
    from safetensors import safe_open

    wanted = {name: value for name, value in core.state_dict().items() if name not in SPEAKS}
    path, given = folder / WEIGHTS, shapes_of(folder)
    sources = {name.removeprefix(COMPILED): name for name in given}
    sources.setdefault(TABLE, sources.get(HEAD, TABLE))
    sources = {name: source for name, source in sources.items() if source in given}
    at = path if path.is_file() else folder / orbax.PARAMS
    _account(at, wanted, {name: given[source] for name, source in sources.items()})
    if not path.is_file():
        found = {n: torch.from_numpy(array) for n, array in orbax.read(folder) if n in wanted}
    else:
        with safe_open(path, "pt") as file:
            found = {name: file.get_tensor(sources[name]) for name in wanted}
    lend(core, found)
    compute_in_float32(core)


def _account(
    path: Path, wanted: Mapping[str, Tensor], given: Mapping[str, tuple[int, ...]]
) -> None:
    wrong = [
        f"{name} is {list(given[name])}, needs {list(value.shape)}"
        for name, value in wanted.items()
        if name in given and given[name] != tuple(value.shape)
    ]
    if wrong:
        raise ConfigError(f"{path} has weights of another shape: {_some(wrong, '; ')}")
    missing = [name for name in wanted if name not in given]
    if missing:
        raise ConfigError(f"{path} lacks {len(missing)} weights: {_some(missing)}")
    unknown = [name for name in given if name not in wanted and name not in SPEAKS]
    if unknown:
        raise ConfigError(
            f"{path} has {len(unknown)} weights that openpi's network does not know: "
            f"{_some(unknown)}"
        )


def _some(names: list[str], between: str = ", ") -> str:
    more = f"{between}and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return between.join(names[:SHOWN]) + more
