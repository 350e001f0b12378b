"""Messages of an episode; they are written in `wire.messages`."""

from arfm_ros.wire.messages import (
    Serialized,
    boolean,
    compressed_image,
    diagnostic_array,
    float64_multi_array,
    image,
    joint_state,
    string,
    trajectory,
)

__all__ = [
    "Serialized",
    "boolean",
    "compressed_image",
    "diagnostic_array",
    "float64_multi_array",
    "image",
    "joint_state",
    "string",
    "trajectory",
]
