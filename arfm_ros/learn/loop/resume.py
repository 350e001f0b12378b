"""What has to stay the same for a resumed run to be the run it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from arfm_ros.core.errors import ConfigError

# May change: the budget, what is printed and saved when, and who computes
FREE = {
    "steps",
    "minutes",
    "save_every_s",
    "log_every_s",
    "validation_rows",
    "threads",
    "device",
    "precision",  # what `auto` came to is compared
}


def check_same_run(
    saved: Mapping[str, Any], now: Mapping[str, Any], another: str = "--init and a new --out"
) -> None:
    """Compare the provenance of a checkpoint with that of the run that wants to continue it.

    Raises `ConfigError` that names what differs, and `another` way to begin; what `saved` does
    not tell is not compared.
    """
    before, after = _facts(saved), _facts(now)
    differing = [
        f"{name} {_short(after[name])}, the run has {_short(before[name])}"
        for name in before
        if name in after and before[name] != after[name]
    ]
    if differing:
        raise ConfigError(
            f"--resume continues the same run, but: {'; '.join(differing)}. Give what the run "
            f"has, or start another with {another}"
        )


def _facts(provenance: Mapping[str, Any]) -> dict[str, Any]:
    names = ("precision", "data", "data_sha256")
    facts = {name: provenance[name] for name in names if name in provenance}
    options = provenance.get("options", {})
    facts |= _flat({name: value for name, value in options.items() if name not in FREE})
    return {name: json.loads(json.dumps(value)) for name, value in facts.items()}


def _flat(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in options.items():
        nested = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{name}.") if nested else {prefix + name: value}
    return flat


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
