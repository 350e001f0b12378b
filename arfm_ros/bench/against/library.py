"""LeRobot's own policy, opened in its own way: nothing of the export's is in what is timed."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.data import F32, Observation
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines.memory import GIB, available, elements
from arfm_ros.export.family import CONFIG, families_of
from arfm_ros.export.lerobot.checkpoint import (
    IMAGES,
    LIBRARY,
    LeRobotFlow,
    policy_class_of,
    read_config,
)
from arfm_ros.export.lerobot.layouts import find_folder
from arfm_ros.export.lerobot.processors import read_json
from arfm_ros.export.lerobot.raw import Library, sample_flow
from arfm_ros.export.vla.interface import read_interface

COPIES = 2  # of the weights in float32: those a policy is made with, and those that are read
REST = 1.5 * GIB  # torch, the library, what lies between the layers
Chunk = Callable[[Observation], F32]  # raw observation -> commands [H, A]


def flow_of(source: str) -> tuple[LeRobotFlow, Path]:
    """Find the family and the folder of `source`, lerobot:FOLDER.

    Raises `ConfigError` for another library, and for a policy that is no flow.
    """
    library, _, place = source.partition(":")
    if library != LIBRARY or not place:
        raise ConfigError(
            f"--against {source}: needs {LIBRARY}:FOLDER, the folder of a checkpoint"
        )
    folder = find_folder(Path(place))
    raw = read_json(folder / CONFIG)
    flows = [one for one in families_of(LIBRARY) if isinstance(one, LeRobotFlow)]
    found = next((one for one in flows if one.takes(raw)), None)
    if found is None:
        names = ", ".join(one.name for one in flows)
        raise ConfigError(f"{folder} has policy type '{raw.get('type')}', measured are: {names}")
    return found, folder


def open_library(source: str, spec: PolicySpec, interface: Path | None) -> tuple[Library, str]:
    """Open the policy with the library's own loader, in float32 on the CPU; also say who made it.

    `spec` is that of the bundle, `interface` the file it was exported with. Raises `ConfigError`
    for cameras that do not fit, for what the library does not open, and for too little memory.
    """
    family, folder = flow_of(source)
    policy_class, made_by = policy_class_of(family.name, family.where)
    config = read_config(folder, family.needs)
    cameras = pair_cameras([str(key) for key in config.image_features], spec, interface)
    _require_memory(folder)
    try:
        with redirect_stdout(StringIO()):  # it greets
            policy = policy_class.from_pretrained(folder, config=config, local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"LeRobot cannot open the policy of {folder}: {error}") from error
    return Library(policy.float().eval(), folder, cameras, sample_flow), made_by


def pair_cameras(keys: list[str], spec: PolicySpec, interface: Path | None) -> dict[str, str]:
    """Map the checkpoint's features to the bundle's cameras.

    Without an interface file they are in the same order. Raises `ConfigError` where their counts
    differ then, or the file has other cameras than the bundle.
    """
    own = [camera.name for camera in spec.cameras]
    if interface is None:
        if len(keys) != len(own):
            raise ConfigError(
                f"the checkpoint sees {', '.join(keys)}, the bundle {', '.join(own)}: give the "
                "--interface FILE that it was exported with"
            )
        return dict(zip(keys, own))
    robot = read_interface(interface)
    given = {f"{IMAGES}{key.removeprefix(IMAGES)}": name for key, name in robot.cameras.items()}
    if sorted(given.values()) != sorted(own) or not given.keys() <= set(keys):
        raise ConfigError(
            f"{interface} has cameras {', '.join(map(': '.join, given.items()))}; the checkpoint "
            f"sees {', '.join(keys)}, the bundle {', '.join(own)}"
        )
    return given


def chunk_of(library: Library, noise: F32, steps: int) -> Chunk:
    """Return the library's way from a raw observation to commands, its processors made once."""
    predict = library.ready()
    return lambda observation: predict(observation, noise, steps)


class Compiled:
    """The library's network with its sampler compiled, by turns with the plain one."""

    def __init__(self, library: Library) -> None:
        self._model: Any = getattr(library.policy, "model", None)
        plain = getattr(self._model, "sample_actions", None)
        if plain is None:
            raise ConfigError(f"{type(library.policy).__name__} has no sampler to compile")
        self._plain: Any = plain
        self._made: Any = torch.compile(plain)

    def use(self) -> None:
        """Let the next chunks be computed by the compiled one."""
        self._model.sample_actions = self._made

    def rest(self) -> None:
        """Let them be computed by the plain one."""
        self._model.sample_actions = self._plain

    @contextmanager
    def used(self) -> Generator[None, None, None]:
        """Use it for a while."""
        self.use()
        try:
            yield
        finally:
            self.rest()


def _require_memory(folder: Path) -> None:
    need = 4.0 * COPIES * elements(folder.glob("*.safetensors")) + REST
    free = available()
    if free is not None and need > free:
        raise ConfigError(
            f"the library's policy of {folder} needs some {need / GIB:.1f} GiB of memory in "
            f"float32, {free / GIB:.1f} GiB are free: end other programs or take a larger machine"
        )
