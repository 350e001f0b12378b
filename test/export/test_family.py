"""Families of other libraries' policies are found by themselves, one file each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from arfm_ros.core.errors import ConfigError
from arfm_ros.export import families
from arfm_ros.export.family import families_of, open_checkpoint, register
from arfm_ros.export.vla.interface import Interface

LIBRARIES = ("lerobot", "openpi", "transformers")
ROBOT = Interface({}, {"": ("a",)}, ("a",), 0.1, "go")


def test_every_file_of_the_folder_is_a_family_of_its_name() -> None:
    folder = Path(next(iter(families.__path__)))
    found = {f"{f.library}_{f.name}" for library in LIBRARIES for f in families_of(library)}
    assert {path.stem for path in folder.glob("[!_]*.py")} == found


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_checkpoint_of_no_family_is_refused_with_the_families(
    library: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"type": "tdmpc", "model_type": "tdmpc"}))
    names = ", ".join(family.name for family in families_of(library))
    with pytest.raises(ConfigError, match=f"policy type 'tdmpc', known are: {names}$"):
        open_checkpoint(library, tmp_path, ROBOT, "x")


def test_one_checkpoint_is_of_one_family() -> None:
    for library in LIBRARIES:
        for family in families_of(library):
            config = {"type": family.name, "model_type": family.name}
            assert [f.name for f in families_of(library) if f.takes(config)] == [family.name]


def test_a_family_is_registered_once() -> None:
    with pytest.raises(ConfigError, match="family pi0 of transformers is there twice"):
        register(families_of("transformers")[0])
