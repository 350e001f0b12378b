"""ROS parameters declared from a frozen dataclass: the dataclass holds the defaults, once.

A field `rate_hz: float = knob(30.0, "camera rate", 1.0, 120.0)` becomes a parameter with that
default, description and range; `declare(node, SimParams)` gives the dataclass filled in.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_type_hints

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterUninitializedException,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from arfm_ros.core.errors import ArfmError, ConfigError

T = TypeVar("T")

TYPES: Mapping[object, tuple[Parameter.Type, str]] = {
    bool: (Parameter.Type.BOOL, "true or false"),
    int: (Parameter.Type.INTEGER, "an integer"),
    float: (Parameter.Type.DOUBLE, "a number with a decimal point (write 1.0, not 1)"),
    str: (Parameter.Type.STRING, "text"),
    tuple[str, ...]: (Parameter.Type.STRING_ARRAY, "a list of texts"),
    tuple[float, ...]: (Parameter.Type.DOUBLE_ARRAY, "a list of numbers with decimal points"),
    tuple[int, ...]: (Parameter.Type.INTEGER_ARRAY, "a list of integers"),
}


@dataclass(frozen=True, slots=True)
class Knob:
    """What a parameter says about itself beside its default."""

    text: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False  # may be changed while the node runs; others are read once


def knob(
    default: Any,
    text: str,
    low: float | None = None,
    high: float | None = None,
    *,
    choices: Sequence[str] = (),
    live: bool = False,
) -> Any:
    """Make a dataclass field with a default, a description and its range or choices."""
    about = Knob(text, low, high, tuple(choices), live)
    return field(default=default, metadata={"knob": about})


def declare(node: Node, cls: type[T], prefix: str = "") -> T:
    """Declare every field of dataclass `cls` on `node` and return it filled in.

    Raises `ConfigError` naming the parameter, what came and what it needs.
    """
    hints = get_type_hints(cls)
    for one in _fields(cls):
        _declare_one(node, prefix, one, hints[one.name])
    return read(node, cls, prefix)


def read(node: Node, cls: type[T], prefix: str = "") -> T:
    """Fill dataclass `cls` from the node's parameters as they are now."""
    values: dict[str, Any] = {}
    for one in _fields(cls):
        values[one.name] = _value(node, prefix + one.name)
        _check(node, prefix + one.name, values[one.name], _about(one))
    return cls(**values)


def watch(node: Node, cls: type[T], apply: Callable[[T], None], prefix: str = "") -> None:
    """Call `apply` with the dataclass filled anew whenever one of its parameters changed.

    A change that the dataclass or a choice refuses is refused to whoever wanted to set it.
    """
    names = {prefix + one.name: one for one in _fields(cls)}

    def judge(changes: list[Parameter]) -> SetParametersResult:
        ours = {c.name.removeprefix(prefix): c.value for c in changes if c.name in names}
        try:
            for name, value in ours.items():
                _check(node, prefix + name, _plain(value), _about(names[prefix + name]))
            dataclasses.replace(read(node, cls, prefix), **ours)  # type: ignore[type-var]
        except ArfmError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def changed(changes: list[Parameter]) -> None:
        if any(change.name in names for change in changes):
            apply(read(node, cls, prefix))

    node.add_on_set_parameters_callback(judge)
    node.add_post_set_parameters_callback(changed)


def refuse_unknown(node: Node) -> None:
    """Raise `ConfigError` for parameters that were given to `node` but that it does not have."""
    overrides: Mapping[str, Any] = node._parameter_overrides  # rclpy has no public view of them
    known = list(node._parameters)
    for name in overrides:
        if name in known or name.startswith("qos_overrides."):
            continue
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"it has: {', '.join(sorted(known))}"
        raise ConfigError(f"{node.get_name()} has no parameter '{name}'; {hint}")


def _fields(cls: type) -> tuple[dataclasses.Field[Any], ...]:
    return tuple(one for one in dataclasses.fields(cls) if one.init)


def _about(one: dataclasses.Field[Any]) -> Knob:
    about = one.metadata.get("knob")
    if not isinstance(about, Knob):
        raise TypeError(f"field '{one.name}' is no parameter: make it with knob()")
    return about


def _declare_one(node: Node, prefix: str, one: dataclasses.Field[Any], hint: object) -> None:
    name, about = prefix + one.name, _about(one)
    if node.has_parameter(name):
        return
    if hint not in TYPES:
        raise TypeError(f"parameter '{name}' has type {hint}, which ROS parameters cannot hold")
    needs = TYPES[hint][1] + _range_text(about)
    given = node._parameter_overrides.get(name)
    try:
        node.declare_parameter(name, _default(one.default, hint), _descriptor(about, hint))
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        shown = repr(given.value) if given is not None else repr(one.default)
        raise ConfigError(
            f"{node.get_name()}: parameter '{name}' is {shown}, needs {needs} ({about.text})"
        ) from error


def _default(value: Any, hint: object) -> Any:
    if isinstance(value, tuple) and not value and hint == tuple[float, ...]:
        return [math.nan]
    # An empty list has no type for ROS: [''] and [nan] stand for it, and `_value` drops them.
    return (list(value) or [""]) if isinstance(value, tuple) else value


def _value(node: Node, name: str) -> Any:
    try:
        value = node.get_parameter(name).value
    except ParameterUninitializedException:  # what ROS makes of `[]` in a file
        return ()
    return _plain(value)


def _plain(value: Any) -> Any:
    """Return a list as a tuple, without what stands for an empty one."""
    if not (isinstance(value, (list, tuple)) or hasattr(value, "typecode")):
        return value
    empty = len(value) == 1 and value[0] != value[0]  # noqa: PLR0124 - nan
    return () if empty else tuple(v for v in value if v != "")  # noqa: PLC1901


def _range_text(about: Knob) -> str:
    if about.low is None and about.high is None:
        return ""
    low = "" if about.low is None else f" from {about.low:g}"
    high = "" if about.high is None else f" up to {about.high:g}"
    return low + high


def _descriptor(about: Knob, hint: object) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=about.text,
        type=TYPES[hint][0].value,
        read_only=not about.live,
        additional_constraints=f"one of {', '.join(about.choices)}" if about.choices else "",
    )
    if about.low is None and about.high is None:
        return descriptor
    if hint is int:
        low = -(2**63) if about.low is None else int(about.low)
        high = 2**63 - 1 if about.high is None else int(about.high)
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=0)]
    else:
        biggest = sys.float_info.max
        low_f = -biggest if about.low is None else float(about.low)
        high_f = biggest if about.high is None else float(about.high)
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=low_f, to_value=high_f, step=0.0)
        ]
    return descriptor


def _check(node: Node, name: str, value: Any, about: Knob) -> None:
    """Refuse what ROS lets pass: a word that is no choice, and `nan` or `inf` without a range."""
    needs = ""
    if about.choices and value not in about.choices:
        needs = f"one of {', '.join(about.choices)}"
    numbers = value if isinstance(value, tuple) else (value,)
    if any(isinstance(one, float) and not math.isfinite(one) for one in numbers):
        needs = f"finite numbers ({about.text})"
    if needs:
        shown = list(value) if isinstance(value, tuple) else value
        raise ConfigError(f"{node.get_name()}: parameter '{name}' is {shown!r}, needs {needs}")
