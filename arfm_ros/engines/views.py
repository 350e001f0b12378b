"""The tokens of each camera's picture, kept while the picture stays the same.

The idea is that of VLA-Cache (Xu et al. 2025), for whole pictures: what a camera shows again need
not be encoded again. Of the bundles that have a graph of one picture (view.onnx).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from arfm_ros.core.chunks.reuse import ViewReuse
from arfm_ros.core.errors import EngineError
from arfm_ros.core.values.data import U8
from arfm_ros.engines.runtimes.graph import Array, Graph

PICTURE, FEATURES = "picture", "features"  # what the graph takes and gives
TAKES, GIVES = "image_", f"{FEATURES}_"  # then a camera's name: inputs of a prefix, whole or split


class Views(ViewReuse[Array]):
    """Encode the pictures of a policy's cameras one by one; one thread at a time uses it."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._run = graph.bind({})

    def __call__(self, feed: Mapping[str, Array], images: Mapping[str, U8]) -> dict[str, Array]:
        """Replace image_<camera> of a prefix's inputs by features_<camera>, its tokens [1, N, D].

        `images` are the pictures as the cameras gave them. Raises `EngineError` for tokens that
        are not finite; they are not kept.
        """
        rest = {name: value for name, value in feed.items() if not name.startswith(TAKES)}
        for name in (name for name in feed if name not in rest):
            camera = name.removeprefix(TAKES)
            make = partial(self._encode, camera, feed[name])
            rest[f"{GIVES}{camera}"] = self.of(camera, images[camera], make)
        return rest

    def _encode(self, camera: str, prepared: Array) -> Array:
        tokens = self._run({PICTURE: prepared})[FEATURES]
        if not np.isfinite(tokens).all():
            raise EngineError(f"tokens of camera '{camera}' are not finite: observation dropped")
        return tokens
