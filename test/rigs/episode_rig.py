"""A small episode, and one message of every kind that an episode holds."""

from pathlib import Path

import numpy as np

from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.wire import messages

T0 = 1_700_000_000_000_000_000
MS = 1_000_000
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
SAMPLES = {
    "joint_state": messages.joint_state(T0, ["a", "b"], [1.0, 2.0], [0.1, 0.2], [3.0, 4.0], "f"),
    "image": messages.image(T0, PIXELS, "camera"),
    "compressed_image": messages.compressed_image(T0, b"\xff\xd8 not really", "camera"),
    "string": messages.string("häufig «lift»"),
    "boolean": messages.boolean(True),
    "float64_multi_array": messages.float64_multi_array([0.25]),
    "diagnostic_array": messages.diagnostic_array(T0, "lift", {"seed": 3, "done": True}, 1, "m"),
    "trajectory": messages.trajectory(T0, ["a"], [[1.0], [2.0]], 50 * MS),
}


def write_some(folder: Path, count: int = 200, **options) -> Path:
    writer = EpisodeWriter(folder, **options)
    for n in range(count):
        stamp = T0 + n * 20 * MS
        writer.write("/joint_states", *messages.joint_state(stamp, ["a"], [n]), stamp)
        writer.write("/scene/image_raw", *messages.image(stamp, PIXELS), stamp)
        if n % 40 == 39:
            writer.flush()
    writer.label({"task": "lift", "success": True}, T0 + count * 20 * MS)
    return writer.close()
