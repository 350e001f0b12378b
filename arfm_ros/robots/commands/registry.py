"""The kinds of controllers there are: every module of this package that registers one."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib import import_module
from typing import Any

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots import controllers
from arfm_ros.robots.commands.controller import Controller, Tools
from arfm_ros.robots.robot import Group


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of controller: its options with their defaults, and the axes it takes."""

    name: str
    options: type[Any]  # a frozen dataclass
    build: Callable[[Group, Any, Tools], Controller]
    units: tuple[str, ...]  # that its axes may have
    axes_max: int | None = None


_KINDS: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Add a kind; each module does so for its own when it is imported."""
    if kind.name in _KINDS:
        raise ConfigError(f"controller {kind.name} is registered twice: rename one")
    _KINDS[kind.name] = kind


def kinds() -> Mapping[str, Kind]:
    """Return every kind by name."""
    _discover()
    return dict(sorted(_KINDS.items()))


def make_controller(group: Group, tools: Tools | None = None) -> Controller:
    """Build the controller of a group.

    Raises `ConfigError` naming the kinds or the options there are, or the axes it does not take.
    """
    known, choice = kinds(), group.controller
    if choice.kind not in known:
        raise ConfigError(
            f"controller of group '{group.name}' is '{choice.kind}', "
            f"needs one of {', '.join(known)}"
        )
    kind = known[choice.kind]
    _check_axes(kind, group)
    controller = kind.build(group, _options(kind, group), tools or Tools())
    controller.topics(group)  # an unknown role is an error now, not at the first command
    return controller


@cache
def _discover() -> None:
    for module in pkgutil.iter_modules(controllers.__path__):
        import_module(f"{controllers.__name__}.{module.name}")


def _check_axes(kind: Kind, group: Group) -> None:
    wrong = [f"{axis.name} ({axis.unit})" for axis in group.axes if axis.unit not in kind.units]
    if wrong or not group.axes:
        raise ConfigError(
            f"controller {kind.name} does not take the axes of group '{group.name}': "
            f"{', '.join(wrong) or 'none'}; it takes units {', '.join(kind.units)}"
        )
    if kind.axes_max is not None and len(group.axes) > kind.axes_max:
        raise ConfigError(
            f"controller {kind.name} takes {kind.axes_max} axes, "
            f"group '{group.name}' has {len(group.axes)}: {', '.join(group.names)}"
        )


def _options(kind: Kind, group: Group) -> Any:
    known = {field.name: field.default for field in fields(kind.options)}
    given = {}
    for name, value in group.controller.options.items():
        if name not in known:
            raise ConfigError(
                f"controller {kind.name} of group '{group.name}' has no option '{name}', "
                f"it has: {', '.join(known) or 'none'}"
            )
        given[name] = _typed(value, known[name], f"option {name} of group '{group.name}'")
    return kind.options(**given)


def _typed(value: Any, default: Any, what: str) -> Any:
    """Return `value` with the type of `default`: a YAML file says 5 for 5.0."""
    if isinstance(default, tuple) and isinstance(value, (tuple, list)):
        return tuple(_typed(one, 0.0, what) for one in value)
    if isinstance(default, bool) or isinstance(value, bool):
        fits = isinstance(default, bool) and isinstance(value, bool)
    elif isinstance(default, float) and isinstance(value, (int, float)):
        return float(value)
    else:
        fits = isinstance(value, type(default))
    if not fits:
        raise ConfigError(f"{what} is {value!r}, needs a {type(default).__name__}")
    return value
