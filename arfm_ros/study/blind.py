"""The network of the tasks' state variant: no cameras, the objects' poses in the state."""

from __future__ import annotations

from arfm_ros.learn.model.network import ModelConfig

OBJECTS = (
    "cube_x", "cube_y", "cube_z", "cube_yaw", "puck_x", "puck_y", "puck_z",
    "marker_x", "marker_y", "marker_z", "zone_x", "zone_y", "bin_x", "bin_y",
)  # fmt: skip
BLIND = ModelConfig((), OBJECTS, 8 + len(OBJECTS), dim=64, blocks=2)
