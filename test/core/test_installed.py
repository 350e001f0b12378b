"""Where the shared files are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from arfm_ros import installed
from arfm_ros.core.errors import ConfigError
from arfm_ros.installed import share

ROOT = Path(__file__).resolve().parents[2]


def test_shared_files_are_found_in_the_source_tree() -> None:
    assert share("config", "fastdds.xml") == ROOT / "config" / "fastdds.xml"


def test_shared_files_are_found_in_an_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "lib" / "python3" / "site-packages" / "arfm_ros" / "installed.py"
    shared = tmp_path / "share" / "arfm_ros"
    for folder in (module.parent, shared / "config"):
        folder.mkdir(parents=True)
    (shared / "package.xml").touch()
    monkeypatch.setattr(installed, "__file__", str(module))
    assert share("config", "franka.yaml") == shared / "config" / "franka.yaml"
    with pytest.raises(ConfigError, match="found no launch"):
        share("launch")
