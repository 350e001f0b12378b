"""What an episode says about itself: JSON objects on `/episode/info`; later ones win."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from arfm_ros.wire.messages import Serialized, string

INFO_TOPIC = "/episode/info"
METADATA_NAME = "arfm:episode"  # the MCAP metadata record with the same content


def info_message(info: Mapping[str, object]) -> Serialized:
    """Serialize what is told, e.g. {"task": "lift", "operator": "eve"}."""
    return string(json.dumps(dict(info), sort_keys=True, default=str))


def metadata_record(info: Mapping[str, object]) -> dict[str, str]:
    """Give the same as an MCAP metadata record: texts as they are, all else as JSON."""
    return {
        key: value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
        for key, value in info.items()
    }


def versions() -> dict[str, str]:
    """Name what records: this package, Python and the machine's kind."""
    try:
        own = version("arfm_ros")
    except PackageNotFoundError:  # run from the sources
        own = "source"
    return {
        "arfm_ros": own,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
