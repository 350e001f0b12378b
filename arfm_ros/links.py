"""The link that says which bundle is in use."""

from __future__ import annotations

import os
from pathlib import Path

from arfm_ros.core.errors import ConfigError


def check_link(link: Path) -> None:
    """Raise `ConfigError` when there is something at `link` that would be lost."""
    if os.path.lexists(link) and not link.is_symlink():
        raise ConfigError(f"{link} is no symbolic link and is not overwritten: give another path")
    if not link.parent.is_dir():
        raise ConfigError(f"there is no folder {link.parent} for the link {link.name}")


def activate(link: Path, bundle: Path) -> None:
    """Let `link` point to `bundle`; whoever looks sees the old or the new one, never none."""
    check_link(link)
    draft = link.with_name(f".{link.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(bundle.resolve(), target_is_directory=True)
    draft.replace(link)
