"""What nodes say about themselves, ordered for a person: trouble first, then stages and counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from arfm_ros.console.advice import advise

NS = 1_000_000_000
LEVELS = ("ok", "warning", "error", "stale")
OLD_NS = 4 * NS  # without a word for so long a node counts as silent
STAGE_ENDS = (".p50_ms", ".p99_ms", ".max_ms")
RATES = ("tick_rate_hz", "rate_hz", "_hz")
DROPS = ("missed", "dropped", "rejections", "refused", "cancelled", "skipped", "late", "missing")
STAGES_MAX = COUNTS_MAX = 24
NODES_MAX = 32


@dataclass(slots=True)
class HealthBoard:
    """The newest word of every node, by its name."""

    _said: dict[str, tuple[int, int, str, dict[str, str]]] = field(default_factory=dict)

    def hear(
        self, name: str, level: int, message: str, values: Mapping[str, str], now_ns: int
    ) -> None:
        """Take what a node says; names beyond the first 32 are not kept."""
        node = name.split(":")[0].strip()[:60]
        if node in self._said or len(self._said) < NODES_MAX:
            self._said[node] = (now_ns, min(level, 3), message[:400], dict(values))

    def values(self, node: str) -> Mapping[str, str]:
        """Return the values of a node by the last part of its name; {} where it said nothing."""
        for name, (_, _, _, values) in self._said.items():
            if name.rsplit("/", 1)[-1] == node:
                return values
        return {}

    def nodes(self, now_ns: int) -> list[dict[str, Any]]:
        """Return what to show of each node, the worst first."""
        found = [self._node(name, now_ns) for name in sorted(self._said)]
        return sorted(found, key=lambda one: -int(one["rank"]))

    def trouble(self, now_ns: int) -> list[dict[str, str]]:
        """Return reasons in plain words and what to do, of nodes that are not well."""
        found = []
        for node in self.nodes(now_ns):
            advice = advise(str(node["message"])) if node["rank"] else None
            if advice is not None:
                found.append({
                    "level": str(node["level"]),
                    "node": str(node["name"]), "reason": str(node["message"]),
                    "plain": advice.plain, "todo": advice.todo,
                })  # fmt: skip
        return found

    def _node(self, name: str, now_ns: int) -> dict[str, Any]:
        at_ns, level, message, values = self._said[name]
        silent = now_ns - at_ns > OLD_NS
        if silent:
            level, message = 3, f"silent for {(now_ns - at_ns) / NS:.0f} s"
        return {
            "name": name, "level": LEVELS[level], "rank": level, "message": message,
            "stages": _stages(values), "counts": _counts(values),
        }  # fmt: skip


def limits_in_use(values: Mapping[str, str]) -> dict[str, str]:
    """Return the arbiter's speed and which limits cut how often, `<kind> <axis>` -> count."""
    found = {"speed": values["speed"]} if "speed" in values else {}
    for key, value in values.items():
        if key.startswith("limited."):
            found[key.removeprefix("limited.").replace(".", " ", 1)] = value
    return found


def _stages(values: Mapping[str, str]) -> dict[str, list[str]]:
    """Return stage -> [p50, p99, max] ms."""
    names = [key.removesuffix(".p50_ms") for key in values if key.endswith(".p50_ms")]
    return {
        name: [values.get(name + end, "") for end in STAGE_ENDS] for name in names[:STAGES_MAX]
    }


def _counts(values: Mapping[str, str]) -> dict[str, str]:
    """Return rates and what got lost."""
    found = {
        key: value for key, value in values.items()
        if key.endswith(RATES) or any(word in key for word in DROPS)
    }  # fmt: skip
    short = {k: v for k, v in found.items() if not k.endswith(STAGE_ENDS) and len(v) < 40}
    return dict(list(short.items())[:COUNTS_MAX])
