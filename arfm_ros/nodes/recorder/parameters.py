"""Ask the nodes of a namespace for their parameters, waiting for nobody."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python

PATIENCE_S = 10.0  # for the services of a node to be found and to answer


class ParameterSurvey:
    """A round per episode: `begin`, then `poll` now and then; `told(node, values)` per answer."""

    def __init__(self, node: Node, told: Callable[[str, Mapping[str, Any]], None]) -> None:
        self._node, self._told = node, told
        self._asked: list[_Asked] = []
        self._until_s = 0.0

    def begin(self) -> None:
        """Ask everybody who is there, this node too; what is still open of before is dropped."""
        self._end()
        home = self._node.get_namespace().rstrip("/") + "/"
        there = self._node.get_node_names_and_namespaces()
        names = sorted({f"{space.rstrip('/')}/{name}" for name, space in there})
        self._asked = [_Asked(self._node, name) for name in names if name.startswith(home)]
        self._until_s = time.monotonic() + PATIENCE_S

    def poll(self) -> None:
        """Take the answers that came, and ask on."""
        for asked in list(self._asked):
            values = asked.values()
            if values is not None:
                self._told(asked.name, values)
                asked.close()
                self._asked.remove(asked)
        if time.monotonic() > self._until_s:
            self._end()

    def _end(self) -> None:
        for asked in self._asked:
            asked.close()
        self._asked = []


class _Asked:
    """One node: first for the names, then for their values."""

    def __init__(self, node: Node, name: str) -> None:
        self._node, self.name = node, name
        self._list = node.create_client(ListParameters, f"{name}/list_parameters")
        self._get = node.create_client(GetParameters, f"{name}/get_parameters")
        self._listed: Any = None
        self._names: list[str] = []
        self._got: Any = None

    def values(self) -> Mapping[str, Any] | None:
        """Go on as far as the answers are; the values once they are there."""
        if self._listed is None:
            if self._list.service_is_ready() and self._get.service_is_ready():
                self._listed = self._list.call_async(ListParameters.Request())
            return None
        if self._got is None:
            if self._listed.done():
                self._names = list(self._listed.result().result.names)
                self._got = self._get.call_async(GetParameters.Request(names=self._names))
            return None
        if not self._got.done():
            return None
        found = map(parameter_value_to_python, self._got.result().values)
        return {name: _plain(value) for name, value in zip(self._names, found)}

    def close(self) -> None:
        self._node.destroy_client(self._list)
        self._node.destroy_client(self._get)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) or hasattr(value, "typecode") else value
