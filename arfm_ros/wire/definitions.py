"""Message definitions and types, needed to write a bag that explains itself and to read one."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore

from arfm_ros.core.errors import EpisodeError

STORE = get_typestore(Stores.ROS2_JAZZY)


@dataclass(frozen=True, slots=True)
class Definition:
    """A type as bags carry it: its `.msg` text with all nested types, and its REP 2011 hash."""

    text: str
    rihs01: str


@cache
def definition(type_name: str) -> Definition:
    """Find the definition of `package/msg/Type`.

    Common interfaces are built in; others are read from the installed packages
    (`share/<package>/msg` under AMENT_PREFIX_PATH). Raises `EpisodeError` for unknown types.
    """
    if type_name not in STORE.types:
        _register_installed(type_name)
    text, _ = STORE.generate_msgdef(type_name, ros_version=2)
    return Definition(text, STORE.hash_rihs01(type_name))


@cache
def has_header(type_name: str) -> bool:
    """Tell whether the first field of a type is a `std_msgs/msg/Header`."""
    if type_name not in STORE.types:
        return False
    fields = STORE.get_msgdef(type_name).fields
    return bool(fields) and fields[0][1][1] == "std_msgs/msg/Header"


def register(type_name: str, text: str) -> None:
    """Make a type known from the definition text that a bag carries for it.

    Raises `EpisodeError` for a text that is no definition.
    """
    if type_name in STORE.types:
        return
    try:
        found = get_types_from_msg(text, type_name)
        STORE.register({name: one for name, one in found.items() if name not in STORE.types})
    except (TypesysError, ValueError, KeyError, IndexError, TypeError, SyntaxError) as error:
        raise EpisodeError(f"the definition of {type_name} cannot be read: {error}") from error


def _register_installed(type_name: str) -> None:
    found: dict[str, Any] = {}
    wanted = [type_name]
    while wanted:
        name = wanted.pop()
        if name in STORE.types or name in found:
            continue
        parsed = get_types_from_msg(_installed_text(name, type_name), name)
        found.update(parsed)
        wanted += _referenced(parsed[name][1])
    STORE.register(found)


def _referenced(fields: Any) -> list[str]:
    """List the message types in rosbags' field descriptions, arrays looked through."""
    names: list[str] = []
    for _, description in fields:
        kind, detail = description
        while isinstance(detail, tuple) and isinstance(detail[0], tuple):  # array or sequence
            kind, detail = detail[0]
        if isinstance(detail, str) and "/" in detail:
            names.append(detail)
    return names


def _installed_text(name: str, wanted_for: str) -> str:
    package, _, short = name.split("/")
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) + [sys.prefix]
    for prefix in filter(None, prefixes):
        path = Path(prefix) / "share" / package / "msg" / f"{short}.msg"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise EpisodeError(
        f"no definition of message type '{name}' (for '{wanted_for}'): needs "
        f"share/{package}/msg/{short}.msg under AMENT_PREFIX_PATH: "
        "source the workspace that has it"
    )
