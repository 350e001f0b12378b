"""Labels of an episode: JSON objects on `/episode/label`; later ones win, key by key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from arfm_ros.wire.messages import Serialized, string

LABEL_TOPIC = "/episode/label"
DISCARDED_KEY = "discarded"  # true: kept, but nothing is learned from it


def label_message(label: Mapping[str, object]) -> Serialized:
    """Serialize a label, e.g. {"task": "lift", "success": true, "reason": "held 0.3 s"}."""
    return string(json.dumps(dict(label), sort_keys=True))


def parse_label(text: str) -> dict[str, object]:
    """Read a label; text that is no JSON object is kept under the key `note`."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return {"note": text}
    return value if isinstance(value, dict) else {"note": text}


def merge(labels: Iterable[Mapping[str, object]]) -> dict[str, object]:
    """Combine the labels of an episode in the order they were given."""
    merged: dict[str, object] = {}
    for label in labels:
        merged.update(label)
    return merged


def success(label: Mapping[str, object]) -> bool | None:
    """Tell whether the episode succeeded; None when nobody said."""
    value = label.get("success")
    return value if isinstance(value, bool) else None
