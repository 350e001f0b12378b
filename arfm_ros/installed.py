"""Where the shared files lie, in the source tree and in an installation."""

from __future__ import annotations

from pathlib import Path

from arfm_ros.core.errors import ConfigError

PACKAGE = "arfm_ros"


def share(*parts: str) -> Path:
    """Find a shared file (launch/, config/, models/) in the source tree or an installation."""
    here = Path(__file__).resolve()
    for parent in here.parents:
        for folder in (parent / "share" / PACKAGE, parent):
            if (folder / "package.xml").is_file() and (folder / parts[0]).is_dir():
                return folder.joinpath(*parts)
    raise ConfigError(f"found no {'/'.join(parts)} above {here}: install the package again")
