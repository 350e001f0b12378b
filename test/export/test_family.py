"""Families of other libraries' policies are found by themselves, one file each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from arfm_ros.core.errors import ConfigError
from arfm_ros.export import families
from arfm_ros.export.family import families_of, open_checkpoint, register
from arfm_ros.export.refused import REFUSED, why_refused
from arfm_ros.export.vla.interface import Interface

LIBRARIES = ("lerobot", "openpi", "transformers")
ROBOT = Interface({}, {"": ("a",)}, ("a",), 0.1, "go")


def test_every_file_of_the_folder_is_a_family_of_its_name() -> None:
    folder = Path(next(iter(families.__path__)))
    found = {f"{f.library}_{f.name}" for library in LIBRARIES for f in families_of(library)}
    assert {path.stem for path in folder.glob("[!_]*.py")} == found


@pytest.mark.parametrize("library", ("lerobot", "transformers"))
def test_a_checkpoint_of_no_family_is_refused_with_the_families(
    library: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"type": "new", "model_type": "new"}))
    names = ", ".join(family.name for family in families_of(library))
    with pytest.raises(ConfigError, match=f"policy type 'new', known are: {names}$"):
        open_checkpoint(library, tmp_path, ROBOT, "x")


@pytest.mark.parametrize("library,kind", sorted(REFUSED))
def test_a_policy_that_is_not_exported_says_why_and_what_to_do(
    library: str, kind: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"type": kind, "model_type": kind}))
    assert kind not in {family.name for family in families_of(library)}
    says = rf"{kind} of {library} is not exported; it .*: remote:(ws|tcp|http)://HOST:\d+$"
    with pytest.raises(ConfigError, match=says):
        open_checkpoint(library, tmp_path, ROBOT, "x")


def test_tokens_are_served_where_their_library_does() -> None:
    told = why_refused("lerobot", "pi0_fast"), why_refused("transformers", "openvla")
    assert "pi0-FAST: remote:ws://" in told[0] and "deploy.py: remote:http://" in told[1]
    assert why_refused("lerobot", "pi0") == ""


def test_one_checkpoint_is_of_one_family() -> None:
    for library in LIBRARIES:
        for family in families_of(library):
            config = {"type": family.name, "model_type": family.name}
            assert [f.name for f in families_of(library) if f.takes(config)] == [family.name]


def test_a_family_is_registered_once() -> None:
    with pytest.raises(ConfigError, match="family pi0 of transformers is there twice"):
        register(families_of("transformers")[0])
