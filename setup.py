"""Say where launch files, configuration and bundles are installed; the rest is setup.cfg."""

import sys
from pathlib import Path

from setuptools import setup

PACKAGE = "arfm_ros"
SHARED_FOLDERS = ("launch", "config", "models")


if sys.version_info < (3, 10):  # noqa: UP036 - colcon cannot read python_requires
    raise SystemExit(f"{PACKAGE} needs Python 3.10 or newer, this is {sys.version}")


def shared_files() -> list[tuple[str, list[str]]]:
    """List (folder under the prefix, files) for every file in the shared folders."""
    found: dict[str, list[str]] = {}
    for top in SHARED_FOLDERS:
        for path in sorted(Path(top).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                found.setdefault(f"share/{PACKAGE}/{path.parent}", []).append(str(path))
    return sorted(found.items())


setup(
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        *shared_files(),
    ],
)
