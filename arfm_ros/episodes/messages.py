"""Messages of an episode; they are written in `wire.messages`."""


__all__ = (
    *("Serialized", "boolean", "compressed_image", "diagnostic_array", "float64_multi_array"),
    *("image", "joint_state", "string", "trajectory"),
)
