"""The tokens of each camera's picture, kept while the picture stays the same.

The idea is that of VLA-Cache (Xu et al. 2025), for whole pictures: what a camera shows again need
not be encoded again. Of the bundles that have a graph of one picture (view.onnx).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from arfm_ros.core.chunks.reuse import difference
from arfm_ros.core.errors import EngineError
from arfm_ros.core.values.data import U8
from arfm_ros.engines.runtimes.graph import Array, Graph

PICTURE, FEATURES = "picture", "features"  # what the graph takes and gives
TAKES, GIVES = (
    "image_",
    f"{FEATURES}_",
)  # before a camera's name: what the graph takes the place of


class Views:
    """Encode the pictures of a policy's cameras one by one; one thread at a time uses it.

    A picture is compared with the one that was encoded, so that slow changes add up and end the
    reuse. Any thread may set `limit` and read the counts.
    """

    def __init__(self, graph: Graph) -> None:
        self.limit = 0.0  # grey levels 0..255, mean over a picture's pixels; 0: always encode
        self.encoded = self.reused = 0
        self._run = graph.bind({})
        self._kept: dict[str, tuple[U8, Array]] = {}  # by camera: the picture and its tokens

    def __call__(self, feed: Mapping[str, Array], images: Mapping[str, U8]) -> dict[str, Array]:
        """Replace image_<camera> of a prefix's inputs by features_<camera>, its tokens [1, N, D].

        `images` are the pictures as the cameras gave them. Raises `EngineError` for tokens that
        are not finite; they are not kept.
        """
        rest = {name: value for name, value in feed.items() if not name.startswith(TAKES)}
        limit = self.limit
        for camera, image in images.items():
            if f"{TAKES}{camera}" in feed:
                tokens = self._tokens(camera, image, feed[f"{TAKES}{camera}"], limit)
                rest[f"{GIVES}{camera}"] = tokens
        return rest

    def _tokens(self, camera: str, image: U8, prepared: Array, limit: float) -> Array:
        if limit <= 0:
            self._kept.clear()
            return self._encode(camera, prepared)
        before = self._kept.get(camera)
        if before is not None and difference({camera: before[0]}, {camera: image}) <= limit:
            self.reused += 1
            return before[1]
        self._kept.pop(camera, None)
        tokens = self._encode(camera, prepared)
        self._kept[camera] = image.copy(), tokens
        return tokens

    def _encode(self, camera: str, prepared: Array) -> Array:
        tokens = self._run({PICTURE: prepared})[FEATURES]
        if not np.isfinite(tokens).all():
            raise EngineError(f"tokens of camera '{camera}' are not finite: observation dropped")
        self.encoded += 1
        return tokens
